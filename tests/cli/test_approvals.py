"""`arbstr approval`: a call waits, the operator lets it through or not."""

from __future__ import annotations

from pathlib import Path

import httpx
from house import Setup, chat, instance, process, write
from upstream import Upstream


def ask(place: Setup, token: str, text: str) -> httpx.Response:
    known = {"authorization": f"Bearer {token}"}
    return httpx.post(f"{place.url}/v1/chat/completions", json=chat(text=text, max_tokens=9), headers=known, timeout=30)


def test_an_operator_decides(tmp_path: Path) -> None:
    with Upstream() as upstream:
        place = write(tmp_path, instance("x", upstream.url))
        with process(place):
            made = place.json("agent", "create", "bot", "--fund", "1000sat", "--max-charge", "1msat")
            place.arbstr("agent", "limit", "bot", "--approval", "600")
            waiting = [ask(place, made["token"], text) for text in ("one", "two")]
            assert {answer.status_code for answer in waiting} == {403}
            assert {answer.json()["error"]["code"] for answer in waiting} == {"approval_required"}
            first, second = (answer.json()["error"]["approval"] for answer in waiting)
            rows = place.json("approval", "list")
            assert [row["id"] for row in rows] == [second, first]
            assert {(row["agent"], row["state"], row["kind"]) for row in rows} == {(made["id"], "pending", "call")}
            assert first in place.arbstr("approval", "list", "--agent", "bot")
            assert place.json("approval", "grant", first)["state"] == "granted"
            assert place.json("approval", "grant", first)["decided_by"] == "operator"
            assert "denied" in place.arbstr("approval", "deny", second)
            done = place.command("approval", "deny", first)
            assert (done.returncode, done.stdout) == (1, "")
            assert ask(place, made["token"], "one").status_code == 200
            assert place.json("approval", "list") == []
            states = {row["id"]: row["state"] for row in place.json("approval", "list", "--state", "all")}
            assert states == {first: "used", second: "denied"}
            # Once is once.
            assert ask(place, made["token"], "one").status_code == 403
            page = httpx.get(f"{place.url}/admin/approvals?limit=1", headers=place.operator(), timeout=60).json()
            assert (len(page["data"]), page["has_more"]) == (1, True)
            rest = httpx.get(
                f"{place.url}/admin/approvals",
                params={"cursor": page["next_cursor"]},
                headers=place.operator(),
                timeout=60,
            ).json()
            assert [row["id"] for row in rest["data"]] == [second, first]
            shown = httpx.get(f"{place.url}/admin/approvals/{first}", headers=place.operator(), timeout=60).json()
            assert shown["state"] == "used"
            events = httpx.get(f"{place.url}/admin/events?limit=2", headers=place.operator(), timeout=60).json()
            assert len(events["data"]) == 2
            assert events["has_more"] is True
            more = httpx.get(
                f"{place.url}/admin/events",
                params={"cursor": events["next_cursor"]},
                headers=place.operator(),
                timeout=60,
            ).json()
            numbers = [row["seq"] for row in (*events["data"], *more["data"])]
            assert numbers == sorted(set(numbers), reverse=True)
