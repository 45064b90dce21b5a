"""What a realm has against what it owes. Pure: rails' balances and the ledger's counters in, a judgement out."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

import msgspec

from arbstr_core.types import RailBalance, RailState, Unit
from arbstr_core.vault import Owed

PPM = 1_000_000
_AWAY = ("prepaid:", "transit:", "claim:")
"""Assets that no rail holds: what is at nodes, on the way there, or disputed"""


class Cover(enum.StrEnum):
    """How a realm stands."""

    COVERED = "covered"
    """the rails can spend what is owed now"""
    WAITING = "waiting"
    """they could, once what is on its way or in closing channels is back"""
    BELOW = "below"
    """whatever comes back, it is less than what is owed"""
    UNKNOWN = "unknown"
    """a rail does not say what it holds, and without it there is too little"""


class RailSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What a rail said of itself; `balance` is None where it did not, `problem` why its records could not be read."""

    name: str
    state: RailState
    detail: str = ""
    balance: RailBalance | None = None
    unit: Unit = Unit.MSAT
    invoices: bool = False
    """it can ask for money"""
    walked: bool = True
    """compared with the ledger since that was last restored"""
    problem: str = ""


class RailRow(msgspec.Struct, frozen=True, kw_only=True):
    """A rail against the ledger. `surplus_msat` is what it can spend beyond what the ledger has there, below 0 what it
    lacks even if all that is on its way comes back; null where it does not say what it holds."""

    name: str
    state: str
    detail: str
    ledger_msat: int
    spendable_msat: int | None
    in_flight_msat: int | None
    closing_msat: int | None
    surplus_msat: int | None
    places: Mapping[str, int]
    unit: str
    invoices: bool
    walked: bool
    problem: str


class Solvency(msgspec.Struct, frozen=True, kw_only=True):
    """A realm's judgement. Assets are an interval: what can be spent now, and that with all that may come back."""

    realm: str
    cover: Cover
    least_msat: int
    most_msat: int
    needed_msat: int
    """what the rails have to hold: what is owed, less what the operator lets work at nodes"""
    owed_msat: int
    agents_msat: int
    sellers_msat: int
    calls_msat: int
    suspense_msat: int
    equity_msat: int
    made_msat: int
    """simulated money that was made for agents: counted as held"""
    nodes_msat: int
    """prepaid at nodes, on the way there, or disputed"""
    nodes_most_msat: int
    """what that may be: the operator's own money, and the working capital"""
    lost_msat: int
    """what has left rails, and nobody knows why"""
    rails: tuple[RailRow, ...]
    reason: str
    """empty where it is covered"""


def judge(owed: Owed, rails: Sequence[RailSeen], *, working_ppm: int) -> Solvency:
    """How `owed.realm` stands. `rails` are all that move its money here."""
    held = _held_on_rails(owed)
    rows = tuple(_row(rail, held.pop(rail.name, 0), owed) for rail in rails)
    rows += tuple(_absent(name, msat) for name, msat in sorted(held.items()) if msat)
    least = owed.made_msat + sum(row.spendable_msat or 0 for row in rows)
    most = least + sum((row.in_flight_msat or 0) + (row.closing_msat or 0) for row in rows)
    nodes = sum(msat for name, msat in owed.assets.items() if name.startswith(_AWAY))
    working = owed.liabilities_msat * working_ppm // PPM
    own = max(0, owed.own_msat)
    lent = max(0, min(nodes - own, working))
    needed = owed.liabilities_msat - lent
    silent = [row.name for row in rows if row.spendable_msat is None and row.ledger_msat]
    cover = _cover(least, most, needed, silent)
    return Solvency(
        realm=owed.realm,
        cover=cover,
        least_msat=least,
        most_msat=most,
        needed_msat=needed,
        owed_msat=owed.liabilities_msat,
        agents_msat=owed.agents_msat,
        sellers_msat=owed.sellers_msat,
        calls_msat=owed.calls_msat,
        suspense_msat=owed.suspense_msat,
        equity_msat=owed.equity_msat,
        made_msat=owed.made_msat,
        nodes_msat=nodes,
        nodes_most_msat=own + working,
        lost_msat=sum(msat for name, msat in owed.assets.items() if name.startswith("suspense:")),
        rails=rows,
        reason=_reason(cover, least, most, needed, silent),
    )


def _held_on_rails(owed: Owed) -> dict[str, int]:
    """What the ledger has on each rail."""
    return {name: msat for name, msat in owed.assets.items() if ":" not in name}


def _row(rail: RailSeen, ledger: int, owed: Owed) -> RailRow:
    balance = rail.balance
    return RailRow(
        name=rail.name,
        state=rail.state.value,
        detail=rail.detail,
        ledger_msat=ledger,
        spendable_msat=None if balance is None else balance.spendable_msat,
        in_flight_msat=None if balance is None else balance.in_flight_msat,
        closing_msat=None if balance is None else balance.closing_msat,
        surplus_msat=None if balance is None else _surplus(balance, ledger - min(owed.made_msat, ledger)),
        places={} if balance is None else dict(balance.places),
        unit=rail.unit.value,
        invoices=rail.invoices,
        walked=rail.walked,
        problem=rail.problem,
    )


def _surplus(balance: RailBalance, ledger: int) -> int:
    """Above 0 only what can be spent, below 0 only what is lacking for certain."""
    return max(0, balance.spendable_msat - ledger) + min(0, balance.most_msat - ledger)


def _absent(name: str, msat: int) -> RailRow:
    """A rail that the ledger has money on, and that is not enabled here."""
    return RailRow(
        name=name,
        state="absent",
        detail="the ledger has money on it, and it is not enabled: add its plugin to [arbstr] plugins",
        ledger_msat=msat,
        spendable_msat=None,
        in_flight_msat=None,
        closing_msat=None,
        surplus_msat=None,
        places={},
        unit=Unit.MSAT.value,
        invoices=False,
        walked=False,
        problem="",
    )


def _cover(least: int, most: int, needed: int, silent: Sequence[str]) -> Cover:
    if least >= needed:
        return Cover.COVERED
    if silent:
        return Cover.UNKNOWN
    return Cover.WAITING if most >= needed else Cover.BELOW


def _reason(cover: Cover, least: int, most: int, needed: int, silent: Sequence[str]) -> str:
    match cover:
        case Cover.COVERED:
            return ""
        case Cover.WAITING:
            return (
                f"the rails can spend {least} msat now, and have to hold {needed} msat; {most - least} are on their way"
            )
        case Cover.BELOW:
            return f"the rails hold {most} msat at most, and have to hold {needed} msat"
    return f"{', '.join(silent)} does not say what it holds; without it there are {most} msat of {needed}"
