"""`arbstr doctor` names what is wrong, one planted fault at a time, and says what to do."""

from __future__ import annotations

import json
import resource
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from house import Setup, instance, process, write
from ports import free_port
from upstream import Upstream

from arbstr_core.storage import _inspect

DEAD = "http://127.0.0.1:1"
Found = dict[str, str]


def wrong(place: Setup) -> Found:
    """What is wrong, by what was looked at."""
    done = place.command("doctor", "--json")
    found = [row for row in json.loads(done.stdout) if not row["ok"]]
    assert done.returncode == (1 if found else 0)
    return {row["what"]: row["detail"] for row in found}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as made:
        yield made


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Setup:
    """A house that has been used, and in which nothing is wrong."""
    made = write(tmp_path_factory.mktemp("used"), instance("x", upstream.url))
    made.arbstr("agent", "create", "a", "--fund", "100sat")
    assert wrong(made) == {}
    return made


@pytest.fixture
def place(used: Setup, tmp_path: Path) -> Setup:
    """A copy of it."""
    folder = tmp_path / "house"
    shutil.copytree(used.folder, folder)
    found = Setup(folder, free_port())
    found.file.write_text(found.file.read_text().replace(str(used.port), str(found.port)))
    return found


def add(place: Setup, tables: str) -> None:
    place.file.write_text(f"{place.file.read_text()}\n{tables}\n")


def sql(place: Setup, *statements: str) -> None:
    with closing(sqlite3.connect(place.database)) as connection, connection:
        for each in statements:
            connection.execute(each)


