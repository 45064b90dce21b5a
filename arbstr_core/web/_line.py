"""The response to one client: begun once, then said piece by piece, kept alive while nothing comes."""

from __future__ import annotations

import time
from collections.abc import Callable

from arbstr_core.types import CallRefused, ChatCall, Endpoint
from arbstr_core.web._asgi import Send, encoded, respond
from arbstr_core.web._errors import answer, last_error
from arbstr_core.web._watch import Beat, Watch
from arbstr_core.wire import codec_of

_JSON = [("content-type", "application/json")]
_EVENTS = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
]


class Line:
    """What goes out to the caller of `call`. `said` are headers that every answer has; `watch` knows what it takes."""

    __slots__ = ("_call", "_said", "_send", "_watch")

    def __init__(self, call: ChatCall, send: Send, said: dict[str, str], watch: Watch) -> None:
        self._call = call
        self._send = send
        self._said = said
        self._watch = watch

    async def start(self, facts: list[tuple[str, str]]) -> None:
        """Begin a stream, with what arbstr says beside the reply, unless that is done."""
        watch = self._watch
        if watch.beat is not None:
            await watch.quiet()
            if watch.begun:
                return
        watch.begun = True
        head = [*_EVENTS, *ids_of(self._call.id, self._call.endpoint), *facts, *self._said.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": encoded(head)})

    async def whole(self, facts: list[tuple[str, str]], body: bytes) -> None:
        """Say all of an answer that is no stream."""
        watch, send = self._watch, self._send
        watch.begun = True
        # Once the response is complete, the server says "disconnect" to everyone who still listens.
        watch.stop()
        watch.sending_since = watch.silent_since = time.monotonic()
        head = [*_JSON, *ids_of(self._call.id, self._call.endpoint), *facts, *self._said.items()]
        await send({"type": "http.response.start", "status": 200, "headers": encoded(head, len(body))})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        watch.sending_since = 0.0

    async def say(self, body: bytes, *, last: bool) -> None:
        """Send a part of the body."""
        watch = self._watch
        if watch.beat is not None:
            await watch.quiet()
        if last:
            # Once the response is complete, the server says "disconnect" to everyone who still listens.
            watch.stop()
        watch.sending_since = watch.silent_since = time.monotonic()
        await self._send({"type": "http.response.body", "body": body, "more_body": not last})
        watch.sending_since = 0.0

    async def refuse(self, refused: CallRefused) -> None:
        """Answer with an error: with its status, or as the last event where the response has begun."""
        watch, call = self._watch, self._call
        if watch.beat is not None:
            await watch.quiet()
        if watch.begun:
            await self.say(last_error(refused, call.endpoint), last=True)
        else:
            await refuse(self._send, call.id, self._said, refused, call.endpoint)

    def kept_alive_with(self, mode: str, under_way: Callable[[], bool]) -> Beat:
        """What keeps it alive: a "comment" or a "chunk". The response begins with it only once the call is
        `under_way`: until then what is wrong with it has a status."""
        call = self._call
        codec = codec_of(call.endpoint)
        nothing = codec.nothing(call) if mode == "chunk" else codec.comment

        async def beat() -> None:
            watch = self._watch
            if not watch.begun:
                if not under_way():
                    return
                watch.begun = True
                head = [*_EVENTS, *ids_of(call.id, call.endpoint), *self._said.items()]
                await self._send({"type": "http.response.start", "status": 200, "headers": encoded(head)})
            await self._send({"type": "http.response.body", "body": nothing, "more_body": True})

        return beat


async def refuse(send: Send, call_id: str, said: dict[str, str], refused: CallRefused, endpoint: Endpoint) -> int:
    """Answer with an error; its status."""
    status, headers, body = answer(refused, endpoint)
    await respond(send, status, [*headers, *ids_of(call_id, endpoint), *said.items()], body)
    return status


def ids_of(call_id: str, endpoint: Endpoint) -> list[tuple[str, str]]:
    """The request's id, under the names that the clients of the endpoint look for."""
    ids = [("x-request-id", call_id)]
    if endpoint is Endpoint.MESSAGES:
        ids.append(("request-id", call_id))
    return ids
