"""The ways into the vault for money that moves over rails.

`Requests` is for whoever serves agents: it writes down what is asked for, and reads. `Treasury` is for the one that
moves money; what it does names the turn that it was given, but for what operators and agents do to payments that were
not sent yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from arbstr_core.storage import Database
from arbstr_core.types import Deposit
from arbstr_core.vault import _frozen, _rail_reads, _sending
from arbstr_core.vault._book import Chart
from arbstr_core.vault._credits import AssignDeposit, Credit, Place, PostFrom
from arbstr_core.vault._ending import EndPayment, FailedEnd, HandOver, PaidEnd
from arbstr_core.vault._events import Event
from arbstr_core.vault._losses import WriteOff
from arbstr_core.vault._payouts import OpenPayment, OpenPayout
from arbstr_core.vault._rail_values import (
    DepositRecord,
    Freeze,
    Known,
    NewPayment,
    NewRequest,
    Over,
    Owed,
    PaymentKind,
    PaymentRecord,
    PaymentState,
    RequestRecord,
    RequestState,
    SellerRecord,
    Sent,
    SolvencyRecord,
    Turn,
    Waits,
)
from arbstr_core.vault._requests import AnswerRequest, EndRequest, OpenRequest, PostponeRequest
from arbstr_core.vault._sellers import SetSeller
from arbstr_core.vault._single_calls import KeepDust
from arbstr_core.vault._values import ApprovalNeeded, Claimed, Granted, HoldRequest, Refused

T = TypeVar("T")


class _Tells:
    """Whoever has to do something about what is written down is told, whatever became of who wrote it."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def tell(self, due: Callable[[], None]) -> None:
        """Call `due` from now on after each that this process has written down, and that is to be looked at now."""
        self._listeners.append(due)

    async def _told(self, written: asyncio.Future[T]) -> T:
        written.add_done_callback(self._tell)
        # Who wrote it may be cancelled meanwhile, a client that has left for one: it is written down all the same.
        return await asyncio.shield(written)

    def _tell(self, written: asyncio.Future[T]) -> None:
        if not written.cancelled() and written.exception() is None:
            for due in self._listeners:
                due()


class Requests(_Tells):
    """What is asked for, and what came of it."""

    def __init__(self, db: Database) -> None:
        super().__init__()
        self._db = db

    async def open(self, new: NewRequest, *, most_open: int | None = None) -> RequestRecord:
        """Write a request down; the same id again is the same. Raises Conflict for a token that was handed in before,
        or one invoice too many."""
        await self._told(self._db.submit(OpenRequest(new, most_open=most_open)))
        found = await self.find(new.id)
        assert found is not None, f"request {new.id} was written a moment ago"
        return found

    async def find(self, request_id: str) -> RequestRecord | None:
        """The request with this id."""
        return await self._db.read(lambda connection: _rail_reads.request(connection, request_id))

    async def by_reference(self, reference: str, rail: str | None = None) -> RequestRecord | None:
        """The request whose invoice or token this is."""
        return await self._db.read(lambda connection: _rail_reads.request_by_reference(connection, reference, rail))

    async def list(
        self,
        *,
        agents: Sequence[str] | None = None,
        kind: str | None = None,
        state: RequestState | None = None,
        subject: str | None = None,
        before: int | None = None,
        most: int = 100,
    ) -> list[RequestRecord]:
        """Requests, the newest first."""
        return await self._db.read(
            lambda connection: _rail_reads.requests(
                connection, agents=agents, kind=kind, state=state, subject=subject, before=before, most=most
            )
        )

    async def deposits(
        self,
        *,
        agents: Sequence[str] | None = None,
        nobodys: bool = False,
        before: int | None = None,
        most: int = 100,
    ) -> Sequence[DepositRecord]:
        """What came in, the newest first."""
        return await self._db.read(
            lambda connection: _rail_reads.deposits(
                connection, agents=agents, nobodys=nobodys, before=before, most=most
            )
        )

    async def payment(self, payment_id: str) -> PaymentRecord | None:
        """The payment with this id."""
        return await self._db.read(lambda connection: _rail_reads.payment(connection, payment_id))

    async def payments(
        self,
        *,
        owner: str | None = None,
        agents: Sequence[str] | None = None,
        kind: PaymentKind | None = None,
        state: PaymentState | None = None,
        before: int | None = None,
        most: int = 100,
    ) -> Sequence[PaymentRecord]:
        """Payments, the newest first."""
        return await self._db.read(
            lambda connection: _rail_reads.payments(
                connection, owner=owner, agents=agents, kind=kind, state=state, before=before, most=most
            )
        )

    async def payment_by_key(self, owner: str, key: str) -> PaymentRecord | None:
        """The payment that its owner calls so."""
        return await self._db.read(lambda connection: _rail_reads.payment_by_key(connection, owner, key))

    async def single(self, key: str) -> tuple[int, int] | None:
        """(posted, held) of what pays a single call."""
        return await self._db.read(lambda connection: _rail_reads.balance_of_single(connection, key))


