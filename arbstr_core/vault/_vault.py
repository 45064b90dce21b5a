"""The way into the vault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from arbstr_core.storage import Database, Dialect
from arbstr_core.types import Conflict, NotFound, StorageError
from arbstr_core.vault import _outbox, _reads
from arbstr_core.vault._agents import CreateAgent, Fund, RotateToken, SetEnabled, SetLimits
from arbstr_core.vault._approvals import Decide, ExpireApprovals
from arbstr_core.vault._audit_keys import AdoptAuditKey, signing_key_id
from arbstr_core.vault._book import Chart
from arbstr_core.vault._boot import Heartbeat, Leave
from arbstr_core.vault._buckets import DropBuckets, old_buckets
from arbstr_core.vault._checkpoints import Checkpoint, Mark, WriteCheckpoint, audit_end, checkpoints, mark
from arbstr_core.vault._claims import DropOldClaims
from arbstr_core.vault._events import Event
from arbstr_core.vault._holds import OpenHold, Release, Settle
from arbstr_core.vault._jobs import Job, LoseJob, TakeJob
from arbstr_core.vault._orphans import Correct, SweepOrphans
from arbstr_core.vault._posting import Post
from arbstr_core.vault._rail_values import Known
from arbstr_core.vault._records import ApprovalRecord, ApprovalState, OutboxRecord
from arbstr_core.vault._reservations import EndOldReservations
from arbstr_core.vault._restored import MarkRestored, restored_ms
from arbstr_core.vault._seal import FULL, Seal
from arbstr_core.vault._statements import Statement, statement
from arbstr_core.vault._terms import PAYOUT
from arbstr_core.vault._transfers import PayAgent
from arbstr_core.vault._values import (
    AgentRecord,
    ApprovalNeeded,
    Beat,
    Claimed,
    Closed,
    Granted,
    HoldRequest,
    KnownCheckpoint,
    Limits,
    LiveHolds,
    NewAgent,
    ReceiptRecord,
    Refused,
    Settlement,
    Verification,
)
from arbstr_core.vault._verify import how_many, verify

_AT_ONCE = 100


class Vault:
    """Money, durably. What returns a future has queued its write already; the future resolves when it is durable.

    Writes raise Overloaded (not settles and releases), VaultUnavailable, or StorageError. `bounded`: it serves calls
    and is not the treasury, so what was guessed at the end of a call is not for it to correct.
    """

    def __init__(
        self,
        db: Database,
        *,
        boot_id: str,
        charge_orphans_in_full: bool = False,
        lease_seconds: float = 30,
        bounded: bool = False,
    ) -> None:
        self._db = db
        self._boot_id = boot_id
        self._full = charge_orphans_in_full
        self._bounded = bounded
        self._lease_ms = int(lease_seconds * 1000)
        self._chart: Chart = {}
        self._decided: list[Callable[[str], None]] = []

    def tell(self, decided: Callable[[str], None]) -> None:
        """Call `decided` from now on with each approval, by its id, of which this process wrote down a decision."""
        self._decided.append(decided)

    def hold(self, request: HoldRequest) -> asyncio.Future[Granted | Refused | Claimed | ApprovalNeeded]:
        """Set money aside for a call. The same id again gives the same answer while its hold is open.

        Claimed where the request is a retry of another call, ApprovalNeeded where an operator has to decide first.
        """
        if request.kind == PAYOUT:
            raise ValueError(f"{request.id}: a payout is held for with its payment, by the treasury")
        return self._db.submit(OpenHold(self._chart, request, self._boot_id))

    def settle(self, settlement: Settlement) -> asyncio.Future[Closed]:
        """End a hold with a charge, which must not be above it. Ended before: the stored outcome."""
        return self._db.submit(Settle(self._chart, settlement, corrects=not self._bounded))

    def release(self, hold_id: str, receipt: bytes) -> asyncio.Future[Closed]:
        """End a hold with no charge; `receipt` is JSON. Ended before: the stored outcome."""
        return self._db.submit(Release(self._chart, hold_id, receipt, corrects=not self._bounded))

    async def post(self, event: Event, *, realm: str, key: str) -> int:
        """Post what happened to money, once for each `key`; the number of the transfer. Raises InsufficientFunds."""
        return await self._db.submit(Post(self._chart, event, realm=realm, key=key))

    async def pay_agent(self, request: HoldRequest, payee: str) -> Granted | Refused | Claimed | ApprovalNeeded | Known:
        """One agent pays another, at once and within its limits for payouts. Raises NotFound, BadRequest, Conflict."""
        return await self._db.submit(PayAgent(self._chart, request, payee, self._boot_id))

    async def replay(self, hold_id: str) -> bytes | None:
        """The sealed answer of a call that ended in the last ten minutes, where it was kept."""
        return await self._db.read(lambda connection: _reads.replay(connection, hold_id))

    async def drop_old_claims(self) -> None:
        """Forget who asked for what more than ten minutes ago, and the answers."""
        while await self._db.submit(DropOldClaims()):
            pass

    async def drop_old_windows(self, now_ms: int) -> int:
        """Forget the hours and minutes of limits that have been over for days; how many they were."""
        total = 0
        while old := await self._db.read(lambda connection: old_buckets(connection, now_ms)):
            await self._db.submit(DropBuckets(old))
            total += len(old)
        return total

    @property
    def shared(self) -> bool:
        """True where other processes may work on the same money, so that this one must keep its lease."""
        return self._db.dialect is Dialect.POSTGRESQL

    @property
    def boot_id(self) -> str:
        """What names this process in the ledger."""
        return self._boot_id

    @property
    def lease_seconds(self) -> float:
        """How long this process lives for others after a heartbeat; once again as long, and its holds are ended."""
        return self._lease_ms / 1000

    async def heartbeat(self, live: LiveHolds) -> Beat:
        """Renew the lease of this process, write down what its calls have used, and end holds of its own that are in
        none of them and have not been for a minute."""
        beat = Heartbeat(self._chart, self._boot_id, live, lease_ms=self._lease_ms, full=self._full)
        return await self._db.submit(beat)

    async def sweep_orphans(self) -> int:
        """End the holds of processes that are gone; before serving, and on a shared database ever again."""
        total = 0
        sweep = SweepOrphans(self._chart, self._boot_id, lease_ms=self._lease_ms, full=self._full)
        while swept := await self._db.submit(sweep):
            total += swept
        return total

    async def end_old_reservations(self, age_seconds: float) -> int:
        """Release what another program has reserved that long ago and has said nothing of; how many it were."""
        total = 0
        old = EndOldReservations(self._chart, int(age_seconds * 1000))
        while ended := await self._db.submit(old):
            total += ended
        return total

    async def leave(self) -> None:
        """This process ends its work: others need not wait for its lease."""
        await self._db.submit(Leave(self._chart, self._boot_id))

    async def correct(self, hold_id: str, charge_msat: int, *, reason: str, key: str) -> Closed:
        """Make the charge of an ended call what it should have been, once for each `key`: less of it in any case, more
        of it as far as the old hold, the balance and the limits allow. Raises Conflict while the hold is open."""
        return await self._db.submit(Correct(self._chart, hold_id, charge_msat, reason, key))

    async def approval(self, approval_id: str) -> ApprovalRecord | None:
        """The approval with this id."""
        return await self._db.read(lambda connection: _reads.approval(connection, approval_id))

    async def approvals(
        self,
        *,
        state: ApprovalState | None = None,
        agent: str | None = None,
        before: str | None = None,
        most: int = 100,
    ) -> list[ApprovalRecord]:
        """Approvals, the newest first: those in `state`, asked for by `agent`, older than the one with the id
        `before`."""
        return await self._db.read(
            lambda connection: _reads.approvals(connection, state=state, agent=agent, before=before, most=most)
        )

    async def decide(self, approval_id: str, *, grant: bool, actor: str) -> ApprovalRecord:
        """An operator, by name, grants or denies a pending approval. The same again gives the same; raises NotFound, or
        Conflict where it has been decided otherwise or its time is over."""
        found = await self._approval(approval_id)
        changed = await self._db.submit(Decide(self._chart, found, grant=grant, actor=actor))
        for told in self._decided:
            told(approval_id)
        found = await self._approval(approval_id)
        denied = found.state is ApprovalState.DENIED
        if not changed and (found.decided_by != actor or denied == grant or found.state is ApprovalState.EXPIRED):
            raise Conflict(f"the approval {approval_id} is {found.state} already: the agent has to ask again")
        return found

    async def expire_approvals(self, now_ms: int) -> int:
        """End some of the approvals, pending or granted, whose time is over; to be called now and then."""
        due = await self._db.read(lambda connection: _reads.lapsed_approvals(connection, now_ms, most=_AT_ONCE))
        return await self._db.submit(ExpireApprovals(self._chart, due)) if due else 0

    async def next_event(self) -> OutboxRecord | None:
        """The oldest event that has not been delivered."""
        return await self._db.read(_outbox.first_undelivered)

    async def events(
        self, *, undelivered: bool = False, before: int | None = None, most: int = 100
    ) -> list[OutboxRecord]:
        """Events, the newest first: those not delivered, those before the one with the number `before`."""
        return await self._db.read(
            lambda connection: _outbox.events(connection, undelivered=undelivered, before=before, most=most)
        )

    async def delivered(self, seq: int) -> None:
        """An event has arrived."""
        await self._db.submit(_outbox.Delivered(seq))

    async def not_delivered(self, seq: int, error: str, *, wait_ms: int) -> None:
        """An event has not arrived; it is due again after a while."""
        await self._db.submit(_outbox.NotDelivered(seq, error, wait_ms))

    async def create_agent(self, agent: NewAgent) -> AgentRecord:
        """Make an agent; raises Conflict where the name is taken."""
        await self._db.submit(CreateAgent(self._chart, agent))
        return await self._agent(agent.id)

    async def set_limits(
        self, agent_id: str, limits: Limits | Callable[[Limits], Limits], *, actor: str = "operator"
    ) -> AgentRecord:
        """A new version of an agent's limits, as a whole: what is not in it does not apply any more; or what a function
        makes of those in force, which may be called more than once, in another thread."""
        changed = limits if callable(limits) else lambda _: limits
        await self._db.submit(SetLimits(self._chart, agent_id, changed, actor))
        return await self._agent(agent_id)

    async def fund(self, agent_id: str, amount_msat: int, *, rail: str, key: str) -> AgentRecord:
        """Give an agent money out of the operator's equity, once for each `key`.

        In realm `sim` the money is made; elsewhere more than the equity raises InsufficientFunds.
        """
        await self._db.submit(Fund(self._chart, agent_id, amount_msat, rail, key))
        return await self._agent(agent_id)

    async def set_enabled(self, agent_id: str, enabled: bool, *, actor: str = "operator") -> AgentRecord:
        """Switch an agent on or off; off refuses new holds, its children's too.

        Raises Conflict where `actor` is an agent that would undo what the operator did, or a key above it."""
        await self._db.submit(SetEnabled(self._chart, agent_id, enabled, actor))
        return await self._agent(agent_id)

    async def rotate_token(self, agent_id: str, token_hash: bytes, *, actor: str = "operator") -> None:
        """Give an agent a new token and revoke those that it and the keys below it had."""
        await self._db.submit(RotateToken(self._chart, agent_id, token_hash, actor))

    async def agent_by_token(self, token_hash: bytes) -> AgentRecord | None:
        """Whose token this is; None where it is unknown or revoked."""
        return await self._db.read(lambda connection: _reads.agent_by_token(connection, token_hash))

    async def token_of(self, agent_id: str) -> bytes | None:
        """The hash of an agent's live token; None where it has none."""
        return await self._db.read(lambda connection: _reads.token_of(connection, agent_id))

    async def agent(self, id_or_name: str) -> AgentRecord | None:
        """The agent with this id, else with this name."""
        return await self._db.read(lambda connection: _reads.agent(connection, id_or_name))

    async def agents(self) -> list[AgentRecord]:
        """All agents, by name."""
        return await self._db.read(_reads.agents)

    async def descendants(self, agent_id: str) -> list[AgentRecord]:
        """An agent's child keys, theirs, and so on, oldest first."""
        return await self._db.read(lambda connection: _reads.descendants(connection, agent_id))

    async def receipt(self, id: str) -> ReceiptRecord | None:
        """A call's hold and receipt."""
        return await self._db.read(lambda connection: _reads.receipt(connection, id))

    async def mark_restored(self, source: str) -> None:
        """Say in the audit that the database is the backup `source`; see `restored_ms`."""
        await self._db.submit(MarkRestored(self._chart, source))

    async def restored_ms(self) -> int | None:
        """When the database was last restored from a backup, None where it never was. From then on nothing is paid out
        until the rails have been compared with the ledger."""
        return await self._db.read(restored_ms)

    async def signing_key_id(self) -> str | None:
        """The id of the key that signs for this database; None where none does yet."""
        return await self._db.read(signing_key_id)

    async def adopt_audit_key(self, public: bytes) -> str:
        """The key with this public half signs from now on, unless another one does; the id of the one that does."""
        return await self._db.submit(AdoptAuditKey(self._chart, public))

    async def audit_end(self) -> int:
        """The number of the audit's last row; 0 where it is empty."""
        return await self._db.read(audit_end)

    async def mark(self, now_ms: int) -> Mark | None:
        """The audit's end, for a checkpoint; None where it is empty. It counts all rows of the ledger."""
        return await self._db.read(lambda connection: mark(connection, now_ms))

    async def write_checkpoint(self, mark: Mark, checkpoint: Checkpoint) -> bool:
        """Keep a checkpoint; False where there is one of the same audit row."""
        return await self._db.submit(WriteCheckpoint(mark, checkpoint))

    async def checkpoints(self, newest: int) -> list[tuple[str, str, bytes]]:
        """(body, key id, signature) of the newest checkpoints, newest first."""
        return await self._db.read(lambda connection: checkpoints(connection, newest))

    async def statement(self, agent_id: str, since_ms: int | None, until_ms: int | None, now_ms: int) -> Statement:
        """Every entry of a root agent's account in a time. Raises NotFound."""
        return await self._db.read(lambda connection: statement(connection, agent_id, since_ms, until_ms, now_ms))

    async def seal(self) -> int:
        """Chain what the audit says and nobody has chained yet, if this process is the one that does; how many rows it
        were. On SQLite they are chained as they are written."""
        total = 0
        while self.shared:
            chained = await self._db.submit(Seal(self._boot_id))
            total += chained or 0
            if chained != FULL:
                break
        return total

    async def take_job(self, job: Job, *, seconds: float, alone: bool = False) -> int | None:
        """Take a job for so long, or go on with it; the number to name with what is written for it, None where another
        process has it. `alone`: no other process can be at work on this database, so whoever had it is gone."""
        return await self._db.submit(TakeJob(job, self._boot_id, int(seconds * 1000), alone=alone))

    async def lose_job(self, job: Job) -> None:
        """Let another process take a job."""
        await self._db.submit(LoseJob(job, self._boot_id))

    async def verify(self, known: Sequence[KnownCheckpoint] = ()) -> Verification:
        """Replay the whole ledger on one snapshot and compare; with what is `known` from elsewhere, too."""
        try:
            count = await self._db.read(how_many)
        except StorageError:
            # What is not there cannot be counted: `verify` says what is wrong with it.
            count = 1
        return await self._db.read_together(partial(verify, schemas=self._db.schemas, known=known), count)

    async def _approval(self, approval_id: str) -> ApprovalRecord:
        found = await self.approval(approval_id)
        if found is None:
            raise NotFound(f"there is no approval {approval_id}")
        return found

    async def _agent(self, agent_id: str) -> AgentRecord:
        found = await self.agent(agent_id)
        if found is None:
            raise NotFound(f"there is no agent {agent_id}")
        return found
