"""Names of agents: what may be one works wherever a name can stand, and what may not is refused at every door."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

import httpx
from house import Setup, chat, instance, process, write
from upstream import Upstream

from arbstr_core import config
from arbstr_core.cli._house import made_house
from arbstr_core.vault import Limits, NewAgent

AWKWARD = ("a b!?#&x=1%25+%2F..", '=1+1 [bold]Jürgen\'s "Groß"; 日本')
REFUSED = ("", " a", "a ", "a/b", "ag_x", ".a", "..", "-x", "a\nb", "a\u200bb", "x" * 101)


def test_an_awkward_name_works_in_every_command(place: Setup, tmp_path: Path) -> None:
    for name in AWKWARD:
        made = place.json("agent", "create", name, "--fund", "10sat")
        shown = place.json("agent", "show", name)
        assert (shown["id"], shown["name"]) == (made["id"], name)
        assert place.json("agent", "fund", name, "5")["posted_msat"] == 15_000
        assert place.json("agent", "limit", name, "--daily", "7sat")["limits"]["daily_msat"] == 7_000
        assert len(place.json("ledger", name)) == 2
        assert place.json("approval", "list", "--agent", name) == []
        out = tmp_path / "statement"
        place.arbstr("audit", "export", name, "-o", str(out), "--csv")
        place.arbstr("audit", "check", str(out))
        out.unlink()
        out.with_name("statement.sig").unlink()
        below = place.json("agent", "create", f"{name} too", "--parent", name)
        assert below["parent"] == made["id"]
    table = place.arbstr("agent", "list")
    assert all(name in table for name in AWKWARD)
    assert place.json("agent", "transfer", AWKWARD[0], AWKWARD[1], "1")["amount_msat"] == 1_000


def test_what_cannot_be_a_name_is_refused_with_what_can(place: Setup) -> None:
    for name in ("a/b", "-x", "a\nb"):
        done = place.command("agent", "create", "--", name)
        assert done.returncode == 1, name
        assert "cannot be an agent's name: 1 to 100 printable characters, no /" in done.stderr


def test_every_door_has_the_same_rule(tmp_path: Path) -> None:
    with Upstream() as upstream:
        place = write(tmp_path, instance("x", upstream.url))
        with process(place), httpx.Client(base_url=place.url, trust_env=False, timeout=60) as http:
            for name in AWKWARD:
                made = http.post("/admin/agents", json={"name": name, "fund_msat": 10**9}, headers=place.operator())
                assert made.status_code == 201, made.text
                own = {"authorization": f"Bearer {made.json()['token']}"}
                shown = http.get(f"/admin/agents/{quote(name, safe='')}", headers=place.operator())
                assert shown.json()["name"] == name
                assert http.post("/v1/chat/completions", json=chat(), headers=own).status_code == 200
                key = http.post("/wallet/keys", json={"name": name}, headers=own).json()["name"]
                found = http.get(f"/wallet/keys/{quote(key, safe='')}", headers=own)
                assert (found.status_code, found.json()["name"]) == (200, key)
            for name in REFUSED:
                refused = http.post("/admin/agents", json={"name": name}, headers=place.operator())
                assert (refused.status_code, refused.json()["error"]["param"]) == (400, "name"), name
            metrics = http.get("/metrics", headers=place.operator()).text
            assert not any(name in metrics for name in AWKWARD)


def test_an_agent_whose_name_was_allowed_once_goes_on(tmp_path: Path) -> None:
    place = write(tmp_path)

    async def made() -> None:
        async with made_house(config.load(place.file)) as house:
            assert house.vault is not None
            limits = Limits(max_charge_msat=1_000, daily_msat=1_000)
            await house.vault.create_agent(
                NewAgent(id="ag_old", name="-x", realm="sim", token_hash=bytes(32), limits=limits)
            )

    asyncio.run(made())
    assert place.json("agent", "list")[0]["name"] == "-x"
    assert place.json("agent", "fund", "ag_old", "5")["posted_msat"] == 5_000
    assert place.command("agent", "show", "--json", "--", "-x").returncode == 0
