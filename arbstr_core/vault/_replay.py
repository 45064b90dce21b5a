"""Replays the ledger: what the entries make of each account, and that each account's history hangs together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Dialect
from arbstr_core.vault._checks import SIGNED

_PAGE = 20_000
_MADE = f"""SELECT account_id, sum({SIGNED.format("")}), count(*) FROM entry
WHERE transfer_seq > {{0}} AND transfer_seq <= {{1}} GROUP BY account_id"""
_END = f"SELECT max(n) FROM (SELECT {{1}} AS n FROM {{0}} WHERE {{1}} > {{2}} ORDER BY {{1}} LIMIT {_PAGE}) AS page"
_ACCOUNTS = "SELECT id, name, realm, kind, constrained, posted_msat FROM account ORDER BY id"
_ASSETS = frozenset({"asset", "cost"})
_OWED = frozenset({"agent", "seller", "temp"})
_Triple = tuple[int, int, int | None]
_TRIPLES = msgspec.json.Decoder(list[_Triple])


class Totals(msgspec.Struct):
    """What `balances` counts on its way."""

    entries: int = 0
    sum_msat: int = 0


def balances(totals: Totals, connection: sa.Connection) -> str | None:
    """The first account whose balance is not what its entries make, or realm that cannot pay what it owes."""
    made: dict[int, int] = defaultdict(int)
    for page in pages(connection, "entry", "transfer_seq"):
        for account, debits, count in connection.exec_driver_sql(_MADE.format(*page)):
            made[account] += int(debits)
            totals.entries += count
            totals.sum_msat += int(debits)
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for id, name, realm, kind, constrained, posted in connection.exec_driver_sql(_ACCOUNTS):
        debits = made.pop(id, 0)
        balance = debits if kind in _ASSETS else -debits
        sums[realm][kind] += balance
        sums[realm][""] += debits
        if constrained and posted != balance:
            return f"account {name} ({realm}): posted is {posted} msat, its entries make {balance}"
        if kind == "clearing" and balance:
            return f"account {name} ({realm}): {balance} msat are left in it, and nothing should be"
    if made:
        return f"there are entries of account number {min(made)}, which is not there"
    for realm, by_kind in sums.items():
        owed = sum(by_kind[kind] for kind in _OWED)
        if by_kind[""]:
            return f"realm {realm}: its entries make {by_kind['']} msat, not 0"
        if by_kind["asset"] < owed:
            return f"realm {realm}: assets are {by_kind['asset']} msat, less than what is owed, {owed} msat"
    return None


def hold_chains(connection: sa.Connection) -> str | None:
    """The first hold that does not follow from the one before of its account."""
    query = "SELECT x.account_id, x.seq, x.previous_seq FROM hold x WHERE {0} ORDER BY x.seq"
    return _broken(connection, "hold", _triples(connection, "hold", "seq", query))


def transfer_chains(connection: sa.Connection) -> str | None:
    """The first entry that does not follow from the one before of its account."""
    query = (
        "SELECT x.account_id, x.transfer_seq, x.previous_seq FROM entry x JOIN account a ON a.id = x.account_id"
        " WHERE (a.constrained = 1 OR x.previous_seq IS NOT NULL) AND {0} ORDER BY x.transfer_seq, x.n"
    )
    return _broken(connection, "transfer", _triples(connection, "entry", "transfer_seq", query))


def _broken(connection: sa.Connection, kind: str, triples: Iterable[_Triple]) -> str | None:
    last: dict[int, int] = {}
    for account, seq, previous in triples:
        before = last.get(account, 0)
        if before != previous:
            return f"{kind} number {seq} says that number {previous} was before it in its account; it was {before}"
        last[account] = seq
    rows = connection.exec_driver_sql(f"SELECT id, name, last_{kind} FROM account ORDER BY id")
    for id, name, end in rows:
        if last.get(id, 0) != end:
            return f"account {name}: its last {kind} is number {last.get(id, 0)}, and it says {end}"
    return None


def pages(connection: sa.Connection, table: str, number: str) -> Iterator[tuple[int, int]]:
    """(last of the page before, last) of the numbers of a table: what is done with a page fits the processor's cache,
    and numbers may have gaps."""
    last = 0
    while (end := connection.exec_driver_sql(_END.format(table, number, last)).scalar()) is not None:
        yield last, end
        last = end


def _triples(connection: sa.Connection, table: str, number: str, query: str) -> Iterator[_Triple]:
    """(account, number, number before) in order; SQLite gives a page of them as one text."""
    sqlite = Dialect(connection.dialect.name) is Dialect.SQLITE
    for last, end in pages(connection, table, number):
        page = query.format(f"x.{number} > {last} AND x.{number} <= {end}")
        if sqlite:
            text = f"WITH page(a, b, c) AS ({page}) SELECT json_group_array(json_array(a, b, c)) FROM page"
            yield from _TRIPLES.decode(connection.exec_driver_sql(text).scalar_one())
        else:
            for row in connection.exec_driver_sql(page):
                yield row[0], row[1], row[2]
