"""What is spoken outside, as bytes and text: SSE framing, scanning and splicing of JSON, a codec for each endpoint;
Lightning invoices. Pure."""

from arbstr_core.wire._bolt11 import Bolt11, read_bech32, read_bolt11
from arbstr_core.wire._call import codec_of, interpreter, read_call, translated
from arbstr_core.wire._chat_reply import glimpse, plain_text
from arbstr_core.wire._codec import Codec
from arbstr_core.wire._content import Content, look_into, server_tools
from arbstr_core.wire._glimpse import Glimpse
from arbstr_core.wire._json import DuplicateKey, MalformedJson, Span, members, splice
from arbstr_core.wire._knobs import suffixed
from arbstr_core.wire._prefix import Mark, marks, shared_bytes
from arbstr_core.wire._sse import DONE, EventTooLarge, SseFramer, broke_off, event_data, events_in, sendable
from arbstr_core.wire._tidy import Tidy
from arbstr_core.wire._translation import Interpreter, Untranslatable

__all__ = [
    "DONE",
    "Bolt11",
    "Codec",
    "Content",
    "DuplicateKey",
    "EventTooLarge",
    "Glimpse",
    "Interpreter",
    "MalformedJson",
    "Mark",
    "Span",
    "SseFramer",
    "Tidy",
    "Untranslatable",
    "broke_off",
    "codec_of",
    "event_data",
    "events_in",
    "glimpse",
    "interpreter",
    "look_into",
    "marks",
    "members",
    "plain_text",
    "read_bech32",
    "read_bolt11",
    "read_call",
    "sendable",
    "server_tools",
    "shared_bytes",
    "splice",
    "suffixed",
    "translated",
]
