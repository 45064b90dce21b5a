"""How many calls a node serves at one time, where its offers say so, and who waits for a place: in order, bounded."""

from __future__ import annotations

import asyncio
from collections import deque

from arbstr_core.types import Offer

Where = tuple[str, str]


class Slot:
    """A place at a node, until it is given back. Giving it back again does nothing."""

    __slots__ = ("_node", "_slots", "_used")

    def __init__(self, slots: Slots, node: Node) -> None:
        self._slots = slots
        self._node = node
        self._used = False

    def give_back(self) -> None:
        """Somebody else may have it."""
        if not self._used:
            self._used = True
            self._slots.freed(self._node)


class Node:
    """One node: calls that are there, and who waits."""

    __slots__ = ("limit", "taken", "waiting", "where")

    def __init__(self, where: Where) -> None:
        self.where = where
        self.limit = 0
        self.taken = 0
        self.waiting: deque[asyncio.Future[None]] = deque()


class Slots:
    """The nodes that have a limit. `most_waiting` bounds each queue."""

    def __init__(self, *, most_waiting: int) -> None:
        self._most_waiting = most_waiting
        self._nodes: dict[Where, Node] = {}
        self.waiting: dict[Where, int] = {}
        """how many wait, by (provider, node); nodes that nobody waits for are left out"""

    def take(self, offer: Offer) -> Slot | None:
        """A place at the offer's node, where one is free and nobody came earlier."""
        node = self._node(offer)
        if node.taken >= node.limit or node.waiting:
            return None
        node.taken += 1
        return Slot(self, node)

    async def wait(self, offer: Offer, seconds: float) -> Slot | None:
        """A place, after those who came earlier; None where too many wait, or none is free within `seconds`."""
        slot = self.take(offer)
        if slot is not None:
            return slot
        node = self._node(offer)
        if len(node.waiting) >= self._most_waiting or seconds <= 0:
            return None
        turn = asyncio.get_running_loop().create_future()
        node.waiting.append(turn)
        self._count(node)
        came = False
        try:
            async with asyncio.timeout(seconds):
                await turn
            came = True
        except TimeoutError:
            return None
        finally:
            if not came:
                self._leave(node, turn)
        return Slot(self, node)

    def freed(self, node: Node) -> None:
        """A place is free: the first who waits gets it."""
        node.taken -= 1
        self._hand_on(node)

    def taken(self, offer: Offer) -> int:
        """How many calls are at the offer's node, as far as they are counted."""
        node = self._nodes.get((offer.provider, offer.node))
        return node.taken if node is not None else 0

    def _hand_on(self, node: Node) -> None:
        while node.waiting and node.taken < node.limit:
            turn = node.waiting.popleft()
            if not turn.done():
                node.taken += 1
                turn.set_result(None)
        self._count(node)

    def _leave(self, node: Node, turn: asyncio.Future[None]) -> None:
        """Who waited leaves: out of the queue, or, where its turn has just come, with its place handed on."""
        if turn.done() and not turn.cancelled():
            self.freed(node)
        elif turn in node.waiting:
            node.waiting.remove(turn)
            self._count(node)

    def _count(self, node: Node) -> None:
        if node.waiting:
            self.waiting[node.where] = len(node.waiting)
        else:
            self.waiting.pop(node.where, None)

    def _node(self, offer: Offer) -> Node:
        where = (offer.provider, offer.node)
        node = self._nodes.get(where)
        if node is None:
            node = self._nodes[where] = Node(where)
        limit = offer.max_concurrent
        assert limit is not None, "an offer without a limit needs no place"
        if limit != node.limit:
            node.limit = limit
            self._hand_on(node)
        return node
