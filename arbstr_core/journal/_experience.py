"""What calls that ended have taught: how much models say to whom, and who has whose prompts in its cache.

All of it is in memory, bounded, and begins anew with the process: a wrong guess makes a plan a little dearer, and no
call wrong.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import MutableMapping
from typing import TypeVar

from arbstr_core.types import ChatCall, Habit, Habits, Offer, Quote, Usage, UsageSource, Warm
from arbstr_core.wire import marks, shared_bytes

Key = tuple[str, str, str]
K = TypeVar("K")
V = TypeVar("V")

_LEAST_WEIGHT = 0.05
"""How much the newest call counts, once there were many."""
_BYTES_PER_TOKEN = 4
_HIT_WEIGHT = 0.2
_AGENTS = 4_000
_MODELS_OF_AN_AGENT = 32
_OFFERS_OF_AN_AGENT = 4
_LAST_OF_AN_AGENT = 16
_MODELS = 5_000
_OFFERS = 20_000


class Experience:
    """Learns from each call once, after it has ended. A plan is made without a pause, so it may look at `habits` as
    they are."""

    def __init__(
        self, *, agents: int = _AGENTS, models: int = _MODELS, offers: int = _OFFERS, cache_seconds: float = 300.0
    ) -> None:
        self._agents: OrderedDict[str, _Agent] = OrderedDict()
        self._everybodys: OrderedDict[str, Habit] = OrderedDict()
        self._hits: OrderedDict[Key, float] = OrderedDict()
        self._nothing = Habits(everybodys=self._everybodys, hits=self._hits)
        self._most = (agents, models, offers)
        self._cache_ms = cache_seconds * 1000

    def keep(self, cache_seconds: float) -> None:
        """For how long a provider is taken to have a prompt in its cache, from now on."""
        self._cache_ms = cache_seconds * 1000

    def habits(self, agent: str) -> Habits:
        """What is known of `agent`, and of everybody."""
        known = self._agents.get(agent)
        return self._nothing if known is None else known.habits

    def note(self, agent: str, call: ChatCall, quote: Quote, usage: Usage, *, whole: bool, now_ms: int) -> None:
        """Learn from a call of `agent` that was served at `quote` and used `usage`; `whole` where the reply came to its
        end."""
        agents, models, offers = self._most
        known = self._agents.get(agent) or _Agent(self._everybodys, self._hits)
        _put(self._agents, agent, known, agents)
        _put(known.served_ms, quote.offer.key, now_ms, _LAST_OF_AN_AGENT)
        if whole:
            model, said = quote.offer.model, usage.output_tokens / max(1, quote.choices)
            cut = said >= quote.output_limit
            for habits, most in ((known.outputs, _MODELS_OF_AN_AGENT), (self._everybodys, models)):
                learned = _learned(habits.get(model), said, cut=cut)
                if learned is not None:
                    _put(habits, model, learned, most)
        if quote.price.cached_input < quote.price.input:
            prompt = call.prompt()
            hit = self._hit(known.warm.get(quote.offer.key), quote.offer, prompt, usage, now_ms)
            if hit is not None:
                _put(self._hits, quote.offer.key, hit, offers)
            _put(known.warm, quote.offer.key, Warm(now_ms, marks(prompt)), _OFFERS_OF_AN_AGENT)

    def _hit(self, warm: Warm | None, offer: Offer, prompt: bytes, usage: Usage, now_ms: int) -> float | None:
        """Which share of what the offer could have had in its cache it charges as cached, with what was known of that;
        None where this call says nothing of it."""
        if warm is None or usage.source is not UsageSource.PROVIDER or now_ms - warm.at_ms > self._cache_ms:
            return None
        could = shared_bytes(warm.marks, prompt) // _BYTES_PER_TOKEN
        if not could:
            return None
        before = self._hits.get(offer.key, 1.0)
        return before + _HIT_WEIGHT * (min(1.0, usage.cached_input_tokens / could) - before)


class _Agent:
    """What is known of one agent; `habits` shows all of it, as it is at any time."""

    __slots__ = ("habits", "outputs", "served_ms", "warm")

    def __init__(self, everybodys: OrderedDict[str, Habit], hits: OrderedDict[Key, float]) -> None:
        self.outputs: OrderedDict[str, Habit] = OrderedDict()
        self.served_ms: OrderedDict[Key, int] = OrderedDict()
        self.warm: OrderedDict[Key, Warm] = OrderedDict()
        self.habits = Habits(
            mine=self.outputs, everybodys=everybodys, served_ms=self.served_ms, warm=self.warm, hits=hits
        )


def _learned(old: Habit | None, said: float, *, cut: bool) -> Habit | None:
    """The habit with one call more; None where that says nothing: what was `cut` off would have been longer, so it
    begins no habit, and makes none shorter."""
    if cut and (old is None or said < old.output):
        return None
    if old is None:
        return Habit(1, said)
    calls = old.calls + 1
    return Habit(calls, old.output + max(1 / calls, _LEAST_WEIGHT) * (said - old.output))


def _put(book: MutableMapping[K, V], key: K, value: V, most: int) -> None:
    """Write down the newest; of more than `most` the one goes that was written down longest ago."""
    assert type(book) is OrderedDict, "it has an order"
    book[key] = value
    book.move_to_end(key)
    if len(book) > most:
        book.popitem(last=False)
