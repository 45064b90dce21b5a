"""Money that came in over a rail: credited once, to whom the rail says it was asked for, with the place up to which the
rail's records have been read. Whose it is that nobody knows waits in suspense, and the operator is told."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from arbstr_core.storage import Statement, bulk_insert
from arbstr_core.types import Deposit, NotFound
from arbstr_core.vault import _events, _jobs, _outbox, _payments, _requests, _single_calls
from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault._agents import known_node
from arbstr_core.vault._audit import canonical
from arbstr_core.vault._book import Book, Chart, VaultOperation, plain_text
from arbstr_core.vault._events import Event
from arbstr_core.vault._node_events import TokenReturned
from arbstr_core.vault._posting import accounts_of, checked, post_event
from arbstr_core.vault._rail_values import Purpose, RequestKind, RequestRecord, RequestState, Turn
from arbstr_core.vault._records import EventName

_KNOWN = Statement(
    sa.select(r.DEPOSIT.c.seq).where(
        r.DEPOSIT.c.rail == sa.bindparam("rail"), r.DEPOSIT.c.reference == sa.bindparam("reference")
    )
)
_NOBODYS = Statement(
    sa.select(r.DEPOSIT.c.amount_msat, r.DEPOSIT.c.realm).where(
        r.DEPOSIT.c.rail == sa.bindparam("rail"),
        r.DEPOSIT.c.reference == sa.bindparam("reference"),
        r.DEPOSIT.c.agent_id.is_(None),
        r.DEPOSIT.c.request_id.is_(None),
    )
)
DEPOSIT_COLUMNS = (
    *("rail", "reference", "kind", "realm", "amount_msat", "fee_msat", "request_id", "agent_id", "transfer_seq"),
    "at_ms",
)
_INSERT = bulk_insert(r.DEPOSIT, DEPOSIT_COLUMNS)
_MOVE = bulk_insert(r.PLACE, ("rail", "stream", "cursor", "moved_ms"), replace=True)
DEPOSITS = "deposits"


class Place(NamedTuple):
    """Up to where one of a rail's streams has been read."""

    rail: str
    stream: str
    cursor: str


def move_to(book: Book, place: Place) -> None:
    """Read on from here next time."""
    book.tx.bulk(_MOVE, [(*place, book.now_ms)])


class Credit(VaultOperation[bool]):
    """Credit a deposit; True the first time. `owner` is the root agent that the deposit is for, where it is for one;
    `stream` says that it came out of the rail's stream of deposits, which is read on from there."""

    must = True

    def __init__(
        self, chart: Chart, turn: Turn, rail: str, realm: str, deposit: Deposit, *, owner: str | None, stream: bool
    ) -> None:
        super().__init__(chart)
        if deposit.amount_msat <= 0 or deposit.fee_msat < 0:
            raise ValueError(f"{rail}: {deposit!r} is no amount")
        plain_text("a deposit", rail, deposit.reference, deposit.key, deposit.cursor)
        self._turn = turn
        self._rail = rail
        self._realm = realm
        self._deposit = deposit
        self._owner = owner
        self._stream = stream
        self.accounts = (_events.rail(rail)[0], _events.SUSPENSE[0], _events.EQUITY[0])
        self.agents = () if owner is None else (owner,)

    def change(self, book: Book) -> bool:
        """Credit it, unless that was done."""
        _jobs.must_have(book.tx, _jobs.Job.TREASURY, self._turn)
        deposit, rail = self._deposit, self._rail
        if self._stream:
            move_to(book, Place(rail, DEPOSITS, deposit.cursor))
        if book.tx.one(_KNOWN, {"rail": rail, "reference": deposit.reference}) is not None:
            return False
        request = _requests.find(book.tx, deposit.key) if deposit.key else None
        request = request or _requests.by_reference(book.tx, rail, deposit.reference)
        if request is not None and (request.rail != rail or request.state is RequestState.PAID):
            request = None
        self._credit(book, request)
        return True

    def _credit(self, book: Book, request: RequestRecord | None) -> None:
        deposit, rail = self._deposit, self._rail
        if request is not None and request.purpose is Purpose.CALL:
            _single_calls.open_single(book, request.subject, self._realm, deposit.amount_msat)
        event = self._event(book, request)
        seq = post_event(book, event, realm=self._realm, key=f"deposit:{rail}:{deposit.reference}")
        credited = request.agent if request is not None and request.purpose in _OF_AGENTS else None
        request_id = None if request is None else request.id
        enter(book, rail, self._realm, deposit, request=request_id, agent=credited, transfer=seq)
        if request is None:
            told = {"rail": rail, "realm": self._realm, "reference": deposit.reference}
            _outbox.tell(book.tx, EventName.DEPOSIT_UNKNOWN, **told, amount_msat=deposit.amount_msat)
        else:
            _requests.change(book.tx, request, state=RequestState.PAID, reason="", ended_ms=book.now_ms)

    def _event(self, book: Book, request: RequestRecord | None) -> Event:
        """What the money is, by what it was asked for."""
        rail, net, fee = self._rail, self._deposit.amount_msat, self._deposit.fee_msat
        whole = net + fee
        match None if request is None else request.purpose:
            case Purpose.CAPITAL:
                return _events.Capital(rail=rail, msat=net)
            case Purpose.CALL if request is not None:
                return _events.TokenOfCall(rail=rail, key=request.subject, msat=whole, fee_msat=fee)
            case Purpose.NODE if request is not None and net <= request.amount_msat:
                lost = request.amount_msat - net
                node = _node_of(book, request)
                return TokenReturned(rail=rail, node=node, msat=request.amount_msat, fee_msat=lost)
            case Purpose.PAYOUT if self._owner is not None:
                return _events.Reclaimed(rail=rail, agent=self._owner, msat=whole, fee_msat=fee)
        owner = self._owner if request is not None and request.purpose is Purpose.DEPOSIT else None
        return _events.Deposit(rail=rail, msat=whole, agent=owner, fee_msat=fee)


