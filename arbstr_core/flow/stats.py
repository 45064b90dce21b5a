"""How many calls there were and what they cost, who sells what, and how the providers do; in the first arbstr's shapes.

Amounts are sats there, as numbers with a fraction; what was charged is in msat in receipts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from arbstr_core.api import Clock
from arbstr_core.dispatch import BreakerState
from arbstr_core.flow._keys import switched_on
from arbstr_core.flow.call import CallFlow
from arbstr_core.journal import RequestFilter, RequestLog, RequestRow, Totals
from arbstr_core.types import BadRequest, Caller, ChatCall, Listing, MsatPrice, NotFound, Tier
from arbstr_core.vault import History

Json = dict[str, Any]

_RANGES = {"last_1h": 3_600, "last_24h": 86_400, "last_7d": 604_800, "last_30d": 2_592_000}
_UNIT = "sats_per_1m_tokens"
_NOTHING = Totals()
_WORST = (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED)
_UNKNOWN = "unknown"


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls are asked for, as it was written; see docs/wallet-api.md."""

    range: str | None = None
    since: str | None = None
    until: str | None = None
    model: str | None = None
    provider: str | None = None
    group_by: str | None = None
    success: bool | None = None
    streaming: bool | None = None
    page: int = 1
    per_page: int = 20
    sort: str = "timestamp"
    order: str = "desc"


