"""Notices clients that leave, and clients that take nothing: neither cancels a raw ASGI application by itself.

One sweep looks after all of them, since a timer and a task for each call would cost more than they tell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from arbstr_core.web._asgi import Receive

_SWEEP_SECONDS = 0.05
"""How often is looked; most calls begin and end between two looks."""


Beat = Callable[[], Awaitable[None]]

Leave = Callable[[asyncio.Task[Any]], bool]
"""Told once that the client is gone, with the task that serves it; True where that is to go on without it"""


class Watch:
    """One client that is being served by `task`, which is cancelled once the client is gone, unless `leave` says that
    it goes on. `hang_up` closes its connection."""

    __slots__ = (
        *("_deaf", "_hang_up", "_leave", "_looking", "_receive", "beat", "beating", "begun", "gone", "sending_since"),
        *("seen", "silent_since", "task"),
    )

    def __init__(
        self, receive: Receive, task: asyncio.Task[Any], leave: Leave, hang_up: Callable[[], None] | None
    ) -> None:
        self.task = task
        self._leave = leave
        self._hang_up = hang_up
        self.seen = False
        """True once a look has found it"""
        self.gone = False
        self.sending_since = 0.0
        """when the client was last handed something that it has not taken yet; 0 for nothing"""
        self.silent_since = 0.0
        """since when it hears nothing; 0 until somebody looks"""
        self.begun = False
        """True once its response has begun"""
        self.beat: Beat | None = None
        """what keeps it alive; None where nothing does"""
        self.beating: asyncio.Task[None] | None = None
        self._receive = receive
        self._looking: asyncio.Task[None] | None = None
        self._deaf = False

    def look(self) -> None:
        """Begin to listen for its leaving."""
        if self._looking is None and not self._deaf:
            self._looking = asyncio.create_task(self._look())

    def keep_alive(self, now: float, seconds: float) -> None:
        """Send it something, where it has heard nothing for so long."""
        if not self.silent_since:
            self.silent_since = now
        due = now - self.silent_since >= seconds
        if due and self.beat is not None and not (self._deaf or self.gone or self.sending_since or self.beating):
            self.silent_since = now
            self.beating = asyncio.create_task(self._beat(self.beat))

    async def _beat(self, beat: Beat) -> None:
        try:
            await beat()
        finally:
            self.beating = None

    def give_up(self) -> None:
        """The client is gone: end its call, at once where it waits for the client, else when it says so."""
        self.gone = True
        goes_on = self._leave(self.task)
        if self.sending_since or not goes_on:
            self.task.cancel()
        if self.sending_since and self._hang_up is not None:
            # What it did not take would be kept for it, and its connection, until it does.
            self._hang_up()

    def stop(self) -> None:
        """Listen no more; whether it takes what it is handed still counts."""
        self._deaf = True
        # A task that was cancelled keeps its traceback, and this call's frames with it: held from here it would hold
        # itself, with all of the call, until the collector comes.
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()

    async def quiet(self) -> None:
        """Wait until what keeps it alive is sent: nothing may come in between."""
        if self.beating is not None:
            await asyncio.wait({self.beating})

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.give_up()


class Watches:
    """All clients that are being served. `stall_seconds` is how long one may take nothing before it counts as gone,
    `keep_alive_seconds` how long it may hear nothing before it is sent something that says nothing."""

    def __init__(self, *, stall_seconds: float, keep_alive_seconds: float = 0.0) -> None:
        self._stall_seconds = stall_seconds
        self._keep_alive_seconds = keep_alive_seconds
        self._watches: set[Watch] = set()
        self._some = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def task(self) -> asyncio.Task[Any]:
        """The task that runs, which serves a client."""
        loop = self._loop
        if loop is None or not loop.is_running():
            # Asking for it is a call into the kernel, on Python 3.11.
            loop = self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "a request is served by a task"
        return task

    def begin(
        self, receive: Receive, task: asyncio.Task[Any], leave: Leave, hang_up: Callable[[], None] | None = None
    ) -> Watch:
        """Watch the client that `task` serves, until `end`."""
        watch = Watch(receive, task, leave, hang_up)
        self._watches.add(watch)
        self._some.set()
        return watch

    def end(self, watch: Watch) -> None:
        """The call is over."""
        watch.stop()
        if watch.beating is not None:
            watch.beating.cancel()
        self._watches.discard(watch)

    async def sweep(self) -> None:
        """Look after them, for ever."""
        while True:
            if not self._watches:
                self._some.clear()
                await self._some.wait()
            await asyncio.sleep(_SWEEP_SECONDS)
            now = time.monotonic()
            limit, alive = now - self._stall_seconds, self._keep_alive_seconds
            for watch in tuple(self._watches):
                if not watch.seen:
                    # It is marked, and not kept until the next look: with it would be all of a call that has ended.
                    watch.seen = True
                    continue
                watch.look()
                if alive:
                    watch.keep_alive(now, alive)
                if 0 < watch.sending_since < limit and not watch.gone:
                    watch.give_up()
