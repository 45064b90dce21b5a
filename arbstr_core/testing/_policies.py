"""Owns the conformance suites of routing policies and of strategies: pure, deterministic, and able only to narrow."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from arbstr_core.api import ChatCall, Free, MsatPrice, Quote, Record, RoutingPolicy, Standing, Strategy, Tier, Verdict
from arbstr_core.testing._values import a_call, a_caller, a_quote, an_offer

MakePolicy = Callable[[], RoutingPolicy]
MakeStrategy = Callable[[], Strategy]


def some_quotes() -> tuple[Quote, ...]:
    """Quotes of several providers, models, tiers and prices; two of them cost the same."""
    dear = MsatPrice(input=9_000_000, cached_input=9_000_000, output=27_000_000)
    offers = (
        an_offer(provider="acme", model="model-a"),
        an_offer(provider="bolt", model="model-a"),
        an_offer(provider="cairn", model="model-b", price=dear, tier=Tier.FRONTIER),
        an_offer(provider="dune", model="model-c", price=Free(), tier=Tier.LOCAL),
    )
    return tuple(a_quote(offer) for offer in offers)


def some_calls() -> tuple[ChatCall, ...]:
    """Calls a policy meets: short, long, without a user's message, in parts, with hints, not quite OpenAI's."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": "Debug"}, {"type": "image_url", "image_url": {"url": "x"}}]
    return (
        a_call("Say hello"),
        a_call("Write a function that reverses a list. " * 200),
        a_call(messages=[]),
        a_call(messages=[{"role": "system", "content": "Be brief"}]),
        a_call(messages=[{"role": "user", "content": parts}]),
        a_call(messages=[{"role": "user", "content": None}, {"role": "assistant", "content": "?"}]),
        a_call("Say hello", hints={"x-arbstr-policy": "no-such-rule", "x-arbstr-complexity": "high"}),
    )


def some_standing(quotes: tuple[Quote, ...]) -> Standing:
    """A standing that tells the first half of `quotes` well of, and the other badly."""
    good, bad = Record(success=0.99, first_byte_ms=120.0), Record(success=0.5, first_byte_ms=2500.0)
    half = len(quotes) // 2
    return Standing({quote.offer.key: good if at < half else bad for at, quote in enumerate(quotes)})