class Treasury(_Tells):
    """See the module. `boot_id` is this process's. It tells of payments."""

    def __init__(self, db: Database, *, boot_id: str) -> None:
        super().__init__()
        self._db = db
        self._boot_id = boot_id
        self._chart: Chart = {}

    def turn(self, fence: int) -> Turn:
        """The turn with this number, which `Vault.take_job` gave."""
        return Turn(boot=self._boot_id, fence=fence)

    # Requests

    async def due_requests(self, now_ms: int, most: int = 100) -> Sequence[RequestRecord]:
        """Requests whose rail is to be asked, or whose time is over."""
        return await self._db.read(lambda connection: _rail_reads.due_requests(connection, now_ms, most))

    async def answer(self, request_id: str, *, text: str, reference: str, expires_ms: int) -> None:
        """The rail has made an invoice."""
        await self._db.submit(AnswerRequest(request_id, text=text, reference=reference, expires_ms=expires_ms))

    async def postpone_request(self, request_id: str, reason: str, *, wait_ms: int) -> None:
        """The rail could not be asked."""
        await self._db.submit(PostponeRequest(request_id, reason, wait_ms=wait_ms))

    async def end_request(self, request_id: str, state: RequestState, reason: str) -> bool:
        """No money comes for it; False where it had ended."""
        return await self._db.submit(EndRequest(request_id, state, reason))

    # What comes in

    async def credit(
        self, turn: Turn, rail: str, realm: str, deposit: Deposit, *, owner: str | None, stream: bool
    ) -> bool:
        """Credit a deposit; True the first time. `owner` is the root agent it is for."""
        return await self._db.submit(Credit(self._chart, turn, rail, realm, deposit, owner=owner, stream=stream))

    async def post_from(self, turn: Turn, event: Event | None, *, realm: str, key: str, place: Place) -> bool:
        """Post what a rail's records say, and read on from there; False where it was known."""
        return await self._db.submit(PostFrom(self._chart, turn, event, realm=realm, key=key, place=place))

    async def place(self, rail: str, stream: str) -> str:
        """Up to where a rail's records have been read."""
        return await self._db.read(lambda connection: _rail_reads.place(connection, rail, stream))

    async def assign(self, rail: str, reference: str, agent: str, *, actor: str) -> int:
        """Give an agent a deposit that was nobody's."""
        return await self._db.submit(AssignDeposit(self._chart, rail, reference, agent, actor))

    async def write_off(self, asset: str, msat: int, *, realm: str, key: str, reason: str, actor: str) -> int:
        """An operator gives up what an asset's account has, by its name; the transfer. Raises NotFound, BadRequest, or
        Conflict where less would be left than is owed."""
        step = WriteOff(self._chart, asset, msat, realm=realm, key=key, reason=reason, actor=actor)
        return await self._db.submit(step)

    # What goes out

    async def open_payout(
        self, new: NewPayment, request: HoldRequest
    ) -> Granted | Refused | Claimed | ApprovalNeeded | Known:
        """Hold for an agent's payout, and write it down. Raises Conflict where its destination is being paid."""
        return await self._told(self._db.submit(OpenPayout(self._chart, new, request, self._boot_id)))

    async def open_payment(self, new: NewPayment, *, working_ppm: int = 0) -> str:
        """Write down what no agent asked for. Raises Conflict or InsufficientFunds."""
        return await self._told(self._db.submit(OpenPayment(self._chart, new, working_ppm=working_ppm)))

    async def due_payments(self, now_ms: int, most: int = 100) -> Sequence[PaymentRecord]:
        """What is to be sent, or looked up, now."""
        return await self._db.read(lambda connection: _rail_reads.due_payments(connection, now_ms, most))

    async def sent_payments(self) -> Sequence[PaymentRecord]:
        """All that may be on their way."""
        return await self._db.read(_rail_reads.sent_payments)

    async def next_due_ms(self) -> int | None:
        """When there is something to do again."""
        return await self._db.read(_rail_reads.next_due_ms)

    async def unhanded(self) -> Sequence[PaymentRecord]:
        """Top-ups that have left, and whose node has yet to say what it made of them."""
        return await self._db.read(_rail_reads.unhanded)

    async def payment_by_reference(self, realm: str, reference: str) -> PaymentRecord | None:
        """The newest payment to a destination."""
        return await self._db.read(lambda connection: _rail_reads.payment_by_reference(connection, realm, reference))

    async def dispatch(self, turn: Turn, payment: PaymentRecord, *, fee_limit_msat: int) -> Sent | Waits | Over:
        """Write down that a payment is handed to its rail now, if it may be."""
        return await self._db.submit(_sending.Dispatch(self._chart, turn, payment, fee_limit_msat=fee_limit_msat))

    async def postpone(
        self, turn: Turn, payment: PaymentRecord, reason: str, *, wait_ms: int, state: PaymentState | None = None
    ) -> None:
        """Look at a payment again after a while; with a `state`, its rail did not say how it ends."""
        step = _sending.Postpone(self._chart, turn, payment, reason, wait_ms=wait_ms, state=state)
        await self._db.submit(step)

    async def end(
        self, turn: Turn, payment: PaymentRecord, end: PaidEnd | FailedEnd, *, payee: str | None = None
    ) -> PaymentRecord:
        """End a payment by evidence; once. `payee` is the agent whose invoice it was, where it is one of ours."""
        return await self._db.submit(EndPayment(self._chart, payment, end, turn=turn, payee=payee))

    async def resolve(self, payment: PaymentRecord, end: PaidEnd | FailedEnd, *, actor: str) -> PaymentRecord:
        """An operator ends a payment with evidence of its own."""
        return await self._db.submit(EndPayment(self._chart, payment, end, actor=actor))

    async def cancel(self, payment: PaymentRecord, *, actor: str, reason: str) -> PaymentRecord:
        """End a payment that was not sent. Raises Conflict where it was."""
        return await self._db.submit(_sending.CancelPayment(self._chart, payment, actor=actor, reason=reason))

    async def sent_elsewhere(self, turn: Turn, payment: PaymentRecord) -> None:
        """A rail's records show a payment that the restored ledger holds for one not sent."""
        await self._told(self._db.submit(_sending.SentElsewhere(self._chart, turn, payment)))

    async def hand_over(
        self, turn: Turn, payment: PaymentRecord, *, credited: int | None, said: str, returned: bool = False
    ) -> PaymentRecord:
        """What a node made of a top-up; None: it denies to have it, or its token is `returned`."""
        step = HandOver(self._chart, turn, payment, credited=credited, said=said, returned=returned)
        return await self._db.submit(step)

    # How it stands

    async def owed(self) -> dict[str, Owed]:
        """What the ledger says of each realm."""
        return await self._db.read(_rail_reads.owed)

    async def frozen(self) -> Sequence[Freeze]:
        """What is frozen."""
        return await self._db.read(_rail_reads.frozen)

    async def set_frozen(self, scope: str, *, frozen: bool, reason: str, actor: str) -> bool:
        """An operator freezes or thaws `realm:NAME` or `rail:NAME`; False where it was so already."""
        step = _frozen.SetFrozen(self._chart, scope, frozen=frozen, reason=reason, actor=actor)
        return await self._db.submit(step)

    async def freeze_rail(self, turn: Turn, rail: str, reason: str) -> bool:
        """Nothing leaves over a rail that is not to be trusted."""
        return await self._db.submit(_frozen.FreezeRail(self._chart, turn, rail, reason))

    async def note_solvency(self, turn: Turn, realm: str, *, below: bool | None, reason: str, body: bytes) -> int:
        """What a check found; how many in a row were below. The third freezes the realm. None: it cannot be told."""
        step = _frozen.NoteSolvency(self._chart, turn, realm, below=below, reason=reason, body=body)
        return await self._db.submit(step)

    async def solvency(self) -> Sequence[SolvencyRecord]:
        """The last check of each realm."""
        return await self._db.read(_rail_reads.solvency)

    async def walked(self, turn: Turn, rail: str, restored_ms: int) -> None:
        """A rail's records have been compared with the restored ledger."""
        await self._db.submit(_frozen.Walked(self._chart, turn, rail, restored_ms))

    # Sellers, and single calls

    async def sellers(self) -> Sequence[SellerRecord]:
        """How sellers are paid."""
        return await self._db.read(_rail_reads.sellers)

    async def set_seller(self, seller: SellerRecord, *, actor: str) -> None:
        """Say how a seller is paid."""
        await self._db.submit(SetSeller(self._chart, seller, actor))

    async def singles_to_end(
        self, before_ms: int, *, after: str, least_msat: int, most: int = 100
    ) -> Sequence[tuple[str, str, int]]:
        """(key, realm, msat) of single calls that have so much money left, and no change made of it; by key, those
        `after` one."""
        return await self._db.read(
            lambda connection: _rail_reads.singles_to_end(
                connection, before_ms, after=after, least_msat=least_msat, most=most
            )
        )

    async def keep_dust(self, age_ms: int) -> int:
        """What is left of single calls that old is the operator's; how many it were."""
        total = 0
        dust = KeepDust(self._chart, age_ms)
        while kept := await self._db.submit(dust):
            total += kept
        return total
