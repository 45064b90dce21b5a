"""What is spoken outside, as bytes and text: SSE framing, scanning and splicing of JSON, usage wherever it hides;
Lightning invoices. Pure."""

from arbstr_core.wire._bolt11 import Bolt11, read_bech32, read_bolt11
from arbstr_core.wire._content import Content, look_into, server_tools
from arbstr_core.wire._json import DuplicateKey, MalformedJson, Span, members, splice
from arbstr_core.wire._prefix import Mark, marks, shared_bytes
from arbstr_core.wire._sse import DONE, EventTooLarge, SseFramer, event_data, events_in
from arbstr_core.wire._usage import Glimpse, glimpse, plain_text

__all__ = [
    "DONE",
    "Bolt11",
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
    "read_bech32",
    "read_bolt11",
    "server_tools",
    "shared_bytes",
    "splice",
]
