"""History cannot be rewritten through the database, and where its guards were out of the way, verify finds it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager

import pytest
from history import copies, fill, verified

from arbstr_core.storage import Dialect
from arbstr_core.vault import KnownCheckpoint, _verify, unguarded
from arbstr_core.vault._migrations import guards


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def fresh(request, new_bench, tmp_path_factory):
    """A copy of a ledger with something of everything in it, each time."""
    folder = tmp_path_factory.mktemp("filled")
    cluster = None
    if request.param == "postgresql":
        cluster = request.getfixturevalue("postgres")
        bench = new_bench(folder, cluster.create_database())
    else:
        bench = new_bench(folder)
    fill(bench)
    return copies(bench, cluster, lambda: tmp_path_factory.mktemp("copy"))


REFUSED = [
    "UPDATE transfer SET amount_msat = 1 WHERE kind = 'settle'",
    "UPDATE transfer SET seq = 99 WHERE seq = 1",
    "DELETE FROM transfer",
    "UPDATE entry SET amount_msat = 1",
    "DELETE FROM entry",
    "UPDATE receipt SET body = '{}'",
    "DELETE FROM receipt",
    "UPDATE audit SET data = ''",
    "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)",
    "UPDATE limits SET daily_msat = 100000000",
    "DELETE FROM limits",
    "UPDATE hold_window SET window_start_ms = 1",
    "DELETE FROM hold_window",
    "UPDATE hold SET amount_msat = 1 WHERE state = 'held'",
    "UPDATE hold SET agent_id = 'ag_bob' WHERE state = 'held'",
    "UPDATE hold SET state = 'held', ended_ms = NULL WHERE state = 'settled'",
    "UPDATE hold SET state = 'released' WHERE state = 'settled'",
    "DELETE FROM hold",
    "UPDATE account SET realm = 'mainnet'",
    "UPDATE account SET posted_msat = -1 WHERE kind = 'agent'",
    "UPDATE account SET constrained = 0",
    "DELETE FROM account",
    "UPDATE agent SET account_id = 1",
    "UPDATE agent SET realm = 'mainnet'",
    "UPDATE agent SET parent_id = 'ag_bob' WHERE id = 'ag_child'",
    "DELETE FROM agent",
    "UPDATE token SET revoked_ms = NULL WHERE revoked_ms IS NOT NULL",
    "UPDATE token SET agent_id = 'ag_alice'",
    "DELETE FROM token",
    "UPDATE operator SET revoked_ms = NULL WHERE revoked_ms IS NOT NULL",
    "UPDATE operator SET name = 'mallory'",
    "DELETE FROM operator",
    "DELETE FROM bucket",
    "UPDATE bucket SET used = -1",
    "UPDATE bucket SET window_start_ms = 1",
    "UPDATE approval SET ceiling_msat = 1000000",
    "UPDATE approval SET state = 'granted'",
    "DELETE FROM approval",
    "DELETE FROM checkpoint",
    "UPDATE audit_key SET n = 2",
    "DELETE FROM audit_key",
    "INSERT INTO transfer SELECT 99, 'settle', 'sim', seq, NULL, 1001, NULL, 1, '' FROM hold WHERE state = 'held'",
    "INSERT INTO transfer SELECT 99, 'settle', 'sim', seq, NULL, 0, NULL, 1, '' FROM hold WHERE id = 'req_0'",
    "INSERT INTO transfer VALUES (99, 'settle', 'sim', NULL, NULL, 0, NULL, 1, '')",
    "INSERT INTO transfer SELECT 99, 'release', 'sim', seq, NULL, 1, NULL, 1, '' FROM hold WHERE state = 'held'",
    "INSERT INTO transfer VALUES (99, 'fund', 'sim', NULL, 'k', -1, NULL, 1, '')",
    "INSERT INTO entry VALUES (1, 99, 1, 'debit', 0, 0)",
    "INSERT INTO entry VALUES (1, 99, 99, 'debit', 5, 0)",
]
NOWHERE = ["INSERT INTO receipt VALUES (99, '{}', 1)", "INSERT INTO bucket VALUES ('ag_nobody', 'day', 1, 1)"]
ON_SQLITE = [
    "DELETE FROM checkpoint",
    "INSERT OR REPLACE INTO transfer SELECT * FROM transfer WHERE kind = 'settle'",
    "INSERT OR REPLACE INTO transfer SELECT 99, kind, realm, hold_seq, key, 0, NULL, 1, '' FROM transfer WHERE seq = 6",
    "INSERT OR REPLACE INTO entry SELECT * FROM entry LIMIT 1",
    "INSERT OR REPLACE INTO audit SELECT * FROM audit LIMIT 1",
    "INSERT OR REPLACE INTO limits SELECT agent_id, version, 1, 100000000, NULL, 1 FROM limits",
    "INSERT OR REPLACE INTO hold SELECT * FROM hold LIMIT 1",
    "INSERT OR REPLACE INTO audit_key SELECT n, x'00', 1 FROM audit_key",
    "INSERT OR REPLACE INTO account SELECT * FROM account LIMIT 1",
    "INSERT OR REPLACE INTO token SELECT hash, 'ag_alice', 1, NULL FROM token",
]
ON_POSTGRESQL = [f"TRUNCATE {name} CASCADE" for name in ("entry", "receipt", "audit", "limits", "hold", "account")]


def test_the_database_refuses_to_rewrite_history(fresh):
    bench = fresh()
    nothing = "x''" if bench.dialect is Dialect.SQLITE else "''"
    bench.tamper(f"INSERT INTO checkpoint VALUES (1, 1, '{{}}', 'k', {nothing})")
    of_one = ON_SQLITE if bench.dialect is Dialect.SQLITE else ON_POSTGRESQL
    for statement in (*REFUSED, *of_one):
        with pytest.raises(bench.refusals):
            bench.tamper(statement)
    keyed = ["PRAGMA foreign_keys=1"] if bench.dialect is Dialect.SQLITE else []
    for statement in (*REFUSED, *of_one, *NOWHERE):
        with pytest.raises(bench.refusals):
            bench.tamper(*keyed, statement)
    assert verified(bench).ok


def test_what_waits_for_the_sealer_never_changes(any_bench):
    if any_bench.dialect is Dialect.SQLITE:
        return

    async def story():
        async with any_bench.vault() as vault:
            await any_bench.agent(vault)
            for statement in ("UPDATE audit_pending SET data = ''", "TRUNCATE audit_pending"):
                with pytest.raises(any_bench.refusals):
                    any_bench.tamper(statement)
            assert (await vault.verify()).pending_rows == 7
            any_bench.tamper("DELETE FROM audit_pending WHERE action = 'ledger'")
            assert "has no audit row" in (await vault.verify()).first_bad

    asyncio.run(story())


def test_an_entry_stays_in_its_realm(fresh):
    bench = fresh()
    bench.tamper("INSERT INTO account VALUES (99, 'asset:lnd', 'regtest', 'asset', 1, 0, 0, 0, 0)")
    with pytest.raises(bench.refusals, match="another realm"):
        bench.tamper("INSERT INTO entry VALUES (1, 99, 99, 'debit', 5, 0)")


OF_REQ = "(SELECT seq FROM hold WHERE id = '{}')"
FOUND = [
    ("UPDATE entry SET amount_msat = amount_msat + 1 WHERE transfer_seq = 1 AND n = 1", "transfer 1: its entries"),
    ("UPDATE entry SET amount_msat = amount_msat + 1 WHERE transfer_seq = 1", "account"),
    (
        "UPDATE account SET posted_msat = posted_msat + 5 WHERE name = 'agent:ag_alice'",
        "account agent:ag_alice (sim): posted",
    ),
    ("UPDATE account SET held_msat = 0 WHERE name = 'agent:ag_alice'", "account agent:ag_alice: held is 0 msat"),
    ("UPDATE account SET last_hold = 1 WHERE name = 'agent:ag_alice'", "account agent:ag_alice: its last hold"),
    ("UPDATE account SET last_transfer = 1 WHERE name = 'agent:ag_alice'", "account agent:ag_alice: its last transfer"),
    ("UPDATE account SET last_transfer = 1 WHERE name = 'income:sales'", "account income:sales: its last transfer"),
    ("UPDATE account SET name = 'agent:ag_x' WHERE name = 'agent:ag_alice'", "account agent:ag_x is not as the audit"),
    ("UPDATE account SET kind = 'cost' WHERE name = 'income:sales'", "account income:sales is not as the audit"),
    ("UPDATE hold SET state = 'settled', ended_ms = 1 WHERE state = 'held'", "hold req_2 is settled"),
    ("UPDATE hold SET amount_msat = 999 WHERE id = 'req_2'", "account agent:ag_alice: held is 1000 msat"),
    ("UPDATE hold SET model = 'dear' WHERE id = 'req_2'", "hold req_2 is not what it was"),
    ("UPDATE hold SET candidates = '[1]' WHERE id = 'req_2'", "hold req_2 is not what it was"),
    ("UPDATE hold SET previous_seq = 1 WHERE id = 'req_2'", "hold number"),
    ("UPDATE hold SET ended_ms = 1 WHERE id = 'req_0'", "hold req_0 ended at another moment"),
    ("UPDATE hold SET approval_id = NULL WHERE id = 'req_dear'", "hold req_dear"),
    ("UPDATE hold_window SET kind = 'week' WHERE kind = 'minute'", "hold req_child_"),
    ("DELETE FROM hold_window", "hold req_child_0"),
    ("UPDATE bucket SET used = 0 WHERE agent_id = 'ag_alice'", "agent ag_alice, day"),
    ("UPDATE bucket SET used = used - 1 WHERE kind = 'minute'", "agent ag_child, minute"),
    ("DELETE FROM bucket WHERE agent_id = 'ag_alice'", "agent ag_alice, day"),
    (
        "UPDATE receipt SET body = '{\"x\":1}' WHERE hold_seq = " + OF_REQ.format("req_0"),
        "(settle req_0), its",
    ),
    ("UPDATE receipt SET at_ms = 1 WHERE hold_seq = " + OF_REQ.format("req_0"), "hold req_0 has a receipt of another"),
    ("DELETE FROM receipt WHERE hold_seq = " + OF_REQ.format("req_0"), "hold req_0 has ended and there is no receipt"),
    ("INSERT INTO receipt VALUES (" + OF_REQ.format("req_2") + ", '{}', 1)", "hold req_2 has a receipt"),
    ("UPDATE transfer SET memo = 'other' WHERE kind = 'fund'", "is not what it was when it was written"),
    ("UPDATE transfer SET at_ms = 1 WHERE kind = 'release'", "hold req_1 ended at another moment"),
    ("UPDATE transfer SET at_ms = 1 WHERE kind = 'fund'", "is not what it was when it was written"),
    ("DELETE FROM transfer WHERE kind = 'release'", "hold req_1 is released, and its transfer says nothing"),
    ("UPDATE entry SET n = 7 WHERE transfer_seq = 1 AND n = 2", "transfer 1"),
    ("INSERT INTO transfer VALUES (99, 'fund', 'sim', NULL, 'k', 0, NULL, 1, '')", "transfer"),
    ("UPDATE audit SET data = '[]' WHERE seq = 5", "audit row 5: its hash does not follow"),
    ("UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 4) WHERE seq = 5", "audit row 5: its hash does not"),
    ("UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 1", "audit row 1: its hash does not follow"),
    ("DELETE FROM audit WHERE seq = 5", "audit row 6: the sequence has a gap"),
    ("DELETE FROM audit WHERE seq >= (SELECT max(seq) FROM audit WHERE action = 'ledger')", "has no audit row"),
    ("UPDATE limits SET daily_msat = 100000000", "limits 1 of agent ag_alice is not as the audit"),
    ("INSERT INTO limits VALUES ('ag_alice', 3, 100000000, 100000000, NULL, 1)", "limits 3 of agent ag_alice"),
    ("DELETE FROM limits WHERE agent_id = 'ag_bob'", "limits 1 of agent ag_bob is not there"),
    ("UPDATE agent SET enabled = 1 WHERE id = 'ag_bob'", "agent ag_bob is not as the audit"),
    ("UPDATE agent SET name = 'mallory' WHERE id = 'ag_bob'", "agent ag_bob is not as the audit"),
    ("UPDATE token SET revoked_ms = NULL", "a token of agent ag_bob"),
    ("INSERT INTO token VALUES ('', 'ag_alice', 1, NULL)", "a token of agent ag_alice"),
    ("UPDATE operator SET revoked_ms = NULL", "operator eve is not as the audit"),
    ("UPDATE operator SET created_by = 'mallory' WHERE name = 'ann'", "operator ann is not as the audit"),
    ("INSERT INTO operator VALUES ('', 'mallory', 'operator', 1, NULL)", "operator mallory is not as the audit"),
    ("UPDATE approval SET decided_by = 'mallory'", "approval apr_"),
    ("UPDATE approval SET state = 'granted'", "approval apr_"),
    ("UPDATE audit_key SET adopted_ms = 1", "audit key 1 is not as the audit says"),
    ("DELETE FROM audit_key", "audit key 1 is not there as the audit says"),
    ("DELETE FROM approval", "hold req_dear has an approval that is not there"),
]


@pytest.mark.parametrize(("statement", "found"), FOUND)
def test_verify_finds_what_was_done_without_the_guards(fresh, statement, found):
    bench = fresh()
    if bench.dialect is Dialect.SQLITE:
        statement = statement.replace(" VALUES (''", " VALUES (x''")
    bench.tamper_unguarded(statement)
    verification = verified(bench)
    assert not verification.ok
    assert found in verification.first_bad


@pytest.mark.parametrize("statement", [None, *(statement for statement, _ in FOUND[::8])])
def test_two_processes_find_what_one_does(fresh, monkeypatch, statement):
    """A large ledger is shared out to processes, which send each other what they found on their way."""
    bench = fresh()
    if statement is not None:
        bench.tamper_unguarded(statement)
    alone = verified(bench)
    monkeypatch.setattr(_verify, "_SHARED_FROM", 0)
    together = verified(bench)
    assert together == alone
    assert together.ok is (statement is None)


@contextmanager
def shape(bench):
    """What `verify` and `arbstr db check` say of guards, tables and all that is on them, asked as often as wanted."""
    with asyncio.Runner() as runner:
        opened = bench.database()
        db = runner.run(opened.__aenter__())
        try:
            yield lambda: runner.run(db.read(lambda connection: unguarded(connection, db.schemas)))
        finally:
            runner.run(opened.__aexit__(None, None, None))


def test_verify_finds_what_the_guards_would_let_pass_once_they_are_off_for_good(fresh):
    bench = fresh()
    if bench.dialect is Dialect.SQLITE:
        with shape(bench) as said:
            for name, sql in bench.rows("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"):
                bench.tamper(f"DROP TRIGGER {name}")
                assert said() == f"guard {name} is not there, or was changed, or is switched off"
                bench.tamper(sql.replace("BEGIN SELECT", "BEGIN SELECT 1 OR"))
                assert said() == f"guard {name} is not there, or was changed, or is switched off"
                bench.tamper(f"DROP TRIGGER {name}", sql)
        bench.tamper("DROP TRIGGER entry_no_update")
    else:
        with shape(bench) as said:
            for (name,) in bench.rows("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname")[::5]:
                off_guard(bench, name, said)
        bench.tamper("ALTER TABLE entry DISABLE TRIGGER entry_no_update")
    assert verified(bench).first_bad == "guard entry_no_update is not there, or was changed, or is switched off"
    bench.tamper(
        *[sql for name, sql in SQLITE_GUARDS if name == "entry_no_update"]
        if bench.dialect is Dialect.SQLITE
        else ["ALTER TABLE entry ENABLE TRIGGER entry_no_update"]
    )
    assert verified(bench).ok


SQLITE_GUARDS = [(guard.name, guard.sqlite()) for guard in guards(Dialect.SQLITE)]


def off_guard(bench, name, said):
    """Each way to take a guard of PostgreSQL's off."""
    wrong = f"guard {name} is not there, or was changed, or is switched off"
    ((table, made, body),) = bench.rows(
        f"""SELECT tgrelid::regclass::text, pg_get_triggerdef(g.oid), pg_get_functiondef(tgfoid)
        FROM pg_trigger g WHERE tgname = '{name}'"""
    )
    nothing = f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$"
    ways = [
        (f"DROP TRIGGER {name} ON {table}", made),
        (f"ALTER TABLE {table} DISABLE TRIGGER {name}", f"ALTER TABLE {table} ENABLE TRIGGER {name}"),
        (f"ALTER TABLE {table} ENABLE REPLICA TRIGGER {name}", f"ALTER TABLE {table} ENABLE TRIGGER {name}"),
        (nothing, body),
    ]
    for off, on in ways:
        bench.tamper(off)
        assert said() == wrong, off
        bench.tamper(on)


