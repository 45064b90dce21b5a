"""A provider's server that does what a script says, over real sockets: for one test as a thread, or as a process.

Each model has a list of acts; a call takes the next one, and the last one stays. As a process
(`python tests/upstream.py`) it prints its URL, and every call gets the act `ok`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from closing import let_them_end, take_no_more


@dataclass(frozen=True, kw_only=True)
class Act:
    """What one call gets.

    `how`: ok, cut_before (before the status line), cut_headers (after it, before any body), cut (in the middle),
    error_event (in the middle), no_done (the stream ends without `[DONE]`), status, hang (says nothing), gate (waits
    for `Upstream.open_gate`, then ok), stall (falls silent in the middle), halfway (a stream that waits in the middle
    for `Upstream.open_gate`), raw (`chunks` with `headers`).
    """

    how: str = "ok"
    words: int = 5
    usage: tuple[int, int] | None = (11, 5)
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    chunks: tuple[bytes, ...] = ()
    pause: float = 0.0
    """seconds between events"""
    filler: int = 0
    """bytes that each event carries beside its word"""
    message: Mapping[str, Any] | None = None
    """said in the place of words; streamed, each of `deltas` is an event"""
    deltas: tuple[Mapping[str, Any], ...] = ()
    finish: str = "stop"


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class _State:
    script: dict[str, list[Act]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    left: int = 0
    """connections that the other side closed before the reply was whole"""


class Upstream:
    """The server. `url` ends in `/v1`; `seen` holds every POST in order."""

    def __init__(self) -> None:
        self._state = _State()
        self._loop = asyncio.new_event_loop()
        self._gate = asyncio.Event()
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Upstream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        self._loop.close()

    def script(self, model: str, *acts: Act) -> None:
        """What the next calls of `model` get; the last act stays."""
        self._state.script[model] = list(acts)

    def open_gate(self) -> None:
        """Let go of all calls that wait at a gate, and of all to come."""
        self._loop.call_soon_threadsafe(self._gate.set)

    @property
    def seen(self) -> list[Seen]:
        return self._state.seen

    @property
    def left(self) -> int:
        return self._state.left

    def hits(self, model: str | None = None) -> int:
        """How many calls came, for `model` or at all."""
        return sum(1 for seen in self._state.seen if model is None or seen.json.get("model") == model)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._client, sock=self._socket)
        await self._stop.wait()
        await take_no_more(server)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await let_them_end()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if method == "GET":
            return await _send(writer, 200, (), json.dumps(self._listed(path)).encode())
        seen = Seen(path, headers, body)
        self._state.seen.append(seen)
        asked = json.loads(body)
        acts = self._state.script.get(asked.get("model", ""), [Act()])
        act = acts.pop(0) if len(acts) > 1 else acts[0]
        return await self._watched(reader, writer, self._play(act, asked, writer))

    async def _watched(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, play: Any) -> bool:
        """Play, unless the other side leaves first: it sends nothing while it waits for its reply."""
        playing = asyncio.ensure_future(play)
        leaving = asyncio.ensure_future(_closed(reader))
        try:
            await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not playing.done() or isinstance(playing.exception(), ConnectionError):
                self._state.left += 1
                return False
            return bool(playing.result())
        finally:
            for task in (playing, leaving):
                task.cancel()
            await asyncio.gather(playing, leaving, return_exceptions=True)

    def _listed(self, path: str) -> Any:
        if path == "/seen":
            return {"count": len(self._state.seen)}
        return {"object": "list", "data": [{"id": model, "object": "model"} for model in self._state.script]}

    async def _play(self, act: Act, asked: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        if act.how == "hang":
            await asyncio.Event().wait()
        if act.how == "gate":
            await self._gate.wait()
        if act.how == "cut_before":
            return _reset(writer)
        if act.how == "status":
            return await _send(writer, act.status, act.headers, act.body)
        if act.how == "raw":
            return await _raw(writer, act)
        if asked.get("stream"):
            return await _stream(writer, act, asked, self._gate)
        return await _whole(writer, act, asked)


async def _closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(1024):
        pass


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Close with RST, as a process that dies does."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def _send(writer: asyncio.StreamWriter, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> bool:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
    if not any(name.lower() == "content-type" for name, _ in headers):
        lines.append("content-type: application/json")
    lines += [f"{name}: {value}" for name, value in headers]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
    await writer.drain()
    return True


async def _raw(writer: asyncio.StreamWriter, act: Act) -> bool:
    lines = "".join(f"{name}: {value}\r\n" for name, value in act.headers)
    writer.write(f"HTTP/1.1 {act.status} X\r\n{lines}connection: close\r\n\r\n".encode("latin-1"))
    for chunk in act.chunks:
        writer.write(chunk)
        await writer.drain()
        await asyncio.sleep(act.pause)
    return False


def _reply(asked: dict[str, Any], kind: str, choices: list[Any], usage: tuple[int, int] | None) -> dict[str, Any]:
    reply: dict[str, Any] = {"id": "chatcmpl-1", "object": kind, "created": 1, "model": asked["model"]}
    reply["choices"] = choices
    if usage is not None:
        given, output = usage
        reply["usage"] = {"prompt_tokens": given, "completion_tokens": output, "total_tokens": given + output}
    return reply


async def _whole(writer: asyncio.StreamWriter, act: Act, asked: dict[str, Any]) -> bool:
    text = " ".join(["word"] * act.words) + "x" * act.filler
    message = act.message or {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": act.finish}
    body = json.dumps(_reply(asked, "chat.completion", [choice], act.usage)).encode()
    if act.how == "error_event":
        body = b'{"error":{"message":"scripted: an error","type":"server_error"}}'
    if act.how in ("cut", "cut_headers", "stall"):
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + (b"" if act.how == "cut_headers" else body[: len(body) // 2]))
        await writer.drain()
        if act.how == "stall":
            await asyncio.Event().wait()
        writer.close()
        return False
    return await _send(writer, 200, act.headers, body)


def _events(act: Act, asked: dict[str, Any]) -> list[bytes]:
    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {"index": 0, "delta": delta, "finish_reason": finish}

    said = act.deltas or [{"content": " word" + "x" * act.filler}] * act.words
    deltas = [chunk({"role": "assistant", "content": ""}), *map(chunk, said), chunk({}, act.finish)]
    replies = [_reply(asked, "chat.completion.chunk", [delta], None) for delta in deltas]
    if act.usage is not None and (asked.get("stream_options") or {}).get("include_usage"):
        replies.append(_reply(asked, "chat.completion.chunk", [], act.usage))
    return [b"data: " + json.dumps(reply).encode() + b"\n\n" for reply in replies]


async def _stream(writer: asyncio.StreamWriter, act: Act, asked: dict[str, Any], gate: asyncio.Event) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    await writer.drain()
    if act.how == "cut_headers":
        writer.close()
        return False
    events = _events(act, asked)
    half = 1 + act.words // 2
    for number, event in enumerate(events):
        if number == half and act.how in ("cut", "stall", "error_event"):
            break
        if number == half and act.how == "halfway":
            await gate.wait()
        writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        await writer.drain()
        if act.pause:
            await asyncio.sleep(act.pause)
    if act.how == "stall":
        await asyncio.Event().wait()
    if act.how == "cut":
        writer.close()
        return False
    last = b"data: [DONE]\n\n"
    if act.how == "error_event":
        last = b'data: {"error":{"message":"scripted: an error","type":"server_error"}}\n\n'
    if act.how != "no_done":
        writer.write(b"%x\r\n%s\r\n" % (len(last), last))
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


def main(say: Callable[[str], None]) -> None:
    """Serve until standard input ends."""
    with Upstream() as upstream:
        say(upstream.url)
        sys.stdin.read()


if __name__ == "__main__":
    main(lambda line: print(line, flush=True))
