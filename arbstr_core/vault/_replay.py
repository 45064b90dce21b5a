"""Replays the ledger entry by entry: each transfer balances and stays in its realm, the entries make what each account
says, and each account's history hangs together."""

from __future__ import annotations

from collections import defaultdict

import msgspec
import sqlalchemy as sa

from arbstr_core.vault._columns import Column, columns, pages

_ENTRIES = """SELECT account_id, transfer_seq, previous_seq,
CASE side WHEN 'debit' THEN amount_msat ELSE -amount_msat END AS msat FROM entry
WHERE transfer_seq BETWEEN {0} AND {1} ORDER BY transfer_seq, n"""
_REALMS = """SELECT min(realm), max(realm), count(*), min(seq), max(seq) FROM transfer
WHERE seq BETWEEN {0} AND {1}"""
_TRANSFERS = "SELECT seq FROM transfer WHERE seq BETWEEN {0} AND {1} ORDER BY seq"
_ELSEWHERE = """SELECT e.transfer_seq, e.n FROM entry e LEFT JOIN transfer x ON x.seq = e.transfer_seq
LEFT JOIN account a ON a.id = e.account_id WHERE e.transfer_seq BETWEEN {0} AND {1}
AND (x.seq IS NULL OR a.realm IS DISTINCT FROM x.realm) ORDER BY 1, 2 LIMIT 1"""
_HOLDS = "SELECT account_id, seq, previous_seq FROM hold WHERE seq BETWEEN {0} AND {1} ORDER BY seq"
_ACCOUNTS = "SELECT id, name, realm, kind, constrained, posted_msat, last_transfer FROM account ORDER BY id"
_ASSETS = frozenset({"asset", "cost"})
_OWED = frozenset({"agent", "seller", "temp"})


class Account(msgspec.Struct, frozen=True, array_like=True):
    """An account as it says it is."""

    id: int
    name: str
    realm: str
    kind: str
    constrained: int
    posted: int
    last_transfer: int


class Entries:
    """All entries, in the order in which they were written."""

    def __init__(self) -> None:
        self.count = 0
        self.sum_msat = 0
        self._made: dict[int, int] = defaultdict(int)
        self._last: dict[int, int] = {}
        self._broken: str | None = None

    def run(self, connection: sa.Connection) -> str | None:
        """The first thing wrong, of those that matter most."""
        accounts = {row[0]: Account(*row) for row in connection.exec_driver_sql(_ACCOUNTS)}
        constrained = {id for id, account in accounts.items() if account.constrained}
        elsewhere = None
        for page in pages(connection, "entry", "transfer_seq"):
            names = ("account_id", "transfer_seq", "previous_seq", "msat")
            ids, seqs, previous, amounts = columns(connection, names, _ENTRIES.format(*page))
            self.count += len(ids)
            wrong = self._follow(ids, seqs, previous, amounts, constrained)
            if wrong is not None:
                return wrong
            if elsewhere is None and not _at_home(connection, page, accounts, ids, seqs):
                elsewhere = _elsewhere(connection, page)
        self.sum_msat = sum(self._made.values())
        return elsewhere or self._balances(accounts) or self._broken or self._ends(accounts)

    def _follow(
        self, ids: Column, seqs: Column, previous: Column, amounts: Column, constrained: set[int]
    ) -> str | None:
        """Go along a page; the first transfer that does not balance."""
        made, last = self._made, self._last
        current, balance = 0, 0
        # Four of these a transfer: nothing more than needed is done for each.
        for id, seq, before, msat in zip(ids, seqs, previous, amounts, strict=True):
            if seq != current:
                if balance:
                    break
                current = seq
            balance += msat
            made[id] += msat
            if before is not None or id in constrained:
                if last.get(id, 0) != before and self._broken is None:
                    self._broken = _out_of_line("transfer", seq, before, last.get(id, 0))
                last[id] = seq
        if balance:
            return f"transfer {current}: its entries do not balance, {balance} msat are too much on one side"
        return None

    def _balances(self, accounts: dict[int, Account]) -> str | None:
        """The first account whose balance is not what its entries make, or realm that cannot pay what it owes."""
        sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for id, account in accounts.items():
            debits = self._made.get(id, 0)
            balance = debits if account.kind in _ASSETS else -debits
            sums[account.realm][account.kind] += balance
            sums[account.realm][""] += debits
            called = f"account {account.name} ({account.realm})"
            if account.constrained and account.posted != balance:
                return f"{called}: posted is {account.posted} msat, its entries make {balance}"
            if account.kind == "clearing" and balance:
                return f"{called}: {balance} msat are left in it, and nothing should be"
        unknown = self._made.keys() - accounts.keys()
        if unknown:
            return f"there are entries of account number {min(unknown)}, which is not there"
        for realm, by_kind in sums.items():
            owed = sum(by_kind[kind] for kind in _OWED)
            if by_kind[""]:
                return f"realm {realm}: its entries make {by_kind['']} msat, not 0"
            if by_kind["asset"] < owed:
                return f"realm {realm}: assets are {by_kind['asset']} msat, less than what is owed, {owed} msat"
        return None

    def _ends(self, accounts: dict[int, Account]) -> str | None:
        for id, account in accounts.items():
            if self._last.get(id, 0) != account.last_transfer:
                return _other_end(account.name, "transfer", self._last.get(id, 0), account.last_transfer)
        return None


def _at_home(
    connection: sa.Connection, page: tuple[int, int], accounts: dict[int, Account], ids: Column, seqs: Column
) -> bool:
    """True where all transfers of a page are of one realm and there, and so are the accounts of its entries."""
    low, high, count, first, last = connection.exec_driver_sql(_REALMS.format(*page)).one()
    used = set(ids)
    if low is None or low != high or any(id not in accounts or accounts[id].realm != low for id in used):
        return False
    if count == last - first + 1:
        return bool(seqs[0] >= first and seqs[-1] <= last)
    (there,) = columns(connection, ("seq",), _TRANSFERS.format(*page))
    return set(seqs) <= set(there)


def _elsewhere(connection: sa.Connection, page: tuple[int, int]) -> str | None:
    row = connection.exec_driver_sql(_ELSEWHERE.format(*page)).first()
    return None if row is None else f"entry {row[1]} of transfer {row[0]}: its account is of another realm"


def hold_chains(connection: sa.Connection) -> str | None:
    """The first hold that does not follow from the one before of its account."""
    last: dict[int | None, int] = {}
    for page in pages(connection, "hold", "seq"):
        ids, seqs, previous = columns(connection, ("account_id", "seq", "previous_seq"), _HOLDS.format(*page))
        for id, seq, before in zip(ids, seqs, previous, strict=True):
            if last.get(id, 0) != before:
                return _out_of_line("hold", seq, before, last.get(id, 0))
            last[id] = seq
    for id, name, end in connection.exec_driver_sql("SELECT id, name, last_hold FROM account ORDER BY id"):
        if last.get(id, 0) != end:
            return _other_end(name, "hold", last.get(id, 0), end)
    return None


def _out_of_line(kind: str, seq: int | None, previous: int | None, before: int) -> str:
    return f"{kind} number {seq} says that number {previous} was before it in its account; it was {before}"


def _other_end(account: str, kind: str, last: int, said: int) -> str:
    return f"account {account}: its last {kind} is number {last}, and it says {said}"
