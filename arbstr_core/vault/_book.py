"""The book: what one transaction knows and changes of the money.

It loads at once what all operations of the transaction name, lets them run in order against memory, and writes the sum
of it just before COMMIT. On SQLite the writer is alone and holds the file's write lock; on PostgreSQL it holds the
locks of the accounts' rows. So nothing moves in between; the database's own constraints check the result all the same.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from arbstr_core.storage import INTEGER, TEXT, Dialect, Operation, RunFirst, Transaction, array
from arbstr_core.vault import _alerts, _audit, _numbers, _rows
from arbstr_core.vault._buckets import SPENT, Buckets
from arbstr_core.vault._minutes import NOBODY, Minutes
from arbstr_core.vault._rows import Account, Held, Node, Purse
from arbstr_core.vault._terms import DAY_MS, FLOOR

T = TypeVar("T")

Chart = dict[tuple[str, str], Account]
"""Accounts that are in the database for good, by (name, realm)"""
Entry = tuple[Account, str, int]
"""(account, "debit" or "credit", msat)"""

_DEBIT_NORMAL = frozenset({"asset", "cost"})
_CONSTRAINED = frozenset({"agent", "seller", "temp", "asset", "equity", "suspense"})


def plain_text(what: str, *texts: str) -> None:
    """Refuse what the database would cut short: a NUL, which valid JSON never holds unescaped."""
    for text in texts:
        if "\0" in text:
            raise ValueError(f"{what} holds a NUL character")


class VaultOperation(Operation[T]):
    """A change of money. It says beforehand which agents, holds and accounts it is about, so that a batch loads (and
    locks) them at once."""

    agents: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    """others, by name"""

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


class _Open(VaultOperation[None]):
    """Open an account, unless another process did."""

    must = True

    def __init__(self, chart: Chart, name: str, realm: str, kind: str) -> None:
        super().__init__(chart)
        self._name, self._realm, self._kind = name, realm, kind

    def change(self, book: Book) -> None:
        """Open it."""
        if book.tx.dialect is Dialect.POSTGRESQL:
            book.tx.all(_rows.LOCK_OPENING, {})
        if book.find_account(self._name, self._realm) is None:
            book.open_account(self._name, self._realm, self._kind)


class Book:
    """See the module. Amounts msat; numbers are handed out here, so that rows can refer to each other."""

    def __init__(self, tx: Transaction, chart: Chart) -> None:
        self.tx = tx
        self.now_ms = tx.now_ms
        self.day = tx.now_ms - tx.now_ms % DAY_MS
        self._chart = chart
        self._own_chart: Chart = {}
        self.nodes: dict[str, Node] = {}
        self.purses: dict[int, Purse] = {}
        self.holds: dict[str, Held] = {}
        self.ends: dict[int, tuple[int, str]] = {}
        """(transfer, memo) of the holds that ended here, by their numbers"""
        self._deltas: dict[int, list[int]] = {}
        self.buckets = Buckets(tx, self.nodes, self.day)
        self.watched: set[str] = set()
        """agents with a floor, whose account has changed"""
        self._opened: list[str] = []
        self._closed: list[str] = []
        self._new_holds: list[Sequence[Any]] = []
        self._windows: dict[int, Sequence[tuple[str, str, int]]] = {}
        self._ended: list[Sequence[Any]] = []
        self._transfers: list[Sequence[Any]] = []
        self._entries: list[Sequence[Any]] = []
        self._receipts: list[Sequence[Any]] = []
        self._minutes = Minutes()
        self._keys: dict[str, tuple[int, int, str]] = {}
        self._load([each for each in tx.operations if isinstance(each, VaultOperation)])

    # What is loaded

    def _load(self, operations: Sequence[VaultOperation[Any]]) -> None:
        tx = self.tx
        agents = sorted({name for operation in operations for name in operation.agents})
        holds = sorted({name for operation in operations for name in operation.holds})
        nodes, found, purses = self._asked(agents, holds, operations)
        if tx.dialect is Dialect.POSTGRESQL:
            self._next_hold = _numbers.drawn_from(tx, _rows.HOLD_NUMBERS, len(agents) and len(operations))
            self._next_transfer = _numbers.drawn_from(tx, _rows.TRANSFER_NUMBERS, len(holds))
        else:
            row = tx.one(_rows.LOAD_ENDS, {})
            assert row is not None, "a SELECT of aggregates gave no row"
            self._next_hold, self._next_transfer = _numbers.counting_from(row[0]), _numbers.counting_from(row[1])
            self._minutes.head = _audit.Head(seq=row[2], hash=row[3] or _audit.GENESIS)
        self.nodes.update((node.id, node) for node in nodes())
        self.holds = {hold.id: hold for hold in found()}
        self.purses = {purse.account: purse for purse in purses()}

    def _asked(
        self, agents: list[str], holds: list[str], operations: Sequence[VaultOperation[Any]]
    ) -> tuple[Callable[[], list[Node]], Callable[[], list[Held]], Callable[[], list[Purse]]]:
        tx = self.tx
        if tx.dialect is Dialect.SQLITE:
            return self._asked_nodes(agents), tx.asked(_rows.LOAD_HOLDS, holds), self._purses_of_loaded
        names = sorted({name for operation in operations for name in operation.accounts})
        if names:
            locked = tx.ask(_rows.LOCK_NAMED, _named(agents, holds, ()) | {"names": array(TEXT, names)})
        else:
            locked = tx.ask(_rows.LOCK, _named(agents, holds, ()))
        nodes, found = self._asked_nodes(agents), tx.asked(_rows.LOAD_HOLDS, holds)
        return nodes, found, lambda: [Purse(*row) for row in locked()]

    def _asked_nodes(self, agents: list[str]) -> Callable[[], list[Node]]:
        return self.tx.asked(_rows.LOAD_NODES, agents, {"window": self.day})

    def _purses_of_loaded(self) -> list[Purse]:
        accounts = {node.account for node in self.nodes.values()} | {hold.account for hold in self.holds.values()}
        return self.tx.load(_rows.LOAD_PURSES, sorted(accounts))

    def chain(self, agent: str) -> list[Node]:
        """The agent and its parents, the agent first. Empty where it does not exist."""
        found: list[Node] = []
        name: str | None = agent
        while name is not None:
            node = self.nodes.get(name) or self._late_node(name)
            if node is None:
                break
            found.append(node)
            name = node.parent
        return found

    def _late_node(self, agent: str) -> Node | None:
        for node in self._asked_nodes([agent])():
            self.buckets.catch_up(node)
            self.nodes[node.id] = node
        return self.nodes.get(agent)

    def load_holds(self, ids: Iterable[str]) -> None:
        """Make known the holds with these ids, where they exist, and lock their accounts."""
        wanted = sorted(set(ids) - self.holds.keys())
        if self.tx.dialect is Dialect.POSTGRESQL and wanted:
            for row in self._locked_late(_named((), wanted, ())):
                self.purses.setdefault(row[0], Purse(*row))
        self.holds.update({found.id: found for found in self.tx.load(_rows.LOAD_HOLDS, wanted)})

    def _locked_late(self, wanted: dict[str, str]) -> list[tuple[Any, ...]]:
        """Lock what nobody named beforehand. Numbers that were drawn before may be smaller than those that others have
        used for it since: they are given up."""
        rows = self.tx.all(_rows.LOCK, wanted)
        self._next_hold = _numbers.drawn_from(self.tx, _rows.HOLD_NUMBERS, 0)
        self._next_transfer = _numbers.drawn_from(self.tx, _rows.TRANSFER_NUMBERS, 0)
        return rows

    def purse(self, account: int) -> Purse:
        """An account's counters, with what this transaction did to them."""
        found = self.purses.get(account)
        if found is None:
            if self.tx.dialect is Dialect.POSTGRESQL:
                found = Purse(*self._locked_late(_named((), (), (account,)))[0])
            else:
                found = self.tx.load(_rows.LOAD_PURSES, [account])[0]
            self.purses[account] = found
        return found

    def asked_for(self, hold_id: str) -> tuple[str, str, str]:
        """(agent, model, candidates) of a hold."""
        for row in self._new_holds:
            if row[1] == hold_id:
                return row[2], row[9], row[14]
        [found] = self.tx.all(_rows.FIND_REQUEST, {"id": hold_id})
        return found[0], found[1], found[2]

    def posted(self, key: str) -> tuple[int, int, str] | None:
        """(seq, amount, memo) of the transfer with this key, if there is one."""
        row = self._keys.get(key) or self.tx.one(_rows.FIND_TRANSFER, {"key": key})
        return (row[0], row[1], row[2]) if row else None

    # Accounts

    def account(self, name: str, realm: str, kind: str) -> Account:
        """The account with this name. Raises RunFirst where it is to be opened, or was just now: the order in which
        accounts are locked must know it."""
        if (known := self._chart.get((name, realm))) is not None:
            return known
        found = self.find_account(name, realm)
        if found is None:
            raise RunFirst(_Open(self._chart, name, realm, kind))
        if found.constrained and found.id not in self.purses:
            raise RunFirst
        return found

    def find_account(self, name: str, realm: str) -> Account | None:
        """The account with this name, if there is one."""
        key = (name, realm)
        found = self._chart.get(key) or self._own_chart.get(key)
        if found is None and (row := self.tx.one(_rows.FIND_ACCOUNT, {"name": name, "realm": realm})) is not None:
            # It was there before this transaction: what this one opens is in `_own_chart`, and may yet roll back.
            found = self._chart[key] = Account(*row)
        return found

    def open_account(self, name: str, realm: str, kind: str) -> Account:
        """A new account; the name must be free."""
        account = Account(_numbers.of_accounts(self.tx)(), kind, int(kind in _CONSTRAINED))
        fixed = (account.id, name, realm, kind, account.constrained)
        self.tx.bulk(_rows.OPEN_ACCOUNT, [(*fixed, 0, 0, 0, 0)])
        self.note("account.open", f"{name}@{realm}", _audit.canonical(*fixed))
        self._own_chart[(name, realm)] = account
        if account.constrained:
            self.purses[account.id] = Purse(account.id, 0, 0, 0, 0)
        return account

    def available(self, account: Account) -> int:
        """What a constrained account has left, with what this transaction did to it."""
        purse = self.purse(account.id)
        return purse.posted - purse.held

    def _move(self, account: int, *, posted: int = 0, held: int = 0) -> Purse:
        delta = self._deltas.setdefault(account, [0, 0])
        delta[0] += posted
        delta[1] += held
        purse = self.purses.get(account) or self.purse(account)
        purse.posted += posted
        purse.held += held
        return purse

    # Limits

    def opened_here(self, agent: str) -> int:
        """By how many the open holds of an agent and its children have grown in this transaction."""
        grown = Counter(self._opened)
        grown.subtract(self._closed)
        return sum(by for each, by in grown.items() if any(node.id == agent for node in self.chain(each)))

    def windows(self, hold: Held) -> Sequence[tuple[str, str, int]]:
        """(agent, kind, start) of what a hold counts in beside its own agent's day, and is looked at for at its end."""
        if not hold.windows:
            return ()
        here = self._windows.get(hold.seq)
        return here if here is not None else [(r[0], r[1], r[2]) for r in self.tx.all(_rows.WINDOWS, {"seq": hold.seq})]

    def _count(self, hold: Held, amount: int) -> None:
        """Add to all windows of a hold, and see to it that those with a floor are looked at."""
        self.buckets.use(hold.agent, "day", hold.window, amount)
        for agent, kind, start in self.windows(hold):
            if kind in SPENT:
                self.buckets.use(agent, kind, start, amount)
            elif kind == FLOOR:
                self.watched.add(agent)

    # Holds and transfers

    def open_hold(self, held: Held, *, model: str, candidates: str, windows: Sequence[tuple[str, str, int]]) -> Held:
        """Set money aside; `held.seq` is given here. That it fits was decided by the caller; the database checks it
        once more. `windows` are the buckets it counts in beside its own day's."""
        held.seq = self._next_hold()
        purse = self._move(held.account, held=held.amount)
        previous, purse.last_hold = purse.last_hold, held.seq
        small = (
            *(held.seq, held.id, held.agent, held.account, held.kind, held.amount, held.boot, held.window),
            *(held.windows, model, held.granted, previous, held.approval, self.now_ms),
        )
        self._new_holds.append((*small, candidates, "held", held.dispatched, held.seen))
        if windows:
            self._windows[held.seq] = windows
        self.holds[held.id] = held
        self._opened.append(held.agent)
        self._count(held, held.amount)
        self._minutes.holds.append((held.seq, _audit.of_hold(small, windows, candidates)))
        return held

    def end_hold(
        self, hold: Held, kind: str, charge: int, entries: Sequence[Entry], receipt: str, *, memo: str = ""
    ) -> int:
        """End a hold once: its outcome, its entries, its receipt, and the rest back to balance and limits. The number
        of the transfer."""
        if hold.state != "held" or not 0 <= charge <= hold.amount:
            raise AssertionError(
                f"hold {hold.id} of {hold.amount} msat is {hold.state}: a charge of {charge} msat is wrong"
            )
        hold.state = "settled" if kind == "settle" else "released"
        hold.charged = charge
        self._ended.append((hold.seq, hold.state, self.now_ms))
        self._closed.append(hold.agent)
        self._move(hold.account, held=-hold.amount)
        self._count(hold, charge - hold.amount)
        if hold.approval is not None:
            self._end_approval(hold)
        self._receipts.append((hold.seq, receipt, self.now_ms))
        transfer = self.post(kind, hold.realm, charge, entries, hold_seq=hold.seq, receipt=receipt, memo=memo)
        self.ends[hold.seq] = (transfer, memo)
        return transfer

    def _end_approval(self, hold: Held) -> None:
        """A settle uses the grant up; a release gives it back, but that of a payout is over."""
        given_back = None if hold.kind == "payout" else "granted"
        after = "used" if hold.state == "settled" else given_back or "expired"
        if self.tx.run(_rows.END_APPROVAL, {"approval": hold.approval, "under": hold.id, "after": after}):
            self.note(
                f"approval.{after}", str(hold.approval), _audit.canonical(hold.approval, after, hold.id, self.now_ms)
            )

    def post(
        self,
        kind: str,
        realm: str,
        amount: int,
        entries: Sequence[Entry],
        *,
        hold_seq: int | None = None,
        key: str | None = None,
        memo: str = "",
        refers_to: int | None = None,
        receipt: str | None = None,
    ) -> int:
        """Append a transfer with its entries, which must balance; entries of nothing are left out. Its number."""
        if sum([msat if side == "debit" else -msat for _, side, msat in entries]):
            raise AssertionError(f"the entries of {kind} {hold_seq or key} do not balance")
        seq = self._next_transfer()
        transfer = (seq, kind, realm, hold_seq, key, amount, refers_to, self.now_ms, memo)
        self._transfers.append(transfer)
        if key is not None:
            self._keys[key] = (seq, amount, memo)
        kept = [entry for entry in entries if entry[2]]
        rows = [(n, *self._entry(seq, *entry)) for n, entry in enumerate(kept, 1)]
        self._entries += [(seq, *row) for row in rows]
        self._minutes.transfers.append((seq, _audit.of_transfer(transfer, rows, receipt)))
        return seq

    def _entry(self, seq: int, account: Account, side: str, msat: int) -> tuple[int, str, int, int | None]:
        """(account_id, side, amount, previous_seq), and the account's counters moved."""
        if not account.constrained:
            return account.id, side, msat, None
        grows = (side == "debit") == (account.kind in _DEBIT_NORMAL)
        purse = self._move(account.id, posted=msat if grows else -msat)
        previous = purse.last_transfer
        if previous != seq:
            purse.last_transfer = seq
        return account.id, side, msat, previous

    # The audit

    def note(self, action: str, subject: str, data: str, *, actor: str = NOBODY) -> None:
        """What is to be said in the audit, with the transaction's end."""
        self._minutes.note(actor, action, subject, data)

    def write(self) -> None:
        """Write everything; holds change state only after their outcome is there, and counters and windows after
        all that they count, which guards look at."""
        tx = self.tx
        tx.bulk(_rows.INSERT_HOLDS, self._new_holds)
        tx.bulk(_rows.INSERT_WINDOWS, [(seq, *window) for seq, own in self._windows.items() for window in own])
        tx.bulk(_rows.INSERT_TRANSFERS, self._transfers)
        tx.bulk(_rows.INSERT_ENTRIES, self._entries)
        tx.bulk(_rows.INSERT_RECEIPTS, self._receipts)
        tx.bulk(_rows.END_HOLDS, self._ended)
        self.buckets.write()
        ends = {
            account: (self.purses[account].last_hold, self.purses[account].last_transfer) for account in self._deltas
        }
        tx.bulk(_rows.MOVE_COUNTERS, [(account, *delta, *ends[account]) for account, delta in self._deltas.items()])
        self._minutes.write(tx)
        if self.watched:
            nodes = [self.chain(agent)[0] for agent in sorted(self.watched)]
            _alerts.watch(tx, [(node, self.purse(node.account)) for node in nodes])


def _named(agents: Sequence[str], holds: Sequence[str], accounts: Sequence[int]) -> dict[str, str]:
    return {"agents": array(TEXT, agents), "holds": array(TEXT, holds), "accounts": array(INTEGER, accounts)}
