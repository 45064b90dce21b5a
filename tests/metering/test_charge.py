"""The charge table, row by row; no usage that a provider may report takes the charge beyond its bounds."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.metering import Bill, Meter, bill
from arbstr_core.testing import a_call, a_quote, an_offer
from arbstr_core.types import CallFacts, ChatCall, Msat, MsatPrice, Quote, Usage, UsageSource, ceil_div
from arbstr_core.wire import glimpse

PRICE = MsatPrice(input=1_000_000, cached_input=500_000, output=2_000_000, request=3)
"""1 msat a token of input, half of that where it was cached, 2 a token of output, 3 a request."""
FREE = MsatPrice(input=0, cached_input=0, output=0)
CALL = a_call("x" * 360)
INPUT = ceil_div(len(CALL.raw("messages") or b""), 4)


def quote_of(price: MsatPrice = PRICE, *, hidden: bool = False, output_limit: int = 1000) -> Quote:
    return a_quote(an_offer(hidden_reasoning=hidden), price=price, input_tokens=300, output_limit=output_limit)


def streamed(
    text: str | None = None, usage: Any = None, *, done: bool = True, call: ChatCall = CALL, reply: bytes | None = None
) -> Meter:
    meter = Meter(call)
    finish = "stop" if done else None
    if text is not None:
        body = {"choices": [{"delta": {"content": text}, "finish_reason": finish}]}
        if usage is not None:
            body["usage"] = usage
        meter.see_body(glimpse(json.dumps(body).encode() if reply is None else reply))
    return meter


def billed(meter: Meter, quote: Quote, held: int = 10**9, facts: CallFacts | None = None) -> Bill:
    facts = facts or CallFacts()
    usage = meter.usage(facts)
    return bill(quote, usage, facts, held_msat=held, text_bytes=meter.text_bytes, stops=meter.stops)


def usage(given_: Any, output: Any, cached: Any = None) -> dict[str, Any]:
    found: dict[str, Any] = {"prompt_tokens": given_, "completion_tokens": output}
    return found if cached is None else {**found, "prompt_tokens_details": {"cached_tokens": cached}}


TABLE: list[tuple[str, Meter, Quote, int, int]] = [
    # what happened, what was seen, the offer, what was held, the charge
    ("usage reported", streamed("a" * 40, usage(100, 10)), quote_of(), 10**9, 100 + 20 + 3),
    ("part of it cached", streamed("a" * 40, usage(100, 10, 60)), quote_of(), 10**9, 40 + 30 + 20 + 3),
    ("more than was held", streamed("a" * 40, usage(100, 10)), quote_of(), 50, 50),
    ("more input than the ceiling", streamed("a" * 40, usage(5000, 10)), quote_of(), 10**9, 300 + 20 + 3),
    ("more cached than input", streamed("a" * 40, usage(100, 10, 900)), quote_of(), 10**9, 50 + 20 + 3),
    ("no output reported, no usage of it", streamed("a" * 40, usage(100, 0)), quote_of(), 10**9, 100 + 20 + 3),
    ("more than the bytes seen", streamed("a" * 40, usage(100, 900)), quote_of(), 10**9, 100 + 2 * 41 + 3),
    ("hidden reasoning", streamed("a" * 40, usage(100, 900)), quote_of(hidden=True), 10**9, 100 + 1800 + 3),
    ("hidden, beyond the limit", streamed("a", usage(100, 9000)), quote_of(hidden=True), 10**9, 100 + 2000 + 3),
    ("output beyond the limit", streamed("a" * 40, usage(100, 30)), quote_of(output_limit=7), 10**9, 100 + 14 + 3),
    ("reasoning in the total", streamed("a" * 40, usage(100, 5) | {"total_tokens": 120}), quote_of(), 10**9, 143),
    ("no usage", streamed("a" * 41), quote_of(), 10**9, INPUT + 2 * 11 + 3),
    ("no usage, cut", streamed("a" * 5, done=False), quote_of(), 10**9, INPUT + 2 * 2 + 3),
    ("no usage, little held", streamed("a" * 41), quote_of(), 9, 9),
    ("a free offer", streamed("a" * 40, usage(10**9, 10**9)), quote_of(FREE, hidden=True), 10**9, 0),
    ("a free offer, no usage", streamed("a" * 40), quote_of(FREE), 0, 0),
]


@pytest.mark.parametrize(("what", "seen", "quote", "held", "charge"), TABLE, ids=[row[0] for row in TABLE])
def test_the_charge_table_of_the_money_page(what: str, seen: Meter, quote: Quote, held: int, charge: int) -> None:
    assert seen.output_seen, what
    assert billed(seen, quote, held).charge_msat == charge
    counted = "no usage" in what
    assert seen.usage(CallFacts()).source is (UsageSource.COUNTED if counted else UsageSource.PROVIDER)


def test_where_nothing_was_seen_nothing_is_charged() -> None:
    """Refused, no connection, an error before output: whoever asks sees that there was none, and releases."""
    for seen in (Meter(CALL), streamed("", done=False), streamed("", reply=b'{"error":{"message":"no"}}')):
        assert not seen.output_seen
        assert seen.usage(CallFacts()).source is UsageSource.NONE


def test_a_picture_counts_nothing_where_nobody_counted() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40_000}}
    words = {"type": "text", "text": "b" * 400}
    call = a_call(messages=[{"role": "user", "content": [picture, words]}])
    assert 100 <= streamed("a", call=call).usage(CallFacts()).input_tokens < 200


# -- T32: a provider may report anything -------------------------------------------------------------------------------

NUMBERS: st.SearchStrategy[Any] = st.one_of(
    st.integers(-10, 10**6),
    st.sampled_from([0, 10**9, 2**63, 2**64, 10**30, -1, -(10**9), -(10**30)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1.0, 5.0, 5.5, 1e9, 1e300, -1e300]),
)
WORTH: st.SearchStrategy[Any] = (
    NUMBERS
    | st.none()
    | st.booleans()
    | NUMBERS.map(str)
    | st.sampled_from(["", "many", "NaN", "1e9", "٣", [], {}, [5], {"tokens": 5}])
)
REPORTS = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": WORTH,
        "completion_tokens": WORTH,
        "total_tokens": WORTH,
        "prompt_tokens_details": st.fixed_dictionaries({}, optional={"cached_tokens": WORTH}) | WORTH,
    },
)
PRICES = st.builds(
    MsatPrice,
    input=st.integers(0, 10**7),
    cached_input=st.integers(0, 10**7),
    output=st.integers(0, 10**7),
    request=st.integers(0, 10**5),
)


def most(quote: Quote, meter: Meter) -> int:
    """What the bytes seen, and the limits, can cost at the most."""
    price = quote.price
    output = quote.output_limit * quote.choices
    if not quote.offer.hidden_reasoning:
        output = min(output, meter.text_bytes + meter.stops)
    dearest = max(price.input, price.cached_input) * quote.input_limit
    return ceil_div(dearest + price.output * output, 10**6) + price.request


@given(
    report=REPORTS | WORTH,
    text=st.text(max_size=60),
    done=st.booleans(),
    price=PRICES,
    hidden=st.booleans(),
    limit=st.integers(1, 2000),
    choices=st.integers(1, 4),
    held=st.integers(0, 10**6),
)
def test_t32_no_report_takes_the_charge_beyond_what_was_held_and_seen(
    report: Any, text: str, done: bool, price: MsatPrice, hidden: bool, limit: int, choices: int, held: int
) -> None:
    quote = msgspec.structs.replace(quote_of(price, hidden=hidden, output_limit=limit), choices=choices)
    meter = streamed(text, report, done=done)
    assert meter.text_bytes == len(text.encode())
    made = billed(meter, quote, held)
    assert 0 <= made.charge_msat <= min(held, most(quote, meter))
    if price.free:
        assert made.charge_msat == 0
    used = meter.usage(CallFacts())
    counts = (used.input_tokens, used.cached_input_tokens, used.output_tokens)
    assert all(type(count) is int and 0 <= count <= 10**9 for count in counts)


@given(
    tokens=st.tuples(st.integers(0, 3000), st.integers(1, 3000)),
    more=st.tuples(*[st.integers(0, 3000)] * 2),
    size=st.integers(1, 2000),
    price=PRICES,
    hidden=st.booleans(),
    held=st.integers(0, 10**5),
    extra=st.integers(0, 10**5),
)
def test_more_usage_or_more_held_never_costs_less(
    tokens: tuple[int, int],
    more: tuple[int, int],
    size: int,
    price: MsatPrice,
    hidden: bool,
    held: int,
    extra: int,
) -> None:
    """But for a report of no output at all beside text that was shown: that text is counted instead."""
    quote = quote_of(price, hidden=hidden)

    def charge(given_: int, output: int, held: int) -> int:
        return billed(streamed("a" * size, usage(given_, output)), quote, held).charge_msat

    least = charge(*tokens, held)
    assert least <= charge(tokens[0] + more[0], tokens[1] + more[1], held)
    assert least <= charge(*tokens, held + extra) <= least + extra


@pytest.mark.parametrize(
    ("tokens", "output", "cost_msat", "overage"),
    [
        (300, 5, None, 0),
        (300, 21, None, 0),  # a little more than its bytes can be
        (316, 5, None, 0),
        (300, 200, None, 195),
        (1300, 5, None, 1000),
        (300, 5, 305, 0),
        (300, 5, 2000, 1695),
        (300, 5, 10**30, 21 * 10**11 - 305),  # absurd, and capped
    ],
)
def test_what_is_billed_beyond_the_limits_is_told_apart(
    tokens: int, output: int, cost_msat: int | None, overage: int
) -> None:
    """The quote allows 300 tokens of input, and four bytes and an end were seen; a token costs one msat."""
    price = MsatPrice(input=10**6, cached_input=10**6, output=10**6)
    quote = quote_of(price, hidden=False, output_limit=1000)
    facts = CallFacts(cost_msat=None if cost_msat is None else Msat(cost_msat))
    usage = Usage(input_tokens=tokens, output_tokens=output)
    made = bill(quote, usage, facts, held_msat=10**6, text_bytes=4, stops=1)
    assert made.overage_msat == overage
    assert made.charge_msat <= 305