EVIL = "CREATE TRIGGER evil AFTER INSERT ON hold BEGIN UPDATE bucket SET used = 0; END"
SHAPES_SQLITE = [
    (EVIL, "DROP TRIGGER evil", "table hold: trigger evil was added"),
    (
        "CREATE TRIGGER evil AFTER UPDATE ON plugin_store BEGIN SELECT 1; END",
        "DROP TRIGGER evil",
        "table plugin_store: trigger evil was added",
    ),
    (
        "DROP INDEX transfer_of_hold",
        "CREATE UNIQUE INDEX transfer_of_hold ON transfer (hold_seq) WHERE hold_seq IS NOT NULL",
        "table transfer: index transfer_of_hold is not there",
    ),
    (
        "CREATE UNIQUE INDEX evil ON transfer (at_ms) WHERE at_ms > 9000000000000",
        "DROP INDEX evil",
        "table transfer: index evil was added",
    ),
    ("ALTER TABLE agent ADD COLUMN evil TEXT", "ALTER TABLE agent DROP COLUMN evil", "table agent: table agent is not"),
    ("DROP TABLE alert", None, "table alert: table alert is not there"),
]
TRIGGER = "CREATE TRIGGER evil BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION token_no_delete()"
SHAPES_POSTGRESQL = [
    (TRIGGER.format("hold"), "DROP TRIGGER evil ON hold", "table hold: trigger evil was added"),
    (TRIGGER.format("plugin_store"), "DROP TRIGGER evil ON plugin_store", "table plugin_store: trigger evil was added"),
    (
        "CREATE RULE evil AS ON UPDATE TO account DO INSTEAD NOTHING",
        "DROP RULE evil ON account",
        "table account: rule evil was added",
    ),
    ("CREATE POLICY evil ON hold USING (false)", "DROP POLICY evil ON hold", "table hold: policy evil was added"),
    (
        "ALTER TABLE entry ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE entry DISABLE ROW LEVEL SECURITY",
        "table entry: row level security is switched on",
    ),
    (
        "DROP INDEX transfer_of_hold",
        "CREATE UNIQUE INDEX transfer_of_hold ON transfer (hold_seq) WHERE hold_seq IS NOT NULL",
        "table transfer: index transfer_of_hold is not there",
    ),
    (
        "ALTER TABLE hold DROP CONSTRAINT hold_id_key",
        "ALTER TABLE hold ADD UNIQUE (id)",
        "table hold: constraint hold_id_key is not there",
    ),
    (
        "ALTER TABLE account DROP CONSTRAINT available",
        "ALTER TABLE account ADD CONSTRAINT available CHECK (constrained = 0 OR posted_msat - held_msat >= 0)",
        "table account: constraint available is not there",
    ),
    (
        """ALTER TABLE account DROP CONSTRAINT available,
        ADD CONSTRAINT available CHECK (constrained = 0 OR posted_msat - held_msat >= -1000000)""",
        """ALTER TABLE account DROP CONSTRAINT available,
        ADD CONSTRAINT available CHECK (constrained = 0 OR posted_msat - held_msat >= 0)""",
        "table account: constraint available is not as it was made",
    ),
    (
        "ALTER TABLE token ALTER agent_id DROP NOT NULL",
        "ALTER TABLE token ALTER agent_id SET NOT NULL",
        "table token: column agent_id is not as it was made",
    ),
    (
        "ALTER TABLE receipt SET UNLOGGED",
        "ALTER TABLE receipt SET LOGGED",
        "table receipt: its rows are not written to the log",
    ),
    ("CREATE TABLE evil () INHERITS (token)", "DROP TABLE evil", "table token: it has parents or children"),
    (
        "DO $$BEGIN EXECUTE 'ALTER DATABASE '||current_database()||' SET session_replication_role=replica'; END$$",
        "DO $$BEGIN EXECUTE 'ALTER DATABASE '||current_database()||' RESET session_replication_role'; END$$",
        "session_replication_role is ",
    ),
    (
        "CREATE ROLE arbstr_evil; ALTER ROLE arbstr_evil SET session_replication_role = replica",
        "DROP ROLE arbstr_evil",
        "session_replication_role is set for role arbstr_evil, database any: guards are passed by",
    ),
]