class StatsFlow:
    """`history` is None where the vault is switched off: then everyone sees everything."""

    def __init__(self, calls: CallFlow, log: RequestLog, history: History | None, clock: Clock) -> None:
        self._calls = calls
        self._log = log
        self._history = history
        self._clock = clock

    async def totals(self, caller: Caller | None, asked: Window) -> Json:
        """Counts, costs and times of a window, and of each model or tier in it. Raises BadRequest or NotFound."""
        if asked.group_by not in (None, "model", "tier"):
            raise BadRequest("Invalid group_by value. Supported: 'model', 'tier'", param="group_by")
        wanted = await self._wanted(caller, asked)
        total = (await self._log.totals(wanted)).get("", _NOTHING)
        await self._known(wanted, total)
        found: Json = {"since": _time(wanted.since_ms), "until": _time(wanted.until_ms), **_group(total)}
        if not total.total:
            found |= {"empty": True, "message": "No requests found in the specified time range"}
        if asked.group_by == "model":
            every = msgspec.structs.replace(wanted, model=None)
            groups = await self._log.totals(every, by="model")
            names = sorted({*groups, *self._calls.snapshot.models})
            found["models"] = {name: _group(groups.get(name, _NOTHING)) for name in names}
        elif asked.group_by == "tier":
            groups = await self._log.totals(wanted, by="tier")
            found["tiers"] = {name: _group(groups.get(name, _NOTHING)) for name in Tier}
            if "" in groups:
                found["tiers"][_UNKNOWN] = _group(groups[""])
        return found

    async def requests(self, caller: Caller | None, asked: Window) -> Json:
        """A page of calls. Raises BadRequest or NotFound."""
        if asked.sort not in ("timestamp", "cost_sats", "latency_ms"):
            raise BadRequest("Invalid sort value. Supported: 'timestamp', 'cost_sats', 'latency_ms'", param="sort")
        if asked.order not in ("asc", "desc"):
            raise BadRequest("Invalid order value. Supported: 'asc', 'desc'", param="order")
        wanted = await self._wanted(caller, asked)
        total = (await self._log.totals(wanted)).get("", _NOTHING).total
        rows = await self._log.page(
            wanted,
            sort=asked.sort,
            newest_first=asked.order == "desc",
            skip=(asked.page - 1) * asked.per_page,
            most=asked.per_page,
        )
        return {
            "data": [_request(row) for row in rows],
            "page": asked.page,
            "per_page": asked.per_page,
            "total": total,
            "total_pages": -(-total // asked.per_page),
            "since": _time(wanted.since_ms),
            "until": _time(wanted.until_ms),
        }

    def cost(self, call: ChatCall, caller: Caller | None) -> Json:
        """What a call is expected to cost at its first candidate. Raises what the call would be refused with."""
        plan = self._calls.plan(call) if caller is None else self._calls.plan(call, caller)
        quote = plan.candidates[0]
        return {
            "model": call.model,
            "provider": quote.offer.provider,
            "estimated_input_tokens": quote.expected.input,
            "estimated_output_tokens": quote.expected.output,
            "estimated_cost_sats": _sats(quote.cost_msat),
            "rates": _rates(quote.price),
            "rate_unit": _UNIT,
        }

    def providers(self) -> Json:
        """Everyone who sells something, and what is not sold."""
        snapshot = self._calls.snapshot
        by_name: dict[str, list[Listing]] = {}
        for row in snapshot.models.values():
            for listing in row.listings:
                # Under its canonical name it is no other offer.
                if listing.offer.model == row.model:
                    by_name.setdefault(listing.offer.provider, []).append(listing)
        out = [each for row in snapshot.models.values() for each in row.out if each.model == row.model]
        failing = self._calls.market.failures
        market = {
            "last_poll_at": _time(snapshot.as_of_ms),
            "quotes_seen": sum(map(len, by_name.values())) + len(out),
            "nodes_seen": len({(each.offer.provider, each.offer.node) for many in by_name.values() for each in many}),
            "skipped": [{"provider": each.provider, "model": each.model, "reason": each.reason} for each in out],
            "notes": [f"{name}: {why}" for name, why in sorted(failing.items())],
        }
        sellers = [_provider(name, listings) for name, listings in sorted(by_name.items())]
        return {"providers": sellers, "market": market, "rate_unit": _UNIT}

    def health(self) -> Json:
        """The circuits of the providers, the best of each: one that answers for one model is not down."""
        found: dict[str, Json] = {}
        for row in self._calls.snapshot.models.values():
            for listing in row.listings:
                state = self._calls.state(listing.offer)
                one = {"state": state.breaker, "failure_count": state.failures, "tier": listing.offer.tier}
                known = found.setdefault(listing.offer.provider, one)
                if _WORST.index(one["state"]) > _WORST.index(known["state"]):
                    known |= one
        states = [each["state"] for each in found.values()]
        if states and all(state is BreakerState.OPEN for state in states):
            status = "unhealthy"
        else:
            status = "ok" if all(state is BreakerState.CLOSED for state in states) else "degraded"
        return {"status": status, "providers": found}

    async def _wanted(self, caller: Caller | None, asked: Window) -> RequestFilter:
        until = _moment("until", asked.until) or self._clock.now_ms()
        seconds = _RANGES.get(asked.range or "last_7d")
        if seconds is None:
            raise BadRequest(f"range must be one of {', '.join(_RANGES)}", param="range")
        since = _moment("since", asked.since)
        since = until - seconds * 1000 if since is None else since
        if since > until:
            raise BadRequest("since must be before until", param="since")
        return RequestFilter(
            agents=None if caller is None else await self._family(caller),
            since_ms=since,
            until_ms=until,
            model=asked.model,
            provider=asked.provider,
            success=asked.success,
            streaming=asked.streaming,
        )

    async def _family(self, caller: Caller) -> frozenset[str] | None:
        """The caller and the keys below it; None for everyone, where there are no accounts."""
        if self._history is None:
            return None
        below = await switched_on(self._history).keys_below(caller.agent)
        return frozenset([caller.agent, *(each.id for each in below)])

    async def _known(self, wanted: RequestFilter, total: Totals) -> None:
        """Raise NotFound for a model or a provider that nobody has ever heard of."""
        if total.total:
            return
        rows = self._calls.snapshot.models
        sellers = {each.offer.provider for row in rows.values() for each in row.listings}
        known = {"model": set(rows), "provider": sellers}
        for what, name in (("model", wanted.model), ("provider", wanted.provider)):
            if name is not None and name.casefold() not in {each.casefold() for each in known[what]}:
                raise NotFound(f"{what.capitalize()} {name!r} not found")


def _moment(param: str, text: str | None) -> int | None:
    """RFC 3339 as Unix milliseconds."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{param} is no time: write 2026-01-31T12:00:00Z", param=param) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _sats(msat: int) -> float:
    return msat / 1000


def _group(total: Totals) -> Json:
    return {
        "counts": {
            "total": total.total,
            "success": total.success,
            "error": total.total - total.success,
            "streaming": total.streaming,
        },
        "costs": {
            "total_cost_sats": _sats(total.charged_msat),
            "total_input_tokens": total.input_tokens,
            "total_output_tokens": total.output_tokens,
        },
        "performance": {"avg_latency_ms": total.latency_ms / total.total if total.total else None},
    }


def _request(row: RequestRow) -> Json:
    timing = {"latency_ms": row.latency_ms}
    if row.streaming:
        timing["stream_duration_ms"] = max(row.total_ms - row.latency_ms, 0)
    shown: Json = {
        "id": row.id,
        "timestamp": _time(row.at_ms),
        "model": row.model,
        "streaming": row.streaming,
        "success": row.success,
        "tokens": {"input": row.input_tokens, "output": row.output_tokens},
        "cost": {"sats": _sats(row.charged_msat)},
        "timing": timing,
    }
    if row.provider:
        shown["provider"] = row.provider
    if not row.success:
        shown["error"] = {"status": row.status, "message": row.outcome}
    return shown


def _rates(price: MsatPrice) -> Mapping[str, float]:
    return {
        "input_rate_sats_per_1m": _sats(price.input),
        "output_rate_sats_per_1m": _sats(price.output),
        "base_fee_sats": _sats(price.request),
    }


def _provider(name: str, listings: list[Listing]) -> Json:
    cheapest = min(listings, key=lambda listing: (listing.price.output, listing.price.input))
    return {
        "name": name,
        "url": None,
        "models": sorted({listing.offer.model for listing in listings}),
        **_rates(cheapest.price),
        "model_rate_count": len(listings),
        "tier": cheapest.offer.tier,
        "source": name.partition(".")[0],
        "provider_id": name,
        "routable": True,
    }
