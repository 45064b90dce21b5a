"""A life that ends at its k-th step: before it is taken, or after, when nobody hears of it any more. A step is a commit
of the database, or a call that goes out. Nothing happens in a life that is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from arbstr_core.storage import Database

T = TypeVar("T")
NEVER = 10**9


class Life:
    """It ends at step `at`, `when` is "before" or "after". `steps` is how many there were."""

    def __init__(self, at: int = NEVER, when: str = "before") -> None:
        self._at = at
        self._when = when
        self.steps = 0
        self.names: list[str] = []
        self.over = asyncio.Event()

    async def step(self, name: str, act: Callable[[], Awaitable[T]]) -> T:
        """Take one."""
        number = await self.before(name)
        done = await act()
        await self.after(number)
        return done

    async def before(self, name: str) -> int:
        """A step is about to be taken; its number."""
        await self._going_on()
        self.steps += 1
        self.names.append(name)
        number = self.steps
        if (number, "before") == (self._at, self._when):
            self.over.set()
        await self._going_on()
        return number

    async def after(self, number: int) -> None:
        """It was taken."""
        if (number, "after") == (self._at, self._when):
            self.over.set()
        await self._going_on()

    async def until_over(self, work: Awaitable[Any]) -> bool:
        """Live; True where it ended in the middle of `work`."""
        ending = asyncio.ensure_future(self.over.wait())
        working = asyncio.ensure_future(work)
        await asyncio.wait({ending, working}, return_when=asyncio.FIRST_COMPLETED)
        died = not working.done()
        self.over.set()
        for task in (ending, working):
            task.cancel()
        await asyncio.gather(ending, working, return_exceptions=True)
        if not died:
            working.result()
        return died

    async def _going_on(self) -> None:
        if self.over.is_set():
            await asyncio.Event().wait()


class MortalDatabase:
    """A database whose commits are steps."""

    def __init__(self, database: Database, life: Life) -> None:
        self._database = database
        self._life = life

    def submit(self, operation: Any) -> asyncio.Future[Any]:
        """A step."""
        return asyncio.ensure_future(
            self._life.step(type(operation).__name__, lambda: self._database.submit(operation))
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


class MortalTransport(httpx.AsyncBaseTransport):
    """A client whose requests are steps."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """A step: of a request that was answered, the answer may be lost."""
        path = f"{request.method} {request.url.path}"

        async def asked() -> httpx.Response:
            response = await self._inner.handle_async_request(request)
            await response.aread()
            return response

        return await self._life.step(path, asked)

    async def aclose(self) -> None:
        await self._inner.aclose()


class MovedClock:
    """The real time, and what it was moved on by."""

    def __init__(self) -> None:
        self.moved = 0.0

    def now_ms(self) -> int:
        return int((time.time() + self.moved) * 1000)

    def monotonic(self) -> float:
        return time.monotonic() + self.moved

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
