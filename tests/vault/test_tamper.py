"""History cannot be rewritten through the database, and where its triggers were removed, verify finds it."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest


def fill(bench):
    """One settled, one released and one open hold; a revoked token; a switched-off agent."""

    async def story():
        async with bench.vault() as vault:
            await bench.agent(vault)
            await bench.agent(vault, "bob")
            requests = [bench.request(1_000, id=f"req_{n}") for n in range(3)]
            await asyncio.gather(*(vault.hold(request) for request in requests))
            await vault.settle(bench.settlement("req_0", 700, ("groq", 600, True)))
            await vault.release("req_1", b"{}")
            await vault.rotate_token("ag_bob", bench.token("new"))
            await vault.set_enabled("ag_bob", False)
            assert (await vault.verify()).first_bad is None

    asyncio.run(story())


def verified(bench):
    async def story():
        async with bench.vault() as vault:
            return await vault.verify()

    return asyncio.run(story())


REFUSED = [
    "UPDATE transfer SET amount_msat = 1 WHERE kind = 'settle'",
    "DELETE FROM transfer",
    "INSERT OR REPLACE INTO transfer SELECT * FROM transfer WHERE kind = 'settle'",
    "INSERT OR REPLACE INTO transfer SELECT 99, kind, realm, hold_id, key, 0, NULL, 1, '' FROM transfer WHERE seq = 5",
    "UPDATE entry SET amount_msat = 1",
    "DELETE FROM entry",
    "INSERT OR REPLACE INTO entry SELECT * FROM entry LIMIT 1",
    "UPDATE receipt SET body = '{}'",
    "DELETE FROM receipt",
    "UPDATE audit SET data = ''",
    "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)",
    "INSERT OR REPLACE INTO audit SELECT * FROM audit LIMIT 1",
    "UPDATE limits SET daily_msat = 100000000",
    "DELETE FROM limits",
    "INSERT OR REPLACE INTO limits SELECT agent_id, version, 1, 100000000, 1 FROM limits",
    "UPDATE hold SET amount_msat = 1 WHERE state = 'held'",
    "UPDATE hold SET agent_id = 'ag_bob' WHERE state = 'held'",
    "UPDATE hold SET state = 'held', ended_ms = NULL WHERE state = 'settled'",
    "UPDATE hold SET state = 'released' WHERE state = 'settled'",
    "DELETE FROM hold",
    "INSERT OR REPLACE INTO hold SELECT * FROM hold LIMIT 1",
    "UPDATE account SET realm = 'mainnet'",
    "UPDATE account SET posted_msat = -1 WHERE kind = 'agent'",
    "UPDATE account SET constrained = 0",
    "DELETE FROM account",
    "UPDATE agent SET account_id = 1",
    "UPDATE agent SET realm = 'mainnet'",
    "DELETE FROM agent",
    "UPDATE token SET revoked_ms = NULL WHERE revoked_ms IS NOT NULL",
    "UPDATE token SET agent_id = 'ag_alice'",
    "DELETE FROM token",
    "DELETE FROM bucket",
    "UPDATE bucket SET used_msat = -1",
    "INSERT INTO transfer VALUES (99, 'settle', 'sim', 'req_2', NULL, 1001, NULL, 1, '')",
    "INSERT INTO transfer VALUES (99, 'settle', 'sim', 'req_0', NULL, 0, NULL, 1, '')",
    "INSERT INTO transfer VALUES (99, 'settle', 'sim', NULL, NULL, 0, NULL, 1, '')",
    "INSERT INTO transfer VALUES (99, 'release', 'sim', 'req_2', NULL, 1, NULL, 1, '')",
    "INSERT INTO transfer VALUES (99, 'fund', 'sim', NULL, 'k', -1, NULL, 1, '')",
    "INSERT INTO entry VALUES (1, 99, 1, 'debit', 0)",
]


@pytest.mark.parametrize("foreign_keys", [0, 1])
def test_the_database_refuses_to_rewrite_history(bench, foreign_keys):
    fill(bench)
    for statement in REFUSED:
        with pytest.raises(sqlite3.IntegrityError):
            bench.tamper(f"PRAGMA foreign_keys={foreign_keys}", statement)
    assert verified(bench).ok


def test_an_entry_stays_in_its_realm(bench):
    fill(bench)
    with pytest.raises(sqlite3.IntegrityError, match="another realm"):
        bench.tamper(
            "INSERT INTO account VALUES (99, 'asset:lnd', 'regtest', 'asset', 1, 0, 0)",
            "INSERT INTO entry VALUES (1, 99, 99, 'debit', 5)",
        )


FOUND = [
    ("UPDATE entry SET amount_msat = amount_msat + 1 WHERE transfer_seq = 1 AND n = 1", "transfer 1: its entries"),
    (
        "UPDATE entry SET amount_msat = amount_msat + 1 WHERE transfer_seq = 1",
        "account equity:operator: posted is 0 msat, its entries make 1",
    ),
    (
        "UPDATE account SET posted_msat = posted_msat + 5 WHERE name = 'agent:ag_alice'",
        "account agent:ag_alice: posted",
    ),
    ("UPDATE account SET held_msat = 0 WHERE name = 'agent:ag_alice'", "account agent:ag_alice: held is 0 msat"),
    ("UPDATE hold SET state = 'settled', ended_ms = 1 WHERE state = 'held'", "hold req_2 is settled"),
    ("UPDATE hold SET amount_msat = 999 WHERE id = 'req_2'", "account agent:ag_alice: held is 1000 msat"),
    ("UPDATE hold SET model = 'dear' WHERE id = 'req_2'", "hold req_2 is not what it was"),
    ("UPDATE hold SET candidates = '[1]' WHERE id = 'req_2'", "hold req_2 is not what it was"),
    ("UPDATE bucket SET used_msat = 0 WHERE agent_id = 'ag_alice'", "agent ag_alice, day"),
    ("UPDATE receipt SET body = '{\"x\":1}' WHERE id = 'req_0'", "settle req_0 is not what it was"),
    ("DELETE FROM receipt WHERE id = 'req_0'", "hold req_0 has ended and there is no receipt"),
    ("UPDATE transfer SET memo = 'other' WHERE kind = 'fund'", "is not what it was when it was written"),
    ("UPDATE transfer SET at_ms = 1 WHERE kind = 'release'", "release req_1 is not what it was"),
    ("DELETE FROM transfer WHERE kind = 'release'", "hold req_1 is released, and that is not"),
    ("UPDATE audit SET data = '[]' WHERE seq = 5", "audit row 5: its hash does not follow"),
    ("DELETE FROM audit WHERE seq = 5", "audit row 6: the sequence has a gap"),
    ("DELETE FROM audit WHERE action = 'hold'", "hold req_0 has no audit row"),
    ("UPDATE limits SET daily_msat = 100000000", "agent ag_alice: its limits are not"),
    ("INSERT INTO limits VALUES ('ag_alice', 2, 100000000, 100000000, 1)", "agent ag_alice: its limits are not"),
    ("UPDATE agent SET enabled = 1 WHERE id = 'ag_bob'", "agent ag_bob: enabled is 1"),
    ("UPDATE agent SET name = 'mallory' WHERE id = 'ag_bob'", "agent.create ag_bob is not what it was"),
    ("UPDATE token SET revoked_ms = NULL", "agent ag_bob: its live tokens"),
    ("INSERT INTO token VALUES (x'00', 'ag_alice', 1, NULL)", "agent ag_alice: its live tokens"),
    (
        "UPDATE account SET kind = 'cost' WHERE name = 'income:sales'",
        "account.open income:sales@sim is not what it was",
    ),
]


@pytest.mark.parametrize(("statement", "found"), FOUND)
def test_verify_finds_what_was_done_without_the_triggers(bench, statement, found):
    fill(bench)
    triggers = bench.rows("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    bench.tamper(*(f"DROP TRIGGER {name}" for name, _ in triggers), statement, *(sql for _, sql in triggers))
    verification = verified(bench)
    assert not verification.ok
    assert found in verification.first_bad


def test_verify_misses_no_trigger(bench):
    fill(bench)
    for name, sql in bench.rows("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"):
        bench.tamper(f"DROP TRIGGER {name}")
        assert verified(bench).first_bad == f"trigger {name} is not there, or was changed"
        bench.tamper(sql)
    assert verified(bench).ok


def test_what_verify_counts(bench):
    fill(bench)
    verification = verified(bench)
    assert verification.ok
    assert (verification.sum_msat, verification.open_holds, verification.agents) == (0, 1, 2)
    assert (verification.transfers, verification.entries) == (6, 12)
    assert verification.audit_rows == bench.rows("SELECT count(*) FROM audit")[0][0]
