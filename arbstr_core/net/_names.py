"""Which addresses a name leads to, remembered for a while, and which of them answers first.

Source: RFC 8305, "Happy Eyeballs Version 2".
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

T = TypeVar("T")

_KEPT_SECONDS = 30.0
"""How long an answer is good for; the system's resolver does not say for how long its own is."""
_MOST_KEPT = 1024
_STAGGER_SECONDS = 0.25
"""How long an address may take before the next one is tried beside it (RFC 8305, 5)."""

Addresses = tuple[str, ...]


class Names:
    """Asks the system's resolver, once for all who want the same name at one time."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Addresses]] = {}
        self._asking: dict[str, asyncio.Task[Addresses]] = {}

    async def addresses(self, host: str) -> Addresses:
        """The addresses of `host`, those of both families in turn. Raises OSError."""
        if _is_address(host):
            return (host,)
        known = self._known.get(host)
        if known is not None and known[0] > asyncio.get_running_loop().time():
            return known[1]
        asking = self._asking.get(host)
        if asking is None:
            asking = self._asking[host] = asyncio.create_task(self._ask(host))
            asking.add_done_callback(lambda done: self._asked(host, done))
        # Whoever gives up waiting leaves the others their answer.
        return await asyncio.shield(asking)

    def forget(self, host: str) -> None:
        """None of its addresses answers: it may have moved."""
        self._known.pop(host, None)

    async def _ask(self, host: str) -> Addresses:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        rows = dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found)
        first = next(iter(rows))[0] if rows else None
        ours, others = ([each for family, each in rows if (family == first) is same] for same in (True, False))
        turns = chain.from_iterable(zip_longest(ours, others))
        addresses = tuple(each for each in turns if each is not None)
        if not addresses:
            raise OSError(f"{host} has no address")
        if len(self._known) >= _MOST_KEPT:
            self._known.clear()
        self._known[host] = (loop.time() + _KEPT_SECONDS, addresses)
        return addresses

    def _asked(self, host: str, done: asyncio.Task[Addresses]) -> None:
        del self._asking[host]
        if not done.cancelled():
            done.exception()  # where everyone has given up, nobody else asks for it


async def first_of(addresses: Sequence[str], connect: Callable[[str], Awaitable[T]], drop: Callable[[T], None]) -> T:
    """What `connect` gives for the first of `addresses` that answers; later ones get their try while earlier ones keep
    silent. `drop` is given what connected too late. Raises the last OSError where none answers."""
    if len(addresses) == 1:
        return await connect(addresses[0])
    left = list(addresses)
    trying: set[asyncio.Task[T]] = set()
    failed = OSError("no address to connect to")
    try:
        while left or trying:
            if left:
                trying.add(asyncio.ensure_future(_tried(connect, left.pop(0))))
            wait = _STAGGER_SECONDS if left else None
            done, trying = await asyncio.wait(trying, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                error = each.exception()
                if error is None:
                    trying |= done - {each}
                    return each.result()
                if not isinstance(error, OSError):
                    raise error
                failed = error
    finally:
        _let_go(trying, drop)
    raise failed


async def _tried(connect: Callable[[str], Awaitable[T]], address: str) -> T:
    return await connect(address)


def _let_go(trying: set[asyncio.Task[T]], drop: Callable[[T], None]) -> None:
    def dropped(late: asyncio.Task[T]) -> None:
        if not late.cancelled() and late.exception() is None:
            drop(late.result())

    for each in trying:
        each.cancel()
        each.add_done_callback(dropped)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
