"""Providers that can die in several ways, in virtual time, and callers that say how it went."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from arbstr_core.api import Offer, Outbound, Provider, Reply
from arbstr_core.dispatch import Budget, Dispatch, DispatchRules, OpenReply
from arbstr_core.testing import VirtualClock, a_call, a_completion, a_quote, a_stream, an_offer
from arbstr_core.types import Attempt, CallRefused, ConnectFailed, Quote, ReplyCut, ReplyTimedOut


class Mood(enum.Enum):
    """How a node takes a call."""

    GOOD = "good"
    REFUSES = "refuses"
    HANGS = "hangs"
    UNREACHABLE = "cannot be reached, and says so late"
    BROKEN = "500"
    LIMITED = "429"
    INVALID = "400"
    FORBIDS = "403"
    CUT_EARLY = "cut before the first byte"
    CUT_LATE = "cut after it"
    STALLS = "stalls after it"
    BLAMES = "says in a stream that the request is wrong"


class Node(Provider):
    """A provider with one node. It takes `takes` seconds to its first byte, and counts who is there."""

    def __init__(self, name: str, mood: Mood = Mood.GOOD, *, takes: float = 0.2, **facts: Any) -> None:
        self.name = name
        self.mood = mood
        self.takes = takes
        self.headers: dict[str, str] = {}
        self.offer = an_offer(provider=name, **facts)
        self.asked = 0
        self.here = 0
        self.most_here = 0

    @property
    def quote(self) -> Quote:
        return a_quote(self.offer)

    async def offers(self) -> Sequence[Offer]:
        return [self.offer]

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        self.asked += 1
        self.here += 1
        self.most_here = max(self.most_here, self.here)
        try:
            reply = await self._reply(call)
        except BaseException:
            self.here -= 1
            raise
        reply._close = self._left
        return reply

    async def _left(self) -> None:
        self.here -= 1

    async def _reply(self, call: Outbound) -> Reply:
        mood = self.mood
        if mood is Mood.REFUSES:
            raise ConnectFailed("refused")
        if mood is Mood.UNREACHABLE:
            await asyncio.sleep(5)
            raise ConnectFailed("no connection within 5 s")
        if mood is Mood.HANGS:
            await asyncio.Event().wait()
        await asyncio.sleep(self.takes)
        if mood.value.isdigit():
            reply = Reply.of_json(b'{"error":{"message":"no"}}', status=int(mood.value))
            return Reply(reply.status, {**reply.headers, **self.headers}, reply._chunks)
        if mood is Mood.BLAMES:
            return Reply.of_events(each(b'data: {"error":{"type":"invalid_request_error","message":"no"}}\n\n'))
        if mood is Mood.CUT_EARLY:
            return Reply.of_events(each(ReplyCut("cut")))
        if call.stream:
            events = a_stream()
            if mood is Mood.CUT_LATE:
                return Reply.of_events(each(*events[:2], ReplyCut("cut")))
            return Reply.of_events(each(*events[:2], None) if mood is Mood.STALLS else each(*events))
        return Reply.of_json(a_completion())


async def each(*parts: bytes | Exception | None) -> AsyncIterator[bytes]:
    """These parts; an exception is raised, and None waits for ever."""
    for part in parts:
        if part is None:
            await asyncio.Event().wait()
        elif isinstance(part, Exception):
            raise part
        else:
            yield part


class Told(msgspec.Struct, kw_only=True):
    """How a call went, for whoever made it."""

    served_by: str | None
    waited: float
    attempts: list[Attempt]
    refused: CallRefused | None = None
    whole: bool = False


class Scene:
    """Some nodes and a Dispatch over them; only inside a virtual loop."""

    def __init__(self, *nodes: Node, **rules: Any) -> None:
        self.nodes = nodes
        self.clock = VirtualClock()
        self.dispatch = Dispatch({node.name: node for node in nodes}, self.clock, DispatchRules(**rules))

    def plan(self, *names: str, every: bool = False) -> list[Quote]:
        """Candidates as routing would leave them: those whose breakers are not open, or all."""
        shut = {} if every else self.dispatch.standing().shut
        return [
            node.quote
            for node in self.nodes
            if (not names or node.name in names) and (every or node.offer.key not in shut)
        ]

    async def call(
        self,
        *names: str,
        stream: bool = True,
        every: bool = False,
        budget: Budget | None = None,
        plan: list[Quote] | None = None,
    ) -> Told:
        """One call, read to its end."""
        began = self.clock.monotonic()
        attempts: list[Attempt] = []
        candidates = self.plan(*names, every=every) if plan is None else plan
        if not candidates:
            return Told(served_by=None, waited=0.0, attempts=[])
        try:
            opened = await self.dispatch.open(a_call(stream=stream), candidates, attempts, budget)
        except CallRefused as refused:
            return Told(served_by=None, waited=self.clock.monotonic() - began, attempts=attempts, refused=refused)
        waited = self.clock.monotonic() - began
        whole = await self.read(opened)
        return Told(served_by=opened.quote.offer.provider, waited=waited, attempts=attempts, whole=whole)

    async def read(self, opened: OpenReply) -> bool:
        """As an exchange does: all of it, what came of it, and let go."""
        try:
            async for _ in opened.rest or each():
                pass
            self.dispatch.ended(opened, whole=True)
        except (ReplyCut, ReplyTimedOut):
            self.dispatch.ended(opened, whole=False)
            return False
        finally:
            await opened.aclose()
        return True

    def state(self, name: str) -> str:
        """The breaker of a node."""
        return self.dispatch.state(self.node(name).offer).breaker.value

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    async def leaves_nothing(self) -> None:
        """After all calls have ended: no task, no place taken, nobody waiting, no probe out."""
        await self.dispatch.aclose()
        asker = self.dispatch._asker
        assert {node.name: node.here for node in self.nodes if node.here} == {}
        assert [node.where for node in asker.slots._nodes.values() if node.taken or node.waiting] == []
        assert asker.breakers._waiting == {}
        assert [key for key, breaker in asker.breakers.seen().items() if breaker.probing] == []
        assert asker._patiences._waiting == set()
        assert asyncio.all_tasks() == {asyncio.current_task()}
