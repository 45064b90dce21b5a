"""What the vault is told of a call: what is held for it, and its receipt, written once with the entries it explains."""

from __future__ import annotations

import enum
import logging
from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

import msgspec

from arbstr_core.dispatch import OpenReply
from arbstr_core.journal import CallRow
from arbstr_core.metering import Bill, Meter, bill
from arbstr_core.routing import demands
from arbstr_core.types import (
    Attempt,
    Caller,
    CallFacts,
    ChatCall,
    MsatPrice,
    Plan,
    ProviderError,
    Quote,
    Usage,
    UsageSource,
)
from arbstr_core.vault import Claim, HoldRequest

_log = logging.getLogger("arbstr.flow")

_MOST_ALTERNATIVES = 10
_MOST_OUT = 20


class Ending(enum.StrEnum):
    """How a call ended."""

    COMPLETE = "complete"
    CUT = "cut"
    CLIENT_GONE = "client_gone"
    FAILED = "failed"
    CANCELLED = "cancelled"


Times = tuple[float, float, float, float]
"""When a call began, its first provider was asked, its first byte came, and when it ended; 0 for what did not happen"""


def write_receipt(
    *,
    call: ChatCall,
    plan: Plan | None,
    quote: Quote | None,
    usage: Usage,
    bill: Bill | None,
    attempts: Sequence[Attempt],
    ending: Ending,
    times: Times,
) -> bytes:
    """The receipt as JSON. Amounts are in msat, times in milliseconds; see docs/receipts.md."""
    began, _, first, now = times
    receipt: dict[str, Any] = {
        "endpoint": call.endpoint,
        "model": call.model,
        "provider": quote.offer.provider if quote else None,
        "ending": ending,
        "stream": call.stream,
        "usage": usage,
        "attempts": attempts,
        "reasons": _reasons(plan, bill),
        **_alternatives(_others(plan, quote, attempts, usage), quote, usage),
        "first_byte_ms": int((first - began) * 1000) if first else None,
        "total_ms": int((now - began) * 1000),
    }
    if plan is not None:
        receipt["strategy"] = plan.strategy
        if plan.notes:
            receipt["notes"] = plan.notes
        if plan.out:
            receipt["out"] = plan.out[:_MOST_OUT]
        if len(plan.out) > _MOST_OUT:
            receipt["out_more"] = len(plan.out) - _MOST_OUT
    if quote is not None:
        offer = quote.offer
        receipt |= {"upstream": offer.upstream, "node": offer.node, "tier": offer.tier, "price": quote.price}
        if quote.fx is not None:
            receipt["fx"] = quote.fx
    if bill is not None:
        receipt["cost_msat"] = bill.cost_msat
        if bill.told:
            receipt["told"] = bill.told
        if bill.overage_msat:
            receipt |= {"overage_msat": bill.overage_msat, "overage_fields": blamed(call)}
    return msgspec.json.encode(receipt)


def held_for(candidates: Sequence[Quote]) -> bytes:
    """The candidates of a hold, as JSON: what it may have cost at each, docs/audit.md. Nobody reads them but auditors,
    and each call writes them twice, with its hold and with the hold's end: they have no names."""
    return msgspec.json.encode(
        [
            (
                quote.offer.provider,
                quote.offer.node,
                quote.offer.upstream,
                quote.ceiling_msat,
                quote.input_limit,
                quote.output_limit,
                _rates(quote.price),
                None if quote.cost_price == quote.price else _rates(quote.cost_price),
            )
            for quote in candidates
        ]
    )


def _rates(price: MsatPrice) -> tuple[int, int, int, int]:
    return price.input, price.cached_input, price.output, price.request


def hold_request(
    call: ChatCall, caller: Caller, quotes: Sequence[Quote], *, seen_msat: int, body_digest: bytes, claim: Claim | None
) -> HoldRequest:
    """What is asked of the vault before `call` goes to one of `quotes`; see HoldRequest."""
    return HoldRequest(
        id=call.id,
        agent=caller.agent,
        ceilings=tuple(quote.ceiling_msat for quote in quotes),
        candidates=held_for(quotes),
        model=call.model,
        seen_msat=seen_msat,
        body_digest=body_digest,
        claim=claim,
    )


