"""The connection to the node: TLS, the macaroon, deadlines; a new connection when the certificate is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from arbstr_wallet_lnd._calls import Call
from arbstr_wallet_lnd._credentials import Credentials, Held
from arbstr_wallet_lnd._errors import NodeError

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)

_OPTIONS = (
    # LND lets a client ping every five seconds, and only while a call is open.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.max_receive_message_length", 64 << 20),
    # One request is one request, and goes to the address in the configuration.
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
)
_TO_THE_DEADLINE = 0.5


class _Line:
    """A channel made with one certificate, and how many calls are open on it."""

    def __init__(self, channel: grpc.aio.Channel, certificate: bytes | None) -> None:
        self.channel = channel
        self.certificate = certificate
        self.calls = 0


class Channel:
    """Calls to one node. Made in the loop that uses it, and closed there."""

    def __init__(self, address: str, credentials: Credentials, *, server_name: str | None, seconds: float) -> None:
        self._address = address
        self._credentials = credentials
        self._server_name = server_name
        self._seconds = seconds
        self._line: _Line | None = None
        self._retired: list[_Line] = []
        self._closed = False

    async def call(self, method: Call[Q, A], request: Q, *, seconds: float | None = None) -> A:
        """One request, one answer. Raises NodeError."""
        async with self._open(method, request, seconds or self._seconds, stream=False) as made:
            answer: A = await made
            return answer

    async def stream(self, method: Call[Q, A], request: Q, *, seconds: float | None = None) -> AsyncGenerator[A]:
        """What comes, until the node ends it. Raises NodeError; no time-out where `seconds` is None.

        Whoever stops early ends the call with `aclosing`.
        """
        async with self._open(method, request, seconds, stream=True) as made:
            while (message := await made.read()) is not grpc.aio.EOF:
                yield message

    async def first(self, method: Call[Q, A], request: Q) -> A | None:
        """The first message of a stream, which is the present state; None where it ends without one."""
        async with aclosing(self.stream(method, request, seconds=self._seconds)) as messages:
            async for message in messages:
                return message
        return None

    async def aclose(self) -> None:
        """End every call."""
        self._closed = True
        lines, self._line, self._retired = [*self._retired, *filter(None, [self._line])], None, []
        for line in lines:
            await line.channel.close()

    @asynccontextmanager
    async def _open(
        self, method: Call[Any, Any], request: Message, seconds: float | None, *, stream: bool
    ) -> AsyncIterator[Any]:
        """An open call; what goes wrong in it is a NodeError."""
        held = self._credentials.read()
        async with AsyncExitStack() as stack:
            line = await self._current(held)
            line.calls += 1
            stack.push_async_callback(self._let_go, line)
            kind = line.channel.unary_stream if stream else line.channel.unary_unary
            made = kind(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.answer.FromString,
            )(request, metadata=held.metadata(), timeout=seconds)
            stack.callback(made.cancel)
            try:
                yield made
            except grpc.aio.AioRpcError as failed:
                raise NodeError(
                    method.path, _code(failed, made, seconds), failed.details() or "no reason given"
                ) from None
            except asyncio.CancelledError:
                # grpc also says so of a call whose channel was closed under it; then nobody cancelled us.
                task = asyncio.current_task()
                if not self._closed or (task is not None and task.cancelling()):
                    raise
                raise NodeError(method.path, grpc.StatusCode.CANCELLED, "the rail was closed") from None

    async def _current(self, held: Held) -> _Line:
        if self._closed:
            raise NodeError("", grpc.StatusCode.CANCELLED, "the rail is closed")
        if self._line is None or self._line.certificate != held.certificate:
            if self._line is not None:
                # Its calls go on to their end: one of them may be a payment's.
                self._retired.append(self._line)
            self._line = _Line(self._made(held), held.certificate)
        await self._close_idle()
        return self._line

    def _made(self, held: Held) -> grpc.aio.Channel:
        name = (("grpc.ssl_target_name_override", self._server_name),) if self._server_name else ()
        tls = grpc.ssl_channel_credentials(held.certificate)
        return grpc.aio.secure_channel(self._address, tls, options=[*_OPTIONS, *name])

    async def _let_go(self, line: _Line) -> None:
        line.calls -= 1

    async def _close_idle(self) -> None:
        idle = [line for line in self._retired if not line.calls]
        self._retired = [line for line in self._retired if line.calls]
        for line in idle:
            await line.channel.close()


def _code(failed: grpc.aio.AioRpcError, made: Any, seconds: float | None) -> grpc.StatusCode:
    """How it ended. LND watches the deadline too, and where it is the first to act calls it CANCELLED."""
    left = made.time_remaining()
    if failed.code() is grpc.StatusCode.CANCELLED and seconds is not None and (left is None or left < _TO_THE_DEADLINE):
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return failed.code()