def _node_of(book: Book, request: RequestRecord) -> str:
    """Whose money it is: of a token that is taken back, whoever its payment was for."""
    payment = _payments.find(book.tx, request.subject) if request.kind is RequestKind.RECLAIM else None
    return request.subject if payment is None else payment.owner


_OF_AGENTS = (Purpose.DEPOSIT, Purpose.PAYOUT)


def enter(
    book: Book, rail: str, realm: str, deposit: Deposit, *, request: str | None, agent: str | None, transfer: int
) -> None:
    """Write a deposit down: from now on nothing is credited for it again."""
    row = (
        *(rail, deposit.reference, deposit.kind.value, realm, deposit.amount_msat, deposit.fee_msat, request, agent),
        *(transfer, book.now_ms),
    )
    book.tx.bulk(_INSERT, [row])
    book.note("deposit.credit", f"{rail} {deposit.reference}", canonical(*row))


class PostFrom(VaultOperation[bool]):
    """Post what a rail's records say, once for `key`, and read on from `place` next time. False where it was known."""

    must = True

    def __init__(self, chart: Chart, turn: Turn, event: Event | None, *, realm: str, key: str, place: Place) -> None:
        super().__init__(chart)
        if event is not None:
            checked(event)
        plain_text("a rail's record", realm, key, *place)
        self._turn = turn
        self._event = event
        self._realm = realm
        self._key = key
        self._place = place
        self.accounts = () if event is None else accounts_of(event)

    def change(self, book: Book) -> bool:
        """Post it."""
        _jobs.must_have(book.tx, _jobs.Job.TREASURY, self._turn)
        move_to(book, self._place)
        if self._event is None or book.posted(self._key) is not None:
            return False
        post_event(book, self._event, realm=self._realm, key=self._key)
        if isinstance(self._event, _events.LeftUnasked):
            said = {"rail": self._event.rail, "realm": self._realm, "msat": self._event.msat, "key": self._key}
            _outbox.tell(book.tx, EventName.LEFT_UNASKED, **said)
        return True


class AssignDeposit(VaultOperation[int]):
    """An operator says whose a deposit was that nobody was known for; the transfer. The same again is the same."""

    def __init__(self, chart: Chart, rail: str, reference: str, agent: str, actor: str) -> None:
        super().__init__(chart)
        plain_text("an assignment", rail, reference, actor)
        self._rail = rail
        self._reference = reference
        self._actor = actor
        self.agents = (agent,)
        self.accounts = (_events.SUSPENSE[0],)

    def change(self, book: Book) -> int:
        """Assign it."""
        node = known_node(book, self.agents[0])
        row = book.tx.one(_NOBODYS, {"rail": self._rail, "reference": self._reference})
        if row is None:
            raise NotFound(f"{self._rail} has no deposit {self._reference!r} that is nobody's")
        msat, realm = row
        root = book.chain(node.id)[-1]
        if root.realm != realm:
            raise NotFound(f"the deposit is of realm {realm}, and {node.id} of realm {root.realm}")
        event = _events.Assigned(agent=root.id, msat=msat)
        key = f"assign:{self._rail}:{self._reference}"
        first = book.posted(key) is None
        seq = post_event(book, event, realm=realm, key=key)
        if first:
            said = canonical(self._rail, self._reference, root.id, msat, seq)
            book.note("deposit.assign", f"{self._rail} {self._reference}", said, actor=self._actor)
        return seq
