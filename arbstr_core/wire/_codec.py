"""What an endpoint is: how its request is read, how its reply is, and in what words it says that something failed.

One codec for each endpoint; nothing else in the house knows one from another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec

from arbstr_core.types import ChatCall, Endpoint, LimitField
from arbstr_core.wire._glimpse import Glimpse
from arbstr_core.wire._reading import Asked, Reader

Names = tuple[tuple[str, ...], tuple[str, ...]]


class Codec:
    """One endpoint's words. It holds nothing: what a reply has said so far is in what `glimpses` gives."""

    endpoint: ClassVar[Endpoint]
    read: ClassVar[frozenset[str]]
    """the names that are read: a server that ignores case would take another spelling of one for it"""
    prompt: ClassVar[tuple[str, ...]]
    """what of a request a model reads"""
    asks_usage: ClassVar[bool] = False
    """True where a stream says what it used only if `stream_options` asks for it"""
    done: ClassVar[bytes] = b""
    """the event that ends a stream; empty where the reply's own last event does, and no other may stand in for it"""
    done_mark: ClassVar[bool] = False
    """True where that event is `data: [DONE]`"""
    tidied: ClassVar[bool] = False
    """True where the events of a stream are put right by Tidy"""

    comment: ClassVar[bytes] = b": keep-alive\n"
    """what a stream can be kept alive with: it ends in no blank line, so that it is part of the next event"""

    def nothing(self, call: ChatCall) -> bytes:
        """An event that says nothing; a comment where the endpoint has no such."""
        return self.comment

    def aside(self, call: ChatCall, said: Mapping[str, Any]) -> bytes:
        """An event in which arbstr itself says something; clients of the endpoint pass over it."""
        document = {"type": "arbstr.receipt", "arbstr": said}
        return b"event: arbstr.receipt\ndata: " + msgspec.json.encode(document) + b"\n\n"

    def asked(self, read: Reader) -> Asked:
        """What a request asks for. Raises BadRequest, which names the field."""
        raise NotImplementedError

    def limit_names(self, field: LimitField) -> Names:
        """Under which names the limit of output goes out to an offer with `field`, and which names do not."""
        raise NotImplementedError

    def glimpses(self) -> Callable[[bytes], Glimpse]:
        """What looks at one reply: at its whole body, or at the data of each of its events in order."""
        raise NotImplementedError

    @staticmethod
    def plain_text(batch: bytes, first: bool = False) -> tuple[int, int]:
        """How far a batch of events goes that can be counted together, and the bytes of its text; `first` where a
        stream begins with it."""
        return 0, 0

    def error_event(self, message: str, kind: str, code: str) -> bytes:
        """The last event of a stream that failed."""
        return b"data: " + self.error_body({"message": message, "type": kind, "param": None, "code": code}) + b"\n\n"

    def error_body(self, error: Mapping[str, Any], *, status: int = 500) -> bytes:
        """An error, `error` being OpenAI's four fields and any of ours beside them."""
        return msgspec.json.encode({"error": error})
