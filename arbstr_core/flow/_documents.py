"""Agents, holds, transfers and approvals as JSON, the same through every door. Amounts are msat, times Unix ms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from arbstr_core.dispatch import OfferState
from arbstr_core.types import Excluded, FxRate, Listing, Plan, Quote
from arbstr_core.vault import (
    AgentRecord,
    ApprovalRecord,
    AuditRow,
    DepositRecord,
    HoldRow,
    HoldState,
    Left,
    Limits,
    LimitsRow,
    OutboxRecord,
    RequestRecord,
    TransferRow,
)

Json = dict[str, Any]

OF_ACCOUNT = ("posted_msat", "held_msat", "available_msat", "realm")
"""What a child key shares with all of its account"""
_NO_USAGE = {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0, "source": "none"}


def agent(record: AgentRecord) -> Json:
    """An agent."""
    shown = msgspec.structs.asdict(record)
    shown["limits"] = None if record.limits is None else limits(record.limits)
    return shown


def key(record: AgentRecord) -> Json:
    """A child key, as the agent above it sees it: its balance is that agent's own."""
    return {name: value for name, value in agent(record).items() if name not in OF_ACCOUNT}


def limits(found: Limits) -> Json:
    """Limits; what is not set is null."""
    shown = msgspec.structs.asdict(found)
    shown["models"] = None if found.models is None else list(found.models)
    return shown


def limits_version(row: LimitsRow) -> Json:
    """One version of them."""
    return {**limits(row.limits), "created_ms": row.created_ms}


def left(row: Left) -> Json:
    """What one limit leaves."""
    unit = "" if row.limit in ("per_minute", "concurrent") else "_msat"
    return {
        "limit": row.limit,
        "agent": row.agent,
        **{f"{name}{unit}": getattr(row, name) for name in ("most", "used", "left")},
        "resets_ms": row.resets_ms,
    }


def receipt(id: str, agent: str, state: HoldState, held_msat: int, charged_msat: int, body: bytes | None) -> Json:
    """What one call cost, who served it, why; see docs/receipts.md."""
    said = msgspec.json.decode(body) if body else {}
    return {
        "id": id,
        "agent": agent,
        "model": None,
        "provider": None,
        "usage": dict(_NO_USAGE),
        "attempts": [],
        "reasons": [],
        "alternatives": [],
        **_compared(said.get("alternatives") or []),
        **said,
        "state": state,
        "held_msat": held_msat,
        "charged_msat": charged_msat,
    }


def _compared(others: list[Json]) -> Json:
    """What the cheapest and the dearest of those that did not serve would have cost."""
    by_cost = sorted(others, key=lambda each: int(each["cost_msat"]))
    return {"second_cheapest": by_cost[0], "dearest": by_cost[-1]} if by_cost else {}


def call(row: HoldRow) -> Json:
    """A call in a list: its receipt, in short."""
    said: Mapping[str, Any] = msgspec.json.decode(row.body) if row.body else {}
    return {
        "id": row.id,
        "agent": row.agent,
        "kind": row.kind,
        "model": said.get("model") or row.model,
        "provider": said.get("provider"),
        "state": row.state,
        "held_msat": row.held_msat,
        "charged_msat": row.charged_msat,
        "usage": said.get("usage") or dict(_NO_USAGE),
        "ending": said.get("ending"),
        "created_ms": row.created_ms,
        "ended_ms": row.ended_ms,
    }


def open_hold(row: HoldRow) -> Json:
    """A hold that has not ended."""
    return {
        "id": row.id,
        "agent": row.agent,
        "kind": row.kind,
        "model": row.model,
        "held_msat": row.held_msat,
        "approval": row.approval,
        "created_ms": row.created_ms,
    }


def transfer(row: TransferRow) -> Json:
    """A transfer as the operator sees it, with all its entries."""
    return {
        "seq": row.seq,
        "kind": row.kind,
        "realm": row.realm,
        "amount_msat": row.amount_msat,
        "at_ms": row.at_ms,
        "call": row.hold,
        "agent": row.agent,
        "model": row.model,
        "key": row.key,
        "refers_to": row.refers_to,
        "memo": row.memo,
        "change_msat": row.change_msat,
        "entries": [msgspec.structs.asdict(entry) for entry in row.entries],
    }


def movement(row: TransferRow) -> Json:
    """A transfer as the agent sees it whose balance it changed."""
    names = ("seq", "kind", "at_ms", "change_msat", "call", "agent", "model", "refers_to")
    shown = transfer(row)
    return {name: shown[name] for name in names}


def audit(row: AuditRow) -> Json:
    """A row of the audit."""
    return {**msgspec.structs.asdict(row), "data": msgspec.json.decode(row.data)}


