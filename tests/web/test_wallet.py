"""`/wallet`: what an agent sees of its account, and that it sees nobody else's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from house import Served, chat, instance, run, serving, write
from upstream import Upstream

from arbstr_core.flow import wallet


class Wallet:
    """An agent's, or a key's."""

    def __init__(self, served: Served, agent: dict[str, Any]) -> None:
        self.served = served
        self.agent = agent
        self.id = agent["id"]
        self._known = {"authorization": f"Bearer {agent['token']}"}

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        known = {**self._known, **(headers or {})}
        return await self.served.http.request(method, f"/wallet{path}", headers=known, **more)

    async def get(self, path: str, **asked: Any) -> Any:
        answer = await self.ask("GET", path, params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def all(self, path: str, limit: int, **asked: Any) -> list[Any]:
        """The rows of a list, page by page."""
        rows: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self.get(path, limit=limit, **cursor, **asked)
            assert len(page["data"]) <= limit
            assert page["has_more"] == (page["next_cursor"] is not None)
            rows += page["data"]
            if not page["has_more"]:
                return rows
            cursor = {"cursor": page["next_cursor"]}

    async def called(self, **fields: Any) -> str:
        answer = await self.served.call(self.agent, **fields)
        assert answer.status_code == 200, answer.text
        await self.served.ended(answer.headers["x-request-id"])
        return answer.headers["x-request-id"]

    async def key(self, name: str, **limits: Any) -> Wallet:
        answer = await self.ask("POST", "/keys", json={"name": name, **limits})
        assert answer.status_code == 201, answer.text
        return Wallet(self.served, answer.json())


def told(folder: Path, story: Callable[[Wallet], Awaitable[None]], **limits: Any) -> None:
    async def whole() -> None:
        with Upstream() as upstream:
            async with serving(write(folder, instance("x", upstream.url))) as served:
                await story(Wallet(served, await served.agent("bot", **limits)))

    run(whole())


def test_the_balance_and_what_is_left(tmp_path: Path) -> None:
    async def story(me: Wallet) -> None:
        before = await me.get("/balance")
        assert before == {
            "agent": me.id,
            "name": "bot",
            "realm": "sim",
            "parent": None,
            "posted_msat": 1_000_000_000,
            "held_msat": 0,
            "available_msat": 1_000_000_000,
            "spendable_msat": 5_000_000,
        }
        call = await me.called(max_tokens=5)
        charged = (await me.get(f"/receipts/{call}"))["charged_msat"]
        assert charged > 0
        after = await me.get("/balance")
        assert after["posted_msat"] == after["available_msat"] == 1_000_000_000 - charged
        found = await me.get("/limits")
        assert (found["limits"]["max_charge_msat"], found["limits"]["per_minute"]) == (5_000_000, 3)
        left = {row["limit"]: row for row in found["left"]}
        assert set(left) == {"max_charge", "daily", "hourly", "per_minute", "concurrent"}
        assert left["daily"]["used_msat"] == left["hourly"]["used_msat"] == charged
        assert left["daily"]["left_msat"] == 10_000_000 - charged
        assert left["daily"]["resets_ms"] % 86_400_000 == 0
        assert (left["per_minute"]["most"], left["per_minute"]["used"], left["per_minute"]["left"]) == (3, 1, 2)
        assert left["per_minute"]["resets_ms"] > 0
        assert (left["concurrent"]["used"], left["concurrent"]["left"]) == (0, 2)

    limits = {"max_charge_msat": 5_000_000, "daily_msat": 10_000_000, "hourly_msat": 9_000_000}
    told(tmp_path, story, per_minute=3, concurrent=2, **limits)


def test_history_page_by_page(tmp_path: Path) -> None:
    async def story(me: Wallet) -> None:
        calls = [await me.called(max_tokens=5) for _ in range(5)]
        for limit in (1, 2, 5, 50):
            assert [row["id"] for row in await me.all("/calls", limit)] == calls[::-1]
        moved = await me.all("/transfers", 2)
        assert [row["kind"] for row in moved] == ["settle"] * 5 + ["fund"]
        assert [row["call"] for row in moved] == [*calls[::-1], None]
        assert sum(row["change_msat"] for row in moved) == (await me.get("/balance"))["posted_msat"]
        assert [row["kind"] for row in await me.all("/transfers", 2, kind="fund")] == ["fund"]
        assert await me.all("/calls", 2, model="other") == []
        assert len(await me.all("/calls", 2, model="m", kind="call")) == 5
        third = await me.served.receipt(calls[2])
        assert third["model"] == "m"
        at = next(row["created_ms"] for row in await me.all("/calls", 5) if row["id"] == calls[2])
        assert calls[2] in [row["id"] for row in await me.all("/calls", 2, since_ms=at)]
        assert await me.all("/calls", 2, until_ms=1) == []

    told(tmp_path, story)


def test_nobody_sees_anothers(tmp_path: Path) -> None:
    """Receipts, keys and places in another's history do not exist; a key sees itself and those below it."""

    async def story(me: Wallet) -> None:
        served = me.served
        other = Wallet(served, await served.agent("other"))
        mine = [await me.called(max_tokens=5) for _ in range(3)]
        first, second = await me.key("ci"), await me.key("web")
        below = await first.key("job")
        of_first, of_second, of_below = [await key.called(max_tokens=5) for key in (first, second, below)]
        everything = [of_below, of_second, of_first, *mine[::-1]]
        sees = {me: everything, first: [of_below, of_first], second: [of_second], below: [of_below], other: []}
        for seer, calls in sees.items():
            assert [row["id"] for row in await seer.all("/calls", 2)] == calls
            assert [row["call"] for row in await seer.all("/transfers", 2) if row["call"]] == calls
            for call in everything:
                answer = await seer.ask("GET", f"/receipts/{call}")
                assert answer.status_code == (200 if call in calls else 404), (seer.id, call)
        stolen = (await me.get("/calls", limit=1))["next_cursor"]
        assert (await other.get("/calls", cursor=stolen))["data"] == []
        stolen = (await me.get("/transfers", limit=1))["next_cursor"]
        assert (await other.get("/transfers", cursor=stolen))["data"] == []
        for asker, key in ((other, first), (second, first), (first, me), (below, first), (first, first)):
            for method, path in (
                ("GET", ""),
                ("PUT", "/limits"),
                ("PATCH", "/limits"),
                ("POST", "/disable"),
                ("POST", "/enable"),
                ("POST", "/rotate"),
            ):
                body = {} if method in ("PUT", "PATCH") else None
                for name in (key.id, key.agent["name"]):
                    assert (await asker.ask(method, f"/keys/{name}{path}", json=body)).status_code == 404
        assert [row["id"] for row in (await me.get("/keys"))["data"]] == [first.id, second.id, below.id]
        assert (await below.get("/keys"))["data"] == []

    told(tmp_path, story)


