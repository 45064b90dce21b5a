"""The node on a loop and a thread of its own, as if it were another process: for tests of a whole arbstr."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from arbstr_core.api import Clock
from lightning.node import FakeLnd

T = TypeVar("T")


class Apart:
    """A node elsewhere; `do` runs what a test wants of it over there."""

    def __init__(self, node: FakeLnd, loop: asyncio.AbstractEventLoop) -> None:
        self.node = node
        self._loop = loop

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` where the node is, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


@contextmanager
def a_node_apart(clock: Clock, **said: Any) -> Iterator[Apart]:
    """A node that runs until the end of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="a node apart", daemon=True)
    thread.start()
    made = Apart(FakeLnd(clock, **said), loop)
    try:
        made.do(made.node.start())
        yield made
        made.do(made.node.die())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
