"""What is known of an offer, for whoever looks: its breaker, its record, how busy its node is."""

from __future__ import annotations

import msgspec

from arbstr_core.dispatch._asker import Asker
from arbstr_core.dispatch._breaker import BreakerState
from arbstr_core.types import Offer, Record

_CLEAN = Record()


class OfferState(msgspec.Struct, frozen=True, kw_only=True):
    """One offer, now. `failures` are those in a row; `until_ms` is when an open breaker may be tried again, in Unix
    milliseconds; `last_failure` is for the operator alone. `open_calls` are counted where `max_concurrent` is set."""

    offer: Offer
    breaker: BreakerState
    failures: int
    until_ms: int | None
    last_failure: str
    success: float
    first_byte_ms: float
    open_calls: int
    waiting: int


def state_of(asker: Asker, offer: Offer) -> OfferState:
    """The state of `offer`."""
    breaker = asker.breakers.seen().get(offer.key)
    record = asker.standings.records.get(offer.key, _CLEAN)
    is_open = breaker is not None and breaker.state is BreakerState.OPEN
    return OfferState(
        offer=offer,
        breaker=BreakerState.CLOSED if breaker is None else breaker.state,
        failures=0 if breaker is None else breaker.failures,
        until_ms=asker.breakers.until_ms(breaker) if breaker is not None and is_open else None,
        last_failure="" if breaker is None else breaker.last,
        success=record.success,
        first_byte_ms=record.first_byte_ms,
        open_calls=asker.slots.taken(offer),
        waiting=asker.slots.waiting.get((offer.provider, offer.node), 0),
    )
