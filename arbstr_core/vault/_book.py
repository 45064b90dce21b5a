"""The book: what one transaction knows and changes of the money.

It loads at once what all operations of the transaction name, lets them run in order against memory, and writes the sum
of it just before COMMIT. The writer is alone and holds the database's write lock, so nothing moves in between; the
database's own constraints check the result all the same.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from arbstr_core.storage import Operation, Transaction
from arbstr_core.vault import _audit, _rows
from arbstr_core.vault._rows import Account, Held, Standing

T = TypeVar("T")

DAY_MS = 86_400_000
Chart = dict[tuple[str, str], Account]
"""Accounts that are in the database for good, by (name, realm)"""
Entry = tuple[Account, str, int]
"""(account, "debit" or "credit", msat)"""

_DEBIT_NORMAL = frozenset({"asset", "cost"})
_CONSTRAINED = frozenset({"agent", "asset", "equity"})


def plain_text(what: str, *texts: str) -> None:
    """Refuse what the database would cut short: a NUL, which valid JSON never holds unescaped."""
    if any("\0" in text for text in texts):
        raise ValueError(f"{what} holds a NUL character")


class VaultOperation(Operation[T]):
    """A change of money. It says beforehand which agents and holds it is about, so that a batch loads them at once."""

    agents: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()

    def __init__(self, chart: Chart) -> None:
        self._chart = chart

    def run(self, tx: Transaction) -> T:
        """Run against the transaction's book."""
        book = tx.scratch.get("book")
        if book is None:
            book = tx.scratch["book"] = Book(tx, self._chart)
            tx.before_commit(book.write)
        return self.change(book)

    @abstractmethod
    def change(self, book: Book) -> T:
        """Do it."""


