"""Usage as providers spell it, read into one shape.

Sources: OpenAI API reference ("The chat completion object", "The response object"); Anthropic API reference
("Messages", `usage`); the references of DeepSeek (`prompt_cache_hit_tokens`), of Moonshot (`cached_tokens`), of Google
and xAI (reasoning beside the completion, inside the total).
"""

from __future__ import annotations

from typing import Any

import msgspec

from arbstr_core.types import Usage


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class Tokens(msgspec.Struct):
    """The counts of a reply, each under the names that it has somewhere."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    cached_tokens: int | None = None
    prompt_cache_hit_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    reasoning_tokens: int | None = None

    def usage(self) -> Usage | None:
        """The same in one shape; None where it names neither input nor output."""
        if self.prompt_tokens is None and self.completion_tokens is None:
            if self.input_tokens is None and self.output_tokens is None:
                return None
            return self._usage(self.input_tokens, self.output_tokens, beside=self.input_tokens_details is None)
        return self._usage(self.prompt_tokens, self.completion_tokens, beside=False)

    def _usage(self, said_input: int | None, said_output: int | None, *, beside: bool) -> Usage:
        """Anthropic counts what it read from its cache `beside` the input, everyone else inside it. OpenAI counts
        reasoning inside the output, others only in the total, or nowhere but by itself: the largest is the output."""
        given = max(said_input or 0, 0)
        cached = max(self._cached(), 0)
        if beside:
            given += cached + max(self.cache_creation_input_tokens or 0, 0)
        output = max(said_output or 0, (self.total_tokens or 0) - given, 0)
        reasoning = self._reasoning()
        if reasoning > output:
            output += reasoning
        return Usage(input_tokens=given, cached_input_tokens=min(cached, given), output_tokens=output)

    def _cached(self) -> int:
        inner = self.prompt_tokens_details or self.input_tokens_details
        said = inner.cached_tokens if inner is not None else None
        return said or self.cached_tokens or self.prompt_cache_hit_tokens or self.cache_read_input_tokens or 0

    def _reasoning(self) -> int:
        inner = self.completion_tokens_details or self.output_tokens_details
        return (inner.reasoning_tokens if inner is not None else None) or self.reasoning_tokens or 0


_DETAILS = {
    "prompt_tokens_details": _InputDetails,
    "input_tokens_details": _InputDetails,
    "completion_tokens_details": _OutputDetails,
    "output_tokens_details": _OutputDetails,
}


def salvaged(said: Any) -> Usage | None:
    """The usage in a JSON value of which some part is not of the usual type: every count that is one counts."""
    return _tokens(said, Tokens).usage() if isinstance(said, dict) else None


def _tokens(said: dict[str, Any], kind: Any) -> Any:
    found: dict[str, Any] = {}
    for name in kind.__struct_fields__:
        value = said.get(name)
        if name in _DETAILS and kind is Tokens:
            found[name] = _tokens(value, _DETAILS[name]) if isinstance(value, dict) else None
        else:
            found[name] = _count(value)
    return kind(**found)


def _count(value: Any) -> int | None:
    """A count, where it is one: as a number, or as the text of one."""
    try:
        return msgspec.convert(value, int, strict=False) if not isinstance(value, bool) else None
    except (msgspec.ValidationError, OverflowError, ValueError):
        return None
