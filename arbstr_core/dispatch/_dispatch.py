"""Whom to ask, one after the other, until one answers its first byte."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Mapping, Sequence

from arbstr_core.api import Clock, Provider
from arbstr_core.dispatch._asker import FREE, Asker, DispatchRules, Leave
from arbstr_core.dispatch._attempt import FailedAttempt
from arbstr_core.dispatch._behind import Behind
from arbstr_core.dispatch._chase import Chase
from arbstr_core.dispatch._ends import Budget, Unlimited, raise_clients_own
from arbstr_core.dispatch._open_reply import OpenReply
from arbstr_core.dispatch._outbound import outbound
from arbstr_core.dispatch._state import OfferState, state_of
from arbstr_core.types import ArbstrError, Attempt, ChatCall, Offer, Outcome, Quote, Standing

_log = logging.getLogger("arbstr.dispatch")

_CHECK_SECONDS = 10.0
_COUNT_SECONDS = 1.0
"""How long a provider may take to count the input of a call; its caller waits."""
_TOKENS_A_SECOND = 10
_MOST_TIMES = 5
"""A whole answer comes at its end: it gets a second more for each ten tokens that it may have, and at most five times
what a first byte gets."""


class Dispatch:
    """Asks providers, within the times of `rules`. What the one `before` it knows of offers, it knows, too; both may be
    used at one time."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        clock: Clock,
        rules: DispatchRules | None = None,
        *,
        before: Dispatch | None = None,
    ) -> None:
        self._providers = dict(providers)
        self._clock = clock
        self._rules = rules or DispatchRules()
        self._asker: Asker = Asker(providers, clock, self._rules, None if before is None else before._asker)
        self._behind = Behind()
        asker = self._asker
        self._standing = Standing(asker.standings.records, asker.breakers.shut, asker.slots.waiting)

    def standing(self) -> Standing:
        """How the offers have done lately, and which are not to be asked now. A plan is made without a pause, so it may
        look at all that as it is."""
        self._asker.breakers.look()
        return self._standing

    def state(self, offer: Offer) -> OfferState:
        """What is known of one offer."""
        return state_of(self._asker, offer)

    def forgive(self, offer: Offer) -> None:
        """Close the breaker of an offer: the operator has mended what was wrong."""
        self._asker.breakers.close(offer.key)

    def forget(self, providers: Container[str]) -> None:
        """Close the breakers of these providers' offers: they were made anew."""
        for key in [key for key in self._asker.breakers.seen() if key[0] in providers]:
            self._asker.breakers.close(key)

    async def open(
        self, call: ChatCall, candidates: Sequence[Quote], attempts: list[Attempt], budget: Budget | None = None
    ) -> OpenReply:
        """Try `candidates` in order until one answers its first byte; `attempts` grows by each try, whatever ends it.

        Raises UpstreamRefused where a provider says that the request itself is wrong, else UpstreamFailed or
        UpstreamTimedOut once none is left; ProvidersUnavailable where none could be asked.
        """
        began = self._clock.monotonic()
        failures: list[FailedAttempt] = []
        leave = self._at_once(candidates)
        if leave is None:
            return await self._chase(call, candidates, attempts, budget, failures, began)
        first, others = candidates[0], candidates[1:]
        outcome, detail = Outcome.ABANDONED, "the caller left"
        try:
            times = 1.0 if call.stream else self._times_longer(first)
            seconds = min(self._rules.first_byte_seconds, self._rules.deadline_seconds / len(candidates)) * times
            opened = await self._asker.ask(call, first, began, seconds, leave=leave, others=bool(others))
            outcome, detail = Outcome.SERVED, ""
            return opened
        except FailedAttempt as failed:
            outcome, detail = failed.outcome, failed.detail
            failures.append(failed.without_frames())
        finally:
            ms = int((self._clock.monotonic() - began) * 1000)
            offer = first.offer
            attempts.append(Attempt(provider=offer.provider, outcome=outcome, ms=ms, detail=detail, node=offer.node))
        raise_clients_own(failures[0], first, attempts)
        if budget is not None and not budget.goes_on(first, outcome):
            others = ()
        return await self._chase(call, others, attempts, budget, failures, began)

    def _at_once(self, candidates: Sequence[Quote]) -> Leave | None:
        """Leave to ask the first candidate, and to wait for it without more ado: most calls are like that, and need no
        tasks. None where it is not so easy."""
        offer = candidates[0].offer
        hedging = self._rules.hedge_seconds and len(candidates) > 1
        if hedging or not self._asker.breakers.closed(offer.key):
            return None
        if offer.max_concurrent is None:
            return FREE
        leave = self._asker.leave(offer)
        return leave if isinstance(leave, Leave) else None

    async def _chase(
        self,
        call: ChatCall,
        candidates: Sequence[Quote],
        attempts: list[Attempt],
        budget: Budget | None,
        failures: list[FailedAttempt],
        began: float,
    ) -> OpenReply:
        rules = self._rules
        times = 1.0 if call.stream or not candidates else self._times_longer(candidates[0])
        chase = Chase(
            self._asker,
            call,
            candidates,
            attempts,
            budget or Unlimited(),
            failures=failures,
            seconds=rules.first_byte_seconds * times,
            until=began + rules.deadline_seconds * times,
            behind=self._behind.follow,
        )
        return await chase.run()

    def _times_longer(self, quote: Quote) -> float:
        """How many times as long as a first byte a whole answer may take."""
        tokens = quote.output_limit * quote.choices
        return min(1 + tokens / (_TOKENS_A_SECOND * self._rules.first_byte_seconds), _MOST_TIMES)

    async def check(self) -> dict[str, str]:
        """Ask every provider whether it is there; why it is not, by its name."""
        found = await asyncio.gather(*(self._checked(provider) for provider in self._providers.values()))
        return {name: wrong for name, wrong in zip(self._providers, found, strict=True) if wrong is not None}

    async def _checked(self, provider: Provider) -> str | None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await provider.check()
        except TimeoutError:
            return f"it does not answer within {_CHECK_SECONDS:.0f} s: start it, or correct where it is"
        except ArbstrError as wrong:
            return str(wrong)
        except Exception as bug:  # noqa: BLE001 - one whose plugin fails hides no other
            _log.exception("%s could not be checked", provider.name)
            return f"its plugin failed ({type(bug).__name__}): tell its author"
        return None

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

    def ended(self, opened: OpenReply, *, whole: bool) -> None:
        """A stream came to its end, or broke off, which counts against the provider."""
        if whole:
            self._asker.breakers.completed(opened.quote.offer.key)
        else:
            self._asker.broke_off(opened)

    def overcharged(self, quote: Quote, agent: str, *, plain: bool) -> None:
        """A provider bills more than its own limits allow, for a call of `agent`; `plain` where nothing in the call can
        be the reason."""
        self._asker.breakers.overcharged(quote.offer.key, agent, plain=plain)

    async def aclose(self) -> None:
        """End what goes on behind the calls."""
        await self._behind.aclose()
