"""Owns what is read of a call: how much of its node's money it may need, and how much text goes in."""

from __future__ import annotations

import msgspec

from arbstr_core.api import Msat, MsatPrice, Offer

_BYTES_PER_TOKEN = 3
"""as nodes reckon before a call, only that they count characters"""
_SPARE_TOKENS = 100
_USUAL_OUTPUT = 4096
_PER_MESSAGE = 4
"""tokens that a chat template adds to a message, about"""


class _Part(msgspec.Struct):
    type: str = ""
    text: str = ""


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None


class _Asked(msgspec.Struct):
    messages: list[_Message] = []
    max_tokens: int | None = None
    n: int | None = None
    tools: msgspec.Raw | None = None


_DECODER = msgspec.json.Decoder(_Asked)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One call: `need` is what its node may set aside for it, msat; `tokens` the input that its text is, about, None
    where there is more in it than text."""

    need: Msat
    tokens: float | None = None


def read(body: bytes, offer: Offer) -> Asked:
    """What a call asks for."""
    try:
        asked = _DECODER.decode(body)
    except msgspec.MsgspecError:
        asked = _Asked(tools=msgspec.Raw(b"0"))
    price = offer.price
    assert isinstance(price, MsatPrice), "what is sold here has a price in msat"
    output = (asked.max_tokens or offer.max_output_tokens or _USUAL_OUTPUT) * max(1, asked.n or 1)
    need = price.cost(input_tokens=len(body) // _BYTES_PER_TOKEN + _SPARE_TOKENS, output_tokens=max(0, output))
    return Asked(need=need, tokens=None if asked.tools is not None else _tokens(asked.messages))


def _tokens(messages: list[_Message]) -> float | None:
    size = 0
    for message in messages:
        if isinstance(message.content, str):
            size += len(message.content.encode())
        for part in message.content if isinstance(message.content, list) else ():
            if part.type != "text":
                return None
            size += len(part.text.encode())
    return about(size) + _PER_MESSAGE * len(messages)


def about(size: int) -> float:
    """The tokens in so many bytes of text, about."""
    return size / 4


def size(tokens: float) -> int:
    """The bytes of text that are about so many tokens."""
    return int(tokens * 4)
