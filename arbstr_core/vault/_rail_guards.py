"""The guards of what moves over rails: what is fixed stays, and each state follows from the one before."""

from __future__ import annotations

import msgspec

from arbstr_core.storage import Guard, append_only, fixed, kept
from arbstr_core.vault import _rail_tables as r

_FIXED_OF_REQUEST = (
    *("id", "kind", "purpose", "realm", "rail", "agent_id", "subject", "amount_msat", "fee_msat", "memo"),
    "created_ms",
)
_FIXED_OF_PAYMENT = (
    *("id", "kind", "realm", "agent_id", "owner", "key", "amount_msat", "fee_held_msat", "destination", "target"),
    *("reference", "rails", "own_request", "created_ms"),
)
_SENT = "('dispatching', 'in_flight', 'unknown')"
_PAYMENT_FOLLOWS = (
    "OLD.state IN ('failed', 'rejected', 'cancelled')",
    "(OLD.state = 'succeeded' AND (NEW.state <> 'succeeded' OR OLD.handed IS NOT NULL))",
    "(OLD.state = 'succeeded' AND (NEW.fee_msat <> OLD.fee_msat OR NEW.token IS DISTINCT FROM OLD.token))",
    f"(OLD.state IN {_SENT} AND NEW.state IN ('created', 'rejected', 'cancelled'))",
    f"(OLD.state IN {_SENT} AND NEW.state = 'reserved' AND NEW.attempt <> OLD.attempt + 1)",
    f"(OLD.state IN {_SENT} AND NEW.state <> 'reserved' AND NEW.attempt <> OLD.attempt)",
    "(OLD.state IN ('created', 'reserved') AND NEW.attempt <> OLD.attempt)",
    "(OLD.state IN ('created', 'reserved') AND NEW.state IN ('in_flight', 'unknown', 'succeeded', 'failed'))",
    "(OLD.state = 'created' AND NEW.state = 'dispatching')",
)
# Money that comes in for an invoice counts, whatever was thought of the invoice.
_REQUEST_FOLLOWS = (
    "OLD.state IN ('paid', 'refused')",
    "(OLD.state IN ('cancelled', 'expired') AND NEW.state <> 'paid')",
    "(OLD.reference IS NOT NULL AND NEW.reference IS DISTINCT FROM OLD.reference)",
    "(OLD.sealed IS NOT NULL AND NEW.sealed IS DISTINCT FROM OLD.sealed)",
)


def rail_guards() -> tuple[Guard, ...]:
    """All of them."""
    return (
        *append_only(r.DEPOSIT),
        *kept(r.REQUEST),
        *kept(r.PAYMENT),
        *kept(r.FROZEN),
        *kept(r.SELLER),
        _follows("payment", _PAYMENT_FOLLOWS, fixed(r.PAYMENT, *_FIXED_OF_PAYMENT)),
        _follows("request", _REQUEST_FOLLOWS, fixed(r.REQUEST, *_FIXED_OF_REQUEST)),
    )


def _follows(name: str, wrong: tuple[str, ...], never: Guard) -> Guard:
    return msgspec.structs.replace(
        never,
        message=f"{name}: it has ended, or this does not follow, or this column never changes",
        when=f"{' OR '.join(wrong)} OR {never.when}",
        columns=(),
    )
