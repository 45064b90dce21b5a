"""What a caller wishes of routing, done: who is out, and in which order the others are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arbstr_core.routing._quote import out_of
from arbstr_core.types import Excluded, Knobs, MaxPrice, Offer, Quote, Rate, Sort, Standing


def wished(knobs: Knobs, quotes: tuple[Quote, ...], excluded: list[Excluded]) -> tuple[Quote, ...]:
    """Those of `quotes` that the caller wants; the others join `excluded`."""
    kept = []
    for quote in quotes:
        found = _unwanted(knobs, quote)
        if found is None:
            kept.append(quote)
        else:
            knob, reason = found
            excluded.append(out_of(quote.offer, reason, knob))
    return tuple(kept)


def in_wished_order(knobs: Knobs, ordered: Sequence[Quote], standing: Standing) -> list[Quote]:
    """`ordered` as the caller wants it: sorted, and those it names in `order` first."""
    quotes = list(ordered)
    if knobs.sort is not None:
        quotes.sort(key=lambda quote: _key(knobs.sort, quote, standing))
    if knobs.order:
        quotes.sort(key=lambda quote: _place(knobs.order, quote.offer))
    return quotes


def said_of_order(knobs: Knobs) -> list[str]:
    """Why the order is another than the strategy's; empty where it is not."""
    said = []
    if knobs.sort is not None:
        said.append(f"sorted by {knobs.sort}, as the request asks")
    if knobs.order:
        said.append(f"in the order that the request asks for: {', '.join(knobs.order)}")
    if not knobs.allow_fallbacks:
        said.append("without anyone to fall back on" if not knobs.order else "with nobody else to fall back on")
    return said


def _unwanted(knobs: Knobs, quote: Quote) -> tuple[str, str] | None:
    """(the knob, the reason) why the caller does not want `quote`."""
    offer = quote.offer
    if knobs.only is not None and not _named(knobs.only, offer):
        return "provider.only", "is not among those that the request asks for"
    if _named(knobs.ignore, offer):
        return "provider.ignore", "is among those that the request does not want"
    if knobs.order and not knobs.allow_fallbacks and not _named(knobs.order, offer):
        return "provider.order", "is not among those that the request asks for, and it wants no others"
    if knobs.free and not quote.price.free:
        return "model", "costs something, and the request asks for what is free"
    above = None if knobs.max_price is None else _above(knobs.max_price, quote)
    return None if above is None else ("provider.max_price", above)


def _above(most: MaxPrice, quote: Quote) -> str | None:
    price = quote.price
    for what, rate, found in (
        ("input", most.prompt, price.input),
        ("output", most.completion, price.output),
        ("a request", most.request, price.request),
    ):
        if rate is not None and found > _msat(rate):
            return f"costs {found} msat for {what}, more than the {_msat(rate)} that the request allows"
    return None


def _msat(rate: Rate) -> int:
    assert not rate.usd, "dollars were changed before"
    return int(rate.value)


def _named(names: Sequence[str], offer: Offer) -> bool:
    return bool(names) and not _words(offer).isdisjoint(names)


def _place(order: Sequence[str], offer: Offer) -> int:
    words = _words(offer)
    return next((place for place, name in enumerate(order) if name in words), len(order))


def _words(offer: Offer) -> set[str]:
    """What a provider is called: `stem.instance`, its instance alone, its stem, its node."""
    whole = offer.provider.casefold()
    stem, _, instance = whole.partition(".")
    return {word for word in (whole, stem, instance, offer.node.casefold()) if word}


def _key(sort: Sort | None, quote: Quote, standing: Standing) -> tuple[Any, ...]:
    offer = quote.offer
    record = standing.of(offer)
    if sort is Sort.PRICE:
        return (quote.cost_msat, -record.success, record.first_byte_ms, *offer.key)
    return (standing.queue(offer), record.first_byte_ms, -record.success, quote.cost_msat, *offer.key)