def test_verify_finds_what_was_put_beside_the_guards_or_taken_from_the_tables(fresh):
    bench = fresh()
    ways = SHAPES_SQLITE if bench.dialect is Dialect.SQLITE else SHAPES_POSTGRESQL
    with shape(bench) as said:
        for done, undone, found in ways:
            bench.tamper(done)
            assert (said() or "").startswith(found), (done, said())
            if undone:
                bench.tamper(undone)
                assert said() is None, undone
    bench.tamper(ways[0][0])
    assert verified(bench).first_bad.startswith(ways[-1 if bench.dialect is Dialect.SQLITE else 0][2])
    bench.tamper(ways[0][1])
    # Tables of somebody else's are nothing to us.
    if bench.dialect is Dialect.POSTGRESQL:
        bench.tamper("CREATE TABLE theirs (x int)")
        assert verified(bench).ok
        bench.tamper("DROP TABLE theirs")


def test_verify_tells_that_the_ledger_itself_is_not_there(fresh):
    bench = fresh()
    bench.tamper("ALTER TABLE transfer RENAME TO elsewhere")
    try:
        verification = verified(bench)
    finally:
        bench.tamper("ALTER TABLE elsewhere RENAME TO transfer")
    assert not verification.ok
    assert "transfer" in verification.first_bad


