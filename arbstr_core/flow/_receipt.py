"""The receipt: what one call cost, who served it, and why. Written once, with the entries it explains."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import msgspec

from arbstr_core.metering import Bill
from arbstr_core.types import Attempt, ChatCall, Plan, Quote, Usage, UsageSource

_MOST_ALTERNATIVES = 10


class Ending(enum.StrEnum):
    """How a call ended."""

    COMPLETE = "complete"
    CUT = "cut"
    CLIENT_GONE = "client_gone"
    FAILED = "failed"
    CANCELLED = "cancelled"


def write_receipt(
    *,
    call: ChatCall,
    plan: Plan | None,
    quote: Quote | None,
    usage: Usage,
    bill: Bill | None,
    attempts: Sequence[Attempt],
    ending: Ending,
    first_byte_ms: int | None,
    total_ms: int,
) -> bytes:
    """The receipt as JSON. Amounts are in msat, times in milliseconds; see docs/receipts.md."""
    receipt: dict[str, Any] = {
        "model": call.model,
        "provider": quote.offer.provider if quote else None,
        "ending": ending,
        "stream": call.stream,
        "usage": usage,
        "attempts": attempts,
        "reasons": _reasons(plan, bill),
        "alternatives": _alternatives(plan, quote, usage),
        "out": plan.out if plan else (),
        "strategy": plan.strategy if plan else None,
        "first_byte_ms": first_byte_ms,
        "total_ms": total_ms,
    }
    if quote is not None:
        receipt |= {"upstream": quote.offer.upstream, "node": quote.offer.node, "tier": quote.offer.tier}
        receipt |= {"price": quote.price, "fx": quote.fx}
    if bill is not None:
        receipt["cost_msat"] = bill.cost_msat
    return msgspec.json.encode(receipt)


def _reasons(plan: Plan | None, bill: Bill | None) -> list[str]:
    said = list(plan.reasons) if plan else []
    if plan and plan.candidates:
        first = plan.candidates[0]
        said.append(f"{plan.strategy}: {first.offer.provider} is expected to cost {first.cost_msat} msat")
    if bill and bill.note:
        said.append(bill.note)
    return said


def _alternatives(plan: Plan | None, served: Quote | None, usage: Usage) -> list[dict[str, Any]]:
    """What the others would have cost: for what was used where that is known, else as it was expected."""
    if plan is None:
        return []
    others = [quote for quote in (*plan.candidates, *plan.beaten) if quote is not served][:_MOST_ALTERNATIVES]
    return [{"provider": quote.offer.provider, "cost_msat": _cost(quote, usage)} for quote in others]


def _cost(quote: Quote, usage: Usage) -> int:
    if usage.source is UsageSource.NONE:
        return quote.cost_msat
    return quote.price.cost(
        input_tokens=usage.input_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        output_tokens=usage.output_tokens,
    )
