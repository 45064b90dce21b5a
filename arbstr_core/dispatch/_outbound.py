"""The request as one provider gets it: the caller's bytes, with only what must change spliced in."""

from __future__ import annotations

import json

from arbstr_core.api import Outbound
from arbstr_core.types import ChatCall, Endpoint, Passthrough, Quote
from arbstr_core.wire import codec_of, members, splice

_JSON = {"content-type": "application/json", "accept": "application/json"}
_VERSION, _BETA = "anthropic-version", "anthropic-beta"
_KNOBS = "provider"
_EVENTS = {"content-type": "application/json", "accept": "text/event-stream"}


def outbound(call: ChatCall, quote: Quote, *, others: bool = False) -> Outbound:
    """What to send for `call` to the provider of `quote`: its model name, an output limit, and a wish for usage.
    `others` where there are other candidates."""
    call = quote.translated or call
    offer, codec = quote.offer, codec_of(call.endpoint)
    values: dict[str, bytes] = {}
    if offer.upstream != (call.named or call.model):
        values["model"] = json.dumps(offer.upstream).encode()
    limit = str(quote.output_limit).encode()
    # An endpoint may know, or take, only one of several names for the limit.
    names, without = codec.limit_names(offer.limit_field)
    for name in names:
        if call.raw(name) != limit:
            values[name] = limit
    if call.stream and codec.asks_usage and not call.include_usage:
        values["stream_options"] = _with_usage(call.raw("stream_options"))
    gone: tuple[str, ...] = ()
    for name in without:
        if name in call.members:
            gone = (*gone, name)
    if _KNOBS in call.members and not _takes_knobs(quote):
        gone = (*gone, _KNOBS)
    body = splice(call.body, call.members, values, gone) if values or gone else call.body
    headers = _EVENTS if call.stream else _JSON
    if call.endpoint is Endpoint.MESSAGES:
        headers = headers | _anthropics(call, quote)
    return Outbound(endpoint=call.endpoint, headers=headers, body=body, stream=call.stream, others=others)


def _takes_knobs(quote: Quote) -> bool:
    """The caller's wishes of routing are ours to fulfil, and no provider's, unless one says so."""
    rule = quote.offer.fields.get(_KNOBS)
    return rule is not None and rule.taken


def _anthropics(call: ChatCall, quote: Quote) -> dict[str, str]:
    """The version that the caller speaks; and the betas that it wants, where the offer takes what is not known here."""
    said = {_VERSION: call.hints.get(_VERSION, "2023-06-01")}
    offer, betas = quote.offer, call.hints.get(_BETA)
    rule = offer.fields.get(_BETA)
    taken = rule.taken if rule is not None else quote.price.free or offer.passthrough is Passthrough.ALL
    return said | {_BETA: betas} if betas is not None and taken else said


def _with_usage(options: bytes | None) -> bytes:
    if options is None or not options.startswith(b"{"):
        return b'{"include_usage":true}'
    return splice(options, members(options), {"include_usage": b"true"})
