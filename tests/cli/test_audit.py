"""The ledger's proof by command: verified against anchors, and handed out as statements that a stranger can check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from house import Setup, instance, process, write
from upstream import Upstream


@pytest.fixture
def place(tmp_path: Path) -> Setup:
    with Upstream() as upstream:
        anchors = '\n[audit]\nanchors = ["file:anchored.log"]\n'
        found = write(tmp_path, instance("x", upstream.url) + anchors)
    found.json("agent", "create", "bot", "--fund", "1000sat")
    return found


def said(place: Setup, *words: str) -> tuple[int, str]:
    ended = place.run(*words)
    return ended.returncode, ended.stdout + ended.stderr


def test_a_ledger_is_held_against_what_was_anchored(place: Setup) -> None:
    anchor = place.folder / "anchored.log"
    place.arbstr("audit", "checkpoint")
    place.arbstr("agent", "fund", "bot", "1sat")
    line = json.loads(anchor.read_text().splitlines()[-1])
    good = json.loads(place.arbstr("audit", "verify", "--json", "--anchor", str(anchor), "--key", line["public_key"]))
    assert (good["ok"], good["first_bad"]) == (True, None)
    assert good["checkpoints"] >= 1
    # Another ledger has another past, though it is in order by itself.
    body = json.loads(line["body"])
    forged = line | {"body": json.dumps(body | {"seq": 1})}
    anchor.write_text(json.dumps(forged) + "\n")
    code, told = said(place, "audit", "verify", "--anchor", str(anchor))
    assert code == 1
    assert "is not signed with the key" in told
    anchor.write_text("not a checkpoint\n")
    code, told = said(place, "audit", "verify", "--anchor", str(anchor))
    assert code == 1
    assert "is not what an anchor keeps" in told


def test_a_file_that_was_rolled_back_is_found(place: Setup) -> None:
    anchor, database = place.folder / "anchored.log", place.database
    before = database.read_bytes()
    place.arbstr("agent", "fund", "bot", "7sat")
    place.arbstr("audit", "checkpoint")
    for beside in ("-wal", "-shm"):
        database.with_name(database.name + beside).unlink(missing_ok=True)
    database.write_bytes(before)
    assert said(place, "audit", "verify")[0] == 0  # by itself nothing is wrong with it
    code, told = said(place, "audit", "verify", "--anchor", str(anchor))
    assert code == 1
    assert "first bad" in told


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_statement_can_be_checked_by_a_stranger(place: Setup, form: str) -> None:
    out = place.folder / f"bot.{form}"
    words = ["--csv"] if form == "csv" else []
    place.arbstr("audit", "export", "bot", "-o", str(out), *words)
    key = json.loads(out.with_name(f"{out.name}.sig").read_text())["public_key"]
    assert "1000000" in out.read_text()
    assert out.read_text().startswith("# agent," if form == "csv" else '{"agent":')
    later = place.folder / f"later.{form}"
    place.arbstr("audit", "export", "bot", "-o", str(later), "--since", "9000000000000", *words)
    assert later.read_text().endswith("reference\n" if form == "csv" else '"lines":[]}')
    assert said(place, "audit", "check", str(out), "--key", key)[0] == 0
    assert said(place, "audit", "check", str(out))[0] == 0
    assert said(place, "audit", "check", str(out), "--key", "00" * 32)[0] == 1
    out.write_text(out.read_text().replace("1000000", "2000000"))
    code, told = said(place, "audit", "check", str(out), "--key", key)
    assert code == 1
    assert "was NOT signed" in told
    code, told = said(place, "audit", "export", "bot", "-o", str(out))
    assert code == 1
    assert "is there already: name another file" in told


def test_a_server_signs_by_itself(tmp_path: Path) -> None:
    with Upstream() as upstream:
        anchors = '\n[audit]\nanchors = ["file:anchored.log"]\n'
        found = write(tmp_path, instance("x", upstream.url) + anchors)
        found.json("agent", "create", "bot", "--fund", "1000sat")
        with process(found):
            kept = found.json("audit", "verify")
    assert kept["checkpoints"] >= 1
    assert (tmp_path / "anchored.log").exists()


def test_nothing_starts_on_a_database_that_another_key_signs(tmp_path: Path) -> None:
    place = write(tmp_path)
    place.arbstr("agent", "create", "one")
    key = tmp_path / "data" / "audit.key"
    kept = key.rename(tmp_path / "kept")
    for words in (("serve",), ("agent", "list")):
        done = place.command(*words)
        assert done.returncode == 1
        assert f"{key} is missing, and this database is signed with audit key" in done.stderr
        assert "copy audit.key from the data_dir of another process on it" in done.stderr
    kept.rename(key)
    assert place.json("agent", "list")[0]["name"] == "one"
