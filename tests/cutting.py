"""A proxy in front of PostgreSQL that cuts or stalls connections where it hurts: around a COMMIT."""

from __future__ import annotations

import asyncio
import enum
import re
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from closing import let_them_end, take_no_more

T = TypeVar("T")

SECONDS = 60

_COMMIT = re.compile(
    r"(?:^|;)\s*(?:COMMIT|END)(?:\s+(?:WORK|TRANSACTION))?(?:\s+AND\s+(?:NO\s+)?CHAIN)?\s*(?:;|\Z)", re.IGNORECASE
)
_SSL_OR_GSS = (80877103, 80877104)


def is_commit(statement: str) -> bool:
    """Whether there is a COMMIT in the SQL `statement`."""
    return _COMMIT.search(statement) is not None


class When(enum.Enum):
    """Before the server sees the commit, or after it answered and before the client learns of it."""

    BEFORE = "before"
    AFTER = "after"


class What(enum.Enum):
    """What happens then: both sides are reset, or nothing passes any more until `resume` or `cut`."""

    CUT = "cut"
    STALL = "stall"


@dataclass(frozen=True)
class _Plan:
    commit: int
    when: When
    what: What


class _Asked:
    """What a client asked for, read off its messages. A batch is what one ReadyForQuery answers."""

    def __init__(self) -> None:
        self._statements: dict[bytes, str] = {}
        self._portals: dict[bytes, str] = {}
        self._ended = 0
        self.execute = 0
        """The number of the last Execute in the batch; 0 where a simple Query is all of it."""
        self.batch = 0
        """The number of the batch that the last message belongs to, from 1 on."""

    def message(self, kind: bytes, body: bytes) -> str | None:
        """Take a message; the statement that it has executed, if it has."""
        names = body.split(b"\0", 2)
        self.batch = self._ended + 1
        match kind:
            case b"P":
                self._statements[names[0]] = names[1].decode()
            case b"B":
                self._portals[names[0]] = self._statements[names[1]]
            case b"E":
                self.execute += 1
                return self._portals[names[0]]
            case b"Q" | b"S" | b"F":
                self.execute = 0
                self._ended += 1
                return names[0].decode() if kind == b"Q" else None
        return None


class _Answered:
    """How far the server's answers have come, and which of them is to be withheld."""

    def __init__(self) -> None:
        self._batch = 0
        """The batch that is being answered; 0 is the login."""
        self._completed = 0
        self._awaited: tuple[int, int] | None = None
        self._withholding = False
        self.what = What.CUT

    def withhold(self, batch: int, execute: int, what: What) -> None:
        """Withhold the answer to an Execute of a batch, or to the whole batch if that is a simple Query."""
        self._awaited = (batch, execute)
        self.what = what

    def message(self, kind: bytes, body: bytes) -> tuple[bool, bool]:
        """Take a message: whether it is withheld, and whether all that was awaited is there."""
        if kind in (b"C", b"I", b"s"):
            self._completed += 1
        if (self._batch, self._completed) == self._awaited or self._awaited == (self._batch, 0):
            self._withholding = True
        withheld = self._withholding
        # A transaction that is ended by no COMMIT ends with its batch.
        complete = withheld and (kind == b"Z" or (kind == b"C" and body == b"COMMIT\0"))
        if kind == b"Z":
            self._batch += 1
            self._completed = 0
        if complete:
            self._awaited, self._withholding = None, False
        return withheld, complete