def approval(record: ApprovalRecord) -> Json:
    """An approval."""
    return {**msgspec.structs.asdict(record), "models": list(record.models)}


def event(record: OutboxRecord) -> Json:
    """Something that the operator is told."""
    return {**msgspec.structs.asdict(record), "body": msgspec.json.decode(record.body)}


def offer(listing: Listing, asked_ms: int) -> Json:
    """An offer, with the agent's price; its provider said so last at `asked_ms`."""
    found, price = listing.offer, listing.price
    return {
        "provider": found.provider,
        "node": found.node,
        "model": found.model,
        "canonical": found.canonical or None,
        "tier": found.tier,
        "context_window": found.context_window,
        "input_msat": price.input,
        "cached_input_msat": price.cached_input,
        "output_msat": price.output,
        "request_msat": price.request,
        "asked_ms": asked_ms,
    }


def offer_state(known: OfferState) -> Json:
    """Whether an offer can be asked now, and how it has done."""
    offer = known.offer
    return {
        "model": offer.model,
        "node": offer.node,
        "tier": offer.tier,
        "breaker": known.breaker,
        "failures": known.failures,
        "until_ms": known.until_ms,
        "last_failure": known.last_failure or None,
        "success": round(known.success, 3),
        "first_byte_ms": round(known.first_byte_ms),
        "max_concurrent": offer.max_concurrent,
        "open_calls": known.open_calls,
        "waiting": known.waiting,
    }


def failing(failures: Mapping[str, str]) -> list[Json]:
    """Who does not answer, and why."""
    return [{"provider": name, "reason": why} for name, why in sorted(failures.items())]


def rate(found: FxRate | str, failures: Mapping[str, str]) -> Json:
    """What a bitcoin costs, or why that is not known; and which sources do not say."""
    known = None if isinstance(found, str) else found
    return {
        "usd_per_btc": str(known.usd_per_btc) if known else None,
        "source": known.source if known else None,
        "as_of_ms": known.as_of_ms if known else None,
        "spread_ppm": known.spread_ppm if known else None,
        "reason": found if isinstance(found, str) else None,
        "failing": failing(failures),
    }


def candidate(quote: Quote) -> Json:
    """One offer, priced for a call."""
    return {
        "provider": quote.offer.provider,
        "node": quote.offer.node,
        "model": quote.offer.model,
        "tier": quote.offer.tier,
        "cost_msat": quote.cost_msat,
        "ceiling_msat": quote.ceiling_msat,
        "expected": {
            "input_tokens": quote.expected.input,
            "cached_input_tokens": quote.expected.cached,
            "output_tokens": quote.expected.output,
        },
        "output_limit": quote.output_limit,
    }


def out(row: Excluded) -> Json:
    """An offer that is out, and why."""
    return {"provider": row.provider, "node": row.node, "model": row.model, "reason": row.reason}


def plan(made: Plan) -> Json:
    """Whom a call would be sent to, in order."""
    return {
        "candidates": [candidate(quote) for quote in made.candidates],
        "beaten": [candidate(quote) for quote in made.beaten],
        "out": [out(row) for row in made.out],
        "reasons": list(made.reasons),
        "strategy": made.strategy,
        "policy": made.policy,
        "notes": {name: dict(notes) for name, notes in made.notes.items()},
    }


def no_plan(why: str, excluded: tuple[Excluded, ...]) -> Json:
    """Nobody would be asked."""
    return {
        "candidates": [],
        "beaten": [],
        "out": [out(row) for row in excluded],
        "reasons": [why],
        "strategy": None,
        "policy": None,
        "notes": {},
    }


def request(row: RequestRecord) -> Json:
    """Money that was asked for, or a token that was handed in."""
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "agent": row.agent,
        "realm": row.realm,
        "rail": row.rail,
        "amount_msat": row.amount_msat,
        "fee_msat": row.fee_msat,
        "memo": row.memo,
        "invoice": row.text,
        "reference": row.reference,
        "reason": row.reason,
        "created_ms": row.created_ms,
        "expires_ms": row.expires_ms,
        "ended_ms": row.ended_ms,
    }


def deposit(row: DepositRecord) -> Json:
    """Money that came in."""
    return {
        "rail": row.rail,
        "reference": row.reference,
        "kind": row.kind,
        "realm": row.realm,
        "amount_msat": row.amount_msat,
        "fee_msat": row.fee_msat,
        "request": row.request,
        "purpose": row.purpose,
        "agent": row.agent,
        "assigned": row.assigned,
        "transfer": row.transfer,
        "at_ms": row.at_ms,
    }