class PolicySuite:
    """What every routing policy promises. Subclass it as `TestAcme`, with one fixture:

        @pytest.fixture
        def make(self):
            return lambda: AcmePolicy(...)

    Override `calls` and `quotes` to add cases that only your policy knows.
    """

    def calls(self) -> tuple[ChatCall, ...]:
        """The calls to consider."""
        return some_calls()

    def quotes(self) -> tuple[Quote, ...]:
        """The quotes to narrow."""
        return some_quotes()

    def test_keeps_only_what_it_was_given(self, make: MakePolicy) -> None:
        """A policy narrows: every quote kept is one it was given, unchanged, and none twice."""
        for call, verdict in self._verdicts(make()):
            assert isinstance(verdict, Verdict), f"{_label(call)}: consider returned {verdict!r}"
            for quote in verdict.kept:
                assert quote in self.quotes(), f"{_label(call)}: kept a quote that nobody gave: {quote!r}"
            kept = [quote.offer.key for quote in verdict.kept]
            assert len(set(kept)) == len(kept), f"{_label(call)}: kept one quote twice"

    def test_says_why_each_one_is_out(self, make: MakePolicy) -> None:
        """Whoever is not kept stands in `out` with a reason, and nobody who is kept does."""
        for call, verdict in self._verdicts(make()):
            kept = {(quote.offer.provider, quote.offer.model) for quote in verdict.kept}
            given = {(quote.offer.provider, quote.offer.model) for quote in self.quotes()}
            named = {(excluded.provider, excluded.model) for excluded in verdict.out}
            assert named == given - kept, f"{_label(call)}: out is {sorted(named)}, not {sorted(given - kept)}"
            for excluded in verdict.out:
                assert excluded.reason.strip(), f"{_label(call)}: {excluded.provider} is out without a reason"

    def test_takes_no_quotes(self, make: MakePolicy) -> None:
        """Where earlier policies left nothing, nothing is kept, and nothing raises."""
        for call in self.calls():
            verdict = make().consider(call, a_caller(), (), Standing())
            assert verdict.kept == (), f"{_label(call)}: kept {verdict.kept!r} of nothing"

    def test_is_deterministic(self, make: MakePolicy, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same question has the same answer: from the same object, a new one, on another day."""
        policy = make()
        first = self._verdicts(policy)
        assert self._verdicts(policy) == first, "the second answer differs: the policy remembers calls"
        _another_day(monkeypatch)
        assert self._verdicts(make()) == first, "the answer depends on the time or on chance"

    def test_does_no_io(self, make: MakePolicy, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it may know of the world comes in as standing: no files, no sockets."""
        policy = make()
        with monkeypatch.context() as patch:
            _forbid_io(patch)
            self._verdicts(policy)

    def _verdicts(self, policy: RoutingPolicy) -> list[tuple[ChatCall, Verdict]]:
        quotes = self.quotes()
        standing = some_standing(quotes)
        return [(call, policy.consider(call, a_caller(), quotes, standing)) for call in self.calls()]


class StrategySuite:
    """What every strategy promises. Subclass it as `TestAcme`, with a fixture `make` that returns a function without
    arguments which makes a new strategy.
    """

    def quotes(self) -> tuple[Quote, ...]:
        """The quotes to order."""
        return some_quotes()

    def test_has_a_name(self, make: MakeStrategy) -> None:
        """The name is what `[routing] strategy` says."""
        name = getattr(make(), "name", None)
        assert isinstance(name, str), f"a strategy's name is text, not {name!r}"
        assert name.strip(), "the strategy's name is empty"

    def test_keys_sort(self, make: MakeStrategy) -> None:
        """Every key is a tuple, and any two of one call can be compared."""
        for keys in self._keys(make()):
            for key in keys:
                assert isinstance(key, tuple), f"the key {key!r} is not a tuple"
                assert all(part == part for part in key), f"the key {key!r} holds NaN, which sorts nowhere"
            sorted(keys)

    def test_order_does_not_depend_on_the_order_given(self, make: MakeStrategy) -> None:
        """Ties are broken, so that the same offers make the same plan however they came."""
        strategy, quotes, call = make(), self.quotes(), a_call()
        standing = some_standing(quotes)
        forth, back = list(quotes), list(reversed(quotes))
        for each in (forth, back):
            each.sort(key=lambda quote: strategy.key(call, quote, standing))
        assert forth == back, "two quotes have one key: break the tie by name"

    def test_is_deterministic(self, make: MakeStrategy, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same quote has the same key: from the same object, a new one, on another day."""
        strategy = make()
        first = self._keys(strategy)
        assert self._keys(strategy) == first, "the second key differs: the strategy remembers calls"
        _another_day(monkeypatch)
        assert self._keys(make()) == first, "the key depends on the time or on chance"

    def test_does_no_io(self, make: MakeStrategy, monkeypatch: pytest.MonkeyPatch) -> None:
        """No files, no sockets."""
        strategy = make()
        with monkeypatch.context() as patch:
            _forbid_io(patch)
            self._keys(strategy)

    def _keys(self, strategy: Strategy) -> list[list[tuple[Any, ...]]]:
        quotes = self.quotes()
        standing = some_standing(quotes)
        return [[strategy.key(call, quote, standing) for quote in quotes] for call in some_calls()]


def _another_day(patch: pytest.MonkeyPatch) -> None:
    later = time.time() + 90_061
    patch.setattr(time, "time", lambda: later)
    patch.setattr(time, "monotonic", lambda: later)
    patch.setattr(time, "time_ns", lambda: int(later * 1e9))


def _forbid_io(patch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("a policy or strategy did I/O; it is a pure function of what it is given")

    patch.setattr("builtins.open", refuse)
    patch.setattr(socket, "socket", refuse)


def _label(call: ChatCall) -> str:
    return f"call {call.last_user_message()[:30]!r} with hints {dict(call.hints)}"