@dataclass(eq=False)
class _Link:
    """One connection: its two ends, and what passed."""

    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    server: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    asked: _Asked
    answered: _Answered

    def abort(self) -> None:
        """Reset both ends."""
        for _, writer in (self.client, self.server):
            with suppress(OSError):
                end = writer.transport.get_extra_info("socket")
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Cutter:
    """A proxy to the database at `url`, in a thread of its own; clients connect to its own `url`.

    `counts` says of a statement whether it is a commit; where transactions end by themselves, name what ends them.
    It declines encryption, as a server does that has none.
    """

    def __init__(self, url: str, *, counts: Callable[[str], bool] = is_commit) -> None:
        self._parts = urlsplit(url)
        self._counts = counts
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cutter", daemon=True)
        self._links: dict[_Link, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._plans: list[_Plan] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._changed = threading.Condition()
        self._failures: list[BaseException] = []
        self._commits = 0
        self._cuts = 0
        self._stalls = 0
        self.port = 0

    def __enter__(self) -> Cutter:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()
        if self._failures:
            raise BaseExceptionGroup("the proxy failed", self._failures)

    @property
    def url(self) -> str:
        """Where clients connect."""
        login = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{login[0]}{login[1]}127.0.0.1:{self.port}"))

    @property
    def commits(self) -> int:
        """How many commits clients asked for."""
        return self._commits

    @property
    def cuts(self) -> int:
        """How many connections were reset."""
        return self._cuts

    @property
    def stalls(self) -> int:
        """How many plans stalled everything."""
        return self._stalls

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._links)

    def at_commit(self, number: int = 1, when: When = When.BEFORE, what: What = What.CUT) -> None:
        """Plan what happens at a commit, of any connection; 1 is the next from now on."""
        assert number >= 1, number
        self._call(lambda: self._plans.append(_Plan(self._commits + number, when, what)))

    def forget(self) -> None:
        """Drop all plans."""
        self._call(self._plans.clear)

    def cut(self) -> int:
        """Reset every connection now, also stalled ones, and let new ones flow; how many there were."""
        return self._call(self._cut_all)

    def stall(self) -> None:
        """Let nothing pass, in either direction, until `resume` or `cut`."""
        self._call(self._flowing.clear)

    def resume(self) -> None:
        """Let everything pass that waits."""
        self._call(self._flowing.set)

    def wait(self, condition: Callable[[Cutter], bool], seconds: float = SECONDS) -> None:
        """Wait until a counter has a value, as in `cutter.wait(lambda c: c.stalls == 1)`. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), seconds):
                raise TimeoutError(f"{self._commits} commits, {self._cuts} cuts, {self._stalls} stalls so far")

    # The rest but for these two runs in the thread.

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    def _call(self, work: Callable[[], T]) -> T:
        async def call() -> T:
            return work()

        return self._do(call())

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    async def _close(self) -> None:
        await take_no_more(self._server)
        for link in tuple(self._links):
            link.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await let_them_end()

    def _cut_all(self) -> int:
        links = tuple(self._links)
        for link in links:
            self._cut(link)
        self._flowing.set()
        return len(links)

    def _cut(self, link: _Link) -> None:
        del self._links[link]
        self._cuts += 1
        link.abort()
        self._tell()

    def _stall(self) -> None:
        self._flowing.clear()
        self._stalls += 1
        self._tell()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            server = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        except OSError:
            writer.transport.abort()
        else:
            await self._serve(_Link((reader, writer), server, _Asked(), _Answered()))
        finally:
            self._tasks.discard(task)

    async def _serve(self, link: _Link) -> None:
        self._links[link] = None
        self._tell()
        ways = [asyncio.ensure_future(self._until_it_ends(way(link))) for way in (self._ask, self._answer)]
        try:
            # Whichever side ends, all that it said was passed on before; then the other is told.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for _, writer in (link.client, link.server):
                writer.close()
            self._links.pop(link, None)
            self._tell()

    async def _until_it_ends(self, way: Awaitable[None]) -> None:
        try:
            await way
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:
            self._failures.append(error)

    async def _ask(self, link: _Link) -> None:
        reader, writer = link.client[0], link.server[1]
        await self._pass(writer, await self._login(link))
        while True:
            kind, body, whole = await _message(reader)
            statement = link.asked.message(kind, body)
            if statement is not None and link in self._links and self._counts(statement):
                self._commit(link)
            if link not in self._links:
                return
            await self._pass(writer, whole)

    async def _login(self, link: _Link) -> bytes:
        """The first message, which has no kind; encryption is declined before it."""
        while True:
            head = await link.client[0].readexactly(8)
            length, code = struct.unpack("!II", head)
            if code not in _SSL_OR_GSS:
                return head + await link.client[0].readexactly(length - 8)
            link.client[1].write(b"N")

    def _commit(self, link: _Link) -> None:
        """Count a commit that is about to pass, and do what is planned."""
        self._commits += 1
        self._tell()
        plan = next((plan for plan in self._plans if plan.commit == self._commits), None)
        if plan is None:
            return
        self._plans.remove(plan)
        if plan.when is When.AFTER:
            link.answered.withhold(link.asked.batch, link.asked.execute, plan.what)
        elif plan.what is What.STALL:
            self._stall()
        else:
            self._cut(link)

    async def _answer(self, link: _Link) -> None:
        kept = b""
        while True:
            kind, body, whole = await _message(link.server[0])
            withheld, complete = link.answered.message(kind, body)
            kept += whole
            if link not in self._links:
                return
            if complete and link.answered.what is What.CUT:
                self._cut(link)
                return
            if complete:
                self._stall()
            if complete or not withheld:
                await self._pass(link.client[1], kept)
                kept = b""

    async def _pass(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        await self._flowing.wait()
        writer.write(data)
        await writer.drain()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes, bytes]:
    """Kind, body, and all of it."""
    head = await reader.readexactly(5)
    body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
    return head[:1], body, head + body
