"""The operator's overview: money by realm, spend over time, calls that are open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from house import PRICED, Served, chat, instance, run, serving, until, write
from upstream import Act, Upstream


def told(folder: Path, story: Callable[[Served, Upstream], Awaitable[None]]) -> None:
    async def whole() -> None:
        with Upstream() as upstream:
            models = f"[models.m]\n{PRICED}\n[models.n]\n{PRICED}\n"
            setup = write(folder, instance("x", upstream.url, models))
            async with serving(setup) as served:
                await story(served, upstream)

    run(whole())


async def got(served: Served, path: str, **params: Any) -> Any:
    answer = await served.admin.get(f"/admin/{path}", params=params)
    assert answer.is_success, answer.text
    return answer.json()


def test_whose_the_money_is(tmp_path: Path) -> None:
    async def story(served: Served, _: Upstream) -> None:
        assert (await got(served, "money"))["realms"][0]["liabilities_msat"] == 0
        await served.agent("a", fund=5_000)
        await served.agent("b", fund=7_000)
        (realm,) = (await got(served, "money"))["realms"]
        assert (realm["realm"], realm["agents_msat"], realm["liabilities_msat"], realm["held_msat"]) == (
            *("sim", 12_000, 12_000, 0),
        )
        (asset,) = realm["assets"]
        assert (asset["kind"], asset["amount_msat"], realm["assets_msat"]) == ("rail", 12_000, 12_000)

    told(tmp_path, story)


def test_what_was_spent_over_time(tmp_path: Path) -> None:
    async def story(served: Served, _: Upstream) -> None:
        one, other = await served.agent("a"), await served.agent("b")
        charged: dict[str, int] = {}
        for agent, model in ((one, "m"), (one, "n"), (other, "m"), (other, "none")):
            answer = await served.call(agent, model=model)
            if answer.is_success:
                receipt = await served.ended(answer.headers["x-request-id"])
                for name in (agent["id"], model, "providers_openai.x", "all"):
                    charged[name] = charged.get(name, 0) + receipt["charged_msat"]

        async def written() -> Any:
            found = await got(served, "spend", by="model", step="minute")
            return found if found["total"]["calls"] == 4 else None

        found = await until(written)
        assert [group["name"] for group in found["groups"]] == ["m", "n", "none"]
        assert found["total"]["charged_msat"] == charged["all"] == sum(found["total"]["charged_each_msat"])
        assert len(found["at_ms"]) == len(found["groups"][0]["calls_each"]) >= 24
        assert (found["groups"][2]["failed"], found["groups"][2]["calls"], found["rest"]) == (1, 1, None)
        for by in ("agent", "provider", "model"):
            groups = (await got(served, "spend", by=by, step="hour"))["groups"]
            assert {g["name"]: g["charged_msat"] for g in groups if g["charged_msat"]} == {
                name: msat for name, msat in charged.items() if name in {g["name"] for g in groups}
            }
        of_one = await got(served, "spend", by="model", step="day", agent=one["id"])
        assert of_one["total"]["charged_msat"] == charged[one["id"]]
        saved = await got(served, "savings")
        assert (saved["agents"], saved["providers"], saved["alone"]) == ([], [], 3)
        for wrong, param in (
            ({"by": "day"}, "by"),
            ({"since_ms": 5, "until_ms": 5}, "since_ms"),
            ({"since_ms": 0, "step": "minute"}, "step"),
        ):
            answer = await served.admin.get("/admin/spend", params=wrong)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)

    told(tmp_path, story)


def test_open_calls_are_seen(tmp_path: Path) -> None:
    async def story(served: Served, upstream: Upstream) -> None:
        upstream.script("m", Act(how="gate"))
        agent = await served.agent("a", max_charge_msat=10**9)
        careful = await served.agent("b", max_charge_msat=1, approval_seconds=60)
        assert (await got(served, "live"))["calls"] == []
        calling = asyncio.create_task(served.call(agent, stream=True))
        headers = {"authorization": f"Bearer {careful['token']}", "prefer": "wait=60"}
        waiting = asyncio.create_task(
            served.http.post("/v1/chat/completions", json=chat("n", max_tokens=9), headers=headers)
        )

        async def both() -> Any:
            calls = {call["agent_name"]: call for call in (await got(served, "live"))["calls"]}
            stages = {name: call["stage"] for name, call in calls.items()}
            return calls if stages == {"a": "asking", "b": "approval"} else None

        found = await until(both)
        assert found["a"]["held_msat"] > 0
        assert (found["a"]["model"], found["a"]["stream"], found["a"]["used_msat"]) == ("m", True, 0)
        assert (found["b"]["held_msat"], found["b"]["endpoint"]) == (None, "chat/completions")
        (approval,) = (await got(served, "approvals", state="pending"))["data"]
        assert (await served.admin.post(f"/admin/approvals/{approval['id']}/grant")).is_success
        assert (await waiting).status_code == 200
        upstream.open_gate()
        assert (await calling).status_code == 200

        async def none() -> bool:
            return (await got(served, "live"))["calls"] == []

        await until(none)

    told(tmp_path, story)
