"""A process that serves calls with a role of its own on PostgreSQL: what it does, and what it can do were it broken."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from msgspec.structs import replace
from vault.crediting import wanted
from vault.paying import hold_payout, payment, treasury, turn

from arbstr_core.cli._roles import PROXY, role_statements
from arbstr_core.storage import run_together
from arbstr_core.types import StorageError
from arbstr_core.vault import (
    ApprovalNeeded,
    Capital,
    Claim,
    Claimed,
    Granted,
    HoldState,
    Job,
    Limits,
    LiveHolds,
    NewAgent,
    PaidEnd,
    Purpose,
    Refused,
    Requests,
    SellerRecord,
    SellerShare,
    Sent,
)
from arbstr_core.vault._bounds import bounds

RECEIPT = b'{"reasons":[]}'
WIDE = {"max_charge_msat": 1_000, "daily_msat": 10**9, "max_fee_msat": 100, "payouts_unapproved_msat": 10**9}


@pytest.fixture
def treasurys(new_bench, postgres_url, tmp_path):
    """The treasury's side, on a database whose roles are made."""
    (tmp_path / "treasury").mkdir()
    made = new_bench(tmp_path / "treasury", postgres_url)

    async def open_it():
        async with made.database():
            pass

    asyncio.run(open_it())
    for _ in range(2):
        run_together(postgres_url, None, role_statements(postgres_url, PROXY))
    return made


@pytest.fixture
def proxys(new_bench, treasurys, tmp_path):
    """The proxy's side of it."""
    (tmp_path / "proxy").mkdir()
    made = new_bench(tmp_path / "proxy", treasurys.url.replace("postgres@", f"{PROXY}@"))
    made.clock = treasurys.clock
    return made


def told(treasurys, proxys, story):
    """Run a story with both vaults; the ledger verifies at its end."""

    async def whole():
        async with treasurys.vault("treasury") as owner, proxys.vault("proxy") as proxy:
            await treasurys.agent(owner, "alice")
            await owner.set_limits("ag_alice", Limits(**WIDE, approval_seconds=60, alert_floor_msat=9_900))
            await treasurys.agent(owner, "mallory", fund=100)
            await story(owner, proxy)
            found = await owner.verify()
            assert found.ok, found.first_bad
            assert await treasury(owner)._db.read(lambda c: _guards(c, owner)) is None

    asyncio.run(whole())


def _guards(connection, owner):
    from arbstr_core.vault import schema, unguarded

    return unguarded(connection, [schema()])


def test_a_proxy_serves_calls(treasurys, proxys):
    """Holds of every kind that a call has, and how each ends, without a right that the treasury alone has."""

    async def story(owner, proxy):
        ask = proxys.request
        seller = SellerRecord(
            name="ann", realm="sim", destination="x@y.z", threshold_msat=1, every_seconds=1, enabled=True
        )
        await treasury(owner).set_seller(seller, actor="olga")
        await proxy.heartbeat(LiveHolds(ids=frozenset(), seen=()))
        claim = Claim(digest=b"d", retry=True)
        first = await proxy.hold(replace(ask(500, 900, id="req_1"), claim=claim))
        assert isinstance(first, Granted)
        assert isinstance(await proxy.hold(replace(ask(500, id="req_2"), claim=claim)), Claimed)
        many = await asyncio.gather(*(proxy.hold(ask(50, id=f"req_m{n}")) for n in range(20)))
        assert all(isinstance(each, Granted) for each in many)
        await proxy.heartbeat(LiveHolds(ids=frozenset(["req_1"]), seen=(("req_1", 300),)))
        sold = replace(proxys.settlement("req_1", 400, ("p", 350, True), ("q", 20, False)), replay=b"sealed")
        ended = await proxy.settle(replace(sold, seller=SellerShare(seller="ann", msat=380)))
        assert (ended.state, ended.charged_msat) == (HoldState.SETTLED, 400)
        await asyncio.gather(
            *(proxy.settle(proxys.settlement(f"req_m{n}", n, ("p", n, True))) for n in range(10)),
            *(proxy.release(f"req_m{n}", RECEIPT) for n in range(10, 20)),
        )
        assert (await proxy.settle(sold)).first is False
        assert isinstance(await proxy.hold(ask(10**9)), Refused)
        await _below(owner, proxy, ask)
        await _approved(owner, proxy, ask)
        await Requests(proxy._db).open(wanted("rq_1"))
        await proxy.leave()
        agent = await owner.agent("ag_alice")
        assert (agent.posted_msat, agent.held_msat) == (10_000 - 400 - 45 - 1_500, 0)
        assert [event.event for event in await owner.events()].count("balance_alert") == 1

    told(treasurys, proxys, story)