def test_what_verify_counts(fresh):
    bench = fresh()
    verification = verified(bench)
    assert verification.ok
    assert (verification.sum_msat, verification.open_holds, verification.agents) == (0, 1, 3)
    assert (verification.transfers, verification.entries) == tuple(
        bench.rows(f"SELECT count(*) FROM {name}")[0][0] for name in ("transfer", "entry")
    )
    assert verification.audit_rows == bench.rows("SELECT count(*) FROM audit")[0][0]
    assert (verification.pending_rows, verification.checkpoints) == (0, 0)


def checkpoint(bench):
    """What an anchor would be told now."""
    ((seq, hash),) = bench.rows("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
    counts = [bench.rows(f"SELECT count(*) FROM {name}")[0][0] for name in ("hold", "transfer")]
    return KnownCheckpoint(audit_seq=seq, hash=bytes(hash), holds=counts[0], transfers=counts[1])


def test_a_checkpoint_finds_a_tail_that_was_cut(fresh):
    bench = fresh()
    known = checkpoint(bench)
    assert verified(bench, (known, known)).ok
    # The last rows speak of nothing that stands elsewhere: without the checkpoint nobody would know.
    last = known.audit_seq
    bench.tamper_unguarded(
        f"UPDATE agent SET enabled = 1 WHERE id = 'ag_bob' AND {last} > 0", f"DELETE FROM audit WHERE seq = {last}"
    )
    assert verified(bench).ok
    assert f"the audit ends at row {last - 1}, and a checkpoint knows row {last}" in verified(bench, (known,)).first_bad


def test_a_checkpoint_finds_a_database_that_was_rolled_back(fresh):
    bench, old = fresh(apart=True), fresh()

    async def go_on():
        async with bench.vault() as vault:
            await vault.hold(bench.request(10, id="req_later"))
            await vault.seal()

    asyncio.run(go_on())
    known = checkpoint(bench)
    assert verified(old).ok
    assert "is older than the checkpoint" in verified(old, (known,)).first_bad


def test_a_checkpoint_finds_history_that_was_written_anew(fresh):
    bench = fresh()
    known = checkpoint(bench)
    rehash(bench, "UPDATE audit SET actor = 'somebody' WHERE seq = 3")
    assert verified(bench).ok
    wrong = f"audit row {known.audit_seq} is not the one that a checkpoint knows: history was written anew"
    assert verified(bench, (known,)).first_bad == wrong


def rehash(bench, *statements):
    """Change history and chain all of it again, as somebody would who owns the database and has read the code."""
    from arbstr_core.vault import _audit

    bench.tamper_unguarded(*statements)
    head = _audit.Head()
    updates = []
    columns = "at_ms, actor, action, subject, data"
    for at_ms, *note in bench.rows(f"SELECT {columns} FROM audit ORDER BY seq"):
        row = _audit.chained(head, at_ms, note)
        literal = f"x'{row[-1].hex()}'" if bench.dialect is Dialect.SQLITE else f"'\\x{row[-1].hex()}'"
        updates.append(f"UPDATE audit SET hash = {literal} WHERE seq = {row[0]}")
    bench.tamper_unguarded(*updates)


def test_what_is_hashed_again_must_still_be_what_is_there(fresh):
    bench = fresh()
    rehash(bench, "UPDATE audit SET data = replace(data, '1500', '9500') WHERE action = 'limits.set'")
    assert "limits 1 of agent ag_child" in verified(bench).first_bad


def test_a_line_is_digested_alike_by_the_databases_and_by_us(any_bench):
    odd = '"\\\b\f\n\r\t\x01\x1f\x7f/<é\u2028\u2029\U0001f600'

    async def story():
        async with any_bench.vault() as vault:
            await any_bench.agent(vault)
            asked = any_bench.request(10, id=f"req_{odd}", candidates=f"[{odd}]".encode())
            await vault.hold(asked)
            await vault.settle(any_bench.settlement(asked.id, 5))
            return await vault.verify()

    assert asyncio.run(story()).first_bad is None
