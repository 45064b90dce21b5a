"""One request on uvicorn's server, with a shorter way out for the answers that our own doors give.

uvicorn looks into every header, name and value, and puts the head together piece by piece: that costs more than all
else it does for a call. What `encoded` made is right already, and goes out as it is.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from arbstr_core.web._asgi import Head

_OK = STATUS_LINE[200]


class Cycle(RequestResponseCycle):
    """Says the same as uvicorn's. Whatever is not plain (HEAD, an answer without a body, a client that does not take
    what it gets, a message out of turn) is left to that."""

    until_closed = False
    """True where the body ends with the connection: a client of HTTP/1.0 knows no chunks (RFC 9112, 6.1)"""

    async def receive(self) -> Any:
        """The request's body, or that the client is gone."""
        event = self.message_event
        if not event.is_set() or self.disconnected or self.response_complete or self.waiting_for_100_continue:
            return await super().receive()
        # Something is here: there is nothing to wait for.
        self.flow.resume_reading()
        event.clear()
        message = {"type": "http.request", "body": bytes(self.body), "more_body": self.more_body}
        self.body = bytearray()
        return message

    async def send(self, message: Any) -> None:
        """An ASGI message."""
        if self.until_closed and self.flow.write_paused:
            await self.flow.drain()
        if self.disconnected or self.response_complete or self.flow.write_paused or self.access_log:
            await super().send(message)
        elif not self.response_started:
            head = message.get("headers")
            if type(head) is Head and message["status"] == 200 and self.scope["method"] != "HEAD":
                self._begin(head)
            else:
                await super().send(message)
        elif message["type"] == "http.response.body" and self.scope["method"] != "HEAD":
            body, last = message.get("body", b""), not message.get("more_body", False)
            if self.chunked_encoding or self.until_closed or (last and len(body) == self.expected_content_length):
                self._part(body, last=last)
            else:
                await super().send(message)
        else:
            await super().send(message)

    def _begin(self, head: Head) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        if head.length is None and self.scope["http_version"] == "1.0":
            self.until_closed, self.keep_alive = True, False
        more = b"" if self.keep_alive else b"connection: close\r\n"
        if self.until_closed:
            self.chunked_encoding = False
        elif head.length is None:
            self.chunked_encoding = True
            more += b"transfer-encoding: chunked\r\n"
        else:
            self.chunked_encoding = False
            self.expected_content_length = head.length
        ours = [b"%b: %b\r\n" % each for each in self.default_headers]
        whole = b"".join((_OK, *ours, head.raw, more, b"\r\n"))
        if head.length is None:
            self.transport.write(whole)
        else:
            # The body follows at once.
            self.transport.begin(whole)  # type: ignore[attr-defined]

    def _part(self, body: bytes, *, last: bool) -> None:
        if self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if last:
                body += b"0\r\n\r\n"
        self.transport.write(body)
        if last:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()
