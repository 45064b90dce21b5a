"""Before a call is refused for money: the provider's own count, cheaper candidates, a wait, a smaller output."""

from __future__ import annotations

import asyncio
import json

import pytest
from exchanges import CALLER, bench, good

from arbstr_core.flow._remedies import Remedies
from arbstr_core.routing import tightened
from arbstr_core.testing import a_call, a_quote, an_offer
from arbstr_core.types import MsatPrice
from arbstr_core.vault import Granted, HoldRequest, RefusalReason, Refused

A_MSAT_A_TOKEN = MsatPrice(input=1_000_000, cached_input=1_000_000, output=1_000_000)


class StillClock:
    ms = 0

    def now_ms(self):
        return self.ms

    def monotonic(self):
        return self.ms / 1000

    async def sleep(self, seconds):
        self.ms += int(seconds * 1000)


class Counting:
    """A dispatch whose providers count the input of those offers that are named."""

    def __init__(self, **tokens):
        self.tokens = tokens

    async def count_input(self, call, quote):
        return self.tokens.get(quote.offer.provider)


class Room:
    """A vault with so much room; `frees` comes back after some asking."""

    def __init__(self, room, *, reason=RefusalReason.INSUFFICIENT, open_msat=0, frees_after=10**9):
        self.room = room
        self.reason = reason
        self.open = open_msat
        self.frees_after = frees_after
        self.asked = []

    async def __call__(self, quotes):
        self.asked.append([(quote.offer.provider, quote.ceiling_msat) for quote in quotes])
        if len(self.asked) > self.frees_after:
            self.room, self.open = self.room + self.open, 0
        needed = quotes[0].ceiling_msat
        if needed > self.room:
            return Refused(reason=self.reason, needed_msat=needed, left_msat=self.room, open_msat=self.open)
        return Granted(id="req", amount_msat=needed, candidates=1)


def quote(provider="acme", *, output_limit=1000, input_tokens=300):
    offer = an_offer(provider=provider, price=A_MSAT_A_TOKEN)
    return a_quote(offer, output_limit=output_limit, input_tokens=input_tokens)


def found(room, *quotes, call=None, dispatch=None):
    async def story():
        clock = StillClock()
        remedies = Remedies(call or a_call(output_limit=1000), dispatch or Counting(), clock, room)
        refused = await room(quotes)
        assert isinstance(refused, Refused)
        return (*await remedies.hold(quotes, refused), remedies.said, clock.ms)

    return asyncio.run(story())


def test_the_providers_own_count_comes_first():
    room = Room(1_150)
    quotes, outcome, said, _ = found(room, quote(), dispatch=Counting(acme=100))
    assert isinstance(outcome, Granted)
    assert quotes == (tightened(quote(), 100),)
    assert outcome.amount_msat == 1_100
    assert said == ["the input was counted by the provider's own tokenizer"]


def test_candidates_that_are_too_dear_are_left_out():
    room = Room(600)
    quotes, outcome, said, _ = found(room, quote("dear"), quote("cheap", output_limit=200))
    assert isinstance(outcome, Granted)
    assert [each.offer.provider for each in quotes] == ["cheap"]
    assert said == ["too dear for what is left: dear"]


@pytest.mark.parametrize(("frees_after", "granted"), [(3, True), (1_000, False)])
def test_open_holds_are_waited_for_but_not_for_long(frees_after, granted):
    room = Room(300, open_msat=1_000, frees_after=frees_after)
    _, outcome, _, waited = found(room, quote())
    assert isinstance(outcome, Granted) is granted
    assert waited == (30 if granted else 50)


def test_nothing_is_waited_for_where_open_holds_are_too_little():
    room = Room(200, open_msat=900)
    _, outcome, _, waited = found(room, quote())
    assert isinstance(outcome, Refused)
    assert waited == 0


@pytest.mark.parametrize(
    ("limit", "hints", "granted"),
    [
        (None, {}, True),
        (1000, {"x-arbstr-afford": "1"}, True),
        (1000, {}, False),
        (1000, {"x-arbstr-afford": "0"}, False),
    ],
)
def test_a_smaller_output_only_for_those_who_asked_for_none_or_ask_for_it(limit, hints, granted):
    room = Room(900)
    quotes, outcome, said, _ = found(room, quote(), call=a_call(output_limit=limit, hints=hints))
    assert isinstance(outcome, Granted) is granted
    if granted:
        assert quotes[0].output_limit == 600
        assert said == ["the output is limited to 600 tokens, which is what can be afforded"]


@pytest.mark.parametrize("room", [300 + 499, 300 + 255])
def test_never_less_than_half(room):
    _, outcome, _, _ = found(Room(room), quote(), call=a_call())
    assert isinstance(outcome, Refused)


@pytest.mark.parametrize("reason", [RefusalReason.DISABLED, RefusalReason.NO_LIMITS, RefusalReason.CONCURRENT])
def test_what_is_not_about_money_is_not_remedied(reason):
    room = Room(900, reason=reason)
    _, outcome, said, _ = found(room, quote(), call=a_call(), dispatch=Counting(acme=1))
    assert isinstance(outcome, Refused)
    assert (len(room.asked), said) == (1, [])


def test_a_smaller_output_reaches_the_provider_the_caller_and_the_receipt(tmp_path):
    sent = []

    async def does(call):
        sent.append(json.loads(call.body))
        return await good(call)

    async def story():
        async with bench(tmp_path, does) as made:
            # All but what 700 tokens of output take is held.
            call = a_call(output_limit=1000, hints={"x-arbstr-afford": "1"})
            bound = len(call.body) + 256
            request = HoldRequest(
                id="req_other", agent="ag_a", ceilings=(10**8 - bound - 700,), candidates=b"[]", model="m"
            )
            await made.vault.hold(request)
            exchange = made.flow.begin(call, CALLER)
            await exchange.open()
            headers = dict(exchange.headers())
            await exchange.body()
            await exchange.close()
            await made.vault.release("req_other", b"{}")
            return headers, made.rows("SELECT body FROM receipt ORDER BY hold_seq DESC")

    headers, receipts = asyncio.run(story())
    assert headers["x-arbstr-output-limit"] == "700"
    assert [body["max_tokens"] for body in sent] == [700]
    said = [json.loads(row[0]).get("reasons", []) for row in receipts]
    assert any("the output is limited to 700 tokens, which is what can be afforded" in reasons for reasons in said)