def overwrite(file: Path, at: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(data)


def rewrite(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o600)


FAULTS: dict[str, tuple[Callable[[Setup], None], str, str, str]] = {
    # fault: how it is planted, what is named, what is said of it, what to do
    "a key that is none": (
        lambda place: add(place, "[routing]\nkep = 3"),
        "configuration",
        "[routing] kep: unknown key",
        'did you mean "keep"?',
    ),
    "a secret that is not there": (
        lambda place: add(place, f'[webhooks]\nurl = "{DEAD}"\nsecret = "file:none"'),
        "secrets",
        "[webhooks] secret (file:none)",
        "set it",
    ),
    "a plugin that is not installed": (
        lambda place: place.file.write_text(place.file.read_text().replace('"policy_price"', '"policy_price", "acme"')),
        "plugin acme",
        "not installed",
        "pip install",
    ),
    "a plugin's table": (
        lambda place: add(place, "[plugins.wallet_simulated]\npoll_ms = true"),
        "plugin wallet_simulated",
        "poll_ms",
        "expected",
    ),
    "a folder that is none": (
        lambda place: (place.folder / "data").rename(place.folder / "away") and rewrite(place.folder / "data", ""),
        "data_dir",
        "is no folder",
        "name another in [arbstr] data_dir",
    ),
    "a token that others can read": (
        lambda place: (place.folder / "data" / "admin.token").chmod(0o644),
        "admin.token",
        "open to others (644)",
        "chmod 600",
    ),
    "a database that others can read": (
        lambda place: place.database.chmod(0o640),
        "arbstr.db",
        "open to others (640)",
        "chmod 600",
    ),
    "the wrong master key": (
        lambda place: rewrite(place.folder / "data" / "master.key", "00" * 32),
        "master.key",
        "the database is sealed with",
        "put that back",
    ),
    "no audit key": (
        lambda place: (place.folder / "data" / "audit.key").unlink(),
        "audit.key",
        "is missing, and this database is signed with",
        "copy audit.key",
    ),
    "an older database": (
        lambda place: sql(place, "DELETE FROM schema WHERE room = 'vault' AND version > 1"),
        "version",
        "older than this program",
        "run arbstr db upgrade",
    ),
    "a guard that is gone": (
        lambda place: sql(place, "DROP TRIGGER transfer_no_update"),
        "guards",
        "transfer_no_update",
        "restore a backup",
    ),
    "no database": (
        lambda place: rewrite(place.database, "this is no database, and long enough to be seen as none" * 100),
        "database",
        "not a database",
        "",
    ),
    "a damaged database": (
        lambda place: overwrite(place.database, 4096 * 2, b"\xff" * 4096 * 8),
        "database",
        "malformed",
        "stop arbstr and restore a backup",
    ),
    "a database that is gone": (
        lambda place: place.database.unlink(),
        "database",
        "holds no ledger, and master.key and audit.key beside it belong to one",
        "`arbstr db restore` a backup",
    ),
    "an empty file in its place": (
        lambda place: rewrite(place.database, ""),
        "database",
        "holds no ledger",
        "correct [storage] url",
    ),
    "a clock that was set back": (
        lambda place: sql(
            place,
            "INSERT INTO audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) "
            f"SELECT seq + 1, epoch, format, {int((time.time() + 3690) * 1000)}, actor, action, subject, data, hash "
            "FROM audit ORDER BY seq DESC LIMIT 1",
        ),
        "clock",
        "audit holds a row from 36",
        "keep it with NTP",
    ),
    "a ledger that was changed": (
        lambda place: sql(place, "UPDATE account SET posted_msat = posted_msat + 1 WHERE kind = 'agent'"),
        "ledger",
        "account",
        "restore a backup",
    ),
    "an anchor's folder": (
        lambda place: add(place, '[audit]\nanchors = ["file:none/anchor.log"]'),
        "anchor file:none/anchor.log",
        "is not there",
        "make it, or mount it",
    ),
    "an anchor's machine": (
        lambda place: add(place, f'[audit]\nanchors = ["{DEAD}/anchor"]'),
        "anchor 127.0.0.1",
        "cannot be reached",
        "start what listens there",
    ),
    "a provider that is down": (
        lambda place: add(place, instance("dead", f"{DEAD}/v1")),
        "provider providers_openai.dead",
        "failed",
        "start it, or correct the url",
    ),
    "a provider's key that is not there": (
        lambda place: add(place, instance("keyless", f"{DEAD}/v1", more='key = "env:NO_SUCH_KEY"')),
        "warning",
        "providers_openai.keyless is disabled: its key env:NO_SUCH_KEY is not set",
        "",
    ),
    "a price in dollars without a rate": (
        lambda place: add(place, instance("usd", f"{DEAD}/v1", '[models.u]\ninput = "1 usd"\noutput = "1 usd"')),
        "offer providers_openai.usd u",
        "its price is in USD",
        "usd_per_btc",
    ),
    "a rail that is down": (
        lambda place: enable_lnd(place),
        "rail wallet_lnd",
        "down",
        "",
    ),
    "a webhook that does not arrive": (
        lambda place: sql(
            place,
            "INSERT INTO outbox (event, body, created_ms, due_ms, attempts, last_error) "
            "VALUES ('approval.pending', '{}', 1, 1, 3, 'it answered 500')",
        ),
        "webhook",
        "it answered 500",
        "correct [webhooks] url",
    ),
    "money that is frozen": (
        lambda place: place.arbstr("freeze", "sim", "--reason", "looking at it") and None,
        "frozen realm:sim",
        "looking at it",
        "arbstr thaw",
    ),
}


def enable_lnd(place: Setup) -> None:
    rewrite(place.folder / "tls.cert", "none")
    rewrite(place.folder / "lnd.macaroon", "0201036c6e64")
    text = place.file.read_text().replace('"wallet_simulated"', '"wallet_simulated", "wallet_lnd"')
    rows = 'address = "127.0.0.1:1"\ncert = "file:tls.cert"\nmacaroon = "file:lnd.macaroon"\nnetwork = "regtest"'
    place.file.write_text(f"{text}\n[plugins.wallet_lnd]\n{rows}\n")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named_with_what_to_do(place: Setup, fault: str) -> None:
    plant, what, said, remedy = FAULTS[fault]
    plant(place)
    found = wrong(place)
    assert what in found, found
    assert said in found[what]
    assert remedy in found[what]


def test_there_are_enough_of_them() -> None:
    assert len(FAULTS) >= 15


def test_a_key_that_a_provider_refuses(place: Setup) -> None:
    with refusing(401) as url:
        add(place, instance("x2", url))
        said = wrong(place)["provider providers_openai.x2"]
    assert "answered 401: it does not accept our key; correct the key of its row" in said


def test_a_provider_with_troubles_and_one_without_a_list(place: Setup) -> None:
    with refusing(503) as broken, refusing(404) as plain:
        add(place, instance("broken", broken) + instance("plain", plain))
        assert list(wrong(place)) == ["provider providers_openai.broken"]


def test_a_port_that_is_taken(place: Setup) -> None:
    with socket.create_server(("127.0.0.1", place.port)):
        said = wrong(place)["listen"]
    assert f"127.0.0.1:{place.port}: address already in use; stop what listens there, or change [server] listen" in said
    with process(place):
        assert wrong(place) == {}, "it is the server's own"


def test_a_token_that_is_gone_while_a_server_runs(place: Setup) -> None:
    """No command makes another, which the server would not know."""
    token = place.folder / "data" / "admin.token"
    with process(place):
        kept = token.read_text()
        token.unlink()
        for words in (("agent", "list"), ("reload",)):
            done = place.command(*words)
            assert (done.returncode, token.exists()) == (1, False)
            assert "put it back, or restart arbstr" in done.stderr
        assert "put it back, or restart arbstr" in wrong(place)["start"]
        rewrite(token, kept)
        assert wrong(place) == {}


def test_a_folder_that_cannot_be_made(place: Setup) -> None:
    """Where even root can make none."""
    nowhere = "/proc/none/data"
    place.file.write_text(place.file.read_text().replace('data_dir = "data"', f'data_dir = "{nowhere}"'))
    for words in (("serve",), ("agent", "list"), ("init",), ("reload",)):
        done = place.command(*words)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"{nowhere} cannot be made (")
        assert line.endswith("or name another in [arbstr] data_dir")
    assert "cannot be made" in " ".join(wrong(place).values())


def test_too_few_open_files(place: Setup) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        said = wrong(place)["limits"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "512 open files" in said
    assert "raise it (ulimit -n" in said


def test_a_disk_that_is_nearly_full(place: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_inspect, "_FEW_BYTES", 2**70)
    assert "make room" in wrong(place)["disk"]


def test_a_database_server_that_is_not_there(postgres_url: str, tmp_path: Path, upstream: Upstream) -> None:
    place = write(tmp_path, instance("x", upstream.url) + f'\n[storage]\nurl = "{postgres_url}"\n')
    place.arbstr("agent", "create", "a")
    assert wrong(place) == {}
    there = urlsplit(postgres_url)
    place.file.write_text(place.file.read_text().replace(there.path, "/no_such_database"))
    assert "no_such_database" in wrong(place)["database"]


@contextmanager
def refusing(status: int) -> Iterator[str]:
    """A server that answers every GET with one status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join(10)


def test_what_is_warned_of_is_told_whatever_the_log_shows(place: Setup, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    add(place, instance("keyless", f"{DEAD}/v1", more='key = "env:NO_SUCH_KEY"'))
    assert "providers_openai.keyless is disabled" in wrong(place)["warning"]