async def _below(owner, proxy, ask):
    """Calls of a child key, which count in windows of its own and of its parent's: by day, hour and minute."""
    await owner.set_limits(
        "ag_alice", lambda limits: replace(limits, hourly_msat=10**8, per_minute=10**4, concurrent=90)
    )
    limits = Limits(max_charge_msat=900, daily_msat=10**6, hourly_msat=10**6, per_minute=500, concurrent=50)
    child = NewAgent(id="ag_child", name="child", realm="sim", token_hash=b"c" * 32, limits=limits, parent="ag_alice")
    await owner.create_agent(child)
    asked = [ask(30, 60, agent=who, id=f"req_{who}{n}") for n in range(8) for who in ("ag_child", "ag_alice")]
    assert all(isinstance(each, Granted) for each in await asyncio.gather(*map(proxy.hold, asked)))
    await asyncio.gather(*(proxy.settle(_settled(each.id, 0)) for each in asked[::2]))
    await asyncio.gather(*(proxy.release(each.id, RECEIPT) for each in asked[1::2]))


async def _approved(owner, proxy, ask):
    """A call above the largest charge, granted, released, and held for again under the same grant."""
    above = replace(ask(1_500, id="req_above"), body_digest=b"digest")
    needed = await proxy.hold(above)
    assert isinstance(needed, ApprovalNeeded)
    await owner.decide(needed.id, grant=True, actor="operator:olga")
    for end in ("release", "settle"):
        again = replace(above, id=f"req_{end}")
        assert isinstance(await proxy.hold(again), Granted)
        if end == "release":
            await proxy.release(again.id, RECEIPT)
        else:
            await proxy.settle(_settled(again.id, 1_500))
    assert isinstance(await proxy.hold(replace(above, id="req_late")), ApprovalNeeded)


def _settled(id, charge):
    from arbstr_core.vault import Settlement

    return Settlement(id=id, charge_msat=charge, costs=(), receipt=RECEIPT)


def test_what_only_the_treasury_does_is_refused(treasurys, proxys):
    """By the vault's own operations, as if the proxy's code had been turned around."""

    async def story(owner, proxy):
        await hold_payout(owner, replace(proxys.request(500, id="pay_1"), kind="payout", body_digest=b"p", fee_msat=0))
        needed = await proxy.hold(replace(proxys.request(1_500), body_digest=b"digest"))
        assert isinstance(needed, ApprovalNeeded)
        moves = treasury(proxy)
        await owner.post(Capital(rail="lnd", msat=5), realm="sim", key="found")
        payout = replace(proxys.request(500, id="pay_2"), kind="payout", body_digest=b"p", fee_msat=0)
        for attempt in (
            lambda: proxy.fund("ag_mallory", 1_000, rail="simulated", key="k"),
            lambda: proxy.set_limits("ag_mallory", Limits(max_charge_msat=10**9, daily_msat=10**9)),
            lambda: proxy.set_enabled("ag_alice", False),
            lambda: proxy.rotate_token("ag_alice", b"t" * 32),
            lambda: proxys.agent(proxy, "eve", fund=0),
            lambda: proxy.decide(needed.id, grant=True, actor="operator:eve"),
            lambda: hold_payout(proxy, payout),
            lambda: moves.set_frozen("realm:sim", frozen=True, reason="r", actor="eve"),
            lambda: moves.set_seller(_seller("eve"), actor="eve"),
            lambda: proxy.take_job(Job.TREASURY, seconds=60),
            lambda: Requests(proxy._db).open(wanted("rq_c", purpose=Purpose.CAPITAL, whose=None)),
            lambda: Requests(proxy._db).open(wanted("rq_p", purpose=Purpose.PAYOUT, subject="pay_1")),
            lambda: moves.answer("rq_1", text="lnbc", reference="r", expires_ms=1),
            lambda: moves.write_off("asset:lnd", 5, realm="sim", key="k", reason="r", actor="eve"),
        ):
            await Requests(owner._db).open(wanted("rq_1"))
            with pytest.raises(StorageError):
                await attempt()

    told(treasurys, proxys, story)


def _seller(name):
    return SellerRecord(name=name, realm="sim", destination="x@y.z", threshold_msat=1, every_seconds=1, enabled=True)


