"""What is tried before a call is refused for money, in the order of MONEY.md "Ceilings"."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from arbstr_core.api import Clock
from arbstr_core.dispatch import Dispatch
from arbstr_core.routing import afford, tightened
from arbstr_core.types import ChatCall, Plan, Quote
from arbstr_core.vault import ApprovalNeeded, Claimed, Granted, RefusalReason, Refused

Quotes = tuple[Quote, ...]
Outcome = Granted | Refused | Claimed | ApprovalNeeded
Ask = Callable[[Quotes], Awaitable[Outcome]]

_WAIT_SECONDS = 0.05
"""how long open holds that are in the way may take to end"""
_LOOK_SECONDS = 0.01
_MONEY = frozenset({RefusalReason.MAX_CHARGE, RefusalReason.DAILY, RefusalReason.HOURLY, RefusalReason.INSUFFICIENT})
_AFFORD = "x-arbstr-afford"


class Remedies:
    """Finds a way where a hold does not fit. `ask` asks the vault for the quotes that it is given."""

    def __init__(self, call: ChatCall, dispatch: Dispatch, clock: Clock, ask: Ask) -> None:
        self._call = call
        self._dispatch = dispatch
        self._clock = clock
        self._ask = ask
        self.said: list[str] = []
        """what was done, for the receipt"""

    async def hold(self, quotes: Quotes, refused: Refused) -> tuple[Quotes, Outcome]:
        """The quotes that were asked for in the end, and the vault's answer."""
        outcome: Outcome = refused
        for remedy in (self._count, self._drop_dearest, self._wait, self._afford):
            if not (isinstance(outcome, Refused) and outcome.reason in _MONEY):
                break
            quotes, outcome = await remedy(quotes, outcome)
        return quotes, outcome

    async def _count(self, quotes: Quotes, refused: Refused) -> tuple[Quotes, Outcome]:
        """Count the input where the provider can do that exactly: bytes are a generous bound."""
        counted = [await self._counted(quote) for quote in quotes]
        if counted == list(quotes):
            return quotes, refused
        self.said.append("the input was counted by the provider's own tokenizer")
        return tuple(counted), await self._ask(tuple(counted))

    async def _counted(self, quote: Quote) -> Quote:
        # What is elsewhere is not in what would be counted.
        elsewhere = self._call.elsewhere is not None
        tokens = None if elsewhere else await self._dispatch.count_input(self._call, quote)
        return quote if tokens is None else tightened(quote, tokens)

    async def _drop_dearest(self, quotes: Quotes, refused: Refused) -> tuple[Quotes, Outcome]:
        """Do without the candidates that cannot be paid for. The vault drops them from the end by itself; here go those
        that a strategy has put before cheaper ones."""
        fitting = tuple(quote for quote in quotes if quote.ceiling_msat <= refused.left_msat)
        if not fitting:
            return quotes, refused
        dropped = ", ".join(quote.offer.provider for quote in quotes if quote not in fitting)
        self.said.append(f"too dear for what is left: {dropped}")
        return fitting, await self._ask(fitting)

    async def _wait(self, quotes: Quotes, refused: Refused) -> tuple[Quotes, Outcome]:
        """Wait a moment where only open holds are in the way."""
        outcome: Outcome = refused
        end = self._clock.monotonic() + _WAIT_SECONDS
        while self._in_the_way(outcome) and self._clock.monotonic() < end:
            await self._clock.sleep(_LOOK_SECONDS)
            outcome = await self._ask(quotes)
        return quotes, outcome

    def _in_the_way(self, outcome: Outcome) -> bool:
        return (
            isinstance(outcome, Refused)
            and outcome.reason is RefusalReason.INSUFFICIENT
            and outcome.left_msat + outcome.open_msat >= outcome.needed_msat
        )

    async def _afford(self, quotes: Quotes, refused: Refused) -> tuple[Quotes, Outcome]:
        """A smaller output, where the caller set no limit of its own, or asks for it."""
        if self._call.output_limit is not None and self._call.hints.get(_AFFORD) != "1":
            return quotes, refused
        afforded = tuple(quote for quote in (afford(each, refused.left_msat) for each in quotes) if quote is not None)
        if not afforded:
            return quotes, refused
        self.said.append(f"the output is limited to {afforded[0].output_limit} tokens, which is what can be afforded")
        return afforded, await self._ask(afforded)


def fit(plan: Plan, quotes: Quotes, said: Sequence[str]) -> tuple[Plan, bool]:
    """The plan as it was held for, which says how it came to fit; and whether the output became smaller."""
    asked = {_seller(quote): quote.output_limit for quote in plan.candidates}
    limited = any(quote.output_limit < asked[_seller(quote)] for quote in quotes)
    return msgspec.structs.replace(plan, candidates=quotes, reasons=(*plan.reasons, *said)), limited


def _seller(quote: Quote) -> tuple[str, str, str]:
    return quote.offer.provider, quote.offer.node, quote.offer.model
