"""What a call has used while it runs: its input at once, then what it showed; never more than what is held."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.metering import Meter, counted, exhausted, sent
from arbstr_core.testing import a_call, an_offer
from arbstr_core.types import Msat, MsatPrice, Quote

CHUNK = b'data: {"choices":[{"delta":{"content":"four"}}]}\n\n'
CALL = a_call(stream=True)
INPUT = -(-len(b'[{"role":"user","content":"Say hello"}]') // 4)


def quote(*, price: int = 1_000_000, ceiling: int = 500, input_limit: int = 300, request: int = 0) -> Quote:
    priced = MsatPrice(input=price, cached_input=price, output=price, request=request)
    return Quote(
        offer=an_offer(price=priced),
        price=priced,
        cost_price=priced,
        cost_msat=Msat(5),
        ceiling_msat=Msat(ceiling),
        input_limit=input_limit,
        output_limit=100,
        choices=1,
        fx=None,
    )


def test_what_is_sent_costs_its_input_at_the_least_price() -> None:
    dear, cheap = quote(price=3_000_000), quote(price=2_000_000)
    assert sent([dear], 10) == 30
    assert sent([dear, cheap], 10) == 20
    assert sent([cheap, dear], 10) == 20
    assert sent([quote(price=0), dear], 10) == 0
    assert sent([quote(request=7)], 10) == 17


def test_what_is_sent_is_within_the_ceiling_and_the_input_that_it_counts_with() -> None:
    assert sent([quote(ceiling=4), quote(price=5_000_000)], 10) == 4
    assert sent([quote(input_limit=3)], 10) == 3


@given(chunks=st.integers(0, 300), held=st.integers(0, 500), price=st.sampled_from([0, 1, 1_000_000, 2_000_000]))
def test_it_only_grows_and_stays_within_the_hold(chunks: int, held: int, price: int) -> None:
    offered, meter = quote(price=price), Meter(CALL)
    before = counted(offered, meter, held_msat=held)
    assert before == min(held, sent([offered], INPUT))
    for _ in range(chunks):
        meter.sift(CHUNK)
        now = counted(offered, meter, held_msat=held)
        assert before <= now <= held
        before = now
    most = offered.price.cost(input_tokens=INPUT, output_tokens=min(chunks, 100))
    assert before == min(held, most)
    assert not exhausted(offered, meter)


def test_it_is_exhausted_once_more_came_than_the_limit_can_be() -> None:
    meter = Meter(CALL)
    meter.sift(CHUNK * (100 * 128 // 4 - 1))
    assert not exhausted(quote(), meter)
    meter.sift(CHUNK)
    assert exhausted(quote(), meter)