ALICE = "(SELECT id FROM account WHERE name = 'agent:ag_alice')"
MALLORY = "(SELECT id FROM account WHERE name = 'agent:ag_mallory')"
EQUITY = "(SELECT id FROM account WHERE name = 'equity:operator')"
HOLD = (
    "INSERT INTO hold (seq, id, agent_id, account_id, kind, amount_msat, state, boot_id, window_start_ms, windows,"
    " model, candidates, granted, previous_seq, created_ms, seen_msat) VALUES"
    " ({seq}, '{id}', 'ag_{who}', {account}, '{kind}', {msat}, 'held', 'b', 0, 0, 'm', '[]', 1, 0, 0, 0)"
)
SETTLE = (
    "INSERT INTO transfer (seq, kind, realm, hold_seq, amount_msat, at_ms, memo)"
    " VALUES ({seq}, '{kind}', 'sim', {hold}, {msat}, 0, '')"
)
ENTRY = "INSERT INTO entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES {rows}"
OF_ALICE = HOLD.format(seq=900, id="req_900", who="alice", account=ALICE, kind="call", msat=500)
SETTLED = SETTLE.format(seq=900, kind="settle", hold=900, msat=500)
SALES = "(SELECT id FROM account WHERE name = 'income:sales')"


def entries(*rows):
    return ENTRY.format(rows=", ".join(f"(900, {n}, {a}, '{side}', {msat}, {p})" for n, a, side, msat, p in rows))


