"""The most a call can cost: what bounds input and output, which fields an offer takes, and the remedies before 402."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from arbstr_core.routing import Pricer, Router, afford, tightened
from arbstr_core.routing._fields import PLAIN_OF
from arbstr_core.testing import a_call, a_caller, a_quote, an_offer
from arbstr_core.types import (
    PASS,
    REFUSE,
    ChatCall,
    Endpoint,
    Excluded,
    FieldRule,
    FxRate,
    Listing,
    MsatPrice,
    NothingQualifies,
    Passthrough,
    Plan,
    Quote,
    Rate,
    Standing,
)

PLAIN = PLAIN_OF[Endpoint.CHAT]
FREE = MsatPrice(input=0, cached_input=0, output=0)
PRICE = MsatPrice(input=1_000_000, cached_input=500_000, output=2_000_000)
"""1 msat a token of input, 2 of output."""
FX = FxRate(usd_per_btc=Decimal(100_000), spread_ppm=0, source="test", as_of_ms=1)
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}
ELSEWHERE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def listed(price: MsatPrice = PRICE, *, margin_ppm: int = 0, fx: FxRate | None = None, **offer: Any) -> Listing:
    return Listing(
        offer=an_offer(price=price, **offer),
        price=price.with_margin(margin_ppm),
        cost_price=price,
        margin_ppm=margin_ppm,
        fx=fx,
    )


def asking(*parts: Any, **fields: Any) -> ChatCall:
    said = [{"role": "user", "content": list(parts) if parts else "hi"}]
    call = a_call(messages=said, fields={"max_tokens": 10, **fields})
    return msgspec.structs.replace(call, output_limit=10, choices=fields.get("n", 1))


def out(listing: Listing, call: ChatCall) -> Excluded | None:
    return Pricer(call).unfit(listing)


def quoted(listing: Listing, call: ChatCall) -> Quote:
    assert out(listing, call) is None
    return Pricer(call).quote(listing)


def planned(listings: list[Listing], call: ChatCall) -> Plan:
    router = Router((), {}, strategy="cheapest", output_tokens=4096, keep=3)
    return router.plan(call, a_caller(), listings, (), Standing())


# -- input -------------------------------------------------------------------------------------------------------------


@given(size=st.integers(0, 5000), factor=st.floats(0.1, 5), overhead=st.integers(0, 999), context=st.integers(1, 9999))
def test_input_is_bound_by_bytes_and_by_context(size: int, factor: float, overhead: int, context: int) -> None:
    call = asking(user="x" * size)
    facts = {"input_factor": factor, "input_overhead": overhead}
    by_bytes = math.ceil(len(call.body) * factor) + overhead
    assert quoted(listed(**facts), call).input_limit == by_bytes
    assume(len(call.body) <= context * 16)
    assert quoted(listed(context_window=context, **facts), call).input_limit == min(by_bytes, context)


def test_a_picture_inside_counts_its_bytes_and_what_the_offer_says() -> None:
    call = asking(PICTURE, PICTURE)
    most = len(call.body) + 256
    assert quoted(listed(), call).input_limit == most + 2 * 2048
    assert quoted(listed(attachment_tokens=5), call).input_limit == most + 10
    small = listed(context_window=300)
    assert out(small, call) is None, "its bytes say nothing of whether it fits"
    assert quoted(small, call).input_limit == 300
    assert quoted(listed(), call).cost_msat < 1000, "nobody expects a token for each four bytes of a picture"


def test_what_is_elsewhere_is_held_at_the_context_or_refused() -> None:
    for call, field in [
        (asking(ELSEWHERE), "messages[0].content[0].image_url"),
        (asking({"type": "file", "file": {"file_id": "f"}}), "messages[0].content[0]"),
        (asking(previous_response_id="resp_1"), "previous_response_id"),
        (asking(prompt={"id": "pmpt_1"}), "prompt"),
    ]:
        assert quoted(listed(context_window=50_000), call).input_limit == 50_000
        why = out(listed(), call)
        assert why is not None
        assert why.field == field
        assert field in why.reason
        assert "context" in why.reason
        with pytest.raises(NothingQualifies) as refused:
            planned([listed()], call)
        assert refused.value.param == field
        assert quoted(listed(FREE), call).ceiling_msat == 0
    assert quoted(listed(), asking(previous_response_id=None)).input_limit < 500


# -- output ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "facts", "limit"),
    [
        (None, {}, 4096),
        (None, {"max_output_tokens": 100}, 100),
        (None, {"context_window": 99, "input_overhead": 0}, 99),
        (7, {"max_output_tokens": 100}, 7),
        (10_000, {"max_output_tokens": 100, "context_window": 99_000}, 100),
        (10_000, {}, 10_000),
    ],
)
def test_output_is_the_callers_limit_or_ours_and_never_above_the_offers(
    asked: int | None, facts: dict[str, int], limit: int
) -> None:
    for choices in (1, 3):
        call = msgspec.structs.replace(a_call(output_limit=asked), choices=choices)
        quote = quoted(listed(**facts), call)
        assert (quote.output_limit, quote.choices) == (limit, choices)
        assert quote.ceiling_msat == quote.input_limit + 2 * limit * choices


def test_best_of_counts_as_so_many_choices() -> None:
    takes = listed(fields={"best_of": PASS})
    quote = quoted(takes, asking(best_of=5))
    assert quote.choices == 5
    assert quote.ceiling_msat == quote.input_limit + 2 * 10 * 5
    assert quoted(takes, asking(best_of=2, n=4)).choices == 4
    assert quoted(listed(), asking(best_of=1)).choices == 1
    counted = out(listed(fields={"best_of": PASS}, max_choices=4), asking(best_of=5))
    assert counted is not None
    assert counted.field == "n"


# -- fields ------------------------------------------------------------------------------------------------------------

COSTLY: list[tuple[str, Any]] = [
    ("best_of", 2),
    ("use_beam_search", True),
    ("service_tier", "priority"),
    ("service_tier", {"odd": 1}),
    ("modalities", ["text", "audio"]),
    ("audio", {"voice": "alloy", "format": "wav"}),
    ("web_search_options", {}),
    ("plugins", [{"id": "web"}]),
    ("prediction", {"type": "content", "content": "x"}),
    ("background", True),
    ("chat_template", "{{ x }}"),
    ("models", ["other"]),
    ("n_predict", 5),
    ("max_new_tokens", 5),
    ("options", {"num_predict": 9}),
    ("Best_Of", 2),
    ("N_PREDICT", 5),
    ("ſervice_tier", "priority"),
    ("foo", 1),
    ("foo", False),
    ("Temperature", 1),
]


@pytest.mark.parametrize(("field", "value"), COSTLY)
def test_a_field_that_may_cost_is_refused_by_name(field: str, value: Any) -> None:
    call = asking(**{field: value})
    why = out(listed(context_window=999), call)
    assert why is not None
    assert why.field == field
    assert field in why.reason
    assert "leave it out, or set fields." in why.reason
    with pytest.raises(NothingQualifies, match=field) as refused:
        planned([listed()], call)
    assert refused.value.param == field
    assert quoted(listed(FREE), call).ceiling_msat == 0, "what is free takes everything"
    rule = field.casefold()
    assert out(listed(context_window=999, fields={rule: PASS}), call) is None
    assert out(listed(FREE, fields={rule: REFUSE}), call) is not None, "but for what it says it does not take"


OF_OTHER_KINDS = {"model", "messages", "stream", "stream_options", "n", "tools", "functions"}
HARMLESS: list[tuple[str, Any]] = [
    *((name, None) for name in ("best_of", "audio", "plugins", "web_search_options", "foo", "n_predict")),
    ("best_of", 1),
    ("service_tier", "auto"),
    ("service_tier", "flex"),
    ("modalities", ["text"]),
    ("plugins", []),
    ("background", False),
    *((name, 1) for name in sorted(PLAIN - OF_OTHER_KINDS)),
]


@pytest.mark.parametrize(("field", "value"), HARMLESS)
def test_a_field_that_costs_nothing_passes(field: str, value: Any) -> None:
    call = asking(**{field: value})
    quote = quoted(listed(), call)
    assert quote.price == PRICE
    assert quote.input_limit == len(call.body) + 256


def test_unknown_fields_pass_where_the_offer_says_so_and_costly_ones_do_not() -> None:
    takes_all = listed(passthrough=Passthrough.ALL)
    assert out(takes_all, asking(foo={"bar": 1}, Foo=2)) is None
    for field, value in COSTLY[:17]:
        assert out(takes_all, asking(**{field: value})) is not None


def test_a_plain_field_is_refused_where_the_offer_says_so() -> None:
    picky = listed(fields={"logprobs": REFUSE})
    assert out(picky, asking()) is None
    assert out(picky, asking(logprobs=None)) is None
    why = out(picky, asking(logprobs=True))
    assert why is not None
    assert (why.field, why.reason) == ("logprobs", "does not take logprobs: leave it out")


def test_tools_of_the_provider_need_a_declared_maximum() -> None:
    call = asking(tools=[{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}])
    why = out(listed(context_window=9000), call)
    assert why is not None
    assert why.field == "tools"
    assert 'fields."tools.web_search"' in why.reason
    fee = {"tools.web_search": FieldRule.from_config("30 sat")}
    quote = quoted(listed(context_window=9000, fields=fee), call)
    assert quote.ceiling_msat == 9000 + 2 * 10 + 30_000, "and what it finds is input"
    unknown = out(listed(fields=fee), call)
    assert unknown is not None
    assert "context" in unknown.reason
    assert out(listed(context_window=9000, fields=fee), asking(tools=[{"type": "code_interpreter"}])) is not None


def test_a_mark_for_the_cache_is_a_field() -> None:
    call = asking({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}})
    why = out(listed(), call)
    assert why is not None
    assert (why.field, "cache_control in messages" in why.reason) == ("messages", True)
    assert out(listed(fields={"cache_control": PASS}), call) is None


def test_what_a_field_adds_is_held_charged_and_marked_up() -> None:
    rules: Mapping[str, FieldRule] = {"foo": FieldRule.from_config("3 msat"), "bar": FieldRule.from_config("4 msat")}
    quote = quoted(listed(margin_ppm=100_000, fields=rules), asking(foo=1, bar=1))
    assert (quote.price.request, quote.cost_price.request) == (8, 7)
    plain = quoted(listed(margin_ppm=100_000, fields=rules), asking())
    assert quote.price == msgspec.structs.replace(plain.price, request=8)
    assert quoted(listed(FREE, fields=rules), asking(foo=1)).ceiling_msat == 3
    assert quoted(listed(fields=rules), asking(foo=None)).price.request == 0


def test_a_fee_in_dollars_needs_a_price_in_dollars() -> None:
    fee = {"foo": FieldRule(taken=True, most=Rate(Decimal("0.01"), usd=True))}
    assert quoted(listed(fx=FX, fields=fee), asking(foo=1)).price.request == 10_000
    why = out(listed(fields=fee), asking(foo=1))
    assert why is not None
    assert "one unit" in why.reason


def test_who_can_is_asked_where_another_cannot() -> None:
    found = planned([listed(provider="a"), listed(provider="b", fields={"foo": PASS})], asking(foo=1))
    assert [quote.offer.provider for quote in found.candidates] == ["b"]
    assert [row.field for row in found.out] == ["foo"]
    with pytest.raises(NothingQualifies) as refused:
        planned([listed(endpoints=frozenset())], asking(foo=1))
    assert refused.value.param == "model"


@pytest.mark.parametrize("text", ["pas", "", "thirty", "-1 sat", "2 btc", "200000 usd", 7, None, True, ["pass"]])
def test_a_rule_that_is_none_is_said(text: Any) -> None:
    with pytest.raises(ValueError, match=r"no rule|unit"):
        FieldRule.from_config(text)


# -- remedies ----------------------------------------------------------------------------------------------------------

QUOTES = st.builds(
    lambda rates, fee, body, limit, choices: Pricer(
        msgspec.structs.replace(a_call("x" * body), output_limit=limit, choices=choices)
    ).quote(listed(MsatPrice(input=rates[0], cached_input=rates[1], output=rates[2], request=fee))),
    st.tuples(*[st.integers(0, 10**7)] * 3),
    st.integers(0, 10**5),
    st.integers(0, 5000),
    st.integers(1, 20_000),
    st.integers(1, 8),
)


def ceiling(quote: Quote) -> int:
    price = quote.price
    dearest = max(price.input, price.cached_input) * quote.input_limit
    return math.ceil(Decimal(dearest + price.output * quote.output_limit * quote.choices) / 10**6) + price.request


@given(quote=QUOTES, tokens=st.integers(-5, 10_000))
def test_an_exact_count_makes_the_ceiling_tighter_and_never_wider(quote: Quote, tokens: int) -> None:
    found = tightened(quote, tokens)
    assert found.input_limit == max(0, min(tokens, quote.input_limit))
    assert found.ceiling_msat == ceiling(found) <= quote.ceiling_msat
    assert (found.output_limit, found.price, found.offer) == (quote.output_limit, quote.price, quote.offer)
    assert found.cost_msat <= found.ceiling_msat


@given(quote=QUOTES, share=st.floats(0, 1.2))
def test_what_is_afforded_is_the_most_that_fits_and_not_less_than_half(quote: Quote, share: float) -> None:
    room = int(quote.ceiling_msat * share)
    least = max(256, math.ceil(quote.output_limit / 2))
    found = afford(quote, room)
    if quote.ceiling_msat <= room:
        assert found is quote
        return
    if found is None:
        smallest = msgspec.structs.replace(quote, output_limit=least)
        assert least >= quote.output_limit or ceiling(smallest) > room
        return
    assert least <= found.output_limit < quote.output_limit
    assert found.cost_msat <= found.ceiling_msat == ceiling(found) <= room
    assert ceiling(msgspec.structs.replace(found, output_limit=found.output_limit + 1)) > room


def test_a_small_limit_is_not_made_smaller() -> None:
    quote = a_quote(price=PRICE, output_limit=300, input_tokens=0)
    found = afford(quote, 2 * 260)
    assert found is not None
    assert found.output_limit == 260
    assert afford(quote, 2 * 255) is None
    assert afford(a_quote(price=PRICE, output_limit=200, input_tokens=0), 2 * 199) is None
    assert afford(a_quote(price=PRICE, output_limit=4096, input_tokens=0), 2 * 2047) is None


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
FIELDS = st.dictionaries(
    st.sampled_from([field for field, _ in COSTLY] + sorted(PLAIN - {"model", "messages", "tools"}))
    | st.text(max_size=6),
    JSON,
    max_size=4,
)


@given(fields=FIELDS, everything=st.booleans())
def test_any_fields_are_taken_within_a_bound_or_refused_by_name(fields: dict[str, Any], everything: bool) -> None:
    call = a_call(fields={key: value for key, value in fields.items() if key not in ("model", "messages", "tools")})
    way = Passthrough.ALL if everything else Passthrough.KNOWN
    why = out(listed(passthrough=way), call)
    sent = json.loads(call.body)
    if why is None:
        unknown = [key for key, value in sent.items() if key not in PLAIN and value is not None]
        assert everything or all(key.casefold() in dict(COSTLY) or not sent[key] for key in unknown)
        assert quoted(listed(passthrough=way), call).ceiling_msat > 0
    else:
        assert why.field in sent
        assert out(listed(FREE), call) is None
