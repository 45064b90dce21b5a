"""The OpenAI wire as bytes: SSE framing, scanning and splicing of JSON, usage wherever it hides. Pure."""

from arbstr_core.wire._json import DuplicateKey, MalformedJson, Span, members, splice
from arbstr_core.wire._sse import DONE, EventTooLarge, SseFramer, event_data
from arbstr_core.wire._usage import Glimpse, glimpse, glimpses

__all__ = [
    "DONE",
    "DuplicateKey",
    "EventTooLarge",
    "Glimpse",
    "MalformedJson",
    "Span",
    "SseFramer",
    "event_data",
    "glimpse",
    "glimpses",
    "members",
    "splice",
]
