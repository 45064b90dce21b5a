"""The one loop: candidates in order, until one answers its first byte."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec

from arbstr_core.api import Clock, Provider, Reply
from arbstr_core.dispatch._attempt import FailedAttempt, first_byte, let_go
from arbstr_core.dispatch._outbound import outbound
from arbstr_core.dispatch._patience import Patiences
from arbstr_core.dispatch._standing import Standings
from arbstr_core.types import (
    ArbstrError,
    Attempt,
    CallFacts,
    ChatCall,
    Outcome,
    Quote,
    ReplyCut,
    Standing,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimedOut,
)
from arbstr_core.wire import Glimpse

_log = logging.getLogger("arbstr.dispatch")

_COUNT_SECONDS = 1.0
"""How long a provider may take to count the input of a call; its caller waits."""


class OpenReply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply whose first byte is here, and the candidate that gave it.

    Where the call does not stream, `body` is all of it, and `shown` what it shows. Else `events` came so far, and
    `rest` brings the others.
    """

    quote: Quote
    reply: Reply
    body: bytes = b""
    shown: Glimpse = Glimpse()
    events: bytes = b""
    rest: AsyncIterator[bytes] | None = None

    def facts(self) -> CallFacts:
        """What the provider knows of the call beyond its bytes. Raises ReplyCut where its plugin fails at that."""
        try:
            return self.reply.facts()
        except Exception as bug:
            raise ReplyCut(f"the plugin of {self.quote.offer.provider} knows no facts: {type(bug).__name__}") from bug

    async def aclose(self) -> None:
        """Let go of the provider. Raises ReplyCut where its plugin fails at that."""
        await let_go(self.quote.offer.provider, self.reply)


class Dispatch:
    """Asks providers. `first_byte_seconds` bounds each attempt, `idle_seconds` each silence after it."""

    def __init__(
        self, providers: Mapping[str, Provider], clock: Clock, *, first_byte_seconds: float, idle_seconds: float
    ) -> None:
        self._providers = dict(providers)
        self._clock = clock
        self._first_byte_seconds = first_byte_seconds
        self._idle_seconds = idle_seconds
        self._standings = Standings()
        self._patiences = Patiences()

    def standing(self) -> Standing:
        """How the offers have done lately."""
        return self._standings.standing()

    async def open(
        self,
        call: ChatCall,
        candidates: Sequence[Quote],
        attempts: list[Attempt],
        goes_on: Callable[[Quote, Outcome], bool] = lambda quote, outcome: True,
    ) -> OpenReply:
        """Try `candidates` in order until one answers its first byte; `attempts` grows by each try, whatever ends it.
        After each that failed `goes_on` says whether there may be another.

        Raises UpstreamRefused where a provider says that the request itself is wrong, else UpstreamFailed or
        UpstreamTimedOut once none is left.
        """
        failures: list[FailedAttempt] = []
        for quote in candidates:
            start = self._clock.monotonic()
            outcome, detail = Outcome.ABANDONED, "the caller left"
            patience = self._patiences.begin(self._first_byte_seconds)
            try:
                found = await first_byte(
                    self._providers[quote.offer.provider],
                    call,
                    quote,
                    patience,
                    idle_seconds=self._idle_seconds,
                )
                outcome, detail = Outcome.SERVED, ""
                return OpenReply(
                    quote=quote,
                    reply=found.reply,
                    body=found.body,
                    shown=found.shown,
                    events=found.events,
                    rest=found.rest,
                )
            except FailedAttempt as failed:
                outcome, detail = failed.outcome, failed.detail
                failures.append(failed)
            finally:
                ms = int((self._clock.monotonic() - start) * 1000)
                attempts.append(Attempt(provider=quote.offer.provider, outcome=outcome, ms=ms, detail=detail))
                self._standings.note(quote.offer, outcome, ms)
            if failed_for_good := _clients_own(failures[-1], quote, attempts):
                raise failed_for_good
            if not goes_on(quote, outcome):
                break
        raise _none_answered(failures, tuple(attempts))

    async def count_input(self, call: ChatCall, quote: Quote) -> int | None:
        """The input tokens of `call` by the provider's own tokenizer; None where it has none, or does not say in
        time."""
        offer = quote.offer
        if not offer.exact_tokenizer:
            return None
        try:
            async with asyncio.timeout(_COUNT_SECONDS):
                counted = await self._providers[offer.provider].count_input(outbound(call, quote), offer)
        except (ArbstrError, TimeoutError) as failed:
            _log.info("%s does not count the input: %s", offer.provider, failed or type(failed).__name__)
            return None
        except Exception as bug:  # noqa: BLE001 - the bound of the offer stands, whatever its plugin raised
            _log.exception("%s failed to count the input: %s", offer.provider, type(bug).__name__)
            return None
        return counted if type(counted) is int and counted > 0 else None

    def broke_off(self, quote: Quote) -> None:
        """A reply that had begun did not reach its end: it counts against the provider."""
        self._standings.note(quote.offer, Outcome.CUT, 0)


def _clients_own(failed: FailedAttempt, quote: Quote, attempts: Sequence[Attempt]) -> UpstreamRefused | None:
    if failed.outcome is not Outcome.CLIENT_ERROR:
        return None
    return UpstreamRefused(
        f"{quote.offer.provider} says that the request is wrong",
        status=failed.status,
        body=failed.body,
        attempts=tuple(attempts),
    )


def _none_answered(failures: Sequence[FailedAttempt], attempts: tuple[Attempt, ...]) -> UpstreamFailed:
    # Where a provider lives, and what it said, is for the receipt and the log.
    said = "; ".join(f"{attempt.provider} {_SAID.get(attempt.outcome, 'failed')}" for attempt in attempts)
    waits = [failed.retry_after for failed in failures if failed.retry_after is not None]
    kind = UpstreamTimedOut if all(failed.outcome is Outcome.TIMED_OUT for failed in failures) else UpstreamFailed
    return kind(
        f"No provider answered: {said}",
        attempts=attempts,
        retry_after=min(waits) if waits else None,
        rate_limited=all(failed.outcome is Outcome.RATE_LIMITED for failed in failures),
    )


_SAID = {
    Outcome.CONNECT_FAILED: "could not be reached",
    Outcome.TIMED_OUT: "did not answer in time",
    Outcome.REFUSED: "refused or failed",
    Outcome.RATE_LIMITED: "takes no more calls for now",
    Outcome.BAD_KEY: "does not accept our key, or has no credit left for it",
    Outcome.BAD_REPLY: "did not answer as it should",
    Outcome.CUT: "broke off",
}
