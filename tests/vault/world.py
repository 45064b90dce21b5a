"""The vault, driven by the names and arguments of `model.Model`, on a database that is made anew in a moment."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
import types
from collections import Counter
from pathlib import Path

import msgspec
import psycopg

from arbstr_core.storage import Database
from arbstr_core.types import ArbstrError, Conflict, StorageError
from arbstr_core.vault import (
    ApprovalNeeded,
    Granted,
    HoldRequest,
    Job,
    Limits,
    LiveHolds,
    NewAgent,
    NewPayment,
    PaidEnd,
    PaymentKind,
    PaymentState,
    ProviderCost,
    SellerShare,
    Sent,
    Settlement,
    Turn,
    Vault,
    _events,
    _frozen,
    _jobs,
    _node_events,
    _payments,
    schema,
)
from arbstr_core.vault._book import VaultOperation
from arbstr_core.vault._ending import EndPayment
from arbstr_core.vault._holds import closed, known_hold
from arbstr_core.vault._losses import WriteOff
from arbstr_core.vault._payouts import OpenPayout
from arbstr_core.vault._sending import CancelPayment, Dispatch

_ENTRIES = """SELECT a.realm, a.name,
coalesce(sum(CASE e.side WHEN 'debit' THEN e.amount_msat ELSE -e.amount_msat END), 0)
FROM account a LEFT JOIN entry e ON e.account_id = a.id GROUP BY a.realm, a.name"""
_COUNTERS = "SELECT realm, name, kind, posted_msat, held_msat FROM account WHERE constrained = 1"
_HOLDS = """SELECT h.id, h.state, h.amount_msat, coalesce(x.amount_msat, 0), count(x.seq), count(r.hold_seq)
FROM hold h LEFT JOIN transfer x ON x.hold_seq = h.seq LEFT JOIN receipt r ON r.hold_seq = h.seq
GROUP BY h.id, h.state, h.amount_msat, x.amount_msat"""
_GRANTS = "SELECT id, state FROM approval"
_BUCKETS = "SELECT agent_id, kind, window_start_ms, used FROM bucket WHERE used > 0"
_UNBALANCED = """SELECT transfer_seq FROM entry GROUP BY transfer_seq
HAVING sum(CASE side WHEN 'debit' THEN amount_msat ELSE -amount_msat END) <> 0"""
_KEYS = "SELECT key FROM transfer WHERE key IS NOT NULL"
CLOCK = """CREATE TABLE told_time (ms bigint NOT NULL);
INSERT INTO told_time VALUES (0);
CREATE OR REPLACE FUNCTION arbstr_now() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT ms FROM told_time'"""
"""The database's clock says what a table says."""


class Clock:
    """A process's clock, which moves when told to."""

    ms = 0

    def now_ms(self):
        return self.ms


class SqliteWorlds:
    """Worlds on SQLite: each on a copy of one file that is up to date."""

    shared = False

    def __init__(self, runner):
        self.runner = runner
        self._folder = Path(tempfile.mkdtemp(prefix="arbstr-worlds-"))
        self._made = self._folder / "made"
        self._made.mkdir()
        self.runner.run(_make("sqlite:///arbstr.db", self._made))

    def fresh(self):
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        shutil.copy(self._made / "arbstr.db", folder)
        return World(self, "sqlite:///arbstr.db", folder)

    def tell(self, world, now):
        world.clock.ms = now

    def forget(self, world):
        shutil.rmtree(world.folder)

    def remove(self):
        shutil.rmtree(self._folder)


class PostgresWorlds:
    """Worlds on PostgreSQL: each in a copy of one database. The process's own clock is years off."""

    shared = True

    def __init__(self, runner, cluster):
        self.runner = runner
        self._cluster = cluster
        self._folder = Path(tempfile.mkdtemp(prefix="arbstr-worlds-"))
        self._made = cluster.create_database()
        self.runner.run(_make(self._made, self._folder))
        with psycopg.connect(self._made, autocommit=True) as connection:
            connection.execute(CLOCK)
        self._clocks = {}

    def fresh(self):
        url = self._cluster.create_database(self._made.rsplit("/", 1)[1])
        self._clocks[url] = psycopg.connect(url, autocommit=True)
        return World(self, url, Path(tempfile.mkdtemp(dir=self._folder)))

    def tell(self, world, now):
        self._clocks[world.url].execute("UPDATE told_time SET ms = %s", (now,))

    def forget(self, world):
        self._clocks.pop(world.url).close()
        self._cluster.drop_database(world.url)
        shutil.rmtree(world.folder)

    def remove(self):
        shutil.rmtree(self._folder)


async def _make(url, folder):
    await Database.open(url, data_dir=folder, clock=Clock(), schemas=[schema()]).close()


class OfItsRealm(OpenPayout):
    """A payout of whatever realm its agent is."""

    def change(self, book):
        chain = book.chain(self._request.agent)
        if chain:
            self._new = msgspec.structs.replace(self._new, realm=chain[-1].realm)
        return super().change(book)


