"""What a call that nobody answered is told, and who counts what its attempts may have cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from arbstr_core.dispatch._asker import SAID
from arbstr_core.dispatch._attempt import FailedAttempt
from arbstr_core.types import (
    Attempt,
    Outcome,
    ProvidersUnavailable,
    Quote,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimedOut,
)

_TOLD = {**SAID, Outcome.UNFUNDED: "was not asked: there is too little money for it at its node yet"}
_FUNDED_SECONDS = 5
"""How long it takes, about, to bring money to a node"""


class Budget(Protocol):
    """What attempts may cost us that serve nobody."""

    def goes_on(self, quote: Quote, outcome: Outcome) -> bool:
        """Count an attempt that ended without serving the call. True where another may be made."""
        ...

    def allows(self, quote: Quote) -> bool:
        """True where an attempt at `quote` may be let go for one that answers earlier."""
        ...


class Unlimited:
    """Where nobody counts."""

    def goes_on(self, quote: Quote, outcome: Outcome) -> bool:
        """Always."""
        return True

    def allows(self, quote: Quote) -> bool:
        """Always."""
        return True


def raise_clients_own(failed: FailedAttempt, quote: Quote, attempts: Sequence[Attempt]) -> None:
    """Raise UpstreamRefused where the request is wrong by itself, so that nobody else is to be asked."""
    if failed.outcome is Outcome.CLIENT_ERROR:
        raise UpstreamRefused(
            f"{quote.offer.provider} says that the request is wrong",
            status=failed.status,
            body=failed.body,
            attempts=tuple(attempts),
        )


def none_answered(
    failures: Sequence[FailedAttempt], attempts: Sequence[Attempt], left_out: Sequence[tuple[Quote, str]]
) -> UpstreamFailed | ProvidersUnavailable:
    """The error once no candidate is left. `left_out` are those that were not asked, and why."""
    said = [f"{attempt.provider} {_TOLD.get(attempt.outcome, 'failed')}" for attempt in attempts]
    said += [f"{quote.offer.provider} was not asked: {why}" for quote, why in left_out]
    sentence = f"No provider answered: {'; '.join(said)}"
    if all(failed.outcome is Outcome.UNFUNDED for failed in failures):
        return ProvidersUnavailable(sentence, retry_after=_FUNDED_SECONDS if failures else 1)
    waits = [failed.retry_after for failed in failures if failed.retry_after is not None]
    kind = UpstreamTimedOut if all(failed.outcome is Outcome.TIMED_OUT for failed in failures) else UpstreamFailed
    return kind(
        sentence,
        attempts=tuple(attempts),
        retry_after=min(waits) if waits else None,
        rate_limited=all(failed.outcome is Outcome.RATE_LIMITED for failed in failures),
    )
