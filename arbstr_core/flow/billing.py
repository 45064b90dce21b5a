"""Billing for a router that is not arbstr: it reserves before it sends, and settles or releases afterwards.

The agent's limits and balance bind as they do for arbstr's own calls. A reservation is known by its agent and the
router's correlation id: the same again is the same reservation.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import msgspec

from arbstr_core.accounts import Accounts
from arbstr_core.api import Clock
from arbstr_core.flow._keys import switched_on
from arbstr_core.flow._refusal import refusal
from arbstr_core.types import ArbstrError, Conflict, NotFound
from arbstr_core.vault import (
    BILLING,
    Closed,
    Granted,
    History,
    HoldRequest,
    HoldRow,
    HoldState,
    RefusalReason,
    Refused,
    Settlement,
    Vault,
)

Json = dict[str, Any]

_log = logging.getLogger("arbstr.billing")

_LOOK_SECONDS = 30.0
_ID_CHARS = 32


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the router says of a call that it sent; none of it changes what is charged."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    provider: str | None = None
    latency_ms: int | None = None


class BillingFlow:
    """`reservation_seconds` is how long a router may take. The rooms are None where the vault is switched off."""

    def __init__(
        self,
        vault: Vault | None,
        history: History | None,
        accounts: Accounts | None,
        clock: Clock,
        *,
        reservation_seconds: float,
    ) -> None:
        self._maybe_vault = vault
        self._maybe_history = history
        self._maybe_accounts = accounts
        self._clock = clock
        self._reservation_seconds = reservation_seconds

    @property
    def _vault(self) -> Vault:
        return switched_on(self._maybe_vault)

    @property
    def _history(self) -> History:
        return switched_on(self._maybe_history)

    async def run(self) -> None:
        """End reservations that nobody speaks of any more, for ever."""
        while self._maybe_vault is not None:
            await self._clock.sleep(_LOOK_SECONDS)
            try:
                ended = await self._maybe_vault.end_old_reservations(self._reservation_seconds)
            except ArbstrError as broken:
                _log.error("old reservations could not be ended, it is tried again: %s", broken)
                continue
            if ended:
                _log.warning("%d reservations were neither settled nor released in time; they were released", ended)

    async def reserve(self, token: str, amount_msat: int, correlation_id: str, model: str) -> Json:
        """Hold `amount_msat` for a call of the agent whose token it is. Raises what a call of its own would be refused
        with, or Conflict where the correlation id stands for another reservation, or one that has ended."""
        caller = await switched_on(self._maybe_accounts).identify(f"Bearer {token}")
        request = HoldRequest(
            id=_reservation_id(caller.agent, correlation_id),
            agent=caller.agent,
            ceilings=(amount_msat,),
            candidates=msgspec.json.encode([{"correlation_id": correlation_id}]),
            model=model,
            dispatched=False,
            kind=BILLING,
        )
        outcome = await self._vault.hold(request)
        assert isinstance(outcome, Granted | Refused), "nothing was claimed, and nothing put before an operator"
        if isinstance(outcome, Refused):
            if outcome.reason is RefusalReason.CONFLICT:
                raise Conflict(
                    f"correlation_id {correlation_id!r} stands for another reservation of this agent, or for one that "
                    "has ended; use a new one"
                )
            raise refusal(outcome, caller)
        return {"reservation_id": outcome.id, "remaining_balance_msats": await self._remaining(caller.agent)}

    async def settle(self, reservation_id: str, actual_msat: int, report: Report) -> Json:
        """Charge what the call cost, at most what was reserved; more is `overage_msats`. The same reservation again
        gives what was charged the first time. Raises NotFound, or Conflict where it was released."""
        hold = await self._reservation(reservation_id)
        receipt = _receipt(hold, "complete", report, overage_msat=max(0, actual_msat - hold.held_msat))
        charge = min(actual_msat, hold.held_msat)
        ended = await self._vault.settle(Settlement(id=hold.id, charge_msat=charge, costs=(), receipt=receipt))
        if ended.state is HoldState.RELEASED and not hold.orphaned:
            # It may have lapsed between the two.
            hold = await self._reservation(reservation_id)
            if not hold.orphaned:
                raise Conflict(
                    f"The reservation {reservation_id} was released, so nothing can be charged for it; reserve anew"
                )
        return {
            "settled": True,
            "refunded_msats": hold.held_msat - ended.charged_msat,
            "actual_msats": ended.charged_msat,
            "overage_msats": await self._overage(ended, actual_msat),
            "remaining_balance_msats": await self._remaining(hold.agent),
        }

    async def _overage(self, ended: Closed, actual_msat: int) -> int:
        """What the router paid and the agent does not; of one that was settled before, as it was said then."""
        if ended.first or ended.state is HoldState.RELEASED:
            return max(0, actual_msat - ended.charged_msat)
        stored = await self._reservation(ended.id)
        said = msgspec.json.decode(stored.body) if stored.body else {}
        return int(said.get("overage_msat", 0))

    async def release(self, reservation_id: str, reason: str | None) -> Json:
        """Give all of it back; again, nothing changes. Raises NotFound, or Conflict where it was settled."""
        hold = await self._reservation(reservation_id)
        receipt = _receipt(hold, "failed", Report(), reasons=[reason] if reason else [])
        ended = await self._vault.release(hold.id, receipt)
        charged = ended.charged_msat or (await self._reservation(hold.id)).charged_msat
        if ended.state is HoldState.SETTLED or charged:
            raise Conflict(
                f"The reservation {reservation_id} was settled for {charged} msat; what is settled is not given back"
            )
        return {"released": True, "remaining_balance_msats": await self._remaining(hold.agent)}

    async def _reservation(self, reservation_id: str) -> HoldRow:
        found = await self._history.hold(reservation_id)
        # What arbstr holds for its own calls and payouts is no router's matter.
        if found is None or found.kind != BILLING:
            raise NotFound(f"There is no reservation {reservation_id!r}")
        return found

    async def _remaining(self, agent: str) -> int:
        record = await self._vault.agent(agent)
        assert record is not None, "agents are never deleted"
        return record.available_msat


def _reservation_id(agent: str, correlation_id: str) -> str:
    digest = hashlib.sha256(f"{agent} {correlation_id}".encode()).hexdigest()
    return f"tx_{digest[:_ID_CHARS]}"


def _receipt(hold: HoldRow, ending: str, report: Report, *, reasons: list[str] | None = None, **more: int) -> bytes:
    """The receipt, as of any call: what the router told stands for what arbstr does not know."""
    usage = {
        "input_tokens": report.tokens_in or 0,
        "cached_input_tokens": 0,
        "output_tokens": report.tokens_out or 0,
        "source": "none" if report.tokens_out is None else "provider",
    }
    body = {
        "model": hold.model,
        "provider": report.provider,
        "ending": ending,
        "usage": usage,
        "reasons": reasons or [],
        "total_ms": report.latency_ms,
        **more,
    }
    return msgspec.json.encode(body)
