"""Nutshell mints that the tests start, each a process of its own; and a proxy that loses what a mint answers.

The first test that asks installs Nutshell into `.nutshell` of the checkout, in about a minute; later runs find it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import msgspec
from arbstr_wallet_cashu._nutshell import NoMint, Nutshell, Options, install
from closing import let_them_end, take_no_more
from ports import free_port

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".nutshell"


TRIES = 3


class Mints:
    """Mints by name, started when they are first asked for, and ended together."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="arbstr-mints-")
        self._running: dict[str, Nutshell] = {}

    def start(self, **wanted: Options) -> list[Nutshell]:
        """Those mints, side by side: most of a start is waiting."""
        environment = install(HOME)
        with ThreadPoolExecutor() as pool:
            started = [
                pool.submit(self._started, environment, name, options)
                for name, options in wanted.items()
                if name not in self._running
            ]
            for each in started:
                each.result()
        return [self._running[name] for name in wanted]

    def _started(self, environment: Path, name: str, options: Options) -> None:
        """Start one; where somebody was faster to take a port of it, with others."""
        for left in reversed(range(TRIES)):
            port, management = free_port(), free_port()
            options = msgspec.structs.replace(options, management_port=management, key=options.key or name)
            mint = Nutshell(environment, Path(self._folder.name) / name, port, options)
            try:
                mint.start()
            except NoMint:
                if not left:
                    raise
                continue
            self._running[name] = mint
            return

    def stop(self) -> None:
        """End all."""
        for mint in self._running.values():
            mint.stop()
        self._folder.cleanup()


def asked(mint: Nutshell, query: str, *values: object) -> list[tuple[object, ...]]:
    """What the mint's own records say."""
    with contextlib.closing(sqlite3.connect(mint.folder / "mint" / "mint.sqlite3", timeout=30)) as db:
        return db.execute(query, values).fetchall()


def outstanding(mint: Nutshell) -> int:
    """What the mint owes to all who hold its coins, in sat: what it signed, less what was spent."""
    [(signed,)] = asked(mint, "SELECT coalesce(sum(amount), 0) FROM promises WHERE c_ IS NOT NULL")
    [(spent,)] = asked(mint, "SELECT coalesce(sum(amount), 0) FROM proofs_used")
    return int(str(signed)) - int(str(spent))


class Lossy:
    """A proxy before a mint, in a thread of its own. It hands every call on; what `loses(method, path)` is true of is
    done by the mint, and its answer dropped. `calls` are all it saw, in order."""

    def __init__(self, mint: Nutshell) -> None:
        self.loses: Callable[[str, str], bool] = lambda method, path: False
        self.refuses = False
        """take no connections"""
        self.calls: list[tuple[str, str]] = []
        self._mint = mint
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lossy", daemon=True)
        self._links: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where the mint seems to be."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Lossy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def lose(self, number: int) -> None:
        """Lose the answer to call `number` from now on, counted from 0, and no other."""
        first = len(self.calls)
        self.loses = lambda method, path: len(self.calls) - 1 == first + number

    def keep(self) -> None:
        """Lose nothing any more."""
        self.loses = lambda method, path: False

    def cut(self) -> None:
        """Break every connection, and take none."""
        self.refuses = True
        asyncio.run_coroutine_threadsafe(self._break(), self._loop).result(60)

    def mend(self) -> None:
        """Take connections again."""
        self.refuses = False

    async def _break(self) -> None:
        for link, writer in self._links.items():
            writer.transport.abort()
            link.cancel()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None, "it was opened"
        await take_no_more(self._server)
        links = list(self._links)
        await self._break()
        await asyncio.gather(*links, return_exceptions=True)
        await let_them_end()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.ensure_future(self._link(reader, writer))
        self._links[link] = writer
        link.add_done_callback(self._ended)

    def _ended(self, link: asyncio.Task[None]) -> None:
        self._links.pop(link).close()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, _Lost):
            while not self.refuses and (head := await _head(reader)):
                await self._call(head, reader, writer)

    async def _call(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, path = head.split(b" ", 2)[:2]
        body = await reader.readexactly(_length(head))
        self.calls.append((method.decode(), path.decode()))
        lost = self.loses(method.decode(), path.decode())
        there, to_mint = await asyncio.open_connection("127.0.0.1", self._mint.port)
        try:
            to_mint.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
            answer = await _head(there)
            answer += await there.readexactly(_length(answer))
        finally:
            to_mint.close()
        if lost:
            raise _Lost
        writer.write(answer)
        await writer.drain()


class _Lost(Exception):
    """An answer is not handed on."""


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


@contextlib.contextmanager
def mints() -> Iterator[Mints]:
    """For a session of tests."""
    made = Mints()
    try:
        yield made
    finally:
        made.stop()
