"""What would become of a call, without doing it: asked of the vault's figures as the call would ask for its hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arbstr_core.api import Clock
from arbstr_core.flow._remedies import Outcome, Quotes, fit
from arbstr_core.flow.call import CallFlow
from arbstr_core.types import Caller, ChatCall, Plan, Quote
from arbstr_core.vault import AgentRecord, Granted, History, Left, Limits, RefusalReason, Refused

Json = dict[str, Any]

_REASONS = {
    "max_charge": RefusalReason.MAX_CHARGE,
    "daily": RefusalReason.DAILY,
    "hourly": RefusalReason.HOURLY,
    "per_minute": RefusalReason.RATE,
    "concurrent": RefusalReason.CONCURRENT,
    "balance": RefusalReason.INSUFFICIENT,
}


class Quoted:
    """Decides as the vault does, from what it reads; holds nothing."""

    def __init__(self, history: History, clock: Clock, calls: CallFlow, call: ChatCall, caller: Caller) -> None:
        self._history = history
        self._clock = clock
        self._calls = calls
        self._call = call
        self._caller = caller
        self._refusal: Json | None = None
        self._room = 0

    async def verdict(self, plan: Plan) -> tuple[Json, Plan]:
        """What the call would be told, and the plan as it would be held for."""
        quotes, limited = plan.candidates, False
        outcome = await self._ask(quotes)
        if isinstance(outcome, Refused):
            quotes, outcome, said = await self._calls.remedied(self._call, quotes, outcome, self._ask)
            if isinstance(outcome, Granted) and said:
                plan, limited = fit(plan, quotes, said)
        granted = isinstance(outcome, Granted)
        hold, covered = _prefix(quotes, self._room) if granted else (0, 0)
        return {
            "granted": granted,
            "hold_msat": hold,
            "covered": covered,
            "output_limit": quotes[0].output_limit if granted and limited else None,
            "refusal": None if granted else self._refusal,
        }, plan

    async def _ask(self, quotes: Quotes) -> Outcome:
        chain = await self._history.lineage(self._caller.agent)
        now, needed, me = self._clock.now_ms(), quotes[0].ceiling_msat, chain[0]
        lefts = await self._history.left(me.id, now)
        self._refusal = _flat(chain, self._call.model, now) or _tight(me, lefts, needed)
        self._room = most(me, lefts)
        if self._refusal is None:
            return Granted(id="", amount_msat=needed, candidates=len(quotes))
        limit = self._refusal["limit"]
        self._refusal["approval"] = limit == "max_charge" and _is_asked(chain, needed)
        return Refused(
            # What refuses whatever it costs is past remedy.
            reason=_REASONS.get(limit, RefusalReason.DISABLED),
            needed_msat=needed,
            left_msat=self._refusal["left_msat"],
            open_msat=me.held_msat,
        )


def _is_asked(chain: Sequence[AgentRecord], needed: int) -> bool:
    """Whether an operator would be asked: by all whose largest charge is too small."""
    limits = [node.limits or Limits() for node in chain]
    return all(each.approval_seconds is not None for each in limits if (each.max_charge_msat or 0) < needed)


def most(me: AgentRecord, lefts: Sequence[Left]) -> int:
    """The most that one call of an agent may be held for now."""
    bounds = {"per_minute", "concurrent"}
    if any(each.left < 1 for each in lefts if each.limit in bounds):
        return 0
    return min([me.available_msat, *(each.left for each in lefts if each.limit not in bounds)])


def _flat(chain: Sequence[AgentRecord], model: str, now_ms: int) -> Json | None:
    """What refuses the call whatever it costs."""
    for node in chain:
        limits = node.limits
        if not node.enabled:
            return _refusal("disabled", node.id)
        if limits is None or limits.max_charge_msat is None or limits.daily_msat is None:
            return _refusal("none_set", node.id)
        if limits.expires_ms is not None and now_ms >= limits.expires_ms:
            return _refusal("expired", node.id)
        if limits.models is not None and model not in limits.models:
            return _refusal("models", node.id)
    return None


def _tight(me: AgentRecord, lefts: Sequence[Left], needed: int) -> Json | None:
    """The first limit, or the balance, that leaves less than the first candidate may cost."""
    for each in lefts:
        if each.left < (1 if each.limit in ("per_minute", "concurrent") else needed):
            return _refusal(each.limit, each.agent, left=each.left, resets_ms=each.resets_ms)
    if me.available_msat < needed:
        return _refusal("balance", me.id, left=me.available_msat)
    return None


def _refusal(limit: str, agent: str, *, left: int = 0, resets_ms: int | None = None) -> Json:
    msat = 0 if limit in ("per_minute", "concurrent") else left
    return {"limit": limit, "agent": agent, "left_msat": msat, "resets_ms": resets_ms, "approval": False}


def _prefix(candidates: Sequence[Quote], room: int) -> tuple[int, int]:
    """(what would be held, how many candidates that covers)."""
    held = covered = 0
    for quote in candidates:
        if quote.ceiling_msat > room:
            break
        held, covered = max(held, quote.ceiling_msat), covered + 1
    return held, covered