def billed(opened: OpenReply, meter: Meter, call: ChatCall, *, held_msat: int) -> tuple[Usage, Bill]:
    """What a call has used, and what that costs, never more than was held."""
    facts = facts_of(opened, call.id)
    usage = meter.usage(facts)
    found = bill(opened.quote, usage, facts, held_msat=held_msat, text_bytes=meter.text_bytes, stops=meter.stops)
    return usage, found


def blamed(call: ChatCall) -> list[str]:
    """The fields of a call that may be why it was billed beyond its limits; none of a plain one."""
    return sorted({demand.field for demand in demands(call)} | ({call.elsewhere} if call.elsewhere else set()))


def facts_of(opened: OpenReply, call_id: str) -> CallFacts:
    """What the provider knows beyond its bytes; what those showed is charged all the same where it fails."""
    try:
        return opened.facts()
    except ProviderError as failed:
        _log.error("%s: %s", call_id, failed)
        return CallFacts()


def row_of(
    call: ChatCall,
    agent: str,
    opened: OpenReply | None,
    usage: Usage,
    bill: Bill | None,
    times: Times,
    attempts: Sequence[Attempt],
    ending: Ending,
    answer: tuple[int, str] | None,
) -> CallRow:
    """What the request log keeps of a call that ended. `answer` is the status that the caller got, and what it stands
    for, where that is not how the call ended."""
    began, asked, first, now = times
    offer = None if opened is None else opened.quote.offer
    status, outcome = answer or (200 if opened else 0, ending.value)
    return CallRow(
        id=call.id,
        agent=agent,
        model=call.model,
        status=status,
        outcome=outcome,
        provider=offer.provider if offer else "",
        charged_msat=bill.charge_msat if bill else 0,
        total_ms=int((now - began) * 1000),
        tier=offer.tier if offer else "",
        stream=call.stream,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        first_byte_ms=max(int((first - began) * 1000), 1) if first else 0,
        endpoint=call.endpoint,
        sold=offer.model if offer else "",
        cached_input_tokens=usage.cached_input_tokens,
        cost_msat=bill.cost_msat if bill else 0,
        overhead_ms=(asked - began) * 1000 if asked else None,
        attempts=attempts,
    )


def _reasons(plan: Plan | None, bill: Bill | None) -> list[str]:
    said = list(plan.reasons) if plan else []
    if bill and bill.note:
        said.append(bill.note)
    return said


def _others(plan: Plan | None, served: Quote | None, attempts: Sequence[Attempt], usage: Usage) -> list[dict[str, Any]]:
    """What the others would have cost, for what was used; those that were tried are no alternative. The node is said
    where a provider has several, and the model where it is another, for a name stands for several."""
    if plan is None or served is None or usage.source is UsageSource.NONE:
        return []
    tried, model = {(attempt.provider, attempt.node) for attempt in attempts}, served.offer.model
    others = []
    for quote in (*plan.candidates, *plan.beaten):
        offer = quote.offer
        if (offer.provider, offer.node) not in tried:
            other = {"provider": offer.provider, "cost_msat": _cost(quote, usage)}
            if offer.node:
                other["node"] = offer.node
            if offer.model != model:
                other["model"] = offer.model
            others.append(other)
    return others


def _alternatives(others: list[dict[str, Any]], served: Quote | None, usage: Usage) -> dict[str, Any]:
    """The others, and of many the cheapest and the dearest; then the mean and the median of all are told, too."""
    if len(others) <= _MOST_ALTERNATIVES or served is None:
        return {"alternatives": others}
    costs = [each["cost_msat"] for each in others if "model" not in each] + [_cost(served, usage)]
    others = sorted(others, key=lambda each: each["cost_msat"])
    del others[_MOST_ALTERNATIVES - 1 : -1]
    told = {"count": len(costs), "mean_msat": round(fmean(costs)), "median_msat": round(median(costs))}
    return {"alternatives": others, "offers": told}


def _cost(quote: Quote, usage: Usage) -> int:
    return quote.price.cost(
        input_tokens=usage.input_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        output_tokens=usage.output_tokens,
    )
