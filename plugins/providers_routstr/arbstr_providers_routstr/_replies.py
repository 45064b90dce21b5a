"""Owns a node's reply: its own cost fields are taken out of what the caller sees, read, and handed over at its end.

The cost is an object in `usage.cost` (routstr-core 0.4), a number of dollars there in older nodes, and a header where
the reply does not stream. What carries none of them costs nothing only if it came to its end without usage.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from arbstr_core.api import CallFacts, Msat, Reply, Usage, UsageSource

_COST_HEADER = "x-routstr-cost-msats"
_MARKS = (b'"cost"', b'"usage"', b'"metadata"', b'"provider"', b'"remaining_balance_msats"')
_OF_USAGE = frozenset({"cost", "cost_sats", "sats_cost", "cost_details", "remaining_balance_msats"})
_OF_REPLY = frozenset({"cost", "provider", "remaining_balance_msats"})
_MOST_COST = 10**15
_MOST_TOKENS = 10**9


class _Text(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: Any = None


class _Choice(msgspec.Struct):
    delta: _Text | None = None
    message: _Text | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Any = 0
    completion_tokens: Any = 0
    prompt_tokens_details: Any = None
    cost: Any = None
    remaining_balance_msats: Any = None


class _Body(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None


class _Bare(msgspec.Struct):
    usage: _Usage | None = None


_BODY = msgspec.json.Decoder(_Body)
_BARE = msgspec.json.Decoder(_Bare)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Said(msgspec.Struct):
    """What a reply said, up to now."""

    usage: Usage | None = None
    cost_msat: int | None = None
    remaining_msat: int | None = None
    told: dict[str, Any] = {}
    text_bytes: int = 0
    tools: bool = False
    """there was output other than text"""
    whole: bool = False
    """it came to its end"""


class NodeReply(Reply):
    """A reply of a node. `ended` is told once, when it is let go of, what was said."""

    def __init__(self, inner: Reply, ended: Callable[[Said], None]) -> None:
        super().__init__(inner.status, inner.headers, inner.batches(), close=self._close_inner)
        self._inner = inner
        self._told_end = ended
        self._refusal: bytes | None = None
        self.said = Said()

    @property
    def ended(self) -> bool:
        """True once the whole body is here."""
        return self._inner.ended

    async def read(self, limit: int) -> bytes:
        """The whole body, less the cost fields."""
        if self._refusal is not None:
            return self._refusal
        body = await self._inner.read(limit)
        if self.status != 200:
            self._refusal = body
            return body
        self.said.whole = True
        cost = self.headers.get(_COST_HEADER, "")
        body = self._pass(body)
        if self.said.cost_msat is None and cost.isascii() and cost.isdigit() and len(cost) < 16:
            self.said.cost_msat = int(cost)
        return body

    async def batches(self) -> AsyncIterator[bytes]:
        """The events as they come, less the cost fields."""
        async for events in self._inner.events():
            yield b"".join(map(self._event, events))

    def facts(self) -> CallFacts:
        """What it cost, by the node's word, and what else it said of that."""
        said = self.said
        cost = said.cost_msat
        if cost is None and said.usage is None and said.whole:
            cost = 0
        return CallFacts(cost_msat=None if cost is None else Msat(cost), told=said.told)

    async def _close_inner(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._told_end(self.said)

    def _event(self, event: bytes) -> bytes:
        lines = event.splitlines()
        data = b"\n".join(line[5:].lstrip(b" ") for line in lines if line.startswith(b"data:"))
        if data == b"[DONE]":
            self.said.whole = True
        if not data.startswith(b"{"):
            return event
        kept = self._pass(data)
        return event if kept is data else b"data: " + kept + b"\n\n"

    def _pass(self, body: bytes) -> bytes:
        """Read one JSON object, and take the cost fields out of it; the same bytes where there are none."""
        seen = _seen(body)
        for choice in seen.choices or ():
            self._count(choice.delta or choice.message)
        if not any(mark in body for mark in _MARKS):
            return body
        if seen.usage is not None:
            self._note(seen.usage)
        return self._without(body)

    def _count(self, text: _Text | None) -> None:
        if text is None:
            return
        for part in (text.content, text.reasoning_content, text.reasoning):
            if isinstance(part, str):
                self.said.text_bytes += len(part.encode())
        self.said.tools |= bool(text.tool_calls)

    def _note(self, usage: _Usage) -> None:
        details = usage.prompt_tokens_details
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        came, went = _tokens(usage.completion_tokens), _tokens(usage.prompt_tokens)
        if came is not None and went is not None:
            self.said.usage = Usage(
                input_tokens=went,
                cached_input_tokens=_tokens(cached) or 0,
                output_tokens=came,
                source=UsageSource.PROVIDER,
            )
        total = usage.cost.get("total_msats") if isinstance(usage.cost, dict) else None
        if _is_amount(total):
            self.said.cost_msat = total
        if _is_amount(usage.remaining_balance_msats):
            self.said.remaining_msat = usage.remaining_balance_msats

    def _without(self, body: bytes) -> bytes:
        try:
            members = _MEMBERS.decode(body)
            usage = _MEMBERS.decode(members["usage"]) if _is_object(members.get("usage")) else {}
            metadata = _MEMBERS.decode(members["metadata"]) if _is_object(members.get("metadata")) else {}
        except msgspec.MsgspecError:
            return body
        told = {name: usage[name] for name in _OF_USAGE & usage.keys()}
        ours = _OF_REPLY & members.keys()
        if not told and not ours and "routstr" not in metadata:
            return body
        self._tell(told)
        kept: dict[str, Any] = {name: value for name, value in members.items() if name not in ours}
        if told:
            kept["usage"] = {name: value for name, value in usage.items() if name not in told}
        if "routstr" in metadata:
            rest = {name: value for name, value in metadata.items() if name != "routstr"}
            kept.pop("metadata")
            kept |= {"metadata": rest} if rest else {}
        return msgspec.json.encode(kept)

    def _tell(self, told: Mapping[str, msgspec.Raw]) -> None:
        for name, value in sorted(told.items()):
            if len(value) < 2000:
                self.said.told[name] = msgspec.json.decode(value)


def _seen(body: bytes) -> _Body:
    """What is read of it. Choices of another shape hide no cost."""
    try:
        return _BODY.decode(body)
    except msgspec.MsgspecError:
        pass
    try:
        return _Body(usage=_BARE.decode(body).usage)
    except msgspec.MsgspecError:
        return _Body()


def _is_object(raw: Any) -> bool:
    return raw is not None and bytes(raw).lstrip()[:1] == b"{"


def _is_amount(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST_COST


def _tokens(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None
