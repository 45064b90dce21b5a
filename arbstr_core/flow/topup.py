"""Money at providers' nodes: brought where a provider wants it, taken back where it does not, and compared with the
ledger where nothing is open.

A provider says what it wants, by node; one step at a time is taken for each node, beside those of the others. Payments
are opened here, and sent by the one sender; tokens that come back are redeemed like any that are handed in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from arbstr_core.api import Clock, NodeClaim, NodeFunds, Prepaid
from arbstr_core.flow._bringing import Bringing
from arbstr_core.flow._office import Office
from arbstr_core.flow._prepaid import account_of
from arbstr_core.flow._sweeping import Sweeping
from arbstr_core.rails import Raised, answered
from arbstr_core.types import MAX_MSAT, ArbstrError
from arbstr_core.vault import LostTurn, NodeClaimed, NodeVariance, PaymentRecord, Place, Treasury, Vault

_log = logging.getLogger("arbstr.flow")


class TopUpRules(msgspec.Struct, frozen=True, kw_only=True):
    """How often it is looked, and how long is waited."""

    round_seconds: float = 1.0
    check_seconds: float = 15.0
    """how often balances at rest are compared with the ledger; what differs is booked where neither has moved since"""
    funds_seconds: float = 5.0
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0
    """after steps that could not be taken: the first one, and the longest"""


class TopUp:
    """See the module. `post` books an event once for a key."""

    def __init__(
        self,
        providers: Sequence[Prepaid],
        vault: Vault,
        treasury: Treasury,
        office: Office,
        clock: Clock,
        *,
        bringing: Bringing,
        sweeping: Sweeping,
        rules: TopUpRules | None = None,
    ) -> None:
        self._providers = tuple(providers)
        self._vault = vault
        self._treasury = treasury
        self._office = office
        self._clock = clock
        self._bringing = bringing
        self._sweeping = sweeping
        self._rules = rules or TopUpRules()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._waits: dict[str, tuple[float, float]] = {}
        self._problems: dict[str, str] = {}
        self._claimed: set[str] = set()
        self._seen: dict[str, tuple[int, int]] = {}
        self._checked = clock.monotonic()
        self._woken = asyncio.Event()

    def problems(self) -> Mapping[str, str]:
        """Why money does not go to a node, or come back from it, by node."""
        return dict(self._problems)

    def ended(self, payment: PaymentRecord) -> None:
        """A payment has ended: if it was for a node, there is something to do."""
        self._waits.pop(payment.owner, None)
        self._woken.set()

    async def run(self) -> None:
        """Look after all nodes, for ever."""
        if not self._providers:
            return
        try:
            while True:
                try:
                    await self.round()
                    if self._clock.monotonic() - self._checked >= self._rules.check_seconds:
                        await self.check()
                except LostTurn:
                    self._office.lost()
                except ArbstrError as broken:
                    # Also what a call that has just ended leaves too little for, and a queue that is full.
                    _log.warning("nodes are not looked after now: %s", broken)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._rules.round_seconds):
                        await self._woken.wait()
        finally:
            for task in tuple(self._busy.values()):
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def round(self) -> None:
        """Begin the next step at every node that has one."""
        self._woken.clear()
        if await self._office.turn() is None:
            return
        for provider in self._providers:
            for funds in await self._funds(provider):
                account = account_of(provider.name, funds.node)
                waits = self._clock.monotonic() < self._waits.get(account, (0.0, 0.0))[0]
                if account not in self._busy and not waits and self._has_work(account, funds):
                    task = asyncio.create_task(self._step(provider, funds), name=account)
                    self._busy[account] = task
                    task.add_done_callback(partial(self._done, account))

    async def settled(self) -> None:
        """Wait until no step is being taken; for tests."""
        while self._busy:
            await asyncio.wait(tuple(self._busy.values()))

    async def _funds(self, provider: Prepaid) -> Sequence[NodeFunds]:
        found = await answered(provider.funds(), seconds=self._rules.funds_seconds)
        if isinstance(found, Raised):
            self._problems[provider.name] = f"it does not say what is at its nodes: {found.what}"
            return ()
        self._problems.pop(provider.name, None)
        return [funds for funds in found if self._sound(provider, funds)]

    def _sound(self, provider: Prepaid, funds: NodeFunds) -> bool:
        """Whether its amounts are some. What they are not stops nobody else's money."""
        claimed = [claim.amount_msat for claim in funds.claims]
        said = (funds.balance_msat, funds.reserved_msat, funds.wanted_msat, *claimed)
        wrong = [msat for msat in said if not 0 <= msat <= MAX_MSAT]
        if wrong:
            account = account_of(provider.name, funds.node)
            self._problems[account] = f"it says {wrong[0]} msat, which is no amount"
        return not wrong

    def _has_work(self, account: str, funds: NodeFunds) -> bool:
        moves = funds.wanted_msat > funds.balance_msat or funds.funding or funds.sweeping or funds.drain
        if not moves:
            self._problems.pop(account, None)
        return bool(moves) or self._tells_of_more(account, funds)

    def _tells_of_more(self, account: str, funds: NodeFunds) -> bool:
        """Whether there is a claim that the ledger has not been told of."""
        return any(_key_of(account, claim) not in self._claimed for claim in funds.claims)

    async def _step(self, provider: Prepaid, funds: NodeFunds) -> None:
        account = account_of(provider.name, funds.node)
        await self._claim(provider, funds)
        if funds.funding:
            problem = await self._bringing.go_on(provider, funds.node, funds.funding)
        elif funds.sweeping or funds.drain:
            problem = await self._sweeping.step(provider, funds)
        elif funds.wanted_msat > funds.balance_msat:
            problem = await self._bringing.begin(provider, funds)
        else:
            problem = ""
        if not problem:
            self._problems.pop(account, None)
            self._waits.pop(account, None)
            return
        if self._problems.get(account) != problem:
            _log.warning("%s: %s", account, problem)
        self._problems[account] = problem
        _, last = self._waits.get(account, (0.0, self._rules.first_wait_seconds / 2))
        wait = min(2 * last, self._rules.longest_wait_seconds)
        self._waits[account] = (self._clock.monotonic() + wait, wait)

    def _done(self, account: str, task: asyncio.Task[None]) -> None:
        del self._busy[account]
        failed = None if task.cancelled() else task.exception()
        if failed is None:
            return
        if isinstance(failed, LostTurn):
            self._office.lost()
        elif isinstance(failed, ArbstrError):
            _log.warning("%s is gone on with later: %s", account, failed)
        else:
            _log.critical("%s could not be gone on with", account, exc_info=failed)
        self._waits[account] = (
            self._clock.monotonic() + self._rules.longest_wait_seconds,
            self._rules.longest_wait_seconds,
        )

    # What the ledger is told

    async def _claim(self, provider: Prepaid, funds: NodeFunds) -> None:
        """What a node owes us and does not give is a claim from now on, as far as the ledger has it there."""
        account = account_of(provider.name, funds.node)
        for claim in funds.claims:
            key, realm = _key_of(account, claim), provider.network.value
            if key in self._claimed:
                continue
            if not await self._treasury.place(account, key):
                msat = min(claim.amount_msat, await self._there(provider, account))
                event = NodeClaimed(node=account, msat=msat) if msat > 0 else None
                # Once for ever, also where nothing lies there: what is brought later is no part of this claim.
                place = Place(account, key, str(self._clock.now_ms()))
                if await self._treasury.post_from(await self._office.sure(), event, realm=realm, key=key, place=place):
                    _log.error("%s: %d msat are claimed: %s", account, msat, claim.reason)
            self._claimed.add(key)

    async def _there(self, provider: Prepaid, account: str) -> int:
        owed = (await self._treasury.owed()).get(provider.network.value)
        return 0 if owed is None else owed.assets.get(f"prepaid:{account}", 0)

    async def check(self) -> int:
        """Compare what nodes say of balances with the ledger, and book what differs where neither has moved since the
        last time: then no end of a call is on its way. How many those were."""
        self._checked = self._clock.monotonic()
        if await self._office.turn() is None:
            return 0
        booked = 0
        for provider in self._providers:
            for funds in await self._funds(provider):
                account = account_of(provider.name, funds.node)
                resting = not (funds.reserved_msat or funds.funding or funds.sweeping or account in self._busy)
                # What is claimed is not missing: a step books it, which may have to wait.
                resting = resting and not self._tells_of_more(account, funds)
                booked += await self._compare(provider, account, funds.balance_msat) if resting else 0
        return booked

    async def _compare(self, provider: Prepaid, account: str, balance: int) -> bool:
        there = await self._there(provider, account)
        before, self._seen[account] = self._seen.get(account), (balance, there)
        if balance == there or before != (balance, there):
            return False
        differs = balance - there
        event = NodeVariance(node=account, missing_msat=max(0, -differs), found_msat=max(0, differs))
        key = f"variance:{account}:{self._clock.now_ms()}:{balance}"
        _log.warning("%s: by the node %d msat are there, which is %+d to the ledger", account, balance, differs)
        await self._vault.post(event, realm=provider.network.value, key=key)
        return True


def _key_of(account: str, claim: NodeClaim) -> str:
    return f"claim:{account}:{claim.id}"