def test_child_keys_live_within_their_parents(tmp_path: Path) -> None:
    async def story(me: Wallet) -> None:
        key = await me.key("ci", max_charge_msat=4_000_000, models=["m"])
        assert key.agent["name"] == "bot.ci"
        assert "posted_msat" not in key.agent
        assert key.agent["limits"]["daily_msat"] == 20_000_000
        assert (await key.get("/balance"))["parent"] == me.id
        await key.called(max_tokens=5)
        lefts = (await key.get("/limits"))["left"]
        assert {row["agent"] for row in lefts} == {me.id, key.id}
        changed = await me.ask("PATCH", f"/keys/{key.id}/limits", json={"per_minute": 1, "models": None})
        assert (changed.json()["limits"]["per_minute"], changed.json()["limits"]["models"]) == (1, None)
        assert changed.json()["limits"]["max_charge_msat"] == 4_000_000
        refused = await me.served.call(key.agent, max_tokens=5)
        assert refused.status_code == 200 or refused.json()["error"]["limit"] == "per_minute"
        whole = await me.ask("PUT", "/keys/bot.ci/limits", json={"max_charge_msat": 1})
        assert (whole.json()["limits"]["daily_msat"], whole.json()["limits"]["version"]) == (None, 3)
        assert (await me.served.call(key.agent)).json()["error"]["limit"] == "none_set"
        rotated = (await me.ask("POST", f"/keys/{key.id}/rotate")).json()
        assert (await key.ask("GET", "/balance")).status_code == 401
        again = Wallet(me.served, rotated)
        assert (await again.get("/balance"))["name"] == "bot.ci"
        assert (await me.ask("POST", f"/keys/{key.id}/disable")).json()["enabled"] is False
        assert (await again.ask("GET", "/balance")).json()["error"]["code"] == "agent_disabled"
        await me.ask("POST", f"/keys/{key.id}/enable")
        assert (await again.ask("GET", "/balance")).status_code == 200
        taken = await me.ask("POST", "/keys", json={"name": "ci"})
        assert taken.status_code == 409
        wide = {"max_charge_msat": 10**12, "daily_msat": 10**13}
        greedy = await me.key("greedy", **wide)
        assert (await greedy.get("/balance"))["spendable_msat"] == 5_000_000
        rows = (await me.served.admin.get(f"/admin/audit?subject={key.id}")).json()["data"]
        assert {row["actor"] for row in rows} == {me.id}
        await me.served.verified()

    told(tmp_path, story, max_charge_msat=5_000_000, daily_msat=20_000_000)


