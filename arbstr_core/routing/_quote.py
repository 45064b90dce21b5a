"""An offer and a call: whether the one fits the other, what that costs at most, and how the bound can be tighter."""

from __future__ import annotations

import math

import msgspec

from arbstr_core.routing._fields import Demand, brings, choices, refused, ruled, with_fees
from arbstr_core.types import TOKENS_PER_RATE, ChatCall, Excluded, Listing, Msat, MsatPrice, Offer, Quote, ceil_div

_FEWEST_BYTES_PER_TOKEN = 16
"""No text packs more bytes than this into a token for long; only a prompt beyond it surely does not fit."""
_USUAL_BYTES_PER_TOKEN = 4
_LEAST_AFFORDED = 256


def unfit(listing: Listing, call: ChatCall, asked: tuple[Demand, ...]) -> Excluded | None:
    """Why the offer cannot serve `call`, which asks for `asked` beyond plain fields; None where it can."""
    offer = listing.offer
    if call.endpoint not in offer.endpoints:
        return _out(offer, f"does not speak /v1/{call.endpoint}")
    missing = call.features - offer.features
    if missing:
        return _out(offer, f"lacks {', '.join(sorted(missing))}")
    if offer.max_choices is not None and choices(call) > offer.max_choices:
        return _out(offer, f"gives at most {offer.max_choices} choices (n)", "n")
    if offer.fields:
        asked = ruled(offer, call, asked)
    if asked and (why := refused(listing, asked)):
        return _out(offer, why[1], why[0])
    if offer.context_window is not None:
        if len(call.body) - call.attached_bytes > offer.context_window * _FEWEST_BYTES_PER_TOKEN:
            return _out(offer, f"the request does not fit its context of {offer.context_window} tokens")
    elif field := _from_elsewhere(listing, call, asked):
        return _out(
            offer,
            f"cannot bound what {field} brings from elsewhere: send the content itself, or set context for this offer",
            field,
        )
    return None


def priced(listing: Listing, call: ChatCall, asked: tuple[Demand, ...], output_tokens: int) -> Quote:
    """The offer priced for this call. `output_tokens` is the limit where the caller sent none, in tokens a choice."""
    offer = listing.offer
    price, cost_price = listing.price, listing.cost_price
    if offer.fields:
        price, cost_price = with_fees(listing, ruled(offer, call, asked))
    limit = call.output_limit if call.output_limit is not None else output_tokens
    for most in (offer.max_output_tokens, offer.context_window):
        if most is not None and most < limit:
            limit = most
    billed = call.choices if "best_of" not in call.members else choices(call)
    most_input = _most_input(listing, call, asked)
    expected_input = ceil_div(len(call.body) - call.attached_bytes, _USUAL_BYTES_PER_TOKEN)
    return Quote(
        offer=offer,
        price=price,
        cost_price=cost_price,
        cost_msat=price.cost(input_tokens=min(expected_input, most_input), output_tokens=limit * billed),
        ceiling_msat=_ceiling(price, most_input, limit * billed),
        input_limit=most_input,
        output_limit=limit,
        choices=billed,
        fx=listing.fx,
    )


def tightened(quote: Quote, input_tokens: int) -> Quote:
    """`quote` for a call whose input is known to be `input_tokens`, by the provider's own tokenizer."""
    known = max(input_tokens, 0)
    if known >= quote.input_limit:
        return quote
    ceiling = _ceiling(quote.price, known, quote.output_limit * quote.choices)
    return msgspec.structs.replace(
        quote, input_limit=known, ceiling_msat=ceiling, cost_msat=min(quote.cost_msat, ceiling)
    )


def afford(quote: Quote, room_msat: int) -> Quote | None:
    """`quote` with the largest output limit whose ceiling is within `room_msat`.

    None where that is below 256 tokens, or below half of what was asked for. A quote that fits is returned as it is.
    """
    if quote.ceiling_msat <= room_msat:
        return quote
    price = quote.price
    a_token = price.output * quote.choices
    if not a_token:
        return None
    room = (room_msat - price.request) * TOKENS_PER_RATE - quote.input_limit * max(price.input, price.cached_input)
    limit = room // a_token
    if limit < max(_LEAST_AFFORDED, ceil_div(quote.output_limit, 2)):
        return None
    ceiling = _ceiling(price, quote.input_limit, limit * quote.choices)
    assert ceiling <= room_msat, "what is afforded is within the room"
    return msgspec.structs.replace(
        quote, output_limit=limit, ceiling_msat=ceiling, cost_msat=min(quote.cost_msat, ceiling)
    )


def _most_input(listing: Listing, call: ChatCall, asked: tuple[Demand, ...]) -> int:
    offer = listing.offer
    bounded = math.ceil(len(call.body) * offer.input_factor) + offer.input_overhead
    if call.attachments:
        bounded += call.attachments * offer.attachment_tokens
    if offer.context_window is None:
        return bounded
    return offer.context_window if _from_elsewhere(listing, call, asked) else min(bounded, offer.context_window)


def _from_elsewhere(listing: Listing, call: ChatCall, asked: tuple[Demand, ...]) -> str | None:
    """The field whose content the body does not hold, so that its bytes bound nothing; None where nobody pays."""
    if call.elsewhere is None and not asked:
        return None
    return None if listing.price.free else call.elsewhere or brings(asked)


def _ceiling(price: MsatPrice, most_input: int, output: int) -> Msat:
    dearest_input = max(price.input, price.cached_input)
    return Msat(ceil_div(most_input * dearest_input + output * price.output, TOKENS_PER_RATE) + price.request)


def _out(offer: Offer, reason: str, field: str | None = None) -> Excluded:
    return Excluded(provider=offer.provider, model=offer.model, reason=reason, field=field)
