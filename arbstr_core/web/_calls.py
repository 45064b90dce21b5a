"""The door that calls come through: raw ASGI, because a framework's routing costs more than the whole call.

Headers first, the body only for a known caller; the exchange is closed whatever happens, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from arbstr_core.flow import Answer, CallFlow, Exchange
from arbstr_core.types import Caller, CallRefused, Endpoint
from arbstr_core.web._asgi import Message, Receive, Send, credential, encoded, header_map, respond
from arbstr_core.web._body import ClientGone, read_body
from arbstr_core.web._errors import answer
from arbstr_core.web._request import hints_of, read_retry
from arbstr_core.web._watch import Watch, Watches
from arbstr_core.wire import codec_of, read_call

_log = logging.getLogger("arbstr.web")

_JSON = [("content-type", "application/json")]
_EVENTS = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
]


class CallDoor:
    """Serves `POST` on every endpoint that calls a model. `ids` makes request ids; `client_stall_seconds` is how long a
    client may take nothing before it counts as gone."""

    def __init__(
        self, flow: CallFlow, ids: Callable[[], str], *, max_body_bytes: int, client_stall_seconds: float
    ) -> None:
        self._flow = flow
        self._ids = ids
        self._max_body_bytes = max_body_bytes
        self.watches = Watches(stall_seconds=client_stall_seconds)

    async def __call__(self, scope: Message, receive: Receive, send: Send, endpoint: Endpoint) -> None:
        """One request, from its headers to its last byte."""
        call_id = self._ids()
        try:
            await self._call(call_id, scope, receive, send, endpoint)
        except Exception:
            await _apologise(send, call_id, endpoint)
            raise

    async def _call(self, call_id: str, scope: Message, receive: Receive, send: Send, endpoint: Endpoint) -> None:
        said: dict[str, str] = {}
        caller: Caller | None = None
        model = ""
        try:
            headers = header_map(scope)
            if "x-request-id" in headers:
                said["x-client-request-id"] = headers["x-request-id"]
            caller = await self._flow.identify(credential(headers))
            key, tries = read_retry(headers)
            body = await read_body(headers, receive, self._max_body_bytes, "[server] max_body_bytes")
            call = read_call(
                body,
                call_id=call_id,
                endpoint=endpoint,
                hints=hints_of(headers),
                arrived_ms=time.time_ns() // 1_000_000,
                idempotency_key=key,
                tries=tries,
            )
            model = call.model
            exchange = self._flow.begin(call, caller)
        except ClientGone:
            return
        except CallRefused as refused:
            status = await _refuse(send, call_id, said, refused, endpoint)
            self._flow.refused(call_id, caller, model, status, refused)
            return
        await self._serve(exchange, receive, send, said)

    async def _serve(self, exchange: Exchange, receive: Receive, send: Send, said: dict[str, str]) -> None:
        task = asyncio.current_task()
        assert task is not None, "a request is served by a task"
        watch = self.watches.begin(receive, task, exchange.leave)
        try:
            try:
                found = await exchange.open()
                if found is None:
                    await self._reply(exchange, send, said, watch)
                else:
                    await self._replay(found, exchange, send, said, watch)
            except CallRefused as refused:
                watch.stop()
                await exchange.refused(answer(refused)[0], type(refused).__name__)
                await _refuse(send, exchange.call.id, said, refused, exchange.call.endpoint)
        except asyncio.CancelledError:
            # Cancelled by our own watch: the client is gone, and this is its end. Or by a server that stops, which
            # would call it a failure of the application if it were raised on.
            if not (watch.gone or self._flow.stopping):
                raise
            task.uncancel()
        finally:
            self.watches.end(watch)
            await exchange.close()

    async def _reply(self, exchange: Exchange, send: Send, said: dict[str, str], watch: Watch) -> None:
        if exchange.call.stream:
            await send(_start(exchange, exchange.headers(), said, None))
            async for chunk, last in exchange.events():
                await self._send(send, chunk, last, watch)
        else:
            body = await exchange.body()
            await send(_start(exchange, exchange.headers(), said, len(body)))
            await self._send(send, body, True, watch)

    async def _replay(self, found: Answer, exchange: Exchange, send: Send, said: dict[str, str], watch: Watch) -> None:
        await send(_start(exchange, found.replayed(), said, None if exchange.call.stream else len(found.body)))
        await self._send(send, found.body, True, watch)

    async def _send(self, send: Send, body: bytes, last: bool, watch: Watch) -> None:
        if last:
            # Once the response is complete, the server says "disconnect" to everyone who still listens.
            watch.stop()
        watch.sending_since = time.monotonic()
        await send({"type": "http.response.body", "body": body, "more_body": not last})
        watch.sending_since = 0.0


async def _refuse(send: Send, call_id: str, said: dict[str, str], refused: CallRefused, endpoint: Endpoint) -> int:
    status, headers, body = answer(refused, endpoint)
    await respond(send, status, [*headers, *_ids(call_id, endpoint), *said.items()], body)
    return status


async def _apologise(send: Send, call_id: str, endpoint: Endpoint) -> None:
    """Answer for a bug of ours in JSON; where an answer had begun the server refuses another, and breaks it off."""
    said = {"message": "arbstr failed; its log says why", "type": "api_error", "param": None, "code": None}
    body = codec_of(endpoint).error_body(said)
    with contextlib.suppress(RuntimeError):
        await respond(send, 500, [*_JSON, *_ids(call_id, endpoint)], body)


def _ids(call_id: str, endpoint: Endpoint) -> list[tuple[str, str]]:
    """The request's id, under the names that the clients of the endpoint look for."""
    ids = [("x-request-id", call_id)]
    if endpoint is Endpoint.MESSAGES:
        ids.append(("request-id", call_id))
    return ids


def _start(exchange: Exchange, facts: list[tuple[str, str]], said: dict[str, str], size: int | None) -> Message:
    kind = _EVENTS if exchange.call.stream else _JSON
    whole = [*kind, *_ids(exchange.call.id, exchange.call.endpoint), *facts, *said.items()]
    if size is not None:
        whole.append(("content-length", str(size)))
    return {"type": "http.response.start", "status": 200, "headers": encoded(whole)}
