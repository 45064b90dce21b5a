"""The control plane as a whole: who may come in, what an amount is, one shape of error, and its own description."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from house import Served, chat, instance, run, serving, write
from ports import free_port
from upstream import Upstream

from arbstr_core.types import Endpoint

TOKEN = "internal-token-of-the-other-router-0123456789"
CALLS = {f"/v1/{endpoint}" for endpoint in Endpoint}
FIELDS = {"message", "type", "param", "code"}


def told(folder: Path, story: Callable[[Served], Awaitable[None]]) -> None:
    async def whole() -> None:
        (folder / "token").write_text(TOKEN + "\n")
        with Upstream() as upstream:
            setup = write(folder, instance("x", upstream.url), server='internal_token = "file:token"')
            async with serving(setup) as served:
                await story(served)

    run(whole())


def shaped(answer: httpx.Response, status: int, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) >= FIELDS
    assert isinstance(error["message"], str)
    assert answer.headers["x-request-id"].startswith("req_")
    assert (error["code"], error["param"]) == (code, param), error
    return dict(error)


def test_t12_one_door_one_key(tmp_path: Path) -> None:
    """Every pair of credentials at every door: the right one alone opens it, and two are refused whatever they are."""

    async def story(served: Served) -> None:
        agent = await served.agent()
        keys: dict[str, tuple[bytes, bytes]] = {
            "operator": (b"authorization", f"Bearer {served.setup.token()}".encode()),
            "agent": (b"authorization", f"Bearer {agent['token']}".encode()),
            "internal": (b"x-internal-token", TOKEN.encode()),
            "wrong": (b"authorization", b"Bearer adm_wrong"),
            "wrong internal": (b"x-internal-token", b"wrong"),
            "internal as bearer": (b"authorization", f"Bearer {TOKEN}".encode()),
            "operator as internal": (b"x-internal-token", served.setup.token().encode()),
            "basic": (b"authorization", b"Basic b3BlcmF0b3I6eA=="),
        }
        doors = {
            "operator": ("GET", "/admin/agents"),
            "agent": ("GET", "/wallet/balance"),
            "internal": ("POST", "/internal/release"),
        }
        for opens, (method, path) in doors.items():
            body = {"reservation_id": "tx_none"} if method == "POST" else None
            shaped(await served.http.request(method, path, json=body), 401, code="invalid_api_key")
            for first, key in keys.items():
                answer = await served.http.request(method, path, headers=[key], json=body)
                if first == opens:
                    assert answer.status_code == (404 if method == "POST" else 200), answer.text
                else:
                    shaped(answer, 401, code="invalid_api_key")
                for other in keys.values():
                    both = await served.http.request(method, path, headers=[key, other], json=body)
                    shaped(both, 400)

        for path in ("/v1/chat/completions", "/v1/models", "/v1/messages", "/v1/cost", "/models"):
            method = "GET" if path.endswith("models") else "POST"
            for first in (keys["agent"], keys["wrong"]):
                both = await served.http.request(method, path, headers=[first, keys["agent"]], json={})
                assert both.status_code == 400, (path, both.text)
                assert "two authorization headers" in both.text

    told(tmp_path, story)


def test_t13_a_key_that_stands_twice_anywhere_in_a_body_is_refused(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        agent = await served.agent()
        own = {"authorization": f"Bearer {agent['token']}"}
        internal = {"x-internal-token": TOKEN}
        json = {"content-type": "application/json"}
        for client, method, path, body, key in (
            (served.admin, "POST", "/admin/agents", '{"name":"x","name":"y"}', "name"),
            (served.admin, "POST", "/admin/audit/verify", '{"checkpoints":[{"body":"","body":"x"}]}', "body"),
            (served.http, "POST", "/wallet/keys", '{"name":"x","models":[{"a":1,"\\u0061":2}]}', "a"),
            (served.http, "POST", "/internal/reserve", '{"metadata":{"x":{"y":1,"y":1}}}', "y"),
        ):
            headers = {**json, **(own if "wallet" in path else internal if "internal" in path else {})}
            answer = await client.request(method, path, content=body, headers=headers)
            assert "twice" in shaped(answer, 400, param=key)["message"]
        deep = "[" * 100_000
        shaped(await served.admin.post("/admin/agents", content=deep, headers=json), 400)

    told(tmp_path, story)


def test_the_operators_listener_is_the_other_routers_too(tmp_path: Path) -> None:
    """With a listener of its own for the operator, only calls and wallets are served on the other."""

    async def story() -> None:
        (tmp_path / "token").write_text(TOKEN + "\n")
        port = free_port()
        server = f'internal_token = "file:token"\nadmin_listen = "127.0.0.1:{port}"'
        with Upstream() as upstream:
            setup = write(tmp_path, instance("x", upstream.url), server=server)
            async with serving(setup) as served:
                own = f"http://127.0.0.1:{port}"
                made = await served.http.post(f"{own}/admin/agents", json={"name": "a"}, headers=setup.operator())
                known = {"authorization": f"Bearer {made.json()['token']}"}
                for base in ("", own):
                    assert (await served.http.get(f"{base}/wallet/balance", headers=known)).status_code == 200
                body, key = {"reservation_id": "tx_none"}, {"x-internal-token": TOKEN}
                closed = await served.http.post("/internal/release", json=body, headers=key)
                assert "listener of its own" in shaped(closed, 404, code="not_found")["message"]
                there = await served.http.post(f"{own}/internal/release", json=body, headers=key)
                assert "tx_none" in shaped(there, 404, code="not_found")["message"]
                away = {**key, "host": "evil.example"}
                assert (await served.http.post(f"{own}/internal/release", json=body, headers=away)).status_code == 421

    run(story())


def test_nothing_is_gathered_for_strangers(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        agent = await served.agent()
        large = b"[" + b"1," * 700_000 + b"1]"
        doors = {
            "/admin/agents": served.setup.operator(),
            "/wallet/quote": {"authorization": f"Bearer {agent['token']}"},
            "/internal/settle": {"x-internal-token": TOKEN},
        }
        for path, known in doors.items():
            shaped(await served.http.post(path, content=large), 401, code="invalid_api_key")
            shaped(await served.http.post(path, content=large, headers=known), 413, code="body_too_large")

    told(tmp_path, story)


def test_what_is_not_there_is_not_there_in_one_shape(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        agent = await served.agent()
        known = {"authorization": f"Bearer {agent['token']}"}
        for path in ("/admin/none", "/admin/agents/none", "/admin/approvals/none", "/admin/receipts/none"):
            shaped(await served.admin.get(path), 404, code="not_found")
        for path in ("/wallet/none", "/wallet/receipts/none", "/wallet/keys/none", "/wallet"):
            shaped(await served.http.get(path, headers=known), 404, code="not_found")
        shaped(await served.http.get("/none"), 404, code="not_found")
        shaped(await served.http.delete("/wallet/keys", headers=known), 405, code="method_not_allowed")
        mine = await served.http.get("/wallet/balance", headers={**known, "x-request-id": "mine"})
        assert mine.headers["x-client-request-id"] == "mine"
        for path in ("/v1/models", "/readyz"):
            assert (await served.http.get(path, headers=known)).headers["x-request-id"].startswith("req_")
        assert (await served.http.get("/v1/models")).headers["x-request-id"].startswith("req_")

    told(tmp_path, story)


NO_AMOUNTS = [-1, True, 1.0, 1.5, "1", "1e3", "21sat", 2**63, 2_100_000_000_000_000_001, [1], {"msat": 1}]


def test_t6_what_is_no_amount_is_refused_at_every_door(tmp_path: Path) -> None:
    """Negative, true, a fraction, a text, above 64 bits, above all bitcoin: each names its field, and nothing moves."""

    async def story(served: Served) -> None:
        agent = await served.agent(fund=1_000)
        operator = served.setup.operator()
        own = {"authorization": f"Bearer {agent['token']}"}
        internal = {"x-internal-token": TOKEN}
        limits = ("max_charge_msat", "daily_msat", "hourly_msat")
        more = ("max_fee_msat", "alert_floor_msat", "attempts_msat", "payouts_unapproved_msat")
        where = f"/admin/agents/{agent['id']}"
        key = (await served.http.post("/wallet/keys", json={"name": "k"}, headers=own)).json()
        reserve = {"agent_token": agent["token"], "correlation_id": "c", "model": "m"}
        doors: list[tuple[str, str, dict[str, str], dict[str, Any], tuple[str, ...]]] = [
            ("POST", "/admin/agents", operator, {"name": "n"}, ("fund_msat", *limits, *more)),
            ("POST", f"{where}/fund", operator, {}, ("amount_msat",)),
            ("PUT", f"{where}/limits", operator, {}, (*limits, *more)),
            ("PATCH", f"{where}/limits", operator, {}, (*limits, *more)),
            ("POST", "/wallet/keys", own, {"name": "n"}, limits),
            ("PUT", f"/wallet/keys/{key['id']}/limits", own, {}, limits),
            ("PATCH", f"/wallet/keys/{key['id']}/limits", own, {}, limits),
            ("POST", "/internal/reserve", internal, reserve, ("amount_msats",)),
            ("POST", "/internal/settle", internal, {"reservation_id": "tx_none"}, ("actual_msats",)),
        ]
        for method, path, known, body, fields in doors:
            for field in fields:
                for wrong in NO_AMOUNTS:
                    answer = await served.http.request(method, path, json={**body, field: wrong}, headers=known)
                    shaped(answer, 400, param=field)
        for path, known, body, field in (
            (f"{where}/fund", operator, {}, "amount_msat"),
            ("/internal/reserve", internal, reserve, "amount_msats"),
        ):
            shaped(await served.http.post(path, json={**body, field: 0}, headers=known), 400, param=field)
            shaped(await served.http.post(path, json=body, headers=known), 400, param=field)
        assert (await served.admin.get(where)).json()["posted_msat"] == 1_000
        assert (await served.admin.get(f"{where}/limits")).json()["data"][0]["version"] == 1

    told(tmp_path, story)


BODILESS = {
    *("check", "checkpoints", "reload", "close", "disable", "enable", "revoke", "rotate", "grant", "deny"),
    *("approve", "cancel", "reclaim", "pay"),
}
WRONG_FILTERS = [
    ("/admin/ledger?limit=0", "limit"),
    ("/admin/ledger?limit=101", "limit"),
    ("/admin/ledger?limit=x", "limit"),
    ("/admin/ledger?cursor=x", "cursor"),
    ("/admin/ledger?cursor=aG9sZDox", "cursor"),  # another list's
    ("/admin/ledger?cursor=dHJhbnNmZXI6MA", "cursor"),
    ("/admin/ledger?since_ms=x", "since_ms"),
    ("/admin/ledger?since_ms=-1", "since_ms"),
    ("/admin/ledger?since_ms=5&until_ms=5", "since_ms"),
    ("/admin/ledger?kind=%00", "kind"),
    ("/admin/holds?cursor=%C3%A4", "cursor"),
    ("/admin/receipts?model=", "model"),
    ("/admin/audit?subject=%00", "subject"),
    ("/admin/approvals?state=none", "state"),
    ("/admin/agents?cursor=YWdlbnQ6", "cursor"),
    ("/admin/events?undelivered=perhaps", "undelivered"),
    ("/admin/receipts/%00", "request_id"),
]


def test_wrong_filters_are_named(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        for path, param in WRONG_FILTERS:
            shaped(await served.admin.get(path), 400, param=param)

    told(tmp_path, story)


def test_filters_for_nobody(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        for path in ("ledger", "holds", "receipts"):
            shaped(await served.admin.get(f"/admin/{path}?agent=nobody"), 404, code="not_found")

    told(tmp_path, story)


def test_a_filter_that_is_none_is_refused(tmp_path: Path) -> None:
    """One that is misspelled would else give everything, or nothing, and look like an answer."""

    async def story(served: Served) -> None:
        agent = await served.agent()
        own = {"authorization": f"Bearer {agent['token']}"}
        for path, param in (
            ("/admin/agents?agnet=a", "agnet"),
            ("/admin/ledger?kind=setle", "kind"),
            ("/admin/receipts?kind=settle", "kind"),
            ("/admin/approvals?state=open", "state"),
            ("/admin/audit/checkpoints?limit=1", "limit"),
            ("/admin/ledger?since_ms=5&until_ms=5", "since_ms"),
        ):
            shaped(await served.admin.get(path), 400, param=param)
        for path, param in (("/wallet/calls?kind=fund", "kind"), ("/wallet/balance?agent=a", "agent")):
            shaped(await served.http.get(path, headers=own), 400, param=param)
        assert len((await served.admin.get("/admin/ledger?kind=fund")).json()["data"]) == 1

    told(tmp_path, story)


def test_bodies_that_are_none(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        agent = await served.agent()
        where = f"/admin/agents/{agent['id']}/limits"
        shaped(await served.admin.put(where, content=b"{", headers={"content-type": "application/json"}), 400)
        shaped(await served.admin.put(where, json={"dayly_msat": 1}), 400, param="dayly_msat")
        shaped(await served.admin.put(where, json={"zone": "Mars/Olympus"}), 400, param="zone")
        shaped(await served.admin.put(where, json={"models": ["m\u0000"]}), 400, param="models.0")
        shaped(await served.admin.put(where, json={"per_minute": 0}), 400, param="per_minute")
        json = {"content-type": "application/json"}
        half = await served.admin.post("/admin/agents", content=b'{"name":"\\ud800"}', headers=json)
        shaped(half, 400, param="name")
        own = {"authorization": f"Bearer {agent['token']}"}
        twice = b'{"model":"m","model":"m","messages":[]}'
        shaped(await served.http.post("/wallet/quote", content=twice, headers=own), 400, param="model")
        # What is the operator's to set is no field of a key's.
        refused = await served.http.post("/wallet/keys", json={"name": "k", "approval_seconds": 60}, headers=own)
        shaped(refused, 400, param="approval_seconds")

    told(tmp_path, story)


def test_the_description_is_whole(tmp_path: Path) -> None:
    """Every route says what it is for, what it takes and answers, and how it refuses."""

    async def story(served: Served) -> None:
        document = (await served.admin.get("/openapi.json")).json()
        assert set(document["components"]["securitySchemes"]) == {"operator", "session", "agent", "internal", "metrics"}
        doors = {path.split("/")[1] for path in document["paths"]}
        assert doors == {"admin", "wallet", "internal", "v1", "readyz", "metrics", "providers", "health"}
        plain = {"/admin/plugins/{stem}/{command}", "/admin/plugins", "/admin/notices", "/admin/rails"}
        for path, ways in document["paths"].items():
            for method, way in ways.items():
                name = f"{method} {path}"
                assert way.get("summary"), name
                assert way["tags"], name
                assert "422" not in way["responses"] or path in CALLS, name
                good = [answer for status, answer in way["responses"].items() if status.startswith("2")]
                assert len(good) == 1, name
                if path == "/metrics":
                    assert [key for each in way["security"] for key in each] == ["metrics", "operator", "session"]
                    assert "text/plain" in good[0]["content"]
                    continue
                schema = good[0]["content"]["application/json"]["schema"]
                assert schema.get("$ref") or schema.get("items") or path in plain or path.startswith("/v1"), name
                assert method in ("get", "delete") or "requestBody" in way or path.split("/")[-1] in BODILESS, name
                if path in ("/readyz", "/health"):
                    continue
                # To log in, and to ask for change by a secret, nothing else is needed.
                free = name in ("post /admin/session", "get /v1/change/{digest}")
                opens = [] if free else ["operator", "session"] if "/admin" in path else None
                keys = [key for each in way.get("security", []) for key in each]
                assert len(keys) == 1 if opens is None else keys == opens, name
                for status in ("401", "403", "503"):
                    refused = way["responses"][status]
                    assert refused["description"], name
                    assert "ErrorDocument" in str(refused["content"]), name
        text = str(document)
        refs = {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}
        assert refs == set(document["components"]["schemas"])

    told(tmp_path, story)


def test_the_vault_is_off(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            setup = write(tmp_path, instance("x", upstream.url) + "\n[vault]\nenabled = false\n")
            async with serving(setup) as served:
                for path in ("agents", "ledger", "holds", "receipts", "audit", "approvals", "events", "audit/verify"):
                    shaped(await served.admin.get(f"/admin/{path}"), 404, code="not_found")
                for path in ("balance", "limits", "calls", "keys"):
                    shaped(await served.http.get(f"/wallet/{path}"), 404, code="not_found")
                assert (await served.http.post("/v1/chat/completions", json=chat())).status_code == 200

    run(story())
