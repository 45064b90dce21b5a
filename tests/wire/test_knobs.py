"""A caller's wishes of routing: read whole, or refused with the knob's name."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.types import BadRequest, Endpoint, Knobs, MaxPrice, Rate, Sort
from arbstr_core.wire import read_call, suffixed


def read(provider: Any) -> Knobs | None:
    body = json.dumps({"model": "m", "messages": [], "provider": provider}).encode()
    return read_call(body, call_id="r", endpoint=Endpoint.CHAT, hints={}, arrived_ms=1).knobs


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (None, None),
        ({}, None),
        ({"sort": "price"}, Knobs(sort=Sort.PRICE)),
        ({"sort": {"by": "latency", "partition": "none"}}, Knobs(sort=Sort.LATENCY)),
        ({"order": ["Groq", "together"], "allow_fallbacks": False}, Knobs(order=("groq", "together"),
                                                                        allow_fallbacks=False)),
        ({"only": [], "ignore": ["A"]}, Knobs(only=(), ignore=("a",))),
        ({"require_parameters": True, "preferred_min_throughput": 50, "data_collection": "allow", "zdr": False},
         Knobs()),
        ({"max_price": {"prompt": 0.5, "completion": "1.5", "request": "3 sat"}},
         Knobs(max_price=MaxPrice(prompt=Rate(Decimal("0.5"), usd=True), completion=Rate(Decimal("1.5"), usd=True),
                                  request=Rate(Decimal(3000))))),
        ({"max_price": {"prompt": "590 sat", "completion": "0.59 usd"}},
         Knobs(max_price=MaxPrice(prompt=Rate(Decimal(590_000)), completion=Rate(Decimal("0.59"), usd=True)))),
    ],
)  # fmt: skip
def test_what_is_wished(provider: Any, expected: Knobs | None) -> None:
    assert read(provider) == expected


@pytest.mark.parametrize(
    ("provider", "param"),
    [
        ("groq", "provider"),
        ({"sort": "beauty"}, "provider"),
        ({"order": "groq"}, "provider"),
        ({"odd": 1}, "provider"),
        ({"only": ["a"] * 65}, "provider.only"),
        ({"data_collection": "deny"}, "provider.data_collection"),
        ({"zdr": True}, "provider.zdr"),
        ({"quantizations": ["fp8"]}, "provider.quantizations"),
        ({"max_price": {"prompt": -1}}, "provider.max_price"),
        ({"max_price": {"prompt": "much"}}, "provider.max_price"),
        ({"max_price": {"image": 1}}, "provider.max_price"),
        ({"max_price": 5}, "provider"),
    ],
)
def test_what_cannot_be_promised_is_refused(provider: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(provider)
    assert refused.value.param == param


def test_what_stands_behind_a_name() -> None:
    assert suffixed("m:floor", None) == ("m", Knobs(sort=Sort.PRICE))
    assert suffixed("a/m:nitro", None) == ("a/m", Knobs(sort=Sort.THROUGHPUT))
    assert suffixed("m:free", Knobs(ignore=("x",))) == ("m", Knobs(ignore=("x",), free=True))
    assert suffixed("m:floor", Knobs(sort=Sort.LATENCY)) == ("m", Knobs(sort=Sort.LATENCY))
    assert [suffixed(name, None) for name in ("m", "m:", ":floor", "m:online", "auto:frontier")] == [None] * 5


ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
KNOBS = ("sort", "order", "only", "ignore", "allow_fallbacks", "max_price", "zdr", "require_parameters")


@given(st.dictionaries(st.sampled_from(KNOBS), ANY) | ANY)
def test_anything_is_read_or_refused(provider: Any) -> None:
    try:
        read(provider)
    except BadRequest:
        return
