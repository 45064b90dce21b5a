"""The OpenAI wire as bytes: SSE framing, scanning and splicing of JSON, usage wherever it hides. Pure."""

from arbstr_core.wire._content import Content, look_into, server_tools
from arbstr_core.wire._json import DuplicateKey, MalformedJson, Span, members, splice
from arbstr_core.wire._prefix import Mark, marks, shared_bytes
from arbstr_core.wire._sse import DONE, EventTooLarge, SseFramer, event_data, events_in
from arbstr_core.wire._usage import Glimpse, glimpse, plain_text

__all__ = [
    "DONE",
    "Content",
    "DuplicateKey",
    "EventTooLarge",
    "Glimpse",
    "MalformedJson",
    "Mark",
    "Span",
    "SseFramer",
    "event_data",
    "events_in",
    "glimpse",
    "look_into",
    "marks",
    "members",
    "plain_text",
    "server_tools",
    "shared_bytes",
    "splice",
]