class SendAndPay(VaultOperation):
    """A payout is sent, and its rail says that it has left: in one, so that the machine may do it beside others. What a
    rail that broke its word has frozen, an operator has thawed since."""

    def __init__(self, id, fee, boot):
        super().__init__({})
        self.holds = (id,)
        self.accounts = ("asset:lnd", "suspense")
        self._id, self._fee, self._boot = id, fee, boot

    def change(self, book):
        hold = known_hold(book, self._id)
        if hold.state != "held":
            return closed(hold, first=False)
        if hold.kind != "payout":
            raise ValueError("no payout")
        turn = Turn(boot=self._boot, fence=_jobs.take(book.tx, Job.TREASURY, self._boot, 1))
        payment = _payments.known(book.tx, self._id)
        _frozen._set(book, "rail:lnd", 0, "", "olga")
        sent = Dispatch({}, turn, payment, fee_limit_msat=payment.fee_held_msat).change(book)
        if isinstance(sent, Sent):
            end = PaidEnd(fee_msat=self._fee, evidence="the machine said so")
            EndPayment({}, sent.payment, end, turn=turn).change(book)
        _jobs.LoseJob(Job.TREASURY, self._boot).run(book.tx)
        if not isinstance(sent, Sent):
            raise Conflict(sent.reason)
        return closed(hold, first=True)