def test_keys_are_not_made_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wallet, "_MOST_KEYS", 1)

    async def story(me: Wallet) -> None:
        key = await me.key("one")
        await key.key("below")
        more = await me.ask("POST", "/keys", json={"name": "two"})
        assert (more.status_code, more.json()["error"]["code"]) == (409, "conflict")

    told(tmp_path, story)


def test_keys_go_four_deep(tmp_path: Path) -> None:
    async def story(me: Wallet) -> None:
        deep = me
        for name in ("two", "three", "four"):
            deep = await deep.key(name)
        more = await deep.ask("POST", "/keys", json={"name": "five"})
        assert (more.status_code, more.json()["error"]["param"]) == (400, "parent")

    told(tmp_path, story)


def test_what_a_call_would_cost(tmp_path: Path) -> None:
    """A quote holds nothing, and says what the call itself comes to."""

    async def story(me: Wallet) -> None:
        body = chat(max_tokens=50)
        quote = (await me.ask("POST", "/quote", json=body)).json()
        assert (quote["granted"], quote["refusal"], quote["covered"], quote["model"]) == (True, None, 1, "m")
        (candidate,) = quote["candidates"]
        assert 0 < candidate["cost_msat"] <= candidate["ceiling_msat"] == quote["hold_msat"]
        assert quote["reasons"]
        assert await me.all("/calls", 10) == []
        answer = await me.served.call(me.agent, max_tokens=50)
        assert int(answer.headers["x-arbstr-reserved-msat"]) == quote["hold_msat"]
        where = f"/admin/agents/{me.id}/limits"
        needed = quote["hold_msat"]
        wide = {"max_charge_msat": 10**12, "daily_msat": 10**13}
        cases: list[tuple[dict[str, Any], str]] = [
            ({"max_charge_msat": needed - 1}, "max_charge"),
            ({"daily_msat": needed}, "daily"),
            ({"hourly_msat": needed - 1}, "hourly"),
            ({"per_minute": 1}, "per_minute"),
            ({"models": ["other"]}, "models"),
            ({"expires_ms": 1}, "expired"),
            ({"daily_msat": None}, "none_set"),
        ]
        await me.served.admin.put(where, json={**wide, "per_minute": 1})
        await me.served.call(me.agent, max_tokens=50)
        for named, limit in cases:
            await me.served.admin.put(where, json={**wide, **named})
            quote = (await me.ask("POST", "/quote", json=body)).json()
            refused = await me.served.call(me.agent, max_tokens=50)
            assert refused.status_code == 403, (limit, quote, refused.headers, refused.text)
            assert refused.json()["error"]["limit"] == limit
            assert (quote["granted"], quote["refusal"]["limit"]) == (False, limit)
            if limit in ("daily", "hourly", "max_charge"):
                assert quote["refusal"]["left_msat"] == refused.json()["error"]["left_msat"]
        poor = Wallet(me.served, await me.served.agent("poor", fund=1))
        quote = (await poor.ask("POST", "/quote", json=body)).json()
        assert (quote["refusal"]["limit"], quote["refusal"]["left_msat"]) == ("balance", 1)
        unknown = await me.ask("POST", "/quote", json=chat("none"))
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
        nobody = (await me.ask("POST", "/quote", json=chat(n=100, response_format={"type": "json_object"}))).json()
        assert nobody["granted"] is False or nobody["candidates"]

    told(tmp_path, story)


