"""Which rails may pay: by what the destination asks for, by the amount, and by what the payer wants."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from arbstr_core.api import Msat, PaymentTarget, RailCapability, TokenTarget, WalletRail
from arbstr_core.types import BadRequest

AUTO = "auto"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Below `ecash_below_msat` ecash pays an invoice first, from it on Lightning does."""

    ecash_below_msat: Msat


def choose(rails: Sequence[WalletRail], target: PaymentTarget, hint: str, rules: Rules) -> tuple[WalletRail, ...]:
    """The rails that may pay `target`, the first one first; the others only once it has failed with evidence. A `hint`
    other than `auto` names the one that may.

    `rails` move money of the payer's realm. Raises BadRequest where none can.
    """
    needed = RailCapability.ECASH if isinstance(target, TokenTarget) else RailCapability.BOLT11
    able = [rail for rail in rails if needed in rail.capabilities]
    if hint != AUTO:
        return (_named(rails, able, hint, needed),)
    if not able:
        what = "issues tokens" if needed is RailCapability.ECASH else "pays invoices"
        raise BadRequest(f"No rail of this realm {what}; rails here: {_names(rails)}", param="to")
    ecash_first = isinstance(target, TokenTarget) or target.amount_msat < rules.ecash_below_msat
    return tuple(sorted(able, key=lambda rail: (RailCapability.ECASH in rail.capabilities) != ecash_first))


def _named(rails: Sequence[WalletRail], able: Sequence[WalletRail], hint: str, needed: RailCapability) -> WalletRail:
    for rail in able:
        if rail.name == hint:
            return rail
    if any(rail.name == hint for rail in rails):
        raise BadRequest(f"The rail {hint} cannot do that: it lacks {needed.value}; leave rail out", param="rail")
    raise BadRequest(f"There is no rail {hint!r} of this realm; rails here: {_names(rails)}, or auto", param="rail")


def _names(rails: Sequence[WalletRail]) -> str:
    return ", ".join(rail.name for rail in rails) or "none"
