"""Asks for money, and hands in tokens: a row is written down, and the treasury answers it.

That is in this process or in another: so whoever asks waits a bounded time, and finds what came of it later by its id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from arbstr_core.api import Clock, RailCapability, TokenFacts, WalletRail
from arbstr_core.flow._distant import distant_rails
from arbstr_core.flow._incoming import TOKEN_PURPOSE
from arbstr_core.rails import Asker, Rails, appraise, asking
from arbstr_core.storage import Cipher
from arbstr_core.types import BadRequest, Conflict, IdempotencyConflict
from arbstr_core.vault import NewRequest, Purpose, RequestKind, RequestRecord, Requests, RequestState, Treasury

EXPIRES_SECONDS = 3600
_ID = "dep_"
APPRAISE_SECONDS = 20.0
_ANSWER_SECONDS = 15.0
_LOOK_SECONDS = (0.005, 0.1)
"""how soon it is looked whether there is an answer: the first time, and the longest"""


class Teller:
    """`serving`: a server runs that answers what is asked for. `elsewhere` is the treasury of another process, where
    this one has no rails: it is asked for invoices alone."""

    def __init__(
        self,
        rails: Rails,
        requests: Requests,
        cipher: Cipher,
        clock: Clock,
        *,
        ids: Callable[[str], str],
        serving: bool,
        elsewhere: Treasury | None = None,
    ) -> None:
        self._rails = rails
        self._requests = requests
        self._cipher = cipher
        self._clock = clock
        self._ids = ids
        self._is_serving = serving
        self._elsewhere = elsewhere

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
        found = await asking(await self._askers(realm), amount_msat, rail)
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
        return opened

    async def least(self, realm: str) -> int:
        """The smallest amount that an invoice is made for in a realm; 0 where nobody says."""
        return min([(await rail.limits()).invoices.smallest_msat for rail in await self._askers(realm)], default=0)

    async def _askers(self, realm: str) -> Sequence[Asker]:
        able = self._rails.within(realm, RailCapability.INVOICE)
        if able or self._elsewhere is None:
            return able
        return await distant_rails(self._elsewhere, realm)

    async def redeem(self, realm: str, token: str, *, agent: str | None) -> RequestRecord:
        """Redeem a token for an agent, or for the operator, and wait for what comes of it. Raises BadRequest where it
        never will be ours, Conflict where it was handed in before by somebody else."""
        self._serving()
        token = token.strip()
        able = self._rails.within(realm, RailCapability.ECASH)
        rail, facts = await appraise(able, token, seconds=APPRAISE_SECONDS)
        purpose = Purpose.CAPITAL if agent is None else Purpose.DEPOSIT
        new = self._token(rail, facts, token, purpose, self._ids(_ID), agent=agent)
        try:
            opened = await self._requests.open(new)
        except Conflict:
            before = await self._requests.by_reference(facts.reference, rail.name)
            # Whoever hands it in again was not told what came of it the first time.
            if before is None or (before.agent, before.purpose) != (agent, purpose):
                raise
            opened = before
        return await self._redeemed(opened)

    async def redeem_for_call(
        self, rail: WalletRail, facts: TokenFacts, token: str, id: str, key: str
    ) -> RequestRecord:
        """Redeem a token that pays a single call, `key`. Raises Conflict where it was handed in before."""
        self._serving()
        new = self._token(rail, facts, token, Purpose.CALL, id, subject=key, memo=facts.mint)
        opened = await self._requests.open(new)
        if opened.sealed != new.sealed:
            raise Conflict(f"the token was handed in before, as {opened.id}")
        return await self._redeemed(opened)

    def _token(
        self, rail: WalletRail, facts: TokenFacts, token: str, purpose: Purpose, id: str, **more: Any
    ) -> NewRequest:
        return NewRequest(
            id=id,
            kind=RequestKind.TOKEN,
            purpose=purpose,
            realm=rail.network.value,
            rail=rail.name,
            amount_msat=facts.amount_msat,
            fee_msat=facts.fee_msat,
            reference=facts.reference,
            sealed=self._cipher.seal(token.encode(), f"{TOKEN_PURPOSE}{id}"),
            **more,
        )

    async def _redeemed(self, opened: RequestRecord) -> RequestRecord:
        found = await self.answered(opened)
        if found.state is RequestState.REFUSED:
            raise BadRequest(f"The token is not taken: {found.reason}", param="token")
        return found

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
        if not self._is_serving:
            raise Conflict("Rails are the running server's: `arbstr serve` first")


def _named(agent: str, key: str) -> str:
    """The id of what an agent calls so."""
    return _ID + hashlib.sha256(f"{agent}\0{key}".encode()).hexdigest()[:40]