LAST = f"(SELECT last_transfer FROM account WHERE id = {ALICE})"
CHARGE = entries((1, ALICE, "debit", 500, LAST), (2, SALES, "credit", 500, "NULL"))
POSTED = "INSERT INTO transfer (seq, kind, realm, key, amount_msat, at_ms, memo)"
OLD = (
    "INSERT INTO entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) SELECT max(transfer_seq), 98,"
    f" {SALES}, 'debit', 5, NULL FROM entry"
)
APPROVED = (
    "INSERT INTO approval SELECT 'apr_x', agent_id, account_id, kind, 'x', 10, '[]', 1, 'granted', 0, 1, 0, 'o', NULL"
    " FROM approval LIMIT 1"
)
ASKED = (
    "INSERT INTO approval (id, agent_id, account_id, kind, digest, ceiling_msat, models, limits_version, state,"
    " created_ms, expires_ms) SELECT 'apr_y', agent_id, account_id, 'payout', 'y', 10, '[]', 1, 'pending', 0, 1"
    " FROM approval LIMIT 1"
)
TOLD = "INSERT INTO outbox (event, body, created_ms, due_ms, attempts, last_error) VALUES ('thawed', '{}', 0, 0, 0, '')"
WANTED = (
    "INSERT INTO request (id, kind, purpose, realm, rail, subject, amount_msat, fee_msat, memo, created_ms, state,"
    " reason, due_ms, tries) VALUES ('r', 'invoice', 'capital', 'sim', 'simulated', '', 5, 0, '', 0, 'asked', '', 0, 0)"
)
BROKEN = {
    "a window forgotten": ["UPDATE bucket SET used = 0"],
    "an approval of a payout asked for": [ASKED],
    "a word to the operator": [TOLD],
    "a request for capital": [WANTED],
    "an approval of a payout ended": ["UPDATE approval SET state = 'expired' WHERE kind = 'payout'"],
    "more money": [f"UPDATE account SET posted_msat = posted_msat + 1 WHERE id = {MALLORY}"],
    "less held": [f"UPDATE account SET held_msat = 0 WHERE id = {ALICE}"],
    "held for nothing": [f"UPDATE account SET held_msat = held_msat + 1 WHERE id = {ALICE}"],
    "another last transfer": [f"UPDATE account SET last_transfer = 0 WHERE id = {ALICE}"],
    "another constraint": [f"UPDATE account SET constrained = 0 WHERE id = {ALICE}"],
    "an account of an agent": [
        "INSERT INTO account VALUES (900, 'agent:eve', 'sim', 'agent', 1, 0, 0, 0, 0)",
    ],
    "an account with money": ["INSERT INTO account VALUES (900, 'payable:e', 'sim', 'payable', 1, 5, 0, 0, 0)"],
    "more equity": [
        "INSERT INTO account VALUES (900, 'equity:operator', 'mainnet', 'equity', 1, 0, 0, 0, 0)",
    ],
    "a hold for a payout": [HOLD.format(seq=900, id="p", who="alice", account=ALICE, kind="payout", msat=5)],
    "a hold above the largest charge": [
        HOLD.format(seq=900, id="p", who="alice", account=ALICE, kind="call", msat=1_001)
    ],
    "a loss": [f"{POSTED} VALUES (900, 'loss', 'sim', 'loss:sim:k', 5, 0, '{{}}')"],
    "a transfer without a hold": [f"{POSTED} VALUES (900, 'fund', 'sim', 'k', 5, 0, '')"],
    "a deposit out of a hold": [OF_ALICE, SETTLE.format(seq=900, kind="deposit", hold=900, msat=500)],
    "the charge of one credited to another": [
        OF_ALICE,
        SETTLED,
        entries((1, ALICE, "debit", 500, 1), (2, MALLORY, "credit", 500, 1)),
    ],
    "another charged than held for": [
        OF_ALICE,
        SETTLED,
        entries((1, MALLORY, "debit", 500, 1), (2, SALES, "credit", 500, "NULL")),
    ],
    "the equity credited": [OF_ALICE, SETTLED, entries((1, ALICE, "debit", 500, 1), (2, EQUITY, "credit", 500, 1))],
    "less charged than said": [
        OF_ALICE,
        SETTLED,
        entries((1, ALICE, "debit", 400, 1), (2, SALES, "credit", 400, "NULL")),
    ],
    "an unbalanced charge": [OF_ALICE, SETTLED, entries((1, ALICE, "debit", 500, 1))],
    "counters beside the entries": [
        OF_ALICE,
        SETTLED,
        CHARGE,
        f"UPDATE account SET posted_msat = posted_msat + 500, last_transfer = 900 WHERE id = {ALICE}",
    ],
    "an entry of an old transfer": [OLD],
    "a payout's hold ended": ["UPDATE hold SET state = 'released', ended_ms = 1 WHERE id = 'pay_1'"],
    "a hold ended without an outcome": ["UPDATE hold SET state = 'released', ended_ms = 1 WHERE id = 'req_open'"],
    "a hold made smaller": ["UPDATE hold SET amount_msat = 1 WHERE id = 'req_open'"],
    "a grant": ["UPDATE approval SET state = 'granted'"],
    "a decision": ["UPDATE approval SET state = 'granted', decided_by = 'operator', decided_ms = 1"],
    "an approval that is granted": [APPROVED],
    "limits": ["INSERT INTO limits (agent_id, version, created_ms) VALUES ('ag_alice', 9, 0)"],
    "a token": ["INSERT INTO token (hash, agent_id, created_ms) VALUES ('x', 'ag_alice', 0)"],
    "an agent": ["UPDATE agent SET enabled = 1"],
    "a payment": ["UPDATE payment SET state = 'reserved'"],
    "a payment's token": ["SELECT token FROM payment"],
    "a deposit": ["INSERT INTO deposit (rail) VALUES ('r')"],
    "a request paid": ["UPDATE request SET state = 'paid', ended_ms = 1"],
    "a request touched": ["UPDATE request SET tries = 9"],
    "a thaw": ["DELETE FROM frozen"],
    "a seller": ["UPDATE seller SET destination = 'eve'"],
    "the treasury's turn": ["UPDATE job SET boot_id = 'eve'"],
    "a place": ["UPDATE place SET cursor = ''"],
    "words in the audit": [
        "INSERT INTO audit_pending (at_ms, actor, action, subject, data) VALUES (0, 'o', 'limits.set', 'x', '[]')"
    ],
    "the audit": ["UPDATE audit SET actor = 'x'"],
    "a wallet's purse": ["INSERT INTO plugin_store (stem, key, value) VALUES ('wallet_x', 'k', 'v')"],
    "another table": ["CREATE TABLE mine (n bigint)"],
    "a table that hides another": ["CREATE TEMP TABLE hold (n bigint)"],
    "the bounds away": ["ALTER TABLE account DISABLE TRIGGER account_bound_update"],
    "the bounds passed by": ["SET session_replication_role = 'replica'"],
    "the owner's part": ["SET ROLE postgres"],
    "an operator": ["SELECT * FROM operator"],
}


async def prepared(owner, proxy, proxys):
    """A ledger with a bit of everything in it."""
    await owner.hold(proxys.request(10, id="req_old"))
    await owner.settle(_settled("req_old", 5))
    await owner.hold(proxys.request(10, id="req_open"))
    await hold_payout(owner, replace(proxys.request(500, id="pay_1"), kind="payout", body_digest=b"p", fee_msat=0))
    payout = replace(proxys.request(2_500, id="pay_2"), kind="payout", body_digest=b"q", fee_msat=0)
    await owner.set_limits("ag_alice", lambda limits: replace(limits, payouts_unapproved_msat=1_000))
    assert isinstance(await hold_payout(owner, payout), ApprovalNeeded)
    needed = await proxy.hold(replace(proxys.request(1_500), body_digest=b"digest"))
    assert isinstance(needed, ApprovalNeeded)
    granted = replace(proxys.request(1_600, id="req_used"), body_digest=b"another")
    asked = await proxy.hold(granted)
    await owner.decide(asked.id, grant=True, actor="operator:olga")
    await proxy.hold(granted)
    await Requests(owner._db).open(wanted("rq_1"))


