"""The way of a call: who, what is offered, whom to ask, money, the network, and the one end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from arbstr_core.accounts import Accounts, Others
from arbstr_core.api import PaidByToken
from arbstr_core.dispatch import OfferState
from arbstr_core.flow._exchange import Exchange
from arbstr_core.flow._paid_exchange import PaidExchange
from arbstr_core.flow._refusal import lease_lost, vault_unavailable
from arbstr_core.flow._remedies import Ask, Outcome, Quotes, Remedies
from arbstr_core.flow._retries import Retries
from arbstr_core.flow._rooms import CallRooms
from arbstr_core.journal import CallRow, Journal
from arbstr_core.market import Market, Snapshot
from arbstr_core.types import (
    Caller,
    CallRefused,
    ChatCall,
    NotFound,
    Offer,
    Plan,
    ShuttingDown,
    StorageError,
    Unauthorized,
)
from arbstr_core.vault import LiveHolds, Refused

_ANYONE = Caller()


class CallFlow:
    """Begins calls, and knows those that have not ended. `accounts` is None where the vault is switched off; `others`
    knows callers without an agent's token."""

    def __init__(
        self, rooms: CallRooms, accounts: Accounts | None, journal: Journal, others: Others | None = None
    ) -> None:
        self._rooms = rooms
        self._accounts = accounts
        self._others = others or Others()
        self._journal = journal
        self._open: dict[Exchange, Caller] = {}
        self._stopping = False
        self._leaving: list[tuple[set[Exchange], asyncio.Future[None]]] = []
        self._retries = None
        if rooms.vault is not None and rooms.cipher is not None:
            self._retries = Retries(rooms.vault, rooms.cipher, rooms.clock, rooms.body_key, self._running)

    @property
    def snapshot(self) -> Snapshot:
        """What can be bought now."""
        return self._rooms.market.snapshot

    @property
    def market(self) -> Market:
        """Where that comes from."""
        return self._rooms.market

    def state(self, offer: Offer) -> OfferState:
        """Whether an offer can be asked now, and how it has done."""
        return self._rooms.dispatch.state(offer)

    def forgive(self, offer: Offer) -> None:
        """Close the breaker of an offer."""
        self._rooms.dispatch.forgive(offer)

    async def identify(self, authorization: str) -> Caller:
        """Who is calling; anyone where the vault is switched off."""
        if self._accounts is None:
            return _ANYONE
        try:
            return await self._accounts.identify(authorization)
        except StorageError as broken:
            raise vault_unavailable(broken) from broken

    async def caller(self, authorization: str, headers: Mapping[str, str]) -> Caller | PaidByToken:
        """Who is calling: by an agent's token, by an L402 credential, or by what else is known of callers. Those open
        calls, and nothing else of an account. Raises BadRequest for two credentials."""
        if self._accounts is None:
            return _ANYONE
        # With a header of the others a second credential may come.
        others = self._others.asked(headers)
        known = None if others else self._accounts.known(authorization)
        if known is not None:
            return known
        try:
            if others:
                other = await self._others.identify(authorization, headers)
                if other is not None:
                    return other
            paying = await self._accounts.paying(authorization)
            if paying is None:
                return await self._accounts.identify(authorization)
            if self._rooms.bills is not None:
                await self._rooms.bills.credited(paying[1])
            return paying[0]
        except StorageError as broken:
            raise vault_unavailable(broken) from broken

    @property
    def credentials(self) -> frozenset[bytes]:
        """The headers beside the usual ones that say who is calling, as a request has them."""
        return self._others.raw

    async def claim(self, key: str) -> dict[str, Any]:
        """What became of the token that a call was paid with, by the token's SHA-256. Raises NotFound."""
        if self._rooms.singles is None:
            raise NotFound("No call is paid by token here")
        return await self._rooms.singles.claim(key)

    def begin(self, call: ChatCall, caller: Caller | PaidByToken) -> Exchange:
        """A new exchange; the caller of this must close it. Raises ShuttingDown, VaultUnavailable or BadRequest."""
        self.require_serving()
        call = self._rooms.understood(call)
        if isinstance(caller, PaidByToken):
            if self._rooms.singles is None:
                raise Unauthorized("No call is paid by token here: no rail is enabled that takes ecash")
            single = self._rooms.singles.single(caller)
            caller = single.caller
            exchange: Exchange = PaidExchange(self._rooms, call, single, self._closed)
        else:
            exchange = Exchange(self._rooms, call, caller, self._closed, self._retries)
        self._open[exchange] = caller
        return exchange

    def plan(self, call: ChatCall, caller: Caller = _ANYONE) -> Plan:
        """What would happen to `call`, without doing it. Raises what the call would be refused with."""
        return self._rooms.planned(self._rooms.understood(call), caller)

    async def remedied(
        self, call: ChatCall, quotes: Quotes, refused: Refused, ask: Ask
    ) -> tuple[Quotes, Outcome, Sequence[str]]:
        """What is tried for `call` before it is refused for money: the quotes that fit in the end, the last answer of
        `ask`, and what was done."""
        remedies = Remedies(self._rooms.understood(call), self._rooms.dispatch, self._rooms.clock, ask)
        return *await remedies.hold(quotes, refused), remedies.said

    async def count_input(self, call: ChatCall, caller: Caller = _ANYONE) -> int:
        """The tokens of input of `call` at its first candidate: counted there where that counts exactly, else as many
        as are expected. Raises what the call would be refused with."""
        quote = self.plan(call, caller).candidates[0]
        counted = await self._rooms.dispatch.count_input(quote.translated or call, quote)
        return quote.expected.input if counted is None else counted

    def refused(self, call_id: str, caller: Caller | None, model: str, status: int, error: CallRefused) -> None:
        """Note a call that was refused before it was begun, or while it was opened."""
        self._journal.note(
            CallRow(
                id=call_id,
                agent=caller.agent if caller else "",
                model=model,
                status=status,
                outcome=type(error).__name__,
            )
        )

    def live(self, *, older_than: float) -> LiveHolds:
        """The calls that are open, and what those have used that began more than `older_than` seconds ago."""
        now = self._rooms.clock.monotonic()
        old = [(each.call.id, each.used()) for each in self._open if each.age(now) >= older_than]
        return LiveHolds(
            ids=frozenset(each.call.id for each in self._open),
            seen=tuple((name, used) for name, used in old if used is not None),
        )

    def open_calls(self) -> list[tuple[Exchange, Caller, float]]:
        """The calls that this process serves now, who asks, and for how many seconds they have been open."""
        now = self._rooms.clock.monotonic()
        return [(each, caller, each.age(now)) for each, caller in self._open.items()]

    @property
    def rooms(self) -> CallRooms:
        """The rooms that calls which begin now walk through."""
        return self._rooms

    def renew(self, rooms: CallRooms) -> asyncio.Future[None]:
        """Let calls that begin from now on walk through `rooms`. Those that are open go on as they began; the future is
        done when the last of them has ended."""
        self._rooms = rooms
        left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leaving.append((set(self._open), left))
        self._tell_leaving()
        return left

    def _tell_leaving(self, *ended: Exchange) -> None:
        for still_open, left in tuple(self._leaving):
            still_open.difference_update(ended)
            if not still_open:
                self._leaving.remove((still_open, left))
                if not left.done():
                    left.set_result(None)

    def require_serving(self) -> None:
        """Raise where no call may begin: ShuttingDown, or VaultUnavailable where this process has lost its lease."""
        if self._stopping:
            raise ShuttingDown("arbstr is shutting down; try again in a moment")
        lease = self._rooms.lease
        if lease is not None and not lease.serves(lease.term):
            raise lease_lost()

    @property
    def stopping(self) -> bool:
        """True once no new calls are taken."""
        return self._stopping

    def stop(self) -> None:
        """Take no new calls; the open ones go on, but none waits for an operator any longer."""
        self._stopping = True
        if self._rooms.approvals is not None:
            self._rooms.approvals.stop()
        if self._retries is not None:
            self._retries.stop()

    async def drain(self, seconds: float) -> int:
        """End what is still open, and wait until all of it is durable; returns how many calls are not."""
        self._stopping = True
        waiting = [exchange.finish() for exchange in tuple(self._open)]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)
        return len(self._open)

    def _running(self, id: str) -> Exchange | None:
        return next((exchange for exchange in self._open if exchange.call.id == id), None)

    def _closed(self, exchange: Exchange, row: CallRow) -> None:
        del self._open[exchange]
        if self._leaving:
            self._tell_leaving(exchange)
        self._journal.note(row)
