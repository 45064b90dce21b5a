"""A backup that is taken under load, restored: it verifies, nothing stays held, and nothing leaves before it may."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from house import ARBSTR, Process, Setup, chat, instance, process, run, share_keys, until, write
from upstream import Act, Upstream

AGENTS = 3


def lightning(folder: Path) -> str:
    """A rail that is away, so that nobody can compare it with the ledger."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tls.cert").write_text("none")
    (folder / "lnd.macaroon").write_text("0201036c6e64")
    rows = 'address = "127.0.0.1:1"\ncert = "file:tls.cert"\nmacaroon = "file:lnd.macaroon"\nnetwork = "regtest"'
    return f"\n[plugins.wallet_lnd]\n{rows}\n"


def place(folder: Path, upstream: Upstream, more: str = "") -> Setup:
    plugins = ("providers_openai", "policy_price", "wallet_simulated", "wallet_lnd")
    return write(folder, instance("x", upstream.url) + lightning(folder) + more, plugins=plugins)


async def loaded(setup: Setup, agents: list[dict[str, Any]], backup: Path) -> None:
    """Take a backup while agents call and stream."""
    stop = asyncio.Event()
    served = 0

    async def calls(http: httpx.AsyncClient, agent: dict[str, Any], stream: bool) -> None:
        nonlocal served
        headers = {"authorization": f"Bearer {agent['token']}"}
        while not stop.is_set():
            body = chat(stream=stream, max_tokens=40)
            answer = await http.post("/v1/chat/completions", json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            served += 1

    async with httpx.AsyncClient(base_url=setup.url, trust_env=False, timeout=60) as http:
        tasks = [asyncio.create_task(calls(http, agent, stream)) for agent in agents for stream in (False, True)]
        while served < 20:
            await asyncio.sleep(0.01)
        before = served
        done = await asyncio.create_subprocess_exec(
            *(ARBSTR, "db", "backup", str(backup), "-c", str(setup.file)),
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert await done.wait() == 0
        assert served > before, "there was load"
        stop.set()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_backup_under_load_restored_verifies_and_starts_frozen(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    storage = [""] * 2
    if kind == "postgresql":
        urls = [request.getfixturevalue(name) for name in ("postgres_url", "postgres_empty_url")]
        storage = [f'\n[storage]\nurl = "{url}"\n[vault]\nheartbeat_seconds = 3\n' for url in urls]
    file = tmp_path / "backup"
    with Upstream() as upstream:
        upstream.script("m", Act(words=20, pause=0.002))
        setup = place(tmp_path / "one", upstream, storage[0])
        wide = ("--fund", "1000000sat", "--max-charge", "1000sat", "--daily", "1btc")
        agents = [setup.json("agent", "create", f"a{n}", *wide, "--realm", "sim") for n in range(AGENTS)]
        running = Process(setup)
        try:
            run(loaded(setup, agents, file))
        finally:
            running.kill()  # what it had and the backup has not is lost with the machine
        restored(place(tmp_path / "two", upstream, storage[1]), setup, file)


def restored(other: Setup, first: Setup, file: Path) -> None:
    """Restore `file` on another machine, which starts."""
    share_keys(first, other)
    other.arbstr("db", "restore", str(file))
    before = other.json("audit", "verify")
    assert (before["ok"], before["sum_msat"]) == (True, 0)
    with process(other):
        after = run(until(partial(nothing_held, other), 60))
        assert (after["ok"], after["sum_msat"]) == (True, 0)
        assert after["transfers"] >= before["transfers"] > 0
        (marked,) = [row for row in audit(other) if row["action"] == "db.restored"]
        assert marked["subject"] == "database"
        # What nobody could compare yet pays nothing out.
        rails = {row["name"]: row for realm in solvency(other)["realms"] for row in realm["rails"]}
        assert not rails["wallet_lnd"]["walked"], rails
        for row in other.json("agent", "list"):
            assert row["held_msat"] == 0
            assert 0 <= row["posted_msat"] <= 1_000_000_000


async def nothing_held(place: Setup) -> dict[str, Any] | None:
    """The ledger, once the calls of the process that is gone were ended: at once, or when its lease is over."""
    found = await asyncio.to_thread(place.json, "audit", "verify")
    return None if found["open_holds"] else dict(found)


def audit(place: Setup) -> list[dict[str, Any]]:
    answer = httpx.get(
        f"{place.url}/admin/audit?subject=database", headers=place.operator(), trust_env=False, timeout=60
    )
    return list(answer.json()["data"])


def solvency(place: Setup) -> dict[str, Any]:
    answer = httpx.get(f"{place.url}/admin/solvency?now=true", headers=place.operator(), trust_env=False, timeout=60)
    return dict(json.loads(answer.text))
