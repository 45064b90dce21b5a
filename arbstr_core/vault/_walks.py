"""Holds and transfers, newest first: of one account by walking back from its newest row, of all by their numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from arbstr_core.vault import _reads
from arbstr_core.vault import _tables as t
from arbstr_core.vault._corrections import ORPHANED
from arbstr_core.vault._pages import EntryRow, Filter, HoldRow, Part, ServedRow, TransferRow
from arbstr_core.vault._terms import DAY_MS
from arbstr_core.vault._values import CALL, HoldState

LOOKED_AT = 5_000
"""How many rows are looked at for one part, in the order of their numbers"""
_STEPS = 1_000
"""The same where one leads to the next"""

R = TypeVar("R")


class _Chain:
    """The rows of one account in a table: each names the one `previous` to it."""

    def __init__(self, place: sa.Column[int], previous: sa.Column[int], *own: sa.ColumnElement[bool]) -> None:
        self._place = place
        self._previous = previous
        self._own = own

    def walk(self, connection: sa.Connection, start: int, steps: int) -> tuple[list[int], int]:
        """(the places from `start` on, the place after them; 0 for none)."""
        if not start:
            return [], 0
        table = self._place.table
        first = sa.select(self._place.label("seq"), self._previous.label("previous"), sa.literal(1).label("n"))
        back = first.select_from(table).where(self._place == start, *self._own).cte("back", recursive=True)
        more = sa.select(self._place, self._previous, back.c.n + 1)
        more = more.select_from(table.join(back, self._place == back.c.previous))
        back = back.union_all(more.where(*self._own, back.c.n < steps))
        rows = connection.execute(sa.select(back.c.seq, back.c.previous).order_by(back.c.n)).all()
        return [row[0] for row in rows], rows[-1][1] if rows else 0


def _rows(wanted: Filter, most: int, bound: int) -> int:
    """How many rows to look at for one part: where all are wanted, one more than it takes."""
    return most + 1 if wanted == Filter() else bound


def looked_at(connection: sa.Connection, query: sa.Select[Any], bound: int) -> tuple[Sequence[Sequence[Any]], int]:
    """(rows, the number of the one after them; 0 for none)."""
    rows = connection.execute(query.limit(bound + 1)).all()
    return (rows[:bound], rows[bound][0]) if len(rows) > bound else (rows, 0)


def _newest(connection: sa.Connection, column: sa.ColumnElement[int], account: int) -> int:
    found = connection.execute(sa.select(column).where(t.ACCOUNT.c.id == account)).scalar()
    return found or 0


def taken(
    rows: Iterable[R], number: Callable[[R], int], fits: Callable[[R], bool], most: int, after: int
) -> Part[R, int]:
    """The first `most` rows that fit; `after` is the number of the row that follows all of them, 0 for none."""
    kept: list[R] = []
    for row in rows:
        if len(kept) == most:
            return Part(rows=tuple(kept), following=number(row))
        if fits(row):
            kept.append(row)
    return Part(rows=tuple(kept), following=after or None)


def _charged() -> sa.ColumnElement[int]:
    return sa.func.coalesce(t.TRANSFER.c.amount_msat, 0) + _reads.corrected().scalar_subquery()


def _hold_query() -> sa.Select[Any]:
    hold, end = t.HOLD.c, t.TRANSFER.c
    columns = (hold.seq, hold.id, hold.agent_id, hold.account_id, hold.kind, hold.model, hold.state, hold.amount_msat)
    more = (hold.created_ms, hold.ended_ms, hold.approval_id, end.memo, t.RECEIPT.c.body)
    return sa.select(*columns, _charged(), *more).select_from(_with_its_end())


def _with_its_end() -> sa.Join:
    ended = t.HOLD.outerjoin(t.TRANSFER, t.TRANSFER.c.hold_seq == t.HOLD.c.seq)
    return ended.outerjoin(t.RECEIPT, t.RECEIPT.c.hold_seq == t.HOLD.c.seq)


def _hold_row(row: Sequence[Any]) -> HoldRow:
    return HoldRow(
        seq=row[0],
        id=row[1],
        agent=row[2],
        account=row[3],
        kind=row[4],
        model=row[5],
        state=HoldState(row[6]),
        held_msat=row[7],
        charged_msat=int(row[8]),
        created_ms=row[9],
        ended_ms=row[10],
        approval=row[11],
        orphaned=row[12] == ORPHANED,
        body=None if row[13] is None else row[13].encode(),
    )


def hold(connection: sa.Connection, id: str) -> HoldRow | None:
    """The hold with this id."""
    row = connection.execute(_hold_query().where(t.HOLD.c.id == id)).first()
    return None if row is None else _hold_row(row)


def holds(
    connection: sa.Connection, account: int | None, wanted: Filter, before: int | None, most: int
) -> Part[HoldRow, int]:
    """Holds of an account, or of all."""
    hold = t.HOLD.c
    small = sa.select(hold.seq, hold.agent_id, hold.kind, hold.model, hold.created_ms).order_by(hold.seq.desc())
    if account is None:
        query = small if before is None else small.where(hold.seq <= before)
        looked, after = looked_at(connection, query, _rows(wanted, most, LOOKED_AT))
    else:
        start = _newest(connection, t.ACCOUNT.c.last_hold, account) if before is None else before
        chain = _Chain(hold.seq, hold.previous_seq, hold.account_id == account)
        places, after = chain.walk(connection, start, _rows(wanted, most, _STEPS))
        looked = connection.execute(small.where(hold.seq.in_(places))).all()
    if _is_past(looked, 4, wanted):
        after = 0
    found = taken(looked, lambda row: int(row[0]), lambda row: _fits_hold(row, wanted), most, after)
    whole = {row[0]: _hold_row(row) for row in connection.execute(_hold_query().where(hold.seq.in_(_seqs(found.rows))))}
    return Part(rows=tuple(whole[row[0]] for row in found.rows), following=found.following)


def _seqs(rows: Iterable[Sequence[Any]]) -> list[int]:
    return [row[0] for row in rows]


def _is_past(looked: Sequence[Sequence[Any]], at: int, wanted: Filter) -> bool:
    """True where all that follows is older than what is wanted; a clock that was set back by a day is allowed for."""
    return bool(looked) and wanted.since_ms is not None and looked[-1][at] < wanted.since_ms - DAY_MS


def _fits_hold(row: Sequence[Any], wanted: Filter) -> bool:
    _, agent, kind, model, created = row
    return (
        (wanted.agents is None or agent in wanted.agents)
        and wanted.kind in (None, kind)
        and wanted.model in (None, model)
        and _in_time(created, wanted)
    )


def _in_time(at_ms: int, wanted: Filter) -> bool:
    return (wanted.since_ms is None or at_ms >= wanted.since_ms) and (
        wanted.until_ms is None or at_ms < wanted.until_ms
    )


def served(
    connection: sa.Connection, since_ms: int | None, until_ms: int | None, before: int | None, most: int
) -> Part[ServedRow, int]:
    """Calls of all accounts that were settled, out of `most` holds."""
    hold, wanted = t.HOLD.c, Filter(since_ms=since_ms, until_ms=until_ms)
    columns = (
        hold.seq,
        hold.kind,
        hold.state,
        hold.created_ms,
        hold.agent_id,
        hold.model,
        _charged(),
        t.RECEIPT.c.body,
    )
    query = sa.select(*columns).select_from(_with_its_end()).order_by(hold.seq.desc())
    looked, after = looked_at(connection, query if before is None else query.where(hold.seq <= before), most)
    if _is_past(looked, 3, wanted):
        after = 0
    rows = [
        ServedRow(agent=agent, model=model, charged_msat=int(charged), created_ms=created, body=body.encode())
        for _, kind, state, created, agent, model, charged, body in looked
        if kind == CALL and state == HoldState.SETTLED.value and _in_time(created, wanted)
    ]
    return Part(rows=tuple(rows), following=after or None)


def open_holds(connection: sa.Connection, wanted: Filter, before: int | None, most: int) -> Part[HoldRow, int]:
    """Holds that have not ended."""
    hold = t.HOLD.c
    query = _hold_query().where(sa.text("hold.state = 'held'")).order_by(hold.seq.desc())
    if wanted.agents is not None:
        query = query.where(hold.agent_id.in_(sorted(wanted.agents)))
    if wanted.kind is not None:
        query = query.where(hold.kind == wanted.kind)
    if before is not None:
        query = query.where(hold.seq <= before)
    rows = [_hold_row(row) for row in connection.execute(query.limit(most + 1))]
    return Part(rows=tuple(rows[:most]), following=rows[most].seq if len(rows) > most else None)


# Transfers


def transfers(
    connection: sa.Connection, account: int | None, wanted: Filter, before: int | None, most: int
) -> Part[TransferRow, int]:
    """Transfers with an entry of an account, or all."""
    transfer, hold, entry = t.TRANSFER.c, t.HOLD.c, t.ENTRY.c
    small = (
        sa.select(transfer.seq, transfer.kind, transfer.at_ms, _whose().label("agent"))
        .select_from(t.TRANSFER.outerjoin(t.HOLD, hold.seq == transfer.hold_seq))
        .order_by(transfer.seq.desc())
    )
    if account is None:
        query = small if before is None else small.where(transfer.seq <= before)
        looked, after = looked_at(connection, query, _rows(wanted, most, LOOKED_AT))
    else:
        start = _newest(connection, t.ACCOUNT.c.last_transfer, account) if before is None else before
        # A second entry of the same account in one transfer points at the transfer itself.
        first = entry.previous_seq != entry.transfer_seq
        chain = _Chain(entry.transfer_seq, entry.previous_seq, entry.account_id == account, first)
        places, after = chain.walk(connection, start, _rows(wanted, most, _STEPS))
        looked = connection.execute(small.where(transfer.seq.in_(places))).all()
    if _is_past(looked, 2, wanted):
        after = 0
    found = taken(looked, lambda row: int(row[0]), lambda row: _fits_transfer(row, wanted), most, after)
    return Part(rows=_whole_transfers(connection, _seqs(found.rows), account), following=found.following)


def _whose() -> sa.ColumnElement[str]:
    """The key that a transfer is about: that of the hold which it ended, or whose end it corrects."""
    ended, corrected = t.HOLD.alias("ended"), t.TRANSFER.alias("corrected")
    of_correction = (
        sa.select(ended.c.agent_id)
        .select_from(corrected.join(ended, ended.c.seq == corrected.c.hold_seq))
        .where(corrected.c.seq == t.TRANSFER.c.refers_to)
        .correlate(t.TRANSFER)
        .scalar_subquery()
    )
    return sa.func.coalesce(t.HOLD.c.agent_id, of_correction)


def _fits_transfer(row: Sequence[Any], wanted: Filter) -> bool:
    _, kind, at_ms, agent = row
    return (wanted.agents is None or agent in wanted.agents) and wanted.kind in (None, kind) and _in_time(at_ms, wanted)


def _whole_transfers(connection: sa.Connection, seqs: list[int], account: int | None) -> tuple[TransferRow, ...]:
    transfer, hold = t.TRANSFER.c, t.HOLD.c
    entries = _entries(connection, seqs)
    columns = (transfer.seq, transfer.kind, transfer.realm, transfer.amount_msat, transfer.at_ms, hold.id)
    more = (_whose(), hold.model, transfer.key, transfer.refers_to, transfer.memo)
    query = (
        sa.select(*columns, *more)
        .select_from(t.TRANSFER.outerjoin(t.HOLD, hold.seq == transfer.hold_seq))
        .where(transfer.seq.in_(seqs))
        .order_by(transfer.seq.desc())
    )
    names = TransferRow.__struct_fields__[:11]
    return tuple(
        TransferRow(
            **dict(zip(names, row, strict=True)),
            change_msat=None if account is None else _change(entries[row[0]], account),
            entries=tuple(EntryRow(account=e[1], side=e[3], amount_msat=e[4]) for e in entries[row[0]]),
        )
        for row in connection.execute(query)
    )


def _entries(connection: sa.Connection, seqs: list[int]) -> dict[int, list[Sequence[Any]]]:
    """(transfer, account's name, account, side, amount) by transfer, in order."""
    entry = t.ENTRY.c
    query = (
        sa.select(entry.transfer_seq, t.ACCOUNT.c.name, entry.account_id, entry.side, entry.amount_msat)
        .select_from(t.ENTRY.join(t.ACCOUNT, t.ACCOUNT.c.id == entry.account_id))
        .where(entry.transfer_seq.in_(seqs))
        .order_by(entry.transfer_seq, entry.n)
    )
    found: dict[int, list[Sequence[Any]]] = defaultdict(list)
    for row in connection.execute(query):
        found[row[0]].append(row)
    return found


def _change(entries: Iterable[Sequence[Any]], account: int) -> int:
    """By how much the balance of an account that is owed to its agent changed."""
    return sum(e[4] if e[3] == "credit" else -e[4] for e in entries if e[2] == account)