def test_a_broken_proxy_can_neither_credit_nor_grant_nor_pay(treasurys, proxys):
    """Its role and nothing else, with any statement: each is refused, for want of a right or by a bound."""

    async def story(owner, proxy):
        await prepared(owner, proxy, proxys)
        before = _money(treasurys)
        with psycopg.connect(proxys.url, autocommit=True) as connection:
            for what, statements in BROKEN.items():
                with pytest.raises(psycopg.Error) as refused:
                    _tried(connection, statements)
                # For want of a right, by a bound, a guard or a constraint; not because the statement was wrong.
                assert refused.value.sqlstate in ("42501", "23001", "23514"), (what, refused.value)
            assert connection.execute("SELECT count(*) FROM plugin_store WHERE stem LIKE 'wallet%'").fetchone() == (0,)
        assert _money(treasurys) == before

    told(treasurys, proxys, story)


def _tried(connection, statements):
    with connection.transaction():
        for statement in statements:
            connection.execute(statement)


def _money(bench):
    return bench.rows("SELECT name, posted_msat, held_msat FROM account ORDER BY id")


def test_each_bound_is_needed(treasurys, proxys):
    """Without one of them something goes through: so it is that one which refuses it."""

    async def story(owner, proxy):
        await prepared(owner, proxy, proxys)
        through = {}
        with (
            psycopg.connect(treasurys.url, autocommit=True) as theirs,
            psycopg.connect(proxys.url, autocommit=True) as ours,
        ):
            for bound in bounds():
                theirs.execute(f"ALTER TABLE {bound.table} DISABLE TRIGGER {bound.name}")
                through[bound.name] = [what for what, statements in BROKEN.items() if _goes_through(ours, statements)]
                theirs.execute(f"ALTER TABLE {bound.table} ENABLE TRIGGER {bound.name}")
        assert [name for name, found in through.items() if not found] == []

    told(treasurys, proxys, story)


def _goes_through(connection, statements):
    """Whether nothing refuses it; it is undone."""
    connection.execute("BEGIN")
    try:
        for statement in statements:
            connection.execute(statement)
    except psycopg.Error:
        return False
    finally:
        connection.execute("ROLLBACK")
    return True


def test_a_day_of_payouts_is_counted_by_payments(treasurys, proxys):
    """A broken proxy may forget what the windows of limits say was used: more than a day's leaves all the same not."""

    async def story(owner, proxy):
        limits = Limits(max_charge_msat=900, daily_msat=900, payouts_unapproved_msat=900)
        frugal = {"id": "ag_frugal", "name": "frugal", "realm": "sim", "token_hash": b"f" * 32, "limits": limits}
        await owner.create_agent(NewAgent(**frugal, fund_msat=5_000, rail="simulated"))
        for name in ("pay_1", "pay_2"):
            asked = proxys.request(500, agent="ag_frugal", id=name)
            payout = replace(asked, kind="payout", body_digest=name.encode(), fee_msat=0)
            assert isinstance(await hold_payout(owner, payout, rails=("simulated",)), Granted)
            if name == "pay_1":
                assert isinstance(await _sent(owner, "pay_1"), Sent)
                end = PaidEnd(fee_msat=0, evidence="the test says so")
                await treasury(owner).end(await turn(owner), await payment(owner, "pay_1"), end)
            with psycopg.connect(proxys.url, autocommit=True) as connection:
                connection.execute("UPDATE bucket SET used = 500 WHERE used > 500")
                connection.execute("UPDATE bucket SET used = 0 WHERE used <= 500" if name == "pay_1" else "SELECT 1")
        assert "was paid out 500 msat of that day's 900 already" in (await _sent(owner, "pay_2")).reason

    with pytest.raises(AssertionError, match="msat of the limit are used"):
        # And whoever verifies the ledger sees it.
        told(treasurys, proxys, story)


async def _sent(owner, id):
    found = await payment(owner, id)
    return await treasury(owner).dispatch(await turn(owner), found, fee_limit_msat=0)
