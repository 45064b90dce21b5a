"""Operators with names, and their browsers: how they log in, what a session opens, and how it ends."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from house import Served, instance, run, serving, write
from ports import free_port
from upstream import Upstream

PAGE = "x-arbstr-page"


def told(folder: Path, story: Callable[[Served], Awaitable[None]], *, server: str = "", listen: str = "") -> None:
    async def whole() -> None:
        with Upstream() as upstream:
            setup = write(folder, instance("x", upstream.url), server=server)
            if listen:
                setup.file.write_text(setup.file.read_text().replace("127.0.0.1:", f"{listen}:", 1))
            async with serving(setup) as served:
                await story(served)

    run(whole())


async def log_in(served: Served, token: str, **headers: str) -> tuple[str, str]:
    """The cookie and the page key of a new session."""
    answer = await served.http.post("/admin/session", json={"token": token}, headers=headers)
    assert answer.status_code == 201, answer.text
    said = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in said.split(";")}
    served.http.cookies.clear()  # each request of these tests names its own
    return said.partition(";")[0], answer.json()["page_key"]


def shown(cookie: str, key: str, **more: str) -> dict[str, str]:
    return {"cookie": cookie, PAGE: key, **{name.replace("_", "-"): value for name, value in more.items()}}


def test_a_session_opens_admin_until_it_is_logged_out(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        cookie, key = await log_in(served, served.setup.token())
        assert cookie.startswith(f"arbstr_{served.setup.port}=")
        who = await served.http.get("/admin/session", headers=shown(cookie, key))
        assert (who.status_code, who.json()) == (200, {"actor": "operator"})
        made = await served.http.post("/admin/agents", json={"name": "a"}, headers=shown(cookie, key))
        assert made.status_code == 201, made.text
        stored = "".join(map(str, served.setup.rows("SELECT hash, page_hash, token_hash FROM operator_session")))
        assert cookie.partition("=")[2] not in stored
        assert key not in stored
        ended = await served.http.delete("/admin/session", headers=shown(cookie, key))
        assert (ended.status_code, "Max-Age=0" in ended.headers["set-cookie"]) == (200, True)
        gone = await served.http.get("/admin/session", headers=shown(cookie, key))
        assert (gone.status_code, "log in again" in gone.text) == (401, True)

    told(tmp_path, story)


def test_a_cookie_or_a_page_key_alone_opens_nothing(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        cookie, key = await log_in(served, served.setup.token())
        other, other_key = await log_in(served, served.setup.token())
        for headers in (
            {"cookie": cookie},
            {PAGE: key},
            shown(cookie, other_key),
            shown(other, key),
            shown(cookie, ""),
        ):
            for method, path in (("GET", "/admin/agents"), ("POST", "/admin/agents"), ("DELETE", "/admin/session")):
                body = {"name": "never"} if method == "POST" else None
                answer = await served.http.request(method, path, json=body, headers=headers)
                assert answer.status_code == 401, (method, path, headers, answer.text)
        both = await served.http.get("/admin/agents", headers=shown(cookie, key, **served.setup.operator()))
        assert both.status_code == 400
        # At the other doors a session is nobody.
        for path in ("/wallet/balance", "/v1/models", "/v1/stats"):
            assert (await served.http.get(path, headers=shown(cookie, key))).status_code == 401, path

    told(tmp_path, story)


def test_a_page_of_another_site_can_do_nothing(tmp_path: Path) -> None:
    strangers: list[dict[str, str]] = [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "null"},
    ]

    async def story(served: Served) -> None:
        cookie, key = await log_in(served, served.setup.token())
        for strange in strangers:
            asked = {**shown(cookie, key), **strange}
            answer = await served.http.post("/admin/agents", json={"name": "never"}, headers=asked)
            assert answer.status_code == 403, (strange, answer.text)
            assert answer.json()["error"]["code"] == "forbidden"
            login = await served.http.post("/admin/session", json={"token": served.setup.token()}, headers=strange)
            assert (login.status_code, "set-cookie" in login.headers) == (403, False)
        assert served.setup.rows("SELECT count(*) FROM agent") == [(0,)]

    told(tmp_path, story)


def test_its_own_page_may(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        cookie, key = await log_in(served, served.setup.token(), **{"sec-fetch-site": "same-origin"})
        for more in ({"sec_fetch_site": "same-origin"}, {"origin": served.setup.url}):
            answer = await served.http.get("/admin/session", headers=shown(cookie, key, **more))
            assert answer.status_code == 200, answer.text

    told(tmp_path, story)


def test_nobody_logs_in_over_plain_http_but_on_this_machine(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        token = served.setup.token()
        plain: list[dict[str, str]] = [
            {"host": "arbstr.example"},
            {"host": "192.168.1.5:8080"},
            {"host": "127.0.0.1.evil.example"},
            {"x-forwarded-proto": "http"},
            {"x-forwarded-for": "192.0.2.7"},
            {"forwarded": "for=192.0.2.7;proto=http"},
        ]
        for headers in plain:
            answer = await served.http.post("/admin/session", json={"token": token}, headers=headers)
            assert (answer.status_code, "set-cookie" in answer.headers) == (403, False), headers
            assert "over HTTPS" in answer.json()["error"]["message"]
        https: list[dict[str, str]] = [
            {"host": "arbstr.example", "x-forwarded-proto": "https"},
            {"host": "arbstr.example", "forwarded": 'for=192.0.2.7;proto="https"'},
        ]
        for headers in https:
            answer = await served.http.post("/admin/session", json={"token": token}, headers=headers)
            assert answer.status_code == 201, answer.text
            assert answer.headers["set-cookie"].startswith("__Host-arbstr=")
            assert answer.headers["set-cookie"].endswith("; Secure")
            served.http.cookies.clear()
            cookie = answer.headers["set-cookie"].partition(";")[0]
            asked = {**headers, **shown(cookie, answer.json()["page_key"])}
            assert (await served.http.get("/admin/session", headers=asked)).status_code == 200

    # On a listener that others reach too: one on loopback refuses those hosts before.
    told(tmp_path, story, listen="0.0.0.0")


def test_operators_have_names_and_tokens_of_their_own(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        made = (await served.admin.post("/admin/operators", json={"name": "ann"})).json()
        assert re.fullmatch(r"opr_[\w-]{43}", made["token"])
        own = {"authorization": f"Bearer {made['token']}"}
        again = await served.admin.post("/admin/operators", json={"name": "ann"})
        assert again.status_code == 409, again.text
        agent = await served.http.post("/admin/agents", json={"name": "of ann"}, headers=own)
        assert agent.status_code == 201, agent.text
        assert (await served.http.get("/v1/stats", headers=own)).status_code == 200
        cookie, key = await log_in(served, made["token"])
        who = await served.http.get("/admin/session", headers=shown(cookie, key))
        assert who.json() == {"actor": "operator:ann"}
        listed = (await served.admin.get("/admin/operators")).json()["data"]
        assert [(row["name"], row["created_by"], row["sessions"]) for row in listed] == [("ann", "operator", 1)]
        said = (await served.admin.get("/admin/audit", params={"subject": agent.json()["id"]})).json()["data"]
        assert {row["actor"] for row in said} == {"operator:ann"}

        await served.admin.post("/admin/operators/ann/revoke")
        assert (await served.http.get("/admin/agents", headers=own)).status_code == 401
        assert (await served.http.get("/v1/stats", headers=own)).status_code == 401
        assert (await served.http.get("/admin/session", headers=shown(cookie, key))).status_code == 401
        assert (await served.http.post("/admin/session", json={"token": made["token"]})).status_code == 401
        assert (await served.admin.post("/admin/operators/ann/revoke")).status_code == 404
        new = await served.admin.post("/admin/operators", json={"name": "ann"})
        assert new.status_code == 201, new.text
        assert (await served.http.get("/admin/agents", headers=own)).status_code == 401
        # Who was added, logged in and was revoked is in the audit, and verify holds the table against it.
        actions = [row["action"] for row in (await served.admin.get("/admin/audit")).json()["data"]]
        assert [each for each in reversed(actions) if each.startswith("operator.")] == [
            *("operator.add", "operator.login", "operator.revoke", "operator.add"),
        ]
        assert (await served.verified())["ok"]
        assert made["token"] not in str(served.setup.rows("SELECT * FROM operator"))

    told(tmp_path, story)


def test_what_an_operator_cannot_be_called(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        for name in ("", " ", "a b", "a/b", "-a", "é", "a" * 65, "a\n"):
            answer = await served.admin.post("/admin/operators", json={"name": name})
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, "name"), name
        for name in ("a", "ann@example.org", "CI_2.prod-1", "a" * 64):
            assert (await served.admin.post("/admin/operators", json={"name": name})).status_code == 201
        first = (await served.admin.get("/admin/operators", params={"limit": 3})).json()
        rest = (await served.admin.get("/admin/operators", params={"cursor": first["next_cursor"]})).json()
        assert [row["name"] for row in (*first["data"], *rest["data"])][1] == "ann@example.org"
        assert (len(first["data"]), len(rest["data"]), rest["has_more"]) == (3, 1, False)

    told(tmp_path, story)


def test_agents_do_not_log_in(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        agent = await served.agent()
        for token in (agent["token"], "opr_" + "x" * 43, "adm_wrong", " "):
            answer = await served.http.post("/admin/session", json={"token": token})
            assert (answer.status_code, "set-cookie" in answer.headers) == (401, False), token

    told(tmp_path, story)


def test_a_session_ends_without_use_and_in_any_case(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        cookie, key = await log_in(served, served.setup.token())

        def aged(column: str, seconds: int) -> None:
            _write(served, f"UPDATE operator_session SET {column} = {column} - {seconds * 1000}")

        async def status() -> int:
            return (await served.http.get("/admin/session", headers=shown(cookie, key))).status_code

        aged("seen_ms", 80)
        assert await status() == 200  # and it was seen just now
        aged("seen_ms", 80)
        assert await status() == 200
        aged("seen_ms", 121)
        assert await status() == 401
        cookie, key = await log_in(served, served.setup.token())
        assert served.setup.rows("SELECT count(*) FROM operator_session") == [(1,)]  # the old one made room
        aged("created_ms", 7 * 86_400 + 1)
        assert await status() == 401

    told(tmp_path, story, server="session_seconds = 120")


def _write(served: Served, statement: str) -> None:
    with sqlite3.connect(served.setup.database, timeout=60) as connection:
        connection.execute(statement)
    connection.close()


def test_the_sessions_of_the_file_end_with_its_token(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            setup = write(tmp_path, instance("x", upstream.url))
            async with serving(setup) as served:
                cookie, key = await log_in(served, setup.token())
            async with serving(setup) as served:  # a restart alone logs nobody out
                assert (await served.http.get("/admin/session", headers=shown(cookie, key))).status_code == 200
            (setup.folder / "data" / "admin.token").unlink()
            async with serving(setup) as served:
                assert (await served.http.get("/admin/session", headers=shown(cookie, key))).status_code == 401

    run(story())


def test_a_listener_of_calls_alone_logs_nobody_in(tmp_path: Path) -> None:
    port = free_port()

    async def story(served: Served) -> None:
        token = {"token": served.setup.token()}
        assert (await served.http.post("/admin/session", json=token)).status_code == 404
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as there:
            assert (await there.post("/admin/session", json=token)).status_code == 201
            named = await there.post("/admin/session", json=token, headers={"host": "evil.example"})
            assert named.status_code == 421

    told(tmp_path, story, server=f'admin_listen = "127.0.0.1:{port}"')


def test_operators_are_there_without_accounts_and_by_command(tmp_path: Path) -> None:
    """The command needs no server, and no vault."""

    async def story() -> dict[str, Any]:
        with Upstream() as upstream:
            setup = write(tmp_path, instance("x", upstream.url) + "\n[vault]\nenabled = false\n")
            made: dict[str, Any] = await asyncio.to_thread(setup.json, "operator", "add", "ann")
            async with serving(setup) as served:
                await log_in(served, made["token"])
                await asyncio.to_thread(setup.arbstr, "operator", "revoke", "ann")
                answer = await served.http.post("/admin/session", json={"token": made["token"]})
                assert answer.status_code == 401
            (row,) = await asyncio.to_thread(setup.json, "operator", "list")
            assert (row["name"], row["revoked_ms"] is None, row["sessions"]) == ("ann", False, 0)
            table = await asyncio.to_thread(setup.arbstr, "operator", "list")
            assert "ann" in table
        return made

    run(story())
