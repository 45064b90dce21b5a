"""The few fields of a request that arbstr reads: decoded one by one, each with a sentence where it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from arbstr_core.types import BadRequest, Feature
from arbstr_core.wire._content import TEXT_ONLY, Content
from arbstr_core.wire._json import MalformedJson, Span

_MOST_OUTPUT = 100_000_000
_MOST_CHOICES = 128


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint's request asks for; the fields are those of ChatCall."""

    stream: bool = False
    include_usage: bool = False
    output_limit: int | None = None
    choices: int = 1
    billed_choices: int = 1
    features: frozenset[Feature] = frozenset()
    content: Content = TEXT_ONLY
    inside: frozenset[str] = frozenset()


class _Options(msgspec.Struct):
    include_usage: bool | None = None


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


class Reader:
    """Decodes one top-level member of `body`; null counts as absent."""

    __slots__ = ("_spans", "body")

    def __init__(self, body: bytes, spans: Mapping[str, Span]) -> None:
        self.body = body
        self._spans = spans

    def raw(self, key: str) -> bytes | None:
        """The JSON of a member; None where there is none, or null."""
        span = self._spans.get(key)
        if span is None:
            return None
        raw = self.body[span[0] : span[1]]
        return None if raw == b"null" else raw

    def __call__(self, key: str, kind: Any, what: str) -> Any:
        """The member as `kind`, which is `what` in words. Raises BadRequest."""
        span = self._spans.get(key)
        if span is None:
            return None
        raw = self.body[span[0] : span[1]]
        if raw == b"null":
            return None
        try:
            return _decoder(kind).decode(raw)
        except (msgspec.MsgspecError, RecursionError):
            shown = raw[:40].decode(errors="replace")
            raise BadRequest(f"{key} must be {what}, not {shown}", param=key) from None

    def needed(self, key: str, starts: bytes, what: str) -> bytes:
        """The JSON of a member that has to be there, and to start with one of `starts`. Raises BadRequest."""
        raw = self.raw(key)
        if raw is None:
            raise BadRequest(f"The request has no {key}", param=key)
        if raw[0] not in starts:
            raise BadRequest(f"{key} must be {what}", param=key)
        return raw

    def stream(self) -> bool:
        """Whether the reply is to be streamed."""
        return bool(self("stream", bool, "true or false"))

    def wants_usage(self) -> bool:
        """Whether a stream is to say what it used."""
        options = self("stream_options", _Options, "an object with include_usage")
        return bool(options and options.include_usage)

    def tokens(self, *keys: str) -> int | None:
        """A limit in tokens: the smallest of the names it has."""
        limits = []
        for key in keys:
            if key in self._spans and (limit := self(key, int, "a whole number of tokens")) is not None:
                if not 1 <= limit <= _MOST_OUTPUT:
                    raise BadRequest(f"{key} must be from 1 to {_MOST_OUTPUT}, not {limit}", param=key)
                limits.append(limit)
        return min(limits) if limits else None

    def choices(self, key: str = "n") -> int:
        """How many choices are asked for."""
        choices = self(key, int, "a whole number")
        if choices is None:
            return 1
        if not 1 <= choices <= _MOST_CHOICES:
            raise BadRequest(f"{key} must be from 1 to {_MOST_CHOICES}, not {choices}", param=key)
        return int(choices)

    def decoded(self, key: str) -> Any:
        """The member as it is. Raises BadRequest."""
        raw = self.raw(key)
        try:
            return None if raw is None else msgspec.json.decode(raw)
        except (msgspec.MsgspecError, RecursionError) as bad:
            raise BadRequest(f"{key} cannot be read: {bad}", param=key) from None


def unreadable(key: str, bad: MalformedJson) -> BadRequest:
    """The error for a part of a request that cannot be looked into."""
    return BadRequest(f"The {key} cannot be read: {bad}", param=key.split(" ")[0])
