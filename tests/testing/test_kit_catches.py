"""The kit, tested with broken plugins: a sound one passes, and each mutant fails the test that is about its fault."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from arbstr_core.api import (
    REFUSE,
    CallFacts,
    ConnectFailed,
    Excluded,
    Offer,
    OpenAIProvider,
    Outbound,
    Reply,
    RoutingPolicy,
    Strategy,
    Usage,
    Verdict,
)
from arbstr_core.testing import KitTools, PolicySuite, ProviderSuite, StrategySuite, a_quote, an_offer, reply_of


class Sound(OpenAIProvider):
    """A provider that keeps every promise."""

    def __init__(self, tools: KitTools) -> None:
        super().__init__("acme", "https://api.example.com/v1", tools)

    async def offers(self) -> list[Offer]:
        return [an_offer(), an_offer(model="model-b")]


class Misnamed(Sound):
    def __init__(self, tools: KitTools) -> None:
        super().__init__(tools)
        self.name = "Acme Inc."


class SellsNothing(Sound):
    async def offers(self) -> list[Offer]:
        return []


class SellsForAnother(Sound):
    async def offers(self) -> list[Offer]:
        return [an_offer(provider="bolt")]


class SellsTwice(Sound):
    async def offers(self) -> list[Offer]:
        return [an_offer(), an_offer()]


class PaysToSell(Sound):
    async def offers(self) -> list[Offer]:
        return [an_offer(price=_price(input=-1))]


class PricesInFloats(Sound):
    async def offers(self) -> list[Offer]:
        return [an_offer(price=_price(output=0.5))]


class SellsNoName(Sound):
    async def offers(self) -> list[Offer]:
        return [an_offer(model=" ")]


class BoundsNothing(Sound):
    async def offers(self) -> list[Offer]:
        return [an_offer(input_factor=0.0)]


class BoundsPicturesByLess(Sound):
    async def offers(self) -> list[Offer]:
        return [an_offer(attachment_tokens=-1)]


class RulesInCapitals(Sound):
    async def offers(self) -> list[Offer]:
        return [an_offer(fields={"Best_Of": REFUSE})]


class RulesInWords(Sound):
    async def offers(self) -> list[Offer]:
        return [an_offer(fields={"best_of": "refuse"})]


class SaysThatItCounts(Sound):
    async def offers(self) -> list[Offer]:
        return [an_offer(exact_tokenizer=True)]


class CountsNothing(SaysThatItCounts):
    async def count_input(self, call: Outbound, offer: Offer) -> int:
        return 0


class ForgetsOffers(Sound):
    asked = 0

    async def offers(self) -> list[Offer]:
        self.asked += 1
        return [an_offer(model=f"model-{self.asked}")]


class RaisesOnError(Sound):
    async def open(self, call: Outbound, offer: Offer) -> Reply:
        reply = await super().open(call, offer)
        if reply.status >= 400:
            raise ConnectFailed(f"status {reply.status}")
        return reply


class HidesErrors(Sound):
    async def open(self, call: Outbound, offer: Offer) -> Reply:
        reply = await super().open(call, offer)
        reply.status = 200
        return reply


class TriesAgain(Sound):
    async def open(self, call: Outbound, offer: Offer) -> Reply:
        reply = await super().open(call, offer)
        return reply if reply.status < 500 else await super().open(call, offer)


class RewritesTheBody(Sound):
    async def open(self, call: Outbound, offer: Offer) -> Reply:
        changed = Outbound(endpoint=call.endpoint, headers=call.headers, body=call.body + b" ", stream=call.stream)
        return await super().open(changed, offer)


class SendsNowhere(Sound):
    async def open(self, call: Outbound, offer: Offer) -> Reply:
        return await self.tools.upstream.send(call)


class SwallowsConnectFailed(Sound):
    async def open(self, call: Outbound, offer: Offer) -> Reply:
        try:
            return await super().open(call, offer)
        except ConnectFailed:
            return Reply.of_json(b"{}", status=502)


class SwallowsCancellation(Sound):
    async def open(self, call: Outbound, offer: Offer) -> Reply:
        try:
            return await super().open(call, offer)
        except asyncio.CancelledError:
            return Reply.of_json(b"{}", status=499)


class SharesOneStream(Sound):
    """Keeps the last reply's chunks where every stream reads them."""

    def __init__(self, tools: KitTools) -> None:
        super().__init__(tools)
        self._chunks: list[bytes] = []

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        reply = await super().open(call, offer)
        if not reply.streaming:
            return reply
        self._chunks = [event async for events in reply.events() for event in events]
        return Reply.of_events(self._shared())

    async def _shared(self):
        while self._chunks:
            yield self._chunks.pop(0)