class Book:
    """See the module. Amounts msat; sequence numbers are handed out here, so that rows can refer to each other."""

    def __init__(self, tx: Transaction, chart: Chart) -> None:
        self.tx = tx
        self.now_ms = tx.now_ms
        self.window = tx.now_ms - tx.now_ms % DAY_MS
        self._chart = chart
        self._own_chart: Chart = {}
        operations = [operation for operation in tx.operations if isinstance(operation, VaultOperation)]
        self.standings = self._load_standings({name for operation in operations for name in operation.agents})
        self._of_account = {standing.account: standing for standing in self.standings.values()}
        self.holds: dict[str, Held] = {}
        self.load_holds({name for operation in operations for name in operation.holds})
        self._load_ends()
        self._deltas: dict[int, list[int]] = {}
        self._used: dict[tuple[str, int], int] = {}
        self._new_holds: list[Sequence[Any]] = []
        self._new_buckets: list[Sequence[Any]] = []
        self._ended: list[Sequence[Any]] = []
        self._transfers: list[Sequence[Any]] = []
        self._entries: list[Sequence[Any]] = []
        self._receipts: list[Sequence[Any]] = []
        self._audit: list[Sequence[Any]] = []
        self._keys: dict[str, tuple[int, str]] = {}

    def _load_standings(self, ids: Iterable[str]) -> dict[str, Standing]:
        wanted = sorted(ids)
        if not wanted:
            return {}
        row = self.tx.one(_rows.LOAD_STANDINGS, {"ids": msgspec.json.encode(wanted).decode(), "window": self.window})
        return {found.id: found for found in _rows.STANDINGS.decode(row[0])} if row else {}

    def load_holds(self, ids: Iterable[str]) -> None:
        """Make known the holds with these ids, where they exist."""
        wanted = sorted(ids)
        if wanted:
            row = self.tx.one(_rows.LOAD_HOLDS, {"ids": msgspec.json.encode(wanted).decode()})
            self.holds.update({found.id: found for found in _rows.HOLDS.decode(row[0])} if row else {})

    def _load_ends(self) -> None:
        row = self.tx.one(_rows.LOAD_ENDS, {})
        if row is None:
            raise AssertionError("a SELECT of aggregates gave no row")
        self._hold_seq, self._transfer_seq, self._receipt_seq, seq, last = row
        self._head = _audit.Head(seq=seq, hash=last or _audit.GENESIS)

    # Accounts

    def account(self, name: str, realm: str, kind: str) -> Account:
        """The account with this name, opened where there is none."""
        key = (name, realm)
        found = self._chart.get(key) or self._own_chart.get(key)
        if found is None:
            row = self.tx.one(_rows.FIND_ACCOUNT, {"name": name, "realm": realm})
            if row is not None:
                # It was there before this transaction: what this one opens is in `_own_chart`, and may yet roll back.
                found = self._chart[key] = Account(*row)
            else:
                found = self.open_account(name, realm, kind)
        return found

    def open_account(self, name: str, realm: str, kind: str) -> Account:
        """A new account; the name must be free."""
        row = self.tx.one(_rows.LAST_ACCOUNT, {})
        account = Account((row[0] if row else 0) + 1, kind, int(kind in _CONSTRAINED))
        fixed = (account.id, name, realm, kind, account.constrained)
        self.tx.bulk(_rows.OPEN_ACCOUNT, [(*fixed, 0, 0)])
        self.note("account.open", f"{name}@{realm}", _audit.canonical(*fixed))
        self._own_chart[(name, realm)] = account
        return account

    def adopt(self, standing: Standing) -> None:
        """Make known an agent that this transaction creates."""
        self.standings[standing.id] = standing
        self._of_account[standing.account] = standing

    def available(self, account: Account) -> int:
        """What a constrained account has left, with what this transaction did to it."""
        row = self.tx.one(_rows.COUNTERS, {"id": account.id})
        posted, held = self._deltas.get(account.id, (0, 0))
        return (row[0] if row else 0) + posted - held

    def _move(self, account: int, *, posted: int = 0, held: int = 0) -> None:
        delta = self._deltas.setdefault(account, [0, 0])
        delta[0] += posted
        delta[1] += held
        standing = self._of_account.get(account)
        if standing is not None:
            standing.posted += posted
            standing.held += held

    def _use(self, agent: str, window: int, msat: int) -> None:
        key = (agent, window)
        self._used[key] = self._used.get(key, 0) + msat
        standing = self.standings.get(agent)
        if standing is not None and window == self.window and standing.used is not None:
            standing.used += msat

    # Holds and transfers

    def open_hold(
        self,
        standing: Standing,
        *,
        id: str,
        amount: int,
        granted: int,
        model: str,
        candidates: str,
        digest: str,
        boot_id: str,
    ) -> Held:
        """Set money aside. That it fits was decided by the caller; the database checks it once more."""
        if standing.used is None:
            self._new_buckets.append((standing.id, "daily", self.window, 0))
            standing.used = 0
        self._hold_seq += 1
        hold = Held(
            *(self._hold_seq, id, standing.id, standing.account, standing.realm, amount, "held", self.window),
            *(granted, digest, 0),
        )
        head = (hold.seq, id, standing.id, standing.account, "call", amount)
        tail = (boot_id, self.window, model)
        last = (granted, digest, self.now_ms)
        self._new_holds.append((*head, "held", *tail, candidates, *last))
        self.holds[id] = hold
        self._move(standing.account, held=amount)
        self._use(standing.id, self.window, amount)
        self.note("hold", id, _audit.canonical(*head, *tail, _audit.digest(candidates), *last))
        return hold

    def end_hold(self, hold: Held, kind: str, charge: int, entries: Sequence[Entry], receipt: str) -> None:
        """End a hold once: its outcome, its entries, its receipt, and the rest back to balance and limit."""
        if hold.state != "held" or not 0 <= charge <= hold.amount:
            raise AssertionError(
                f"hold {hold.id} of {hold.amount} msat is {hold.state}: a charge of {charge} msat is wrong"
            )
        hold.state = "settled" if kind == "settle" else "released"
        hold.charged = charge
        self._ended.append((hold.seq, hold.state, self.now_ms))
        self._move(hold.account, held=-hold.amount)
        self._use(hold.agent, hold.window, charge - hold.amount)
        self._receipt_seq += 1
        self._receipts.append((self._receipt_seq, hold.id, hold.agent, receipt, self.now_ms))
        self.post(kind, hold.realm, charge, entries, hold_id=hold.id, receipt=receipt)

    def post(
        self,
        kind: str,
        realm: str,
        amount: int,
        entries: Sequence[Entry],
        *,
        hold_id: str | None = None,
        key: str | None = None,
        memo: str = "",
        receipt: str | None = None,
    ) -> None:
        """Append a transfer with its entries, which must balance; entries of nothing are left out."""
        kept = [entry for entry in entries if entry[2]]
        if sum(msat if side == "debit" else -msat for _, side, msat in kept):
            raise AssertionError(f"the entries of {kind} {hold_id or key} do not balance")
        self._transfer_seq += 1
        transfer = (self._transfer_seq, kind, realm, hold_id, key, amount, None, self.now_ms, memo)
        self._transfers.append(transfer)
        if key is not None:
            self._keys[key] = (amount, memo)
        rows = [(account.id, side, msat) for account, side, msat in kept]
        self._entries.extend((self._transfer_seq, n, *row) for n, row in enumerate(rows, 1))
        for account, side, msat in kept:
            if account.constrained:
                grows = (side == "debit") == (account.kind in _DEBIT_NORMAL)
                self._move(account.id, posted=msat if grows else -msat)
        self.note(kind, hold_id or key or "", _audit.covers_transfer(transfer, rows, receipt))

    def posted(self, key: str) -> tuple[int, str] | None:
        """(amount, memo) of the transfer with this key, if there is one."""
        row = self._keys.get(key) or self.tx.one(_rows.FIND_TRANSFER, {"key": key})
        return (row[0], row[1]) if row else None

    def note(self, action: str, subject: str, data: str) -> None:
        """Append an audit row to the chain."""
        head = self._head
        head.seq += 1
        row = (head.seq, _audit.EPOCH, _audit.FORMAT, self.now_ms, action, subject, data)
        head.hash = _audit.link(head.hash, row)
        self._audit.append((*row, head.hash))

    def write(self) -> None:
        """Write everything; holds change state only after their outcome is there, which a trigger looks at."""
        tx = self.tx
        tx.bulk(_rows.INSERT_HOLDS, self._new_holds)
        tx.bulk(_rows.INSERT_BUCKETS, self._new_buckets)
        tx.bulk(_rows.USE_BUCKETS, [(*key, used) for key, used in self._used.items() if used])
        tx.bulk(_rows.MOVE_COUNTERS, [(account, *delta) for account, delta in self._deltas.items() if any(delta)])
        tx.bulk(_rows.INSERT_TRANSFERS, self._transfers)
        tx.bulk(_rows.INSERT_ENTRIES, self._entries)
        tx.bulk(_rows.INSERT_RECEIPTS, self._receipts)
        tx.bulk(_rows.END_HOLDS, self._ended)
        tx.bulk(_rows.INSERT_AUDIT, self._audit)
