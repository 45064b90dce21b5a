"""Retries: who asks for the same again waits for the first call's end, gets its answer, and pays nothing.

A client that lost its connection cannot know whether its call was served. See docs/retries.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec

from arbstr_core.api import Clock
from arbstr_core.flow._headers import RETRY_HEADERS, retry_headers
from arbstr_core.flow._kept import KeptAnswer
from arbstr_core.flow._refusal import vault_unavailable
from arbstr_core.storage import Cipher
from arbstr_core.types import (
    Caller,
    ChatCall,
    IdempotencyConflict,
    Overloaded,
    ShuttingDown,
    StillRunning,
    StorageError,
    VaultUnavailable,
)
from arbstr_core.vault import Claim, Claimed, HoldState, Vault, body_digest

_log = logging.getLogger("arbstr.flow")

MOST_KEPT_BYTES = 1024 * 1024
"""An answer that is larger is not kept."""
_MOST_WAITING = 64
"""requests of one agent that may wait for first calls at one time"""
_WAIT_SECONDS = 600.0
"""how long a request waits for the first call: as long as OpenAI's SDKs do by themselves"""
_FIRST_LOOK_SECONDS = 0.05
_LOOK_SECONDS = 0.5
"""how often a call that runs in another process is looked after, at first and at last"""
_FORGET_SECONDS = 60.0
_FORGET_WINDOWS_SECONDS = 3600.0
_DIGEST_BYTES = 16


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer of the call `id`, which was served: what arbstr said of it beside the reply, and the bytes."""

    id: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def replayed(self) -> list[tuple[str, str]]:
        """What arbstr says beside it to whoever asked again."""
        return [*self.headers, *retry_headers("replayed", self.id)]


_ANSWERS = msgspec.msgpack.Decoder(Answer)


class Attended(Protocol):
    """A call that is open in this process."""

    async def attend(self) -> None:
        """Wait for its end in the place of its caller."""


class Retries:
    """What is asked for again, of all calls. `find` is the open call with an id, where it runs in this process."""

    def __init__(
        self,
        vault: Vault,
        cipher: Cipher,
        clock: Clock,
        body_key: bytes,
        find: Callable[[str], Attended | None],
        *,
        most_waiting: int = _MOST_WAITING,
        wait_seconds: float = _WAIT_SECONDS,
    ) -> None:
        self._vault = vault
        self._cipher = cipher
        self._clock = clock
        self._body_key = body_key
        self._find = find
        self._most_waiting = most_waiting
        self._wait_seconds = wait_seconds
        self._waiting: Counter[str] = Counter()
        self._stopping = False

    def stop(self) -> None:
        """Nobody waits for another process any more."""
        self._stopping = True

    def claim(self, call: ChatCall) -> Claim:
        """What `call` is known by when it comes again."""
        digest = body_digest(self._body_key, call.endpoint, call.body)[:_DIGEST_BYTES]
        key = call.idempotency_key
        if key is None:
            return Claim(digest=digest, retry=bool(call.tries))
        named = body_digest(self._body_key, f"{call.endpoint} by key", key.encode())[:_DIGEST_BYTES]
        return Claim(digest=named, body=digest, retry=bool(call.tries))

    async def ended(self, claimed: Claimed, agent: str) -> HoldState:
        """How the first call ended. Raises IdempotencyConflict, StillRunning, Overloaded or ShuttingDown."""
        if claimed.state is None:
            raise IdempotencyConflict("The Idempotency-Key was used for another body: use a new key for a new request")
        if claimed.state is not HoldState.HELD:
            return claimed.state
        with self._place(agent):
            return await self._end_of(claimed.id)

    @contextmanager
    def _place(self, agent: str) -> Iterator[None]:
        if self._waiting[agent] >= self._most_waiting:
            raise Overloaded(f"{self._most_waiting} requests of this agent wait already for what they ask for again")
        self._waiting[agent] += 1
        try:
            yield
        finally:
            self._waiting[agent] -= 1
            if not self._waiting[agent]:
                del self._waiting[agent]

    async def _end_of(self, id: str) -> HoldState:
        until, pause = self._clock.monotonic() + self._wait_seconds, _FIRST_LOOK_SECONDS
        while (left := until - self._clock.monotonic()) > 0:
            here = self._find(id)
            if here is not None:
                await _at_most(here, left)
            state = await self._state(id)
            if state is not HoldState.HELD:
                return state
            if self._stopping:
                raise ShuttingDown("arbstr is shutting down; try again in a moment")
            if here is None:
                await self._clock.sleep(min(pause, left))
                pause = min(pause * 2, _LOOK_SECONDS)
        raise StillRunning(f"The same was asked for before, and the call {id} has not ended yet; its answer is kept")

    async def _state(self, id: str) -> HoldState:
        found = await self._vault.receipt(id)
        assert found is not None, f"the call {id} was there before"
        return found.state

    async def answer(self, id: str) -> Answer | None:
        """The answer of a call that has ended, where it was kept."""
        sealed = await self._vault.replay(id)
        return None if sealed is None else _ANSWERS.decode(self._cipher.open(sealed, _purpose(id)))

    def sealed(self, answer: Answer) -> bytes:
        """An answer as the vault keeps it."""
        return self._cipher.seal(msgspec.msgpack.encode(answer), _purpose(answer.id))


def may_come_again(call: ChatCall) -> bool:
    """True for a caller with a key of its own, and for one that counts its tries: no other is ever known again."""
    return call.tries is not None or call.idempotency_key is not None


class Again:
    """One call among those that ask for the same: the one that it may be a retry of, and those that retry it."""

    __slots__ = ("_agent", "_kept", "_named", "_retries", "claim", "first", "take", "waiting")

    def __init__(self, retries: Retries, call: ChatCall, caller: Caller) -> None:
        self._retries = retries
        self._agent = caller.agent
        self._named = call.idempotency_key is not None
        self._kept = KeptAnswer(MOST_KEPT_BYTES)
        self.take = self._kept.add
        """called with each part of the answer, as it went out or would have"""
        self.claim = retries.claim(call)
        self.first = ""
        """the call whose answer was not kept, so that this one is charged in addition to it"""
        self.waiting = 0
        """how many wait for this call's end"""

    async def answer(self, claimed: Claimed) -> Answer | None:
        """The first call's answer; None where the call is to be made after all."""
        try:
            if await self._retries.ended(claimed, self._agent) is HoldState.RELEASED:
                return None
            found = await self._retries.answer(claimed.id)
        except StorageError as broken:
            raise vault_unavailable(broken) from broken
        if found is None:
            self.first = claimed.id
            self.claim = msgspec.structs.replace(self.claim, after=claimed.id)
        return found

    @property
    def wanted(self) -> bool:
        """True where the answer is to be kept although a caller gets it, or although none is there any more."""
        return self._named or self.waiting > 0

    def kept(self, id: str, headers: list[tuple[str, str]], end: bytes) -> bytes | None:
        """The whole answer, which ends with `end`, sealed; None where it is too large to be kept."""
        body = self._kept.whole(end)
        if body is None:
            return None
        said = tuple(header for header in headers if header[0] not in RETRY_HEADERS)
        return self._retries.sealed(Answer(id=id, headers=said, body=body))


async def keep_forgetting(vault: Vault, clock: Clock) -> None:
    """Drop claims, answers and windows that are too old, for ever."""
    due = clock.monotonic()
    while True:
        await clock.sleep(_FORGET_SECONDS)
        try:
            await vault.drop_old_claims()
            if clock.monotonic() >= due:
                await vault.drop_old_windows(clock.now_ms())
                due = clock.monotonic() + _FORGET_WINDOWS_SECONDS
        except (StorageError, VaultUnavailable, Overloaded) as broken:
            _log.error("old answers could not be dropped, which is tried again: %s", broken)


async def _at_most(here: Attended, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await here.attend()
    except TimeoutError:
        return


def _purpose(id: str) -> str:
    return f"arbstr:replay:{id}"