class NeverEnds(Sound):
    async def open(self, call: Outbound, offer: Offer) -> Reply:
        reply = await super().open(call, offer)
        if not reply.streaming:
            return reply
        return reply_of([event async for events in reply.events() for event in events][:-1])


class InventsFacts(Sound):
    async def open(self, call: Outbound, offer: Offer) -> Reply:
        reply = await super().open(call, offer)
        reply.facts = lambda: CallFacts(usage=Usage(input_tokens=-3))
        return reply


class LeaksConnections(Sound):
    async def open(self, call: Outbound, offer: Offer) -> Reply:
        reply = await super().open(call, offer)
        if reply.streaming or reply.status != 200:
            return reply
        return Reply.of_json(await reply.read(1 << 20))


class ClosesOnlyOnce(Sound):
    closed = False

    async def aclose(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


def _price(**rates: Any) -> Any:
    return type(an_offer().price)(**{"input": 1, "cached_input": 1, "output": 1, **rates})


def test_a_sound_provider_passes(failures):
    assert failures(ProviderSuite(), make=Sound) == {}


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (Misnamed, "test_name_is_a_stem_or_a_stem_and_an_instance"),
        (SellsNothing, "test_offers_are_whole"),
        (SellsForAnother, "test_offers_are_whole"),
        (SellsTwice, "test_offers_are_whole"),
        (PaysToSell, "test_offers_are_whole"),
        (PricesInFloats, "test_offers_are_whole"),
        (SellsNoName, "test_offers_are_whole"),
        (BoundsNothing, "test_offers_are_whole"),
        (BoundsPicturesByLess, "test_offers_are_whole"),
        (RulesInCapitals, "test_offers_are_whole"),
        (RulesInWords, "test_offers_are_whole"),
        (SaysThatItCounts, "test_who_counts_exactly_can_count"),
        (CountsNothing, "test_who_counts_exactly_can_count"),
        (ForgetsOffers, "test_offers_again_are_the_same"),
        (RaisesOnError, "test_open_returns_any_status_as_a_reply"),
        (HidesErrors, "test_open_returns_any_status_as_a_reply"),
        (TriesAgain, "test_open_returns_any_status_as_a_reply"),
        (RewritesTheBody, "test_open_sends_the_body_as_the_kernel_wrote_it"),
        (SendsNowhere, "test_open_sends_the_body_as_the_kernel_wrote_it"),
        (SwallowsConnectFailed, "test_a_failed_connection_is_raised"),
        (SwallowsCancellation, "test_open_can_be_cancelled"),
        (SharesOneStream, "test_streams_at_once_share_no_state"),
        (NeverEnds, "test_events_are_whole_and_end"),
        (InventsFacts, "test_facts_after_the_end"),
        (LeaksConnections, "test_closing_a_reply_lets_go_once"),
        (ClosesOnlyOnce, "test_aclose_is_idempotent"),
    ],
)
def test_a_broken_provider_fails(failures, mutant: type[Sound], caught_by: str):
    assert caught_by in failures(ProviderSuite(), make=mutant)


class Frugal(RoutingPolicy):
    """A policy that keeps every promise: no frontier models for short messages."""

    name = "frugal"

    def consider(self, call, caller, quotes, standing):
        out = [quote for quote in quotes if quote.offer.tier == "frontier" and len(call.last_user_message()) < 50]
        return Verdict(
            kept=tuple(quote for quote in quotes if quote not in out),
            out=tuple(_excluded(quote, "too good for so short a message") for quote in out),
        )


class Adds(Frugal):
    def consider(self, call, caller, quotes, standing):
        verdict = super().consider(call, caller, quotes, standing)
        return Verdict(kept=(*verdict.kept, a_quote(an_offer(provider="own"))), out=verdict.out)