def test_a_quote_knows_what_is_tried_before_a_call_is_refused(tmp_path: Path) -> None:
    """A smaller output, where the caller left that open; an operator, where the limits say so."""

    async def story(me: Wallet) -> None:
        full = (await me.ask("POST", "/quote", json=chat())).json()
        assert (full["granted"], full["output_limit"]) == (True, None)
        poor = Wallet(me.served, await me.served.agent("poor", fund=full["hold_msat"] * 3 // 4))
        quote = (await poor.ask("POST", "/quote", json=chat())).json()
        assert (quote["granted"], quote["refusal"]) == (True, None)
        assert 256 <= quote["output_limit"] < 4096
        assert any("can be afforded" in reason for reason in quote["reasons"])
        answer = await me.served.call(poor.agent)
        assert answer.status_code == 200
        assert int(answer.headers["x-arbstr-output-limit"]) == quote["output_limit"]
        assert int(answer.headers["x-arbstr-reserved-msat"]) == quote["hold_msat"]
        # Who says how much it wants gets that, or nothing; unless it says that less will do.
        exact = chat(max_tokens=4096)
        assert (await poor.ask("POST", "/quote", json=exact)).json()["refusal"]["limit"] == "balance"
        less = (await poor.ask("POST", "/quote", json=exact, headers={"x-arbstr-afford": "1"})).json()
        assert less["granted"] is True
        where = f"/admin/agents/{me.id}/limits"
        for named, asked in (({}, False), ({"approval_seconds": 60}, True)):
            tight = {"max_charge_msat": full["hold_msat"] // 100, "daily_msat": 10**13, **named}
            await me.served.admin.put(where, json=tight)
            refusal = (await me.ask("POST", "/quote", json=chat())).json()["refusal"]
            assert (refusal["limit"], refusal["approval"]) == ("max_charge", asked)

    told(tmp_path, story)


def test_what_the_operator_set_stays_when_a_parent_sets_the_rest(tmp_path: Path) -> None:
    async def story(me: Wallet) -> None:
        await me.key("ci", max_charge_msat=10, daily_msat=10)
        set_by_operator = {"approval_seconds": 300, "alert_floor_msat": 5, "max_fee_msat": 7}
        answer = await me.served.admin.patch("/admin/agents/bot.ci/limits", json=set_by_operator)
        assert answer.status_code == 200, answer.text
        whole = await me.ask("PUT", "/keys/bot.ci/limits", json={"max_charge_msat": 9, "daily_msat": 9})
        assert whole.status_code == 200, whole.text
        limits = (await me.served.admin.get("/admin/agents/bot.ci")).json()["limits"]
        assert {name: limits[name] for name in set_by_operator} == set_by_operator
        assert (limits["max_charge_msat"], limits["daily_msat"]) == (9, 9)

    told(tmp_path, story)
