"""`arbstr key rotate`: with what serves it does not, and what was sealed is there afterwards."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from house import Setup, instance, process, share_keys, write
from upstream import Upstream


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_rotation_with_the_servers_stopped(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    storage = ""
    if kind == "postgresql":
        storage = f'[storage]\nurl = "{request.getfixturevalue("postgres_url")}"\n'
    with Upstream() as upstream:
        place = write(tmp_path / "one", instance("x", upstream.url) + storage)
        agent = place.json("agent", "create", "a", "--fund", "100sat")
        with process(place):
            headers = {"authorization": f"Bearer {agent['token']}"}
            wanted = {"amount_msat": 5000}
            invoice = httpx.post(
                f"{place.url}/wallet/deposits", json=wanted, headers=headers, trust_env=False, timeout=60
            )
            assert invoice.is_success, invoice.text
            done = place.command("key", "rotate")
            assert done.returncode == 1
            assert "is in use by process" in done.stderr
        if kind == "postgresql":
            other = write(tmp_path / "two", instance("x", upstream.url) + storage)
            share_keys(place, other)
            with process(other):
                done = place.command("key", "rotate")
                assert "1 other processes use this database: stop them" in done.stderr
        rotated = place.json("key", "rotate")
        assert rotated["resealed"] >= 1
        assert Path(rotated["kept"]).name == f"master.key.{rotated['old']}"
        found = {row["what"]: row["ok"] for row in place.json("doctor")}
        assert found["master.key"]
        assert all(found.values()), found
        with process(place):
            body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
            answer = httpx.post(
                f"{place.url}/v1/chat/completions", json=body, headers=headers, trust_env=False, timeout=60
            )
            assert answer.status_code == 200, answer.text
        if kind == "postgresql":
            refused(other, "put that back")


def refused(place: Setup, said: str) -> None:
    done = place.run("serve")
    assert done.returncode == 1
    assert said in done.stderr
