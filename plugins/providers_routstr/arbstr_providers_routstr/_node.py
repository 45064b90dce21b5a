"""Owns one node at run time: what it sells, what of our money lies there, and what open calls may need of that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from arbstr_core.api import Msat, NodeClaim, NodeFunds, NotFunded, Tools
from arbstr_providers_routstr._catalogue import Catalogue
from arbstr_providers_routstr._config import SAT, Config, Way, node_url
from arbstr_providers_routstr._node_api import Held, NodeApi
from arbstr_providers_routstr._records import NODE, NodeRecord, write

WORTH_SWEEPING = 3 * SAT
"""Less than this is what taking it back may cost."""
GIVEN_UP = "it was given up"
_CALLS_AHEAD = 10
"""The money at a node is for so many calls like the largest of late."""
_FADE = 0.97


class Node:
    """See the module. `listed` says that it is one of those to buy at; one that is not is only emptied."""

    def __init__(self, name: str, record: NodeRecord, config: Config, tools: Tools, *, listed: bool) -> None:
        self.name = name
        self.record = record
        self.listed = listed
        self.api = NodeApi(tools, node_url(record.url))
        self.catalogue: Catalogue | None = None
        self.asked_ms = 0
        self.failing = ""
        self.failing_ms = 0
        self.thirsty = False
        self.sweeping = ""
        """the kernel's key of what is on its way back"""
        self.funding = ""
        """and of what is on its way there"""
        self.pending = 0
        """msat on their way to it"""
        self.unbooked = 0
        """msat that are there, and that the kernel has not said to have booked: no call uses them yet"""
        self.wish_msat = 0
        self.wish_sweep = False
        self.stale = bool(record.key)
        """the balance is to be asked for"""
        self.asked = False
        """the balance was asked for since the start: what calls of before took, nobody may have written down"""
        self.unsure = 0
        """msat that calls which ended without a word may still be billed"""
        self.taken = 0
        """calls, ever"""
        self.open_calls = 0
        self.open_need = 0
        self.reserved_there = 0
        self.unsaved = False
        self._high = 0.0
        self._peak = 0.0
        self._config = config
        self._tools = tools
        self._changed = asyncio.Event()

    @property
    def available(self) -> int:
        """What a call may still need, msat: what is there, less what open calls may take of it."""
        away = self.open_need + self.unsure + self.reserved_there + self.unbooked
        return self.record.balance_msat - away

    @property
    def target(self) -> int:
        """What is to lie there, msat."""
        wanted = max(self._config.topup.msat, int(self._high * _CALLS_AHEAD), int(self._peak * 2))
        return min(self._config.cap.msat, wanted)

    def take(self, need: int) -> str:
        """Set `need` aside for a call; what the call is to name at its end, if anything. Raises NotFunded where so much
        is not there: more is wanted then."""
        self._high = max(need, self._high * _FADE)
        self._peak = max(self.open_need + need, self._peak * _FADE)
        self.record.used_ms = self._tools.clock.now_ms()
        if need > self._config.cap.msat:
            raise NotFunded(
                f"{self.name}: the call may need {need} msat there, and cap is {self._config.cap.msat} msat"
            )
        if self.sweeping or self.record.giving_up or need > self.available:
            self.thirsty = True
            raise NotFunded(f"{self.name}: the call may need {need} msat there, and {max(0, self.available)} are free")
        self.taken += 1
        self.open_calls += 1
        self.open_need += need
        if self.available < self.target // 2:
            self.thirsty = True
        return ""

    def give(self, need: int, cost: int | None) -> None:
        """A call that needed so much has ended, and took `cost`; None where that is not known."""
        self.open_calls -= 1
        self.open_need -= need
        assert self.open_calls >= 0, f"{self.name}: more calls ended than began"
        assert self.open_need >= 0, f"{self.name}: more was given back than taken"
        if cost is None:
            self.unsure += need
            self.stale = True
        else:
            self.record.balance_msat = max(0, self.record.balance_msat - cost)
        self.unsaved = True

    async def more(self, seconds: float) -> None:
        """Wait until something changes here, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def note(self, held: Held) -> None:
        """The node has said what is there, while no call was open."""
        self.record.balance_msat = self.believed(held.balance + held.reserved)
        self.reserved_there = held.reserved
        self.stale = bool(held.reserved)
        if not held.reserved:
            self.unsure = 0
        self.unsaved = True
        self.changed()

    def believed(self, msat: int) -> int:
        """Of what a node says to have of ours, as much as we can have brought: what is more is a tale."""
        return min(msat, max(self.record.balance_msat, self._config.cap.msat))

    def changed(self) -> None:
        """Let those look again who wait for money."""
        event, self._changed = self._changed, asyncio.Event()
        event.set()

    def forsaken(self, now_ms: int, overpriced: bool) -> str:
        """Why the money is to come back from it; empty where it may stay."""
        idle_ms = self._config.idle_minutes * 60_000
        if self.wish_sweep:
            return "the operator wants it back"
        if not self.listed:
            return "it is not bought at any more"
        if self.record.word.broken:
            return self.record.word.broken
        if self.failing and now_ms - self.failing_ms > idle_ms:
            return f"it has not been well for {self._config.idle_minutes} minutes: {self.failing}"
        if overpriced:
            return "it costs much more than others"
        if not self.wish_msat and now_ms - self.record.used_ms > idle_ms:
            return f"it was not used for {self._config.idle_minutes} minutes"
        return ""

    def funds(self, now_ms: int, left_msat: int, *, overpriced: bool) -> NodeFunds:
        """What is there, and what should be; `left_msat` may be brought to nodes yet."""
        balance = self.record.balance_msat
        resting = not (self.open_calls or self.stale or self.pending or self.sweeping)
        if resting and balance < WORTH_SWEEPING:
            self.wish_sweep = False  # there is nothing to come back
        forsaken = self.forsaken(now_ms, overpriced)
        drain = bool(forsaken) and resting and balance >= WORTH_SWEEPING
        return NodeFunds(
            node=self.name,
            balance_msat=Msat(balance),
            reserved_msat=Msat(0 if resting else max(1, self.open_need + self.reserved_there)),
            wanted_msat=Msat(0 if forsaken or self._wants_nothing else self._wanted(left_msat)),
            drain=drain,
            reason=forsaken if drain else "",
            bolt11=Way.LIGHTNING in self._config.pay,
            mints=self.catalogue.mints if self.catalogue else (),
            claims=tuple(self.record.claims),
            funding=self.funding,
            sweeping=self.sweeping,
        )

    @property
    def _wants_nothing(self) -> bool:
        return bool(self.sweeping or self.failing or self.record.giving_up)

    def _wanted(self, left_msat: int) -> int:
        """How much should be there, in all; 0 where nothing more is wanted, or may be brought."""
        balance = self.record.balance_msat
        short = self.wish_msat - balance
        if self.thirsty and self.target > self.available:
            short = max(short, self.target - self.available, self._config.topup.msat)
        if short <= 0:
            self.thirsty = False
            return 0
        amount = min(short + -short % SAT, self._config.cap.msat - balance, left_msat) // SAT * SAT
        return balance + amount if amount > 0 else 0

    def claim(self, id: str, amount: int, reason: str) -> None:
        """The node owes us so much, and does not give it."""
        if amount > 0 and id not in {each.id for each in self.record.claims}:
            self.record.claims = [*self.record.claims, NodeClaim(id=id, amount_msat=Msat(amount), reason=reason)]
            self.record.balance_msat = max(0, self.record.balance_msat - amount)
            self.unsaved = True

    def lost(self, id: str, why: str) -> None:
        """What lies there will not come back, and is a claim; its key is kept, and used no more."""
        record = self.record
        self.claim(id, record.balance_msat, why)
        record.lost, record.key, record.unknown_ms = [*record.lost, record.key], "", 0
        record.word.broken = record.word.broken or why
        self.stale, self.unsaved = False, True

    def give_up(self, now_ms: int) -> None:
        """As the operator wants it, once nothing is under way there."""
        if self.record.giving_up and not (self.open_calls or self.sweeping or self.funding):
            self.record.giving_up, self.unsaved = False, True
            if self.record.key:
                self.lost(f"given_up:{now_ms}", GIVEN_UP)

    async def save(self) -> None:
        """Write it down."""
        self.unsaved = False
        try:
            await write(self._tools.store, NODE + self.name, self.record)
        except BaseException:
            self.unsaved = True
            raise


def overpriced(node: Node, others: Iterable[Node], times: float) -> bool:
    """True where everything that it sells, and others sell too, costs more there than so many times what it costs at
    the cheapest of them."""
    if node.catalogue is None:
        return False
    cheapest: dict[str, int] = {}
    for other in others:
        if other is not node and other.listed and other.catalogue is not None and not other.failing:
            for model in other.catalogue.models:
                if model.price is not None:
                    cheapest[model.id] = min(cheapest.get(model.id, 2**63), model.price.output)
    both = [model for model in node.catalogue.models if model.price is not None and model.id in cheapest]
    return bool(both) and all(m.price is not None and m.price.output > times * cheapest[m.id] for m in both)