class Reprices(Frugal):
    def consider(self, call, caller, quotes, standing):
        verdict = super().consider(call, caller, quotes, standing)
        return Verdict(kept=tuple(a_quote(each.offer, cost_msat=1) for each in verdict.kept), out=verdict.out)


class KeepsTwice(Frugal):
    def consider(self, call, caller, quotes, standing):
        verdict = super().consider(call, caller, quotes, standing)
        return Verdict(kept=verdict.kept + verdict.kept[:1], out=verdict.out)


class SaysNothing(Frugal):
    def consider(self, call, caller, quotes, standing):
        return Verdict(kept=super().consider(call, caller, quotes, standing).kept)


class GivesNoReason(Frugal):
    def consider(self, call, caller, quotes, standing):
        verdict = super().consider(call, caller, quotes, standing)
        return Verdict(kept=verdict.kept, out=tuple(_excluded(quote, "") for quote in quotes[2:3]))


class WantsQuotes(Frugal):
    def consider(self, call, caller, quotes, standing):
        assert min(quote.cost_msat for quote in quotes) >= 0
        return super().consider(call, caller, quotes, standing)


class Remembers(Frugal):
    def __init__(self) -> None:
        self._calls = 0

    def consider(self, call, caller, quotes, standing):
        self._calls += 1
        return Verdict(kept=quotes, reasons=(f"call {self._calls}",))


class RollsDice(Frugal):
    def consider(self, call, caller, quotes, standing):
        return Verdict(kept=quotes, reasons=(f"rolled {random.random()}",))


class ReadsFiles(Frugal):
    def consider(self, call, caller, quotes, standing):
        with open(__file__):
            return super().consider(call, caller, quotes, standing)


def _excluded(quote, reason: str) -> Excluded:
    return Excluded(provider=quote.offer.provider, model=quote.offer.model, reason=reason)


def test_a_sound_policy_passes(failures):
    assert failures(PolicySuite(), make=Frugal) == {}


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (Adds, "test_keeps_only_what_it_was_given"),
        (Reprices, "test_keeps_only_what_it_was_given"),
        (KeepsTwice, "test_keeps_only_what_it_was_given"),
        (SaysNothing, "test_says_why_each_one_is_out"),
        (GivesNoReason, "test_says_why_each_one_is_out"),
        (WantsQuotes, "test_takes_no_quotes"),
        (Remembers, "test_is_deterministic"),
        (RollsDice, "test_is_deterministic"),
        (ReadsFiles, "test_does_no_io"),
    ],
)
def test_a_broken_policy_fails(failures, mutant: type[RoutingPolicy], caught_by: str):
    assert caught_by in failures(PolicySuite(), make=mutant)


class Tidy(Strategy):
    """A strategy that keeps every promise."""

    name = "tidy"

    def key(self, call, quote, standing):
        return (quote.cost_msat, *quote.offer.key)


class Nameless(Tidy):
    name = ""


class LeavesTies(Tidy):
    def key(self, call, quote, standing):
        return (quote.cost_msat,)


class SortsByNothing(Tidy):
    def key(self, call, quote, standing):
        return (float("nan"), *quote.offer.key)


class SortsByAnything(Tidy):
    def key(self, call, quote, standing):
        return (quote.offer.model if quote.cost_msat else quote.cost_msat,)


class KeepsNoTuple(Tidy):
    def key(self, call, quote, standing):
        return quote.cost_msat


class Shuffles(Tidy):
    def key(self, call, quote, standing):
        return (random.random(),)


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (Nameless, "test_has_a_name"),
        (LeavesTies, "test_order_does_not_depend_on_the_order_given"),
        (SortsByNothing, "test_keys_sort"),
        (SortsByAnything, "test_keys_sort"),
        (KeepsNoTuple, "test_keys_sort"),
        (Shuffles, "test_is_deterministic"),
    ],
)
def test_a_broken_strategy_fails(failures, mutant: type[Strategy], caught_by: str):
    assert failures(StrategySuite(), make=Tidy) == {}
    assert caught_by in failures(StrategySuite(), make=mutant)
