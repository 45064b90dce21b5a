"""What the operator sees at one glance: whose the money is and where, what was spent over time, and the open calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arbstr_core.api import Clock
from arbstr_core.flow._keys import switched_on
from arbstr_core.flow.call import CallFlow
from arbstr_core.journal import RequestFilter, Series, Sums
from arbstr_core.rails import Rails
from arbstr_core.types import BadRequest
from arbstr_core.vault import Owed, Treasury

Json = dict[str, Any]

STEPS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_MOST_STEPS = 1_000
_MOST_NAMED = 12
_APART = ("prepaid", "transit", "claim", "suspense")
_NOTHING = Sums()
_NOT_OWED: Json = {
    **dict.fromkeys(("agents_msat", "sellers_msat", "calls_msat", "suspense_msat", "equity_msat"), 0),
    "assets": {},
}


class OverviewFlow:
    """`treasury` is None where the vault is switched off."""

    def __init__(self, calls: CallFlow, series: Series, treasury: Treasury | None, rails: Rails, clock: Clock) -> None:
        self._calls = calls
        self._series = series
        self._treasury = treasury
        self._rails = rails
        self._clock = clock

    async def money(self) -> Json:
        """Each realm by the ledger: what is owed to whom, and where its assets are."""
        owed = await switched_on(self._treasury).owed()
        realms = sorted({*owed, *self._rails.realms()})
        return {"realms": [_realm(realm, owed.get(realm)) for realm in realms]}

    async def spend(
        self, *, by: str, step: str, since_ms: int | None, until_ms: int | None, names: Mapping[str, str | None]
    ) -> Json:
        """What was charged in each step of a time, in all and by `by`: those that cost most by name, and the `rest`.
        `names` filters: one model, provider or agent. Raises BadRequest."""
        step_ms = STEPS[step]
        until = self._clock.now_ms() if until_ms is None else until_ms
        since = until - 24 * step_ms if since_ms is None else since_ms
        if since >= until:
            raise BadRequest(f"since_ms {since} is not before until_ms {until}", param="since_ms")
        first, last = since // step_ms, (until - 1) // step_ms
        if last - first >= _MOST_STEPS:
            raise BadRequest(f"That is more than {_MOST_STEPS} steps: take a longer step, or less time", param="step")
        agent = names.get("agent")
        wanted = RequestFilter(
            since_ms=since,
            until_ms=until,
            agents=None if agent is None else frozenset([agent]),
            model=names.get("model"),
            provider=names.get("provider"),
        )
        found = await self._series.read(wanted, by=by, most=_MOST_NAMED, step_ms=step_ms)
        lines: dict[str | None, dict[int, Sums]] = {name: {} for name in found.names}
        for number, name, sums in found.steps:
            # A call is noted at its end: one that began in this time may have ended after it.
            _add(lines.setdefault(name, {}), min(max(number, first), last), sums)
        everything: dict[int, Sums] = {}
        for line in lines.values():
            for number, sums in line.items():
                _add(everything, number, sums)
        steps = range(first, last + 1)
        rest = lines.pop(None, None)
        return {
            "by": by,
            "step": step,
            "since_ms": since,
            "until_ms": until,
            "at_ms": [number * step_ms for number in steps],
            "total": _line(everything, steps),
            "groups": [{"name": name, **_line(line, steps)} for name, line in lines.items()],
            "rest": None if rest is None else _line(rest, steps),
        }

    def live(self) -> Json:
        """The calls that this process serves now, the newest first."""
        now, found = self._clock.now_ms(), []
        for exchange, caller, seconds in self._calls.open_calls():
            call, seen = exchange.call, exchange.seen()
            found.append(
                {
                    "id": call.id,
                    "agent": caller.agent,
                    "agent_name": caller.name,
                    "endpoint": call.endpoint,
                    "model": call.named or call.model,
                    "stream": call.stream,
                    "began_ms": now - int(seconds * 1000),
                    "stage": seen.stage,
                    "provider": seen.provider,
                    "failed": seen.failed,
                    "held_msat": seen.held_msat,
                    "used_msat": exchange.used(),
                }
            )
        return {"now_ms": now, "calls": sorted(found, key=lambda each: (-each["began_ms"], each["id"]))}


def _realm(realm: str, owed: Owed | None) -> Json:
    found = owed or Owed(realm=realm, **_NOT_OWED)
    return {
        "realm": realm,
        "agents_msat": found.agents_msat,
        "sellers_msat": found.sellers_msat,
        "calls_msat": found.calls_msat,
        "suspense_msat": found.suspense_msat,
        "liabilities_msat": found.liabilities_msat,
        "held_msat": found.held_msat,
        "equity_msat": found.equity_msat,
        "lost_msat": found.lost_msat,
        "assets_msat": sum(found.assets.values()),
        "assets": [_asset(name, msat) for name, msat in sorted(found.assets.items())],
    }


def _asset(name: str, msat: int) -> Json:
    kind, _, where = name.partition(":")
    if kind not in _APART:
        kind, where = "rail", name
    return {"kind": kind, "where": where, "account": f"asset:{name}", "amount_msat": msat}


def _add(line: dict[int, Sums], number: int, more: Sums) -> None:
    here = line.get(number, _NOTHING)
    line[number] = Sums(*(getattr(here, name) + getattr(more, name) for name in Sums.__struct_fields__))


def _line(line: Mapping[int, Sums], steps: range) -> Json:
    """The sums of a line, and what was charged and how often in each step."""
    whole: dict[int, Sums] = {}
    for sums in line.values():
        _add(whole, 0, sums)
    total = whole.get(0, _NOTHING)
    return {
        "calls": total.calls,
        "failed": total.calls - total.good,
        "charged_msat": total.charged_msat,
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "first_byte_ms": round(total.latency_ms / total.calls) if total.calls else None,
        "charged_each_msat": [line.get(number, _NOTHING).charged_msat for number in steps],
        "calls_each": [line.get(number, _NOTHING).calls for number in steps],
    }
