"""Who may reach what: the operator's own listener, the Host header, browsers' origins, ports that are taken."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import threading
from pathlib import Path

import httpx
import pytest
from house import chat, instance, process, run, serving, until_true, write
from ports import free_port
from upstream import Act, Upstream


def test_the_operators_own_port(tmp_path: Path) -> None:
    async def story() -> None:
        port = free_port()
        with Upstream() as upstream:
            place = write(tmp_path, instance("x", upstream.url), server=f'admin_listen = "127.0.0.1:{port}"')
            async with serving(place) as served:
                for path in ("/admin/agents", "/openapi.json"):
                    answer = await served.admin.get(path)
                    assert answer.status_code == 404, path
                    assert answer.json()["error"]["code"] == "not_found"
                assert (await served.admin.get("//admin/agents")).status_code == 404
                assert (await served.http.get("/readyz")).status_code == 200
                base = f"http://127.0.0.1:{port}"
                async with httpx.AsyncClient(
                    base_url=base, headers=place.operator(), trust_env=False, timeout=60
                ) as own:
                    made = (await own.post("/admin/agents", json={"name": "a", "fund_msat": 10**9})).json()
                    assert (await served.call(made)).status_code == 200
                    assert (await own.get("/openapi.json")).status_code == 200
                    assert (await own.get("/admin/agents", headers={"host": "evil.example"})).status_code == 421

    run(story())


def test_the_operators_own_socket(tmp_path: Path) -> None:
    with Upstream() as upstream:
        place = write(tmp_path / "house", instance("x", upstream.url), server='admin_listen = "unix:data/admin.sock"')
        with process(place):
            assert httpx.get(f"{place.url}/admin/agents", headers=place.operator(), timeout=60).status_code == 404
            made = place.json("agent", "create", "a", "--fund", "1000sat")
            answer = httpx.post(
                f"{place.url}/v1/chat/completions",
                json=chat(),
                headers={"authorization": f"Bearer {made['token']}"},
                timeout=60,
            )
            assert answer.status_code == 200
            assert place.json("receipt", answer.headers["x-request-id"])["state"] == "settled"
            assert stat.S_ISSOCK((tmp_path / "house" / "data" / "admin.sock").stat().st_mode)
        # A socket that a dead server left is no obstacle.
        with process(place):
            assert [agent["name"] for agent in place.json("agent", "list")] == ["a"]


def test_a_host_that_is_another_machine(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil"):
                    answer = await served.admin.get("/admin/agents", headers={"host": host})
                    assert answer.status_code == 421, host
                    assert set(answer.json()["error"]) >= {"message", "type", "param", "code"}
                for host in ("localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:9"):
                    assert (await served.admin.get("/admin/agents", headers={"host": host})).status_code == 200

    run(story())


def test_origins_of_browsers(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            place = write(tmp_path, instance("x", upstream.url), server='cors_origins = ["https://app.example"]')
            async with serving(place) as served:
                known = {"origin": "https://app.example"}
                allowed = await served.http.options("/v1/chat/completions", headers=known)
                assert allowed.status_code == 204
                assert allowed.headers["access-control-allow-origin"] == "https://app.example"
                other = await served.http.get("/v1/models", headers={"origin": "https://other.example"})
                assert "access-control-allow-origin" not in other.headers

    run(story())


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with Upstream() as upstream, socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        place = write(tmp_path, instance("x", upstream.url), port=port)
        done = place.run("serve")
        assert done.returncode == 1
        assert f"127.0.0.1:{port}" in done.stderr
        assert "Traceback" not in done.stderr


def test_one_process_a_database(tmp_path: Path) -> None:
    with Upstream() as upstream:
        place = write(tmp_path, instance("x", upstream.url))
        with process(place) as running:
            done = place.run("serve", "--listen", f"127.0.0.1:{free_port()}")
            assert done.returncode == 1
            assert str(running.pid) in done.stderr
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["admin.token", "master.key", "audit.key", "arbstr.db"])
def test_what_is_secret_is_for_its_owner(tmp_path: Path, name: str) -> None:
    with Upstream() as upstream:
        place = write(tmp_path, instance("x", upstream.url))
        place.arbstr("agent", "list")
        folder = tmp_path / "data"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        if name != "arbstr.db":
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        assert os.path.getsize(folder / name) > 0


def test_the_operators_api_gathers_nothing_for_strangers(tmp_path: Path) -> None:
    """No token: 401 before a byte of the body is kept. With one, still no more than a bound."""

    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                large = b"[" + b"1," * 700_000 + b"1]"
                answer = await served.http.post("/admin/agents", content=large)
                assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
                answer = await served.admin.post("/admin/agents", content=large)
                assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")

    run(story())


def test_a_providers_key_never_comes_back(tmp_path: Path) -> None:
    """An upstream that repeats our header in its refusal does not tell the agent."""

    async def story() -> None:
        with Upstream() as upstream:
            said = b'{"error":{"message":"bad request with Bearer sk-SECRETKEY"}}'
            upstream.script("m", Act(how="status", status=400, body=said))
            (tmp_path / "key").write_text("sk-SECRETKEY\n")
            place = write(tmp_path, instance("x", upstream.url, more='key = "file:key"'))
            async with serving(place) as served:
                answer = await served.call(await served.agent())
                assert answer.status_code == 400
                assert "bad request with Bearer ***" in answer.text

    run(story())


def test_several_signals_in_a_row_still_end_it_well(tmp_path: Path) -> None:
    """The first lets open calls end, the next ones do not wait for them; all holds are ended, and it exits with 0."""
    with Upstream() as upstream:
        upstream.script("m", Act(how="hang"))
        place = write(tmp_path, instance("x", upstream.url), server="shutdown_grace_seconds = 20")
        with process(place) as served:
            agent = place.json("agent", "create", "a", "--fund", "1000sat")
            headers = {"authorization": f"Bearer {agent['token']}"}

            def ask() -> None:
                with contextlib.suppress(httpx.HTTPError):
                    httpx.post(f"{place.url}/v1/chat/completions", json=chat(), headers=headers, timeout=30)

            caller = threading.Thread(target=ask)
            caller.start()
            run(until_true(lambda: upstream.hits() == 1))
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
                os.kill(served.pid, number)
            assert served.stop() == 0
            caller.join()
        assert place.rows("SELECT state FROM hold") == [("released",)]
