"""Usage to msat: never above the hold, never negative, never more tokens than bytes; and events counted once."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbstr_core.metering import Meter, Seen, bill
from arbstr_core.testing import a_call, a_quote, an_offer
from arbstr_core.types import MAX_MSAT, CallFacts, Msat, MsatPrice, Usage, UsageSource, ceil_div
from arbstr_core.wire import glimpse

COUNTS = st.integers(-5, 10**6) | st.sampled_from([2**31, 2**63, 2**64, 10**30, -(10**30)])
USAGES = st.builds(Usage, input_tokens=COUNTS, cached_input_tokens=COUNTS, output_tokens=COUNTS)
RATES = st.integers(0, 10**7) | st.sampled_from([MAX_MSAT // 1_000_000])
PRICES = st.builds(MsatPrice, input=RATES, cached_input=RATES, output=RATES, request=RATES)


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def delta(content: str = "", **more: Any) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": content}, **more}])


USAGE = {"prompt_tokens": 5, "completion_tokens": 2}


@given(
    usage=st.none() | USAGES,
    seen=st.none() | USAGES,
    cost=st.none() | COUNTS,
    price=PRICES,
    held=st.integers(0, 10**9),
    text=st.integers(0, 10**4),
    stops=st.integers(0, 4),
    hidden=st.booleans(),
)
def test_a_bill_is_within_the_hold(
    usage: Usage | None,
    seen: Usage | None,
    cost: int | None,
    price: MsatPrice,
    held: int,
    text: int,
    stops: int,
    hidden: bool,
) -> None:
    quote = msgspec.structs.replace(a_quote(an_offer(hidden_reasoning=hidden), price=price), cost_price=price)
    meter = Meter(a_call())
    meter.text_bytes, meter.stops, meter._usage = text, stops, seen
    facts = CallFacts(usage=usage, cost_msat=None if cost is None else Msat(cost))
    used = meter.usage(facts)
    made = bill(quote, used, facts, held_msat=held, text_bytes=text, stops=stops)
    assert 0 <= made.charge_msat <= held
    assert 0 <= made.cost_msat <= MAX_MSAT // 1000
    assert 0 <= used.cached_input_tokens <= used.input_tokens <= 10**9
    assert 0 <= used.output_tokens <= 10**9
    if not hidden:
        most = price.cost(input_tokens=quote.input_limit, output_tokens=text + stops)
        dear = price.cost(input_tokens=quote.input_limit, cached_input_tokens=quote.input_limit)
        assert made.charge_msat <= max(most, price.cost(input_tokens=0, output_tokens=text + stops) + dear)
    msgspec.json.encode(used)


def test_t25_a_charge_is_the_usage_at_the_price_rounded_up_once() -> None:
    quote = a_quote(price=MsatPrice(input=300, cached_input=100, output=900, request=7))
    usage = Usage(input_tokens=10, cached_input_tokens=4, output_tokens=3)
    made = bill(quote, usage, CallFacts(), held_msat=10**6, text_bytes=50, stops=1)
    assert made.charge_msat == ceil_div(6 * 300 + 4 * 100 + 3 * 900, 1_000_000) + 7
    assert made.note == ""


def test_what_the_bytes_cannot_be_is_not_charged() -> None:
    quote = a_quote(price=MsatPrice(input=0, cached_input=0, output=1_000_000))
    usage = Usage(input_tokens=5, output_tokens=500)
    made = bill(quote, usage, CallFacts(), held_msat=10**6, text_bytes=9, stops=1)
    assert made.charge_msat == 10
    assert "500" in made.note
    assert made.cost_msat == 500
    hidden = a_quote(an_offer(hidden_reasoning=True), price=quote.price)
    assert bill(hidden, usage, CallFacts(), held_msat=10**6, text_bytes=9, stops=1).charge_msat == 500
    tight = bill(hidden, usage, CallFacts(), held_msat=20, text_bytes=9, stops=1)
    assert tight.charge_msat == 20
    assert "held" in tight.note


def test_the_providers_own_cost_is_booked() -> None:
    quote = a_quote()
    usage = Usage(input_tokens=1, output_tokens=1)
    made = bill(quote, usage, CallFacts(cost_msat=Msat(77)), held_msat=10**6, text_bytes=9, stops=1)
    assert made.cost_msat == 77
    assert bill(quote, usage, CallFacts(cost_msat=Msat(-7)), held_msat=9, text_bytes=9, stops=1).cost_msat == 0


def test_what_an_event_is_to_the_caller() -> None:
    for events, seen in [
        (delta("hi"), Seen.PASS),
        (delta(usage=None), Seen.PASS),
        (b": comment\n\n", Seen.DROP),
        (b"data:\n\n", Seen.DROP),
        (b"data: : PROCESSING\n\n", Seen.DROP),
        (b"event: ping\n\n", Seen.DROP),
        (b"data: [DONE]\n\n", Seen.DONE),
        (b"data: [DONE] \n\n", Seen.DONE),
        (event(error={"message": "x"}), Seen.ERROR),
        (event(choices=[], usage=USAGE), Seen.DROP),
        (event(usage=USAGE), Seen.DROP),
        (event(choices=[{"delta": {"content": "a"}}], usage=USAGE), Seen.PASS),
        (event(choices=[], prompt_filter_results=[]), Seen.PASS),
        (b"data: not json\n\n", Seen.PASS),
    ]:
        assert Meter(a_call(stream=True)).see_event(events) is seen, events
    asked = msgspec.structs.replace(a_call(stream=True), include_usage=True)
    assert Meter(asked).see_event(event(choices=[], usage=USAGE)) is Seen.PASS


def test_where_usage_comes_it_counts_and_the_last_one_wins() -> None:
    meter = Meter(a_call(stream=True))
    for count in (1, 2, 3):
        meter.see_event(event(choices=[{"delta": {"content": "a"}}], usage={**USAGE, "completion_tokens": count}))
    assert meter.usage(CallFacts()).output_tokens == 3
    assert meter.usage(CallFacts()).source is UsageSource.PROVIDER
    own = Usage(input_tokens=9, output_tokens=9)
    assert meter.usage(CallFacts(usage=own)) == own


def test_without_usage_the_bytes_are_counted() -> None:
    call = a_call("x" * 100, stream=True)
    meter = Meter(call)
    assert not meter.output_seen
    assert meter.usage(CallFacts()).source is UsageSource.NONE
    meter.see_event(delta(""))
    assert not meter.output_seen
    meter.see_event(delta("hällo"))
    used = meter.usage(CallFacts())
    assert meter.output_seen
    messages = call.raw("messages")
    assert messages is not None
    assert (used.source, used.output_tokens) == (UsageSource.COUNTED, 2)
    assert used.input_tokens == ceil_div(len(messages), 4)


def test_an_empty_answer_that_ended_is_output() -> None:
    meter = Meter(a_call(stream=True))
    meter.see_event(event(choices=[{"delta": {}, "finish_reason": "stop"}]))
    assert meter.output_seen
    whole = Meter(a_call())
    whole.see_body(glimpse(json.dumps({"choices": [], "usage": USAGE}).encode()))
    assert whole.output_seen


EVENTS = st.sampled_from(
    [
        delta("a"),
        delta("é"),
        delta("b", finish_reason="stop"),
        event(choices=[], usage=USAGE),
        event(choices=[{"delta": {"content": "c"}}], usage=USAGE),
        event(usage=USAGE),
        event(choices=[{"delta": {"tool_calls": [{"function": {"arguments": "xyz"}}]}}]),
        event(choices=[{"delta": {"content": 7}}]),
        event(error={"message": "x"}),
        event(error=None, choices=[{"delta": {"content": "d"}}]),
        b": comment\n\n",
        b"_ata: " + delta("a")[6:],
        b"event: ping\n\n",
        b'data: {"choices":\n\n',
        b'data: {"a":1},{"b":2}\n\n',
        b'data: {"a":"\n\n',
        b'data: {"a":1}]\n\n',
        b"data: [DONE]\n\n",
        b"data: {}\r\n\r\n",
        b'data: {"choices":\ndata: []}\n\n',
        b"data: {}\nid: 7\n\n",
    ]
)


@settings(max_examples=400)
@given(events=st.lists(EVENTS, max_size=7), cuts=st.lists(st.integers(0, 7), max_size=3), asked=st.booleans())
def test_events_that_come_together_count_as_those_that_come_alone(
    events: list[bytes], cuts: list[int], asked: bool
) -> None:
    call = msgspec.structs.replace(a_call(stream=True), include_usage=asked)

    def alone(meter: Meter, events: list[bytes]) -> tuple[bytes, Seen]:
        return meter._each(b"".join(events))

    def sifted(batches: list[list[bytes]], *, together: bool) -> tuple[Any, ...]:
        meter, kept, seen = Meter(call), b"", Seen.PASS
        for batch in batches:
            more, seen = meter.sift(b"".join(batch)) if together else alone(meter, batch)
            kept += more
            if seen is not Seen.PASS:
                break
        return kept, seen, meter.text_bytes, meter.stops, meter.usage(CallFacts()), meter.output_seen

    places = sorted({min(cut, len(events)) for cut in cuts})
    batches = [events[a:b] for a, b in zip([0, *places], [*places, len(events)], strict=True)]
    assert sifted(batches, together=True) == sifted([[each] for each in events], together=False)


@pytest.mark.parametrize("together", [True, False])
def test_a_report_that_came_early_does_not_make_the_rest_free(together: bool) -> None:
    """Some gateways send a usage with the first chunk; the client, or the provider, may leave before the last."""
    meter = Meter(a_call())
    events = [event(choices=[], usage={"prompt_tokens": 100, "completion_tokens": 0}), *[delta("abcd")] * 50]
    for batch in [b"".join(events)] if together else events:
        meter.sift(batch)
    used = meter.usage(CallFacts())
    assert (used.input_tokens, used.output_tokens, used.source) == (100, 50, UsageSource.COUNTED)


def test_tools_count_as_input_where_nobody_counted() -> None:
    tools = [{"type": "function", "function": {"name": "x" * 4000}}]
    meter = Meter(a_call(fields={"tools": tools}))
    meter.sift(delta("abcd"))
    assert meter.usage(CallFacts()).input_tokens > 1000
