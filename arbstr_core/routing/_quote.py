"""An offer and a call: whether the one fits the other, what that costs and can cost, and tighter bounds of that."""

from __future__ import annotations

import math

import msgspec

from arbstr_core.routing._fields import brings, choices, demands, refused, ruled, with_fees
from arbstr_core.types import (
    TOKENS_PER_RATE,
    ChatCall,
    Excluded,
    Expected,
    Listing,
    Msat,
    MsatPrice,
    Offer,
    Quote,
    Standing,
    ceil_div,
)
from arbstr_core.wire import shared_bytes

_FEWEST_BYTES_PER_TOKEN = 16
"""No text packs more bytes than this into a token for long; only a prompt beyond it surely does not fit."""
_USUAL_BYTES_PER_TOKEN = 4
_LEAST_AFFORDED = 256
_LEAST_CACHED = 1024
"""tokens: what providers' caches begin at"""
_NO_NODES: frozenset[str] = frozenset()
CACHE_SECONDS = 300.0
"""how long a provider keeps a prompt in its cache after it was used"""


class Pricer:
    """Holds offers against one call; what they share of it is found once.

    `output_tokens` is the limit where the caller sent none, in tokens a choice. `cache_seconds` is how long a prompt
    may be taken to be in a provider's cache.
    """

    __slots__ = (
        *("_asked", "_cache_ms", "_call", "_choices", "_habits", "_input", "_limit", "_model", "_nodes", "_plain"),
        *("_prompt", "_size", "_text", "_usual"),
    )

    def __init__(
        self,
        call: ChatCall,
        standing: Standing = Standing(),  # noqa: B008 - frozen
        *,
        output_tokens: int = 4096,
        cache_seconds: float = CACHE_SECONDS,
    ) -> None:
        self._call = call
        self._asked = demands(call)
        self._habits = standing.habits
        self._cache_ms = cache_seconds * 1000
        self._size = len(call.body)
        self._text = self._size - call.attached_bytes
        self._input = ceil_div(self._text, _USUAL_BYTES_PER_TOKEN)
        self._limit = output_tokens if call.output_limit is None else call.output_limit
        self._choices = choices(call) if call.billed_choices > 1 or "best_of" in call.members else call.choices
        self._plain = not (call.attachments or call.elsewhere or self._asked)
        warm = self._habits.warm
        self._nodes = frozenset([node for _, node, _ in warm]) if warm else _NO_NODES
        self._prompt: bytes | None = None
        self._model = ""
        self._usual: float | None = None

    def unfit(self, listing: Listing) -> Excluded | None:
        """Why the offer cannot serve the call; None where it can."""
        offer, call, asked = listing.offer, self._call, self._asked
        if not call.features <= offer.features:
            return out_of(offer, f"lacks {', '.join(sorted(call.features - offer.features))}")
        if offer.max_choices is not None and choices(call) > offer.max_choices:
            return out_of(offer, f"gives at most {offer.max_choices} choices (n)", "n")
        if offer.fields:
            asked = ruled(offer, call, asked)
        if asked and (why := refused(listing, asked)):
            return out_of(offer, why[1], why[0])
        if offer.context_window is not None:
            if self._text > offer.context_window * _FEWEST_BYTES_PER_TOKEN:
                return out_of(offer, f"the request does not fit its context of {offer.context_window} tokens")
        elif field := self._from_elsewhere(listing):
            remedy = "send the content itself, or set context for this offer"
            return out_of(offer, f"cannot bound what {field} brings from elsewhere: {remedy}", field)
        return None

    def quote(self, listing: Listing) -> Quote:
        """The offer priced for the call."""
        offer, price, cost_price = listing.offer, listing.price, listing.cost_price
        if offer.fields:
            price, cost_price = with_fees(listing, ruled(offer, self._call, self._asked))
        limit, choices, largest, window = self._limit, self._choices, offer.max_output_tokens, offer.context_window
        if largest is not None and largest < limit:
            limit = largest
        if window is not None and window < limit:
            limit = window
        most_input = self._most_input(listing)
        given = self._input if self._input < most_input else most_input
        output = self._output(offer.model, limit) * choices
        tokens, cached = given * price.input + output * price.output, 0
        if price.cached_input < price.input and offer.node in self._nodes:
            cached = self._cached(offer, given)
            tokens -= cached * (price.input - price.cached_input)
        return Quote(
            offer=offer,
            price=price,
            cost_price=cost_price,
            cost_msat=Msat(-(-tokens // TOKENS_PER_RATE) + price.request),
            ceiling_msat=_ceiling(price, most_input, limit * choices),
            input_limit=most_input,
            output_limit=limit,
            choices=choices,
            fx=listing.fx,
            expected=Expected(given, cached, output),
        )

    def _output(self, model: str, limit: int) -> int:
        """The tokens that a choice is expected to have: what is usual for this caller and model, within the limit."""
        if model != self._model:
            self._model, self._usual = model, self._habits.output(model)
        usual = self._usual
        return limit if usual is None or usual >= limit else math.ceil(usual)

    def _cached(self, offer: Offer, given: int) -> int:
        """The tokens of input that the offer is likely to have in its cache, because it was sent them a while ago."""
        key = offer.key
        warm = self._habits.warm.get(key)
        if warm is None or self._call.arrived_ms - warm.at_ms > self._cache_ms:
            return 0
        if self._prompt is None:
            self._prompt = self._call.prompt()
        tokens = shared_bytes(warm.marks, self._prompt) // _USUAL_BYTES_PER_TOKEN
        if tokens < _LEAST_CACHED:
            return 0
        return min(given, int(tokens * self._habits.hits.get(key, 1.0)))

    def _most_input(self, listing: Listing) -> int:
        offer = listing.offer
        factor, window = offer.input_factor, offer.context_window
        bounded = (self._size if factor == 1.0 else math.ceil(self._size * factor)) + offer.input_overhead
        if not self._plain:
            bounded += self._call.attachments * offer.attachment_tokens
        if window is None:
            return bounded
        return window if bounded > window or (not self._plain and self._from_elsewhere(listing)) else bounded

    def _from_elsewhere(self, listing: Listing) -> str | None:
        """The field whose content the body does not hold, so that its bytes bound nothing; None where nobody pays."""
        if self._call.elsewhere is None and not self._asked:
            return None
        return None if listing.price.free else self._call.elsewhere or brings(self._asked)


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


def _ceiling(price: MsatPrice, most_input: int, output: int) -> Msat:
    dearest_input = price.input if price.input > price.cached_input else price.cached_input
    return Msat(-(-(most_input * dearest_input + output * price.output) // TOKENS_PER_RATE) + price.request)


def of_another_realm(offer: Offer, realm: str) -> Excluded:
    """Why an offer is not for an agent whose money is of `realm`."""
    return out_of(offer, f"is paid with money of {offer.prepaid}, and the agent's is of {realm}")


def out_of(offer: Offer, reason: str, field: str | None = None) -> Excluded:
    """`offer` is out, for a reason, to which a field of the request may be to blame."""
    return Excluded(provider=offer.provider, model=offer.model, reason=reason, field=field, node=offer.node)
