"""Every door of the OpenAPI document, tried by agents: the operator's stay shut, and nobody sees another's data."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from house import Served, chat, instance, run, serving, write
from upstream import Upstream

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
IDS = re.compile(r'"([a-z]{2,5}_[0-9a-f]{12,}|ln\w{40,}|[^"]*hidden[^"]*)"')
"""What only its owner knows: ids, invoices, and names with `hidden` in them."""
WAYS = ("authorization", "x-api-key", "x-internal-token")


def routes(document: dict[str, Any], *doors: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, ways in document["paths"].items():
        for method, way in ways.items():
            keys = {key for each in way.get("security", []) for key in each}
            if keys & set(doors):
                yield method.upper(), path, way


def named(way: dict[str, Any], where: str) -> list[str]:
    return [param["name"] for param in way.get("parameters", []) if param["in"] == where]


def filled(path: str, way: dict[str, Any], values: list[str]) -> Iterator[str]:
    """`path` with each of `values` in the place of its parameters."""
    names = named(way, "path")
    for chosen in itertools.product(values, repeat=len(names)):
        whole = path
        for name, value in zip(names, chosen, strict=True):
            whole = whole.replace("{" + name + "}", value)
        yield whole


async def ask(served: Served, method: str, path: str, token: str, **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    body = {} if method in ("GET", "DELETE") else {"json": {}}
    return await served.http.request(method, path, headers=headers, **{**body, **more})


async def owned(served: Served, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """An agent, and a key below it, of which there is something to see everywhere."""
    agent = await served.agent(name, approval_seconds=600, max_charge_msat=10**6)
    made = await ask(served, "POST", "/wallet/keys", agent["token"], json={"name": f"{name}-key"})
    key = dict(made.json())
    for token in (agent["token"], key["token"]):
        assert (await ask(served, "POST", "/v1/chat/completions", token, json=chat())).status_code == 200
    dear = await ask(served, "POST", "/v1/chat/completions", agent["token"], json=chat(max_tokens=10**6))
    assert dear.status_code == 403, dear.text
    invoice = await ask(served, "POST", "/wallet/deposits", agent["token"], json={"amount_msat": 5000})
    assert invoice.is_success, invoice.text
    return agent, key


async def seen_by(served: Served, document: dict[str, Any], token: str) -> set[str]:
    """What stands in an agent's own lists and pages that nobody else may see."""
    found: set[str] = set()
    for method, path, way in routes(document, "agent"):
        if method == "GET" and not named(way, "path"):
            found |= set(IDS.findall((await ask(served, method, path, token)).text))
    return found


def test_an_agents_token_opens_no_door_of_the_operators(tmp_path: Path) -> None:
    async def story(served: Served, document: dict[str, Any]) -> None:
        agent, key = await owned(served, "hidden")
        gone = await served.agent("gone")
        await served.admin.post(f"/admin/agents/{gone['id']}/disable")
        tried = 0
        values = [agent["id"]]
        for method, path, way in routes(document, "operator", "metrics", "internal"):
            for whole in filled(path, way, values):
                for token in (agent["token"], key["token"], gone["token"], "arb_" + "0" * 43):
                    for name in WAYS:
                        said = token if name != "authorization" else f"Bearer {token}"
                        body = {} if method in ("GET", "DELETE") else {"json": {}}
                        answer = await served.http.request(method, whole, headers={name: said}, **body)
                        assert answer.status_code in (401, 403), (method, whole, name, answer.text)
                        assert not IDS.search(answer.text), answer.text
                        tried += 1
        assert tried > 12 * 40
        # What the document does not name is shut as well.
        for path in (
            "/admin",
            "/admin/",
            "/admin/none",
            "/admin/agents/",
            "/internal/none",
            "/openapi.json",
            "/metrics/",
        ):
            for method in METHODS:
                answer = await ask(served, method, path, agent["token"])
                assert answer.status_code in (401, 403, 404), (method, path, answer.text)
                assert not answer.is_success
        assert (await served.show(agent))["enabled"]

    told(tmp_path, story)


def test_agents_see_their_own_data_alone(tmp_path: Path) -> None:
    """One agent asks for everything of another's by its ids, at every door that is open to it, and changes nothing."""

    async def story(served: Served, document: dict[str, Any]) -> None:
        agent, key = await owned(served, "hidden")
        other, others_key = await owned(served, "other")
        mine = await seen_by(served, document, agent["token"])
        assert {agent["id"], key["id"], key["name"], "hidden"} <= mine
        kinds = {each.split("_")[0] for each in mine}
        assert {"ag", "req"} <= kinds, mine
        before = [await seen_by(served, document, each["token"]) for each in (agent, key)]
        secret = sorted(mine)
        open_doors = list(routes(document, "agent"))
        assert len(open_doors) > 25
        for asking in (other, others_key):
            for method, path, way in open_doors:
                for whole in filled(path, way, secret):
                    answer = await ask(served, method, whole, asking["token"])
                    nothing_shown(answer, secret, whole)
                    assert not (answer.is_success and named(way, "path")), (method, whole, answer.text)
                for name in named(way, "query"):
                    if not named(way, "path"):
                        for value in (agent["id"], key["id"], "hidden"):
                            answer = await ask(served, method, path, asking["token"], params={name: value})
                            nothing_shown(answer, secret, value)
        after = [await seen_by(served, document, each["token"]) for each in (agent, key)]
        assert all(was <= now for was, now in zip(before, after, strict=True)), (
            "the request log may have grown meanwhile"
        )
        # A key sees no more than is its own, and those above it see it.
        assert agent["id"] not in json.dumps((await ask(served, "GET", "/wallet/keys", key["token"])).json())
        await served.ended(next(each for each in secret if each.startswith("req_")))

    told(tmp_path, story)


def nothing_shown(answer: httpx.Response, secret: list[str], asked: str) -> None:
    """Nothing of another's is in an answer, but for what was asked for itself, repeated."""
    for each in secret:
        if each not in asked:
            assert each not in answer.text, (answer.request.url, each, answer.text)


def told(folder: Path, story: Any) -> None:
    async def whole() -> None:
        (folder / "token").write_text("internal-token-of-the-other-router-0123456789")
        with Upstream() as upstream:
            door = 'internal_token = "file:token"'
            async with serving(write(folder, instance("x", upstream.url), server=door)) as served:
                document = (await served.admin.get("/openapi.json")).json()
                await story(served, document)

    run(whole())
