"""How money is put into arbstr: an invoice is asked for, or a token handed in; what came of it; and what came unasked.

A request is written down and the treasury answers it, in this process or in another: so whoever asks waits a bounded
time, and finds what came of it later by its id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from arbstr_core.api import Clock, RailCapability, WalletRail
from arbstr_core.flow import _documents as documents
from arbstr_core.flow import _paging as paging
from arbstr_core.flow._incoming import TOKEN_PURPOSE
from arbstr_core.flow._keys import Keys
from arbstr_core.flow._records import Asked
from arbstr_core.rails import Rails, appraise, asking
from arbstr_core.storage import Cipher
from arbstr_core.types import BadRequest, Caller, Conflict, IdempotencyConflict, NotFound
from arbstr_core.vault import (
    History,
    NewRequest,
    Part,
    Purpose,
    RequestKind,
    RequestRecord,
    Requests,
    RequestState,
    Treasury,
)

Json = dict[str, Any]

EXPIRES_SECONDS = 3600
_ID = "dep_"
_MOST_OPEN = 10
"""invoices of one agent that wait to be paid"""
_APPRAISE_SECONDS = 20.0
_ANSWER_SECONDS = 15.0
_LOOK_SECONDS = (0.005, 0.1)
"""how soon it is looked whether there is an answer: the first time, and the longest"""


class DepositFlow:
    """`nudge` tells the treasury of a new request, None where no server runs that would answer it."""

    def __init__(
        self,
        rails: Rails,
        requests: Requests,
        treasury: Treasury,
        history: History,
        keys: Keys,
        cipher: Cipher,
        clock: Clock,
        *,
        ids: Callable[[str], str],
        nudge: Callable[[], None] | None,
    ) -> None:
        self._rails = rails
        self._requests = requests
        self._treasury = treasury
        self._history = history
        self._keys = keys
        self._cipher = cipher
        self._clock = clock
        self._ids = ids
        self._nudge = nudge

    # For agents

    async def ask(self, caller: Caller, amount_msat: int, **more: Any) -> Json:
        """An invoice by which somebody pays money into the agent's account. Raises BadRequest."""
        found = await self.invoice(caller.realm, amount_msat, agent=caller.agent, most_open=_MOST_OPEN, **more)
        return documents.request(await self.answered(found))

    async def hand_in(self, caller: Caller, token: str) -> Json:
        """Redeem a token for the agent's account. Raises BadRequest for what never will be its money."""
        return documents.request(await self.redeem(caller.realm, token, agent=caller.agent))

    async def mine(self, caller: Caller, asked: Asked) -> Json:
        """What the agent and the keys below it asked for, or handed in, the newest first."""
        return await self._listed(await self._family(caller), asked)

    async def one(self, caller: Caller, id: str) -> Json:
        """One of them, as it stands."""
        found = await self._requests.find(id)
        if found is None or found.agent not in await self._family(caller) or found.purpose is not Purpose.DEPOSIT:
            raise NotFound(f"There is no deposit {id!r} of yours; GET /wallet/deposits lists them")
        return documents.request(found)

    # For the operator

    async def ask_for(self, agent: str | None, realm: str | None, amount_msat: int, **more: Any) -> Json:
        """An invoice for an agent, or for the operator's own capital."""
        whose, where = await self._whose(agent, realm)
        return documents.request(await self.answered(await self.invoice(where, amount_msat, agent=whose, **more)))

    async def hand_in_for(self, agent: str | None, realm: str | None, token: str) -> Json:
        """The same with a token."""
        whose, where = await self._whose(agent, realm)
        return documents.request(await self.redeem(where, token, agent=whose))

    async def requests(self, agent: str | None, asked: Asked) -> Json:
        """All that was asked for or handed in, or that of an agent."""
        return await self._listed(None if agent is None else [(await self._keys.find(agent)).id], asked)

    async def deposits(self, agent: str | None, asked: Asked, *, nobodys: bool) -> Json:
        """What came in, the newest first; `nobodys`: what nobody is known for, and nobody was named for yet."""
        most = paging.rows_of(asked.limit)
        found = await self._requests.deposits(
            agents=None if agent is None else [(await self._keys.find(agent)).id],
            nobodys=nobodys,
            before=paging.place("deposit", asked.cursor),
            most=most + 1,
        )
        following = found[most - 1].seq if len(found) > most else None
        return paging.page(Part(rows=tuple(found[:most]), following=following), "deposit", documents.deposit)

    async def assign(self, rail: str, reference: str, agent: str, *, actor: str) -> Json:
        """Say whose a deposit is that nobody was known for. The same again changes nothing."""
        whose = await self._keys.find(agent)
        seq = await self._treasury.assign(rail, reference, whose.id, actor=actor)
        return {"rail": rail, "reference": reference, "agent": whose.id, "transfer": seq}

    # Requests

    async def invoice(
        self,
        realm: str,
        amount_msat: int,
        *,
        agent: str | None,
        rail: str | None = None,
        memo: str = "",
        key: str | None = None,
        expires_seconds: int = EXPIRES_SECONDS,
        most_open: int | None = None,
    ) -> RequestRecord:
        """Write down that an invoice is wanted. Raises BadRequest with what is wrong with the amount."""
        self._serving()
        found = await asking(self._rails.within(realm, RailCapability.INVOICE), amount_msat, rail)
        new = NewRequest(
            id=self._ids(_ID) if key is None else _named(agent or "", key),
            kind=RequestKind.INVOICE,
            purpose=Purpose.CAPITAL if agent is None else Purpose.DEPOSIT,
            realm=realm,
            rail=found.name,
            agent=agent,
            amount_msat=amount_msat,
            memo=memo or "arbstr deposit",
            expires_ms=self._clock.now_ms() + expires_seconds * 1000,
        )
        opened = await self._requests.open(new, most_open=most_open)
        if (opened.amount_msat, opened.agent) != (amount_msat, agent):
            raise IdempotencyConflict(f"the key {key!r} was used for another deposit, {opened.id}: use a new one")
        self._told()
        return opened

    async def redeem(
        self, realm: str, token: str, *, agent: str | None, purpose: Purpose | None = None, subject: str = ""
    ) -> RequestRecord:
        """Redeem a token, and wait for what comes of it. Raises BadRequest where it never will be ours, Conflict where
        it was handed in before by somebody else."""
        self._serving()
        rail, facts = await appraise(
            self._rails.within(realm, RailCapability.ECASH), token.strip(), seconds=_APPRAISE_SECONDS
        )
        id = self._ids(_ID)
        new = NewRequest(
            id=id,
            kind=RequestKind.TOKEN,
            purpose=purpose or (Purpose.CAPITAL if agent is None else Purpose.DEPOSIT),
            realm=realm,
            rail=rail.name,
            agent=agent,
            subject=subject,
            amount_msat=facts.amount_msat,
            fee_msat=facts.fee_msat,
            reference=facts.reference,
            sealed=self._cipher.seal(token.strip().encode(), f"{TOKEN_PURPOSE}{id}"),
        )
        found = await self._handed_in(rail, new)
        self._told()
        found = await self.answered(found)
        if found.state is RequestState.REFUSED:
            raise BadRequest(f"The token is not taken: {found.reason}", param="token")
        return found

    async def _handed_in(self, rail: WalletRail, new: NewRequest) -> RequestRecord:
        try:
            return await self._requests.open(new)
        except Conflict:
            before = await self._requests.by_reference(new.reference or "", rail.name)
            # Whoever hands it in again was not told what came of it the first time.
            if before is None or (before.agent, before.purpose) != (new.agent, new.purpose) or new.subject:
                raise
            return before

    async def answered(self, request: RequestRecord, *, seconds: float = _ANSWER_SECONDS) -> RequestRecord:
        """The request once the treasury has answered it; as it stands, where that takes longer."""
        end = self._clock.monotonic() + seconds
        wait, longest = _LOOK_SECONDS
        while request.state is RequestState.ASKED and self._clock.monotonic() < end:
            await self._clock.sleep(wait)
            wait = min(2 * wait, longest)
            request = await self._requests.find(request.id) or request
        return request

    def _serving(self) -> None:
        if self._nudge is None:
            raise Conflict("Rails are the running server's: `arbstr serve` first")

    def _told(self) -> None:
        if self._nudge is not None:
            self._nudge()

    async def _listed(self, agents: Sequence[str] | None, asked: Asked) -> Json:
        most = paging.rows_of(asked.limit)
        before = paging.place("request", asked.cursor)
        found = await self._requests.list(agents=agents, before=before, most=most + 1)
        following = found[most - 1].seq if len(found) > most else None
        rows = tuple(each for each in found[:most] if each.purpose in (Purpose.DEPOSIT, Purpose.CAPITAL))
        return paging.page(Part(rows=rows, following=following), "request", documents.request)

    async def _family(self, caller: Caller) -> list[str]:
        below = await self._history.keys_below(caller.agent)
        return [caller.agent, *(each.id for each in below)]

    async def _whose(self, agent: str | None, realm: str | None) -> tuple[str | None, str]:
        if agent is None:
            return None, realm or self._rails.default_realm()
        found = await self._keys.find(agent)
        if realm not in (None, found.realm):
            raise BadRequest(f"{found.name} is of realm {found.realm}: leave realm out", param="realm")
        return found.id, found.realm


def _named(agent: str, key: str) -> str:
    """The id of what an agent calls so."""
    return _ID + hashlib.sha256(f"{agent}\0{key}".encode()).hexdigest()[:40]
