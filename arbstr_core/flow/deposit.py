"""How money is put into arbstr: invoices asked for, tokens handed in, what came of them; and what came unasked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arbstr_core.flow import _documents as documents
from arbstr_core.flow import _paging as paging
from arbstr_core.flow._keys import Keys
from arbstr_core.flow._records import Asked
from arbstr_core.flow._teller import Teller
from arbstr_core.rails import Rails
from arbstr_core.types import BadRequest, Caller, NotFound
from arbstr_core.vault import History, Part, Purpose, Requests, Treasury

Json = dict[str, Any]

_MOST_OPEN = 10
"""invoices of one agent that wait to be paid"""


class DepositFlow:
    """What agents and the operator ask of money that comes in."""

    def __init__(
        self, teller: Teller, rails: Rails, requests: Requests, treasury: Treasury, history: History, keys: Keys
    ) -> None:
        self._teller = teller
        self._rails = rails
        self._requests = requests
        self._treasury = treasury
        self._history = history
        self._keys = keys

    # For agents

    async def ask(self, caller: Caller, amount_msat: int, **more: Any) -> Json:
        """An invoice by which somebody pays money into the agent's account. Raises BadRequest."""
        found = await self._teller.invoice(caller.realm, amount_msat, agent=caller.agent, most_open=_MOST_OPEN, **more)
        return documents.request(await self._teller.answered(found))

    async def hand_in(self, caller: Caller, token: str) -> Json:
        """Redeem a token for the agent's account. Raises BadRequest for what never will be its money."""
        return documents.request(await self._teller.redeem(caller.realm, token, agent=caller.agent))

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
        return documents.request(
            await self._teller.answered(await self._teller.invoice(where, amount_msat, agent=whose, **more))
        )

    async def hand_in_for(self, agent: str | None, realm: str | None, token: str) -> Json:
        """The same with a token."""
        whose, where = await self._whose(agent, realm)
        return documents.request(await self._teller.redeem(where, token, agent=whose))

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
