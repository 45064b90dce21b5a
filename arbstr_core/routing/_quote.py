"""An offer and a call: whether the one fits the other, and what that costs at most."""

from __future__ import annotations

import math

from arbstr_core.types import ChatCall, Listing, Msat, Offer, Quote, ceil_div

_FEWEST_BYTES_PER_TOKEN = 16
"""No text packs more bytes than this into a token for long; only a prompt beyond it surely does not fit."""
_USUAL_BYTES_PER_TOKEN = 4


def unfit(offer: Offer, call: ChatCall) -> str | None:
    """Why `offer` cannot serve `call`, in a sentence; None where it can."""
    if call.endpoint not in offer.endpoints:
        return f"does not speak /v1/{call.endpoint}"
    missing = call.features - offer.features
    if missing:
        return f"lacks {', '.join(sorted(missing))}"
    if offer.max_choices is not None and call.choices > offer.max_choices:
        return f"gives at most {offer.max_choices} choices (n)"
    barred = offer.refused_fields & call.members.keys()
    if barred:
        return f"does not take {', '.join(sorted(barred))}"
    if offer.context_window is not None and len(call.body) > offer.context_window * _FEWEST_BYTES_PER_TOKEN:
        return f"the request does not fit its context of {offer.context_window} tokens"
    return None


def priced(listing: Listing, call: ChatCall, output_tokens: int) -> Quote:
    """The offer priced for this call. `output_tokens` is the limit where the caller sent none, in tokens a choice."""
    offer, price = listing.offer, listing.price
    limit = call.output_limit if call.output_limit is not None else output_tokens
    if offer.max_output_tokens is not None:
        limit = min(limit, offer.max_output_tokens)
    size = len(call.body)
    most_input = math.ceil(size * offer.input_factor) + offer.input_overhead
    if offer.context_window is not None:
        most_input = min(most_input, offer.context_window)
    output = limit * call.choices
    expected_input = min(ceil_div(size, _USUAL_BYTES_PER_TOKEN), most_input)
    dearest_input = max(price.input, price.cached_input)
    ceiling = Msat(ceil_div(most_input * dearest_input + output * price.output, 1_000_000) + price.request)
    return Quote(
        offer=offer,
        price=price,
        cost_price=listing.cost_price,
        cost_msat=price.cost(input_tokens=expected_input, output_tokens=output),
        ceiling_msat=ceiling,
        input_limit=most_input,
        output_limit=limit,
        fx=listing.fx,
    )
