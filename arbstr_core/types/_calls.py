"""A call, who makes it, and what became of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec

from arbstr_core.types._endpoints import Endpoint, Feature
from arbstr_core.types._knobs import Knobs
from arbstr_core.types._money import Msat


class _Message(msgspec.Struct):
    role: str | None = None
    content: msgspec.Raw = msgspec.Raw(b"null")


class _TextPart(msgspec.Struct):
    type: str = ""
    text: str = ""


_READ = ("tools", "functions", "system", "instructions", "messages", "input", "prompt")
"""Tools come first in what models are shown, and so they do for the caches of providers."""
_MESSAGES = msgspec.json.Decoder(list[_Message])
_CONTENT = msgspec.json.Decoder(str | list[_TextPart] | None)
_PROMPT = msgspec.json.Decoder(str | list[str])
_QUOTE = ord('"')
_TEXTS = frozenset({"text", "input_text"})
_WHERE = {Endpoint.RESPONSES: "input", Endpoint.COMPLETIONS: "prompt", Endpoint.EMBEDDINGS: "input"}


class ChatCall(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came: its bytes, and the few fields arbstr reads.

    `members` maps each top-level key of `body` to the (start, end) of its value in `body`. `output_limit` is the
    caller's limit in tokens a choice, None where it sent none, 0 where nothing is generated. `choices` is how many the
    reply will show, `billed_choices` how many may be made for it where those are more. `attachments` are pictures and
    sounds inside the body, `attached_bytes` of it; `elsewhere` is the first place that refers to content that is not in
    the body. `inside` names what else in there may cost something: `tools.TYPE` for a tool that runs at the provider,
    and `cache_control`. `hints` are the caller's headers `x-arbstr-*`, `prefer` and `anthropic-*`, in lower case.
    `knobs` are its wishes of routing. `named` is the model as the body has it, where `model` is not that.
    `arrived_ms` is Unix time in milliseconds. `idempotency_key` is the caller's own name for what it asks, None where
    it gave none; `tries` is how often it has asked for the same before, where it counts that.
    """

    id: str
    endpoint: Endpoint
    model: str
    body: bytes
    members: Mapping[str, tuple[int, int]]
    stream: bool = False
    include_usage: bool = False
    output_limit: int | None = None
    choices: int = 1
    billed_choices: int = 1
    features: frozenset[Feature] = frozenset()
    attachments: int = 0
    attached_bytes: int = 0
    elsewhere: str | None = None
    inside: frozenset[str] = frozenset()
    hints: Mapping[str, str] = {}
    knobs: Knobs | None = None
    named: str | None = None
    arrived_ms: int = 0
    idempotency_key: str | None = None
    tries: int | None = None

    def raw(self, key: str) -> bytes | None:
        """The JSON of one top-level member, byte for byte; None where the body has no such key."""
        span = self.members.get(key)
        return None if span is None else self.body[span[0] : span[1]]

    def prompt(self) -> bytes:
        """What of the body a model reads, in the order in which it does, as JSON.

        Without the bracket at its end: so the prompt of a conversation that goes on begins with the one before.
        """
        read = b"".join(self.body[slice(*self.members[name])] for name in _READ if name in self.members)
        return read.removesuffix(b"]")

    def last_user_message(self) -> str:
        """The text of the last message of role `user`, or of what stands in its place at an endpoint without messages;
        its text parts joined by newlines; empty where there is none."""
        raw = self.raw(_WHERE.get(self.endpoint, "messages"))
        if raw is None:
            return ""
        try:
            if self.endpoint in _WHERE and (raw[0] == _QUOTE or self.endpoint is not Endpoint.RESPONSES):
                prompt = _PROMPT.decode(raw)
                return prompt if isinstance(prompt, str) else "".join(prompt[-1:])
            for message in reversed(_MESSAGES.decode(raw)):
                if message.role == "user":
                    content = _CONTENT.decode(message.content)
                    if isinstance(content, list):
                        return "\n".join(part.text for part in content if part.type in _TEXTS)
                    return content or ""
        except msgspec.MsgspecError:
            return ""
        return ""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling: an agent and the realm of its money; `agent` is empty where the vault is switched off."""

    agent: str = ""
    name: str = ""
    realm: str = ""
    enabled: bool = True


class UsageSource(enum.StrEnum):
    """Where a token count comes from."""

    PROVIDER = "provider"
    COUNTED = "counted"
    NONE = "none"


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one call. Cached input is part of `input_tokens`; reasoning is part of `output_tokens`."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    source: UsageSource = UsageSource.PROVIDER


class CallFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider knows of a call after its end: usage, and its own cost in msat; None where it knows nothing.

    `told` is what else it said of the cost, as JSON values: the caller does not see it, and the receipt keeps it.
    """

    usage: Usage | None = None
    cost_msat: Msat | None = None
    told: Mapping[str, Any] = {}


class Outcome(enum.StrEnum):
    """How one attempt at one provider ended."""

    SERVED = "served"
    CONNECT_FAILED = "connect_failed"
    TIMED_OUT = "timed_out"
    REFUSED = "refused"
    RATE_LIMITED = "rate_limited"
    BAD_KEY = "bad_key"
    BAD_REPLY = "bad_reply"
    CLIENT_ERROR = "client_error"
    CUT = "cut"
    OUTRUN = "outrun"
    ABANDONED = "abandoned"
    UNFUNDED = "unfunded"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at one provider, of its `node` where it has several; `ms` is the time to its first byte, or to its
    failure."""

    provider: str
    outcome: Outcome
    ms: int
    detail: str = ""
    node: str = ""