class World:
    """One vault and its database, through crashes. Operations give what `model.Model` gives."""

    def __init__(self, worlds, url, folder):
        self.worlds, self.url, self.folder = worlds, url, folder
        self.clock = Clock()
        self.boot = 0
        self.now = 0
        self.known = set()
        self.asked = {}
        """who asked first, by the approval"""
        self.approvals = {}
        """the approval, by who asked first"""
        self._open()

    def _open(self):
        self.db = Database.open(self.url, data_dir=self.folder, clock=self.clock, schemas=[schema()])
        self.vault = Vault(self.db, boot_id=f"boot-{self.boot}")

    def run(self, coroutine):
        return self.worlds.runner.run(coroutine)

    def tell(self, now):
        """Set the clock that counts."""
        self.now = now
        self.worlds.tell(self, now)

    def close(self):
        self.run(self.db.close())
        self.worlds.forget(self)

    def play(self, steps):
        """Do them all at once, and give what each gave."""

        async def together():
            return await asyncio.gather(*(self._outcome(*step) for step in steps))

        return self.run(together())

    async def _outcome(self, name, *details):
        try:
            return await getattr(self, name)(*details)
        except StorageError:
            # A constraint that fires is a bug, whatever the model says.
            raise
        except (ArbstrError, ValueError, AssertionError) as error:
            return type(error).__name__

    async def hold(self, id, agent, ceilings, model, kind, seen, sent, digest, fee):
        self.known.add(id)
        request = HoldRequest(
            id=id,
            agent=agent,
            ceilings=ceilings,
            candidates=b"[]",
            model=model,
            kind=kind,
            seen_msat=seen,
            dispatched=sent,
            body_digest=digest,
            fee_msat=fee,
        )
        answer = await (self._payout(request) if kind == "payout" else self.vault.hold(request))
        if isinstance(answer, Granted):
            assert answer.id == id
            return "granted", answer.amount_msat, answer.candidates, answer.attempts_left_msat
        assert answer.needed_msat == ceilings[0]
        if isinstance(answer, ApprovalNeeded):
            before = sum(name.partition("/")[0] == id for name in self.approvals)
            asked = self.asked.setdefault(answer.id, f"{id}/{before}")
            self.approvals[asked] = answer.id
            return "approval", asked, answer.expires_ms, answer.needed_msat, answer.left_msat
        about = (str(answer.reason), answer.agent, answer.left_msat, answer.resets_ms)
        return "refused", *about, answer.open_msat, answer.approvable

    async def settle(self, id, charge, costs, seller):
        made = tuple(ProviderCost(provider=p, cost_msat=msat, served=served, node=n) for p, msat, served, n in costs)
        share = None if seller is None else SellerShare(seller="dave", msat=min(seller, charge))
        return _closed(
            await self.vault.settle(Settlement(id=id, charge_msat=charge, costs=made, receipt=b"{}", seller=share))
        )

    async def release(self, id):
        return _closed(await self.vault.release(id, b"{}"))

    def _payout(self, request):
        new = NewPayment(
            id=request.id,
            kind=PaymentKind.PAYOUT,
            realm="",
            agent=request.agent,
            amount_msat=request.ceilings[0] - request.fee_msat,
            fee_msat=request.fee_msat,
            destination="somebody",
            target=b"{}",
            reference=request.id,
            rails=("lnd",),
        )
        return self.db.submit(OfItsRealm({}, new, request, f"boot-{self.boot}"))

    async def paid(self, id, fee):
        return _closed(await self.db.submit(SendAndPay(id, fee, f"boot-{self.boot}")))

    async def cancel(self, id):
        # It may be in the same batch as what makes it.
        meant = types.SimpleNamespace(id=id, kind=PaymentKind.PAYOUT)
        ended = await self.db.submit(CancelPayment({}, meant, actor="somebody", reason="over"))
        assert ended.state is PaymentState.CANCELLED, ended
        return "cancelled"

    async def crash(self, leaves):
        """End without ending anything, and start again."""
        if leaves:
            await self.vault.leave()
        await self.db.close()
        self.boot += 1
        self._open()
        return await self.vault.sweep_orphans()

    async def sweep(self):
        return await self.vault.sweep_orphans()

    async def beat(self, seen, forgotten):
        live = frozenset(self.known - set(forgotten))
        beat = await self.vault.heartbeat(LiveHolds(ids=live, seen=seen))
        return "beat", beat.lapsed, beat.ended

    async def correct(self, key, id, charge):
        return _closed(await self.vault.correct(id, charge, reason="it was more, or less", key=key))

    async def decide(self, asked, yes, actor):
        found = await self.vault.decide(self.approvals[asked], grant=yes, actor=actor)
        return "decided", str(found.state)

    async def lapse_all(self):
        return await self.vault.expire_approvals(self.now)

    async def create(self, id, parent, realm, limits):
        token = hashlib.sha256(id.encode()).digest()
        await self.vault.create_agent(
            NewAgent(id=id, name=id, realm=realm, token_hash=token, limits=Limits(**limits), parent=parent)
        )
        return "done"

    async def limit(self, agent, limits):
        await self.vault.set_limits(agent, Limits(**limits))
        return "done"

    async def switch(self, agent, on):
        await self.vault.set_enabled(agent, on)
        return "done"

    async def fund(self, key, agent, msat):
        await self.vault.fund(agent, msat, rail="simulated", key=key)
        return "done"

    async def post(self, key, realm, event, *details):
        await self.vault.post(getattr(self, f"_{event}")(*details), realm=realm, key=key)
        return "done"

    async def write_off(self, key, realm, asset, msat):
        step = WriteOff({}, asset, msat, realm=realm, key=key, reason="it is gone", actor="olga")
        await self.db.submit(step)
        return "done"

    def _capital(self, msat):
        return _events.Capital(rail="lnd", msat=msat)

    def _deposit(self, agent, msat, fee):
        return _events.Deposit(rail="lnd", msat=msat, agent=agent, fee_msat=fee)

    def _agent_transfer(self, payer, payee, msat):
        return _events.AgentTransfer(payer=payer, payee=payee, msat=msat)

    def _top_up(self, msat, fee):
        return _node_events.TopUp(rail="lnd", node="n", msat=msat, fee_msat=fee)

    def compare(self, model):
        """Every invariant that a snapshot can show, and every sum of the model."""
        entries, counters, holds, grants, buckets, unbalanced, keys = self.run(self.db.read(_snapshot))
        # I1: what is debited is credited, in each transfer and in all.
        assert not unbalanced
        assert not sum(row[2] for row in entries)
        replayed = {(realm, name): msat for realm, name, msat in entries}
        # I2 and I3: counters are what the entries make, and nobody has less than nothing.
        for realm, name, kind, posted, held in counters:
            assert posted == replayed[realm, name] * (1 if kind == "asset" else -1), name
            assert posted >= held >= 0, name
        assert {key: msat for key, msat in replayed.items() if msat} == {k: v for k, v in model.balances.items() if v}
        # I4: what is held is what open holds hold.
        held = {name: msat for _, name, kind, _, msat in counters if kind == "agent"}
        roots = [agent for agent in model.agents if model.root(agent) == agent]
        assert held == {f"agent:{root}": model.held(root) for root in roots}
        # I5: what has ended has one outcome and one receipt, what has not has none.
        said = {row[0]: tuple(row[1:]) for row in holds}
        assert said == {
            id: (hold["state"], hold["amount"], hold["charged"], *(2 * [int(hold["state"] != "held")]))
            for id, hold in model.holds.items()
        }
        assert dict(grants) == {self.approvals[asked]: grant["state"] for asked, grant in model.grants.items()}
        # I6: limits count what is held and what was charged, in the windows of the holds.
        assert Counter({tuple(row[:3]): row[3] for row in buckets}) == _counted(model)
        # I7: what is owed is there.
        for realm in {row[0] for row in counters}:
            sums = Counter()
            for own, _, kind, posted, _ in counters:
                sums[kind] += posted if own == realm else 0
            assert sums["agent"] + sums["seller"] <= sums["asset"], realm
        # I10: one transfer a key.
        assert sorted(row[0] for row in keys) == sorted(model.keys)

    def verified(self, model):
        """I8 and I9, and everything else once more, as the vault itself sees it."""
        found = self.run(self.vault.verify())
        assert found.ok, found.first_bad
        assert (found.sum_msat, found.open_holds, found.agents) == (0, len(model.open()), len(model.agents)), found


def _closed(answer):
    return "closed", str(answer.state), answer.charged_msat, answer.first


def _snapshot(connection):
    queries = (_ENTRIES, _COUNTERS, _HOLDS, _GRANTS, _BUCKETS, _UNBALANCED, _KEYS)
    return [connection.exec_driver_sql(query).all() for query in queries]


def _counted(model):
    found = Counter()
    for agent in model.agents:
        for kind in ("day", "minute", "requests", "attempts"):
            found.update({(agent, kind, start): used for start, used in model.tally(agent, kind).items() if used})
    return found
