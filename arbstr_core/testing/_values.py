"""Owns builders for the values a plugin meets, each whole with sensible defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from arbstr_core.api import Caller, ChatCall, Endpoint, Msat, MsatPrice, Offer, Outbound, Price, Quote
from arbstr_core.wire import look_into, members, server_tools

A_PRICE = MsatPrice(input=500_000, cached_input=250_000, output=1_000_000)
"""500, 250 and 1000 sat per million tokens."""
NOTHING = MsatPrice(input=0, cached_input=0, output=0)


def an_offer(
    *, provider: str = "acme", model: str = "model-a", upstream: str = "", price: Price = A_PRICE, **more: Any
) -> Offer:
    """An offer; any field of `Offer` may be given."""
    return Offer(provider=provider, model=model, upstream=upstream or model, price=price, **more)


def a_quote(
    offer: Offer | None = None,
    *,
    price: MsatPrice | None = None,
    cost_msat: int | None = None,
    ceiling_msat: int | None = None,
    input_tokens: int = 300,
    output_limit: int = 1000,
) -> Quote:
    """A quote of `offer` for a call of 300 input tokens and at most 1000 of output.

    Its costs follow from its price unless they are given, in msat.
    """
    offer = offer or an_offer()
    if price is None:
        price = offer.price if isinstance(offer.price, MsatPrice) else NOTHING
    cost = price.cost(input_tokens=input_tokens, output_tokens=output_limit)
    return Quote(
        offer=offer,
        price=price,
        cost_price=price,
        cost_msat=cost if cost_msat is None else Msat(cost_msat),
        ceiling_msat=Msat(max(cost, cost_msat or 0) if ceiling_msat is None else ceiling_msat),
        output_limit=output_limit,
        input_limit=input_tokens,
    )


def a_call(
    text: str = "Say hello",
    *,
    model: str = "model-a",
    messages: list[dict[str, Any]] | None = None,
    hints: Mapping[str, str] | None = None,
    stream: bool = False,
    output_limit: int | None = None,
    fields: Mapping[str, Any] | None = None,
) -> ChatCall:
    """A chat call whose last user message is `text`, or one of `messages`. `fields` go into its body as they are."""
    said = [{"role": "user", "content": text}] if messages is None else messages
    content: dict[str, Any] = {"model": model, "messages": said, **(fields or {})}
    if stream:
        content["stream"] = True
    if output_limit is not None:
        content["max_tokens"] = output_limit
    body = msgspec.json.encode(content)
    inside = look_into(msgspec.json.encode(said))
    return ChatCall(
        id="req_kit",
        endpoint=Endpoint.CHAT,
        model=model,
        body=body,
        members=members(body),
        stream=stream,
        output_limit=output_limit,
        attachments=inside.attachments,
        attached_bytes=inside.attached_bytes,
        elsewhere=inside.elsewhere,
        inside=inside.inside | server_tools(msgspec.json.encode(content.get("tools") or [])),
        hints=hints or {},
        arrived_ms=1_750_000_000_000,
    )


def an_outbound(text: str = "Say hello", *, model: str = "model-a", stream: bool = False, **fields: Any) -> Outbound:
    """What the kernel sends for `a_call(text)`: usage asked for, an output limit set. `fields` go into its body."""
    asked: dict[str, Any] = {"max_tokens": 1000, **fields}
    if stream:
        asked = {"stream_options": {"include_usage": True}, **asked}
    body = a_call(text, model=model, stream=stream, fields=asked).body
    headers = {"content-type": "application/json"}
    return Outbound(endpoint=Endpoint.CHAT, headers=headers, body=body, stream=stream)


def a_caller(**more: Any) -> Caller:
    """An agent with simulated money."""
    return Caller(**{"agent": "ag_kit", "name": "kit", "realm": "sim", **more})
