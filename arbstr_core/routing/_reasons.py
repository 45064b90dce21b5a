"""Why a plan is as it is, and why there is none, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arbstr_core.routing._tiers import Demanded
from arbstr_core.types import TOKENS_PER_RATE, ChatCall, Excluded, Quote, Record, Standing, Tier

_MOST_NAMED = 10


def no_plan(start: str, call: ChatCall, out: Sequence[Excluded]) -> str:
    """Why nobody can be asked; of many that are out, the first few."""
    why = "; ".join(f"{_seller(row.provider, row.node)}: {row.reason}" for row in out[:_MOST_NAMED])
    if len(out) > _MOST_NAMED:
        why += f"; and {len(out) - _MOST_NAMED} more"
    return f"{start} for model {call.model!r}" + (f" ({why})" if why else "")


def who_comes_first(
    call: ChatCall,
    strategy: str,
    demanded: Demanded,
    serving: Sequence[Quote],
    spare: Sequence[Quote],
    standing: Standing,
) -> Iterator[str]:
    """Why the first of `serving` is the first; `spare` stand in for them."""
    first = serving[0]
    tier = first.offer.tier
    if demanded.ceiling is not Tier.FRONTIER and tier.rank > demanded.ceiling.rank:
        yield f"no offer of tier {demanded.ceiling} is left: escalated to {tier}"
    said = f"{strategy}: {_named(call, first)} is expected to cost {first.cost_msat} msat"
    expected = first.expected
    said += f" for {expected.input} tokens in, {expected.output} out"
    if len(serving) > 1:
        second = serving[1]
        yield f"{said}; {_named(call, second)} {second.cost_msat} msat"
        if expected.cached:
            yield _cached(call, first, second)
        if first.cost_msat > second.cost_msat:
            yield f"{_record(call, first, standing)}; {_record(call, second, standing)}"
    else:
        yield said if spare else f"{said}; nobody else qualifies"
    if spare:
        yield f"{_named(call, spare[0])}, of tier {spare[0].offer.tier}, stands in where that fails"


def _cached(call: ChatCall, first: Quote, second: Quote) -> str:
    price, cached = first.price, first.expected.cached
    saved = cached * (price.input - price.cached_input) // TOKENS_PER_RATE
    said = f"{_named(call, first)} was asked last, and has about {cached} tokens in its cache, which saves {saved} msat"
    gap = first.cost_msat + saved - second.cost_msat
    return f"{said}: more than the {gap} msat that {_named(call, second)} is cheaper by" if gap > 0 else said


def _record(call: ChatCall, quote: Quote, standing: Standing) -> str:
    record, reputation, name = standing.of(quote.offer), quote.offer.reputation, _named(call, quote)
    said = f"{name} begins after {record.first_byte_ms:.0f} ms, and succeeds {record.success:.0%}"
    if record == Record():
        said = f"{name} is not known yet"
    if reputation < 1:
        said += f", and is taken for {quote.cost_msat / reputation:.0f} msat, for its word has held by {reputation:.0%}"
    return said


def _named(call: ChatCall, quote: Quote) -> str:
    offer = quote.offer
    seller = _seller(offer.provider, offer.node)
    return seller if offer.model == call.model else f"{seller} ({offer.model})"


def _seller(provider: str, node: str) -> str:
    """A provider, with its node where it has several."""
    return f"{provider}/{node}" if node else provider
