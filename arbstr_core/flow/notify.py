"""The operator is told: events leave the outbox for a webhook, in order, each until it has arrived.

A receiver checks `X-Arbstr-Signature: sha256=HEX`, the HMAC-SHA256 of `X-Arbstr-Timestamp`, a dot and the body, with
the secret that both know; refuses a timestamp (Unix seconds) that is minutes off; and takes each `id` once: what was
delivered just before a crash comes again.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from arbstr_core.api import Clock
from arbstr_core.types import ArbstrError, NotDelivered, Secret
from arbstr_core.vault import Job, OutboxRecord, Vault

_log = logging.getLogger("arbstr.flow")

Post = Callable[[Mapping[str, str], bytes], Awaitable[None]]
"""Sends headers and a body; raises NotDelivered."""
Lead = Callable[[], Awaitable[bool]]
"""True while this process is the one that sends."""

_LOOK_SECONDS = 1.0
_TURN_SECONDS = 60.0
"""longer than one delivery may take, twice over"""
_FIRST_WAIT_SECONDS = 2
_LONGEST_WAIT_SECONDS = 900


def signature(secret: Secret, timestamp: int, body: bytes) -> str:
    """The value of `X-Arbstr-Signature`."""
    signed = hmac.new(secret.reveal().encode(), b"%d.%b" % (timestamp, body), hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


def wait_seconds(attempts: int) -> int:
    """How long to wait after so many attempts that failed: twice as long each time, up to a quarter of an hour."""
    return min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS << min(attempts - 1, 10))


class Turn:
    """This process sends while no other does. The lease is renewed at half of its time; after a crash another process
    takes over at its end, so that what was just sent may come twice."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self._until = 0.0

    async def __call__(self) -> bool:
        """Take the turn, or go on with it."""
        now = self._clock.monotonic()
        if not self._vault.shared or now < self._until:
            return True
        if await self._vault.take_job(Job.SENDER, seconds=_TURN_SECONDS) is None:
            return False
        self._until = now + _TURN_SECONDS / 2
        return True


class Notifier:
    """Sends what waits in the outbox. `events` are those the operator wants to hear of, None for all."""

    def __init__(
        self,
        vault: Vault,
        post: Post,
        clock: Clock,
        *,
        secret: Secret,
        events: frozenset[str] | None = None,
        lead: Lead,
    ) -> None:
        self._vault = vault
        self._post = post
        self._clock = clock
        self._secret = secret
        self._events = events
        self._lead = lead

    async def run(self) -> None:
        """Send, ever again."""
        while True:
            try:
                wait = await self.step()
            except ArbstrError as broken:
                _log.warning("events are not sent now: %s", broken)
                wait = _LOOK_SECONDS
            if wait:
                await self._clock.sleep(wait)

    async def step(self) -> float:
        """Send the oldest event, if it is due; how many seconds to wait before the next look."""
        if not await self._lead():
            return _LOOK_SECONDS
        event = await self._vault.next_event()
        if event is None:
            return _LOOK_SECONDS
        left = event.due_ms - self._clock.now_ms()
        if left > 0:
            return min(left / 1000, _LOOK_SECONDS)
        if self._events is None or event.event in self._events:
            await self._send(event)
        else:
            await self._vault.delivered(event.seq)
        return 0

    async def _send(self, event: OutboxRecord) -> None:
        body = _body(event)
        timestamp = self._clock.now_ms() // 1000
        headers = {
            "content-type": "application/json",
            "x-arbstr-event": event.event,
            "x-arbstr-timestamp": str(timestamp),
            "x-arbstr-signature": signature(self._secret, timestamp, body),
        }
        try:
            await self._post(headers, body)
        except NotDelivered as failed:
            wait = wait_seconds(event.attempts + 1)
            _log.warning("event %d has not arrived, trying again in %d seconds: %s", event.seq, wait, failed)
            await self._vault.not_delivered(event.seq, str(failed), wait_ms=wait * 1000)
        else:
            await self._vault.delivered(event.seq)


class _Envelope(msgspec.Struct, frozen=True):
    id: str
    event: str
    created_ms: int
    data: msgspec.Raw


def _body(event: OutboxRecord) -> bytes:
    """The same bytes each time that it is sent."""
    return msgspec.json.encode(
        _Envelope(f"evt_{event.created_ms:x}_{event.seq}", event.event, event.created_ms, msgspec.Raw(event.body))
    )
