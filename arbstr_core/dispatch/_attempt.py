"""One attempt at one provider: from sending to the first byte, or to the reason why there is none."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime

import msgspec

from arbstr_core.api import Provider, Reply
from arbstr_core.dispatch._outbound import outbound
from arbstr_core.dispatch._patience import Patience
from arbstr_core.types import (
    AddressRefused,
    ChatCall,
    ConnectFailed,
    NotFunded,
    Outcome,
    ProviderError,
    Quote,
    ReplyCut,
    ReplyTimedOut,
)
from arbstr_core.wire import Glimpse, codec_of, event_data, events_in

_log = logging.getLogger("arbstr.dispatch")

MAX_BODY_BYTES = 64 * 1024 * 1024
_MAX_ERROR_BYTES = 256 * 1024

_CLIENTS_OWN = frozenset({400, 409, 411, 413, 414, 415, 416, 422, 431, 451})
"""Statuses that say the request itself is wrong: another provider would say the same."""
_BAD_KEY = frozenset({401, 402, 403})


Look = Callable[[bytes], Glimpse]
"""What looks at one reply, in the words of its endpoint"""


class FailedAttempt(Exception):
    """This provider will not serve this call. `body` is its answer where it has one."""

    def __init__(
        self, outcome: Outcome, detail: str, *, status: int = 0, body: bytes = b"", retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.status = status
        self.body = body
        self.retry_after = retry_after

    def without_frames(self) -> FailedAttempt:
        """This, to be kept. Its traceback, and those of what it came of, hold the frames of the call, which would hold
        it: without them all is gone with the call."""
        each: BaseException | None = self
        seen: list[BaseException] = []
        while each is not None and each not in seen:
            seen.append(each)
            each.__traceback__ = None
            each = each.__cause__ or each.__context__
        return self

    @property
    def callers_own(self) -> bool:
        """True where the request may be to blame: that says nothing of the provider, though another may take it."""
        if self.outcome is Outcome.CLIENT_ERROR or self.status == 403:
            return True
        return self.outcome is Outcome.REFUSED and self.status in (0, 200) and _says_invalid(self.body)


class FirstByte(msgspec.Struct, frozen=True):
    """A reply that has begun: the whole body, or the events so far and what brings the rest."""

    reply: Reply
    body: bytes = b""
    shown: Glimpse = Glimpse()
    events: bytes = b""
    rest: AsyncIterator[bytes] | None = None


async def first_byte(
    provider: Provider, call: ChatCall, quote: Quote, patience: Patience, *, idle_seconds: float, others: bool = False
) -> FirstByte:
    """Send the call and wait for its first byte while `patience` lasts. Raises FailedAttempt; closes what it opened.

    From then on the reply may be silent for `idle_seconds` at a time.
    """
    reply: Reply | None = None
    begun = False
    try:
        reply = await provider.open(outbound(call, quote, others=others), quote.offer)
        if reply.status != 200:
            raise await _refusal(reply)
        look = codec_of((quote.translated or call).endpoint).glimpses()
        if call.stream:
            found = await _first_events(provider, reply, look, patience, idle_seconds)
        else:
            found = await _whole_body(reply, look)
        begun = True
        return found
    except asyncio.CancelledError:
        if not patience.forgive():
            raise
        why = "given up: it hangs for others, too" if patience.lost else "no first byte in time"
        raise FailedAttempt(Outcome.TIMED_OUT, why) from None
    except FailedAttempt:
        raise
    except ProviderError as failed:
        raise FailedAttempt(_OUTCOMES.get(type(failed), Outcome.REFUSED), str(failed)) from failed
    except AddressRefused as wrong:
        raise FailedAttempt(Outcome.REFUSED, str(wrong)) from wrong
    except Exception as bug:
        _log.exception("%s failed", provider.name)
        raise FailedAttempt(Outcome.BAD_REPLY, f"its plugin failed: {type(bug).__name__}") from bug
    finally:
        if begun:
            patience.stop()
        else:
            patience.end()
            if reply is not None:
                await _abandon(provider, reply)


_OUTCOMES = {
    ReplyTimedOut: Outcome.TIMED_OUT,
    ConnectFailed: Outcome.CONNECT_FAILED,
    NotFunded: Outcome.UNFUNDED,
    ReplyCut: Outcome.CUT,
}


async def _first_events(
    provider: Provider, reply: Reply, look: Look, patience: Patience, idle_seconds: float
) -> FirstByte:
    """Read until an event that is neither a comment nor an error."""
    if not reply.streaming:
        body = await reply.read(_MAX_ERROR_BYTES)
        raise FailedAttempt(Outcome.BAD_REPLY, "asked for a stream, and did not answer with one", body=body)
    rest = reply.batches()
    async for batch in rest:
        for event in events_in(batch):
            data = event_data(event)
            if data is None or data.startswith(b":"):
                continue
            if data != b"[DONE]" and look(data).error:
                raise FailedAttempt(Outcome.REFUSED, "answered with an error event", body=data)
            return FirstByte(reply, events=batch, rest=_owned(provider, rest, patience, idle_seconds))
    raise FailedAttempt(Outcome.CUT, "the stream ended before its first event")


async def _owned(
    provider: Provider, batches: AsyncIterator[bytes], patience: Patience, idle_seconds: float
) -> AsyncIterator[bytes]:
    """The rest of a stream; its silence, or whatever its plugin raises, cuts it, and nothing else."""
    patience.adopt()
    try:
        patience.extend(idle_seconds)
        async for batch in batches:
            patience.stop()  # the time that the caller takes for it is not the provider's
            yield batch
            patience.extend(idle_seconds)
    except asyncio.CancelledError:
        if not patience.forgive():
            raise
        raise ReplyTimedOut(f"{provider.name} was silent for {idle_seconds:g} s") from None
    except ProviderError:
        raise
    except Exception as bug:
        _log.exception("%s failed in the middle of a reply", provider.name)
        raise ReplyCut(f"the plugin of {provider.name} failed: {type(bug).__name__}") from bug
    finally:
        patience.stop()


async def _whole_body(reply: Reply, look: Look) -> FirstByte:
    body = await reply.read(MAX_BODY_BYTES)
    if not body.lstrip()[:1] == b"{":
        raise FailedAttempt(Outcome.BAD_REPLY, "did not answer with a JSON object")
    shown = look(body)
    if shown.error:
        raise FailedAttempt(Outcome.REFUSED, "answered 200 with an error", body=body[:_MAX_ERROR_BYTES])
    return FirstByte(reply, body=body, shown=shown)


async def let_go(name: str, reply: Reply) -> None:
    """Close a reply of the provider `name`. Raises ReplyCut where its plugin fails at that."""
    try:
        await reply.aclose()
    except Exception as bug:
        raise ReplyCut(f"the plugin of {name} failed to close a reply: {type(bug).__name__}") from bug


async def _abandon(provider: Provider, reply: Reply) -> None:
    try:
        await let_go(provider.name, reply)
    except ReplyCut as failed:
        _log.warning("%s", failed, exc_info=failed)


async def _refusal(reply: Reply) -> FailedAttempt:
    status = reply.status
    try:
        body = await reply.read(_MAX_ERROR_BYTES)
    except ProviderError:
        body = b""
    if status in _CLIENTS_OWN:
        outcome = Outcome.CLIENT_ERROR
    elif status in _BAD_KEY:
        outcome = Outcome.BAD_KEY
    elif status == 429:
        outcome = Outcome.RATE_LIMITED
    else:
        outcome = Outcome.REFUSED
    return FailedAttempt(
        outcome, f"answered {status}", status=status, body=body, retry_after=_rest_seconds(reply.headers)
    )


class _Said(msgspec.Struct):
    type: str | None = None
    code: int | str | None = None


class _SaidError(msgspec.Struct):
    error: _Said


def _says_invalid(body: bytes) -> bool:
    """An error in the place of an answer, which says of itself that the request is wrong."""
    try:
        said = msgspec.json.decode(body, type=_SaidError).error
    except msgspec.MsgspecError:
        return False
    return said.type == "invalid_request_error" or str(said.code) in _INVALID


_INVALID = frozenset(str(status) for status in _CLIENTS_OWN)


def _rest_seconds(headers: Mapping[str, str]) -> int | None:
    """When the provider wants to be asked again, in seconds. Source: RFC 9110, 10.2.3; `retry-after-ms` is OpenAI's."""
    text = headers.get("retry-after-ms", "")
    if text.isascii() and text.isdigit() and len(text) < 9:
        return math.ceil(int(text) / 1000)
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return int(text) if len(text) < 6 else None
    try:
        # By its own clock, which may not be ours.
        seconds = (parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return math.ceil(seconds) if 0 < seconds < 100_000 else None
