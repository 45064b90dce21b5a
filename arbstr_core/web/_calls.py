"""The door that calls come through: raw ASGI, because a framework's routing costs more than the whole call.

Headers first, the body only for a known caller; the exchange is closed whatever happens, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from arbstr_core.flow import CallFlow, Exchange, PaidExchange, change_of
from arbstr_core.types import Caller, CallRefused, Endpoint, ShuttingDown
from arbstr_core.web._asgi import HANG_UP, Message, Receive, Send, credential, header_map, respond
from arbstr_core.web._body import ClientGone, read_body
from arbstr_core.web._errors import answer
from arbstr_core.web._line import Line, ids_of, refuse
from arbstr_core.web._request import hints_of, read_retry
from arbstr_core.web._watch import Watches
from arbstr_core.wire import codec_of, read_call

_log = logging.getLogger("arbstr.web")

_MOST_OF_A_HEADER = 6_000
"""Many clients and proxies take no more than 8 KiB of headers in all."""

_MOST_AT_ONCE = 1_000_000
"""A larger body is read in a thread, part by part, so that nobody else waits for all of it."""


class CallDoor:
    """Serves `POST` on every endpoint that calls a model. `ids` makes request ids; `client_stall_seconds` is how long a
    client may take nothing before it counts as gone. `keep_alive` is what a stream gets while nothing comes, every
    `keep_alive_seconds`: a "comment" or a "chunk", None for nothing."""

    def __init__(
        self,
        flow: CallFlow,
        ids: Callable[[], str],
        *,
        max_body_bytes: int,
        client_stall_seconds: float,
        keep_alive: str | None = None,
        keep_alive_seconds: float = 0.0,
    ) -> None:
        self._flow = flow
        self._ids = ids
        self._max_body_bytes = max_body_bytes
        self._keep_alive = keep_alive
        seconds = keep_alive_seconds if keep_alive is not None else 0.0
        self.watches = Watches(stall_seconds=client_stall_seconds, keep_alive_seconds=seconds)

    async def __call__(self, scope: Message, receive: Receive, send: Send, endpoint: Endpoint) -> None:
        """One request, from its headers to its last byte."""
        call_id = self._ids()
        said: dict[str, str] = {}
        caller: Caller | None = None
        model = ""
        try:
            try:
                headers = header_map(scope, self._flow.credentials)
                if "x-request-id" in headers:
                    said["x-client-request-id"] = headers["x-request-id"]
                known = await self._flow.caller(credential(headers), headers)
                if isinstance(known, Caller):
                    caller = known
                else:
                    said["x-arbstr-change"] = change_of(known)
                key, tries = read_retry(headers)
                body = await read_body(headers, receive, self._max_body_bytes, "[server] max_body_bytes")
                asked = (body, call_id, endpoint, hints_of(headers), time.time_ns() // 1_000_000, key, tries)
                call = read_call(*asked) if len(body) <= _MOST_AT_ONCE else await asyncio.to_thread(read_call, *asked)
                model = call.model
                exchange = self._flow.begin(call, known)
            except ClientGone:
                return
            except asyncio.CancelledError:
                if not self._flow.stopping:
                    raise
                self.watches.task().uncancel()
                await refuse(send, call_id, said, _too_late(), endpoint)
                return
            except CallRefused as refused:
                status = await refuse(send, call_id, said, refused, endpoint)
                self._flow.refused(call_id, caller, model, status, refused)
                return
            await self._serve(exchange, receive, send, said, scope.get("extensions", {}).get(HANG_UP))
        except Exception:
            await _apologise(send, call_id, endpoint)
            raise

    async def _serve(
        self, exchange: Exchange, receive: Receive, send: Send, said: dict[str, str], hang_up: Callable[[], None] | None
    ) -> None:
        task = self.watches.task()
        watch = self.watches.begin(receive, task, exchange.leave, hang_up)
        line = Line(exchange.call, send, said, watch)
        if exchange.call.stream and self._keep_alive is not None:
            watch.beat = line.kept_alive_with(self._keep_alive, lambda: exchange.used() is not None)
        try:
            try:
                found = await exchange.open()
                if found is None:
                    await self._reply(exchange, line, said)
                elif exchange.call.stream:
                    await line.start(found.replayed())
                    await line.say(found.body, last=True)
                else:
                    await line.whole(found.replayed(), found.body)
            except CallRefused as refused:
                watch.stop()
                await exchange.refused(answer(refused)[0], type(refused).__name__)
                await _give_change(exchange, said)
                await line.refuse(refused)
        except asyncio.CancelledError:
            # Cancelled by our own watch: the client is gone, and this is its end. Or by a server that stops, which
            # would call it a failure of the application if it were raised on.
            if not (watch.gone or self._flow.stopping):
                raise
            task.uncancel()
            if not (watch.gone or watch.sending_since) and (exchange.call.stream or not watch.begun):
                await line.refuse(_too_late())
        finally:
            self.watches.end(watch)
            await exchange.close()

    async def _reply(self, exchange: Exchange, line: Line, said: dict[str, str]) -> None:
        if exchange.call.stream:
            await line.start(exchange.headers())
            async for chunk, last in exchange.events():
                await line.say(chunk, last=last)
        else:
            body = await exchange.body()
            if isinstance(exchange, PaidExchange):
                await _give_change(exchange, said)
            await line.whole(exchange.headers(), body)


def _too_late() -> ShuttingDown:
    return ShuttingDown("arbstr is shutting down, and this call has not ended in time; try again in a moment")


async def _give_change(exchange: Exchange, said: dict[str, str]) -> None:
    """Where the call was paid with a token, its change is in the answer's header, if it is small enough for one."""
    if isinstance(exchange, PaidExchange):
        change = await exchange.change()
        if change and len(change) <= _MOST_OF_A_HEADER:
            said[exchange.header] = change


async def _apologise(send: Send, call_id: str, endpoint: Endpoint) -> None:
    """Answer for a bug of ours in JSON; where an answer had begun the server refuses another, and breaks it off."""
    said = {"message": "arbstr failed; its log says why", "type": "api_error", "param": None, "code": None}
    body = codec_of(endpoint).error_body(said)
    with contextlib.suppress(RuntimeError):
        await respond(send, 500, [("content-type", "application/json"), *ids_of(call_id, endpoint)], body)
