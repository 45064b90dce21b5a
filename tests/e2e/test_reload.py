"""Another configuration while calls are served: no stream is dropped, and what is wrong changes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from arbstr_providers_openai._provider import EndpointProvider
from house import PRICED, Process, Served, Setup, chat, instance, run, serving, until, until_true, write
from streaming import asking, connected
from upstream import Act, Upstream

X = "providers_openai.x"


def change(setup: Setup, *pairs: tuple[str, str]) -> None:
    text = setup.file.read_text()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    setup.file.write_text(text)


def add(setup: Setup, tables: str) -> None:
    setup.file.write_text(setup.file.read_text() + "\n" + tables)


async def reload(served: Served) -> dict[str, Any]:
    answer = await served.admin.post("/admin/reload")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def refused(served: Served) -> str:
    answer = await served.admin.post("/admin/reload")
    assert answer.status_code == 409, answer.text
    return str(answer.json()["error"]["message"])


def told(folder: Path, story: Callable[[Served, Upstream], Awaitable[None]], more: str = "") -> None:
    async def whole() -> None:
        with Upstream() as upstream:
            async with serving(write(folder, instance("x", upstream.url) + more)) as served:
                await story(served, upstream)

    run(whole())


def test_reload_under_200_streams_drops_none(tmp_path: Path) -> None:
    """They are in the middle while the configuration changes twice."""
    streams = 200

    async def story(served: Served, upstream: Upstream) -> None:
        upstream.script("m", Act(how="halfway", words=20))
        setup, agent = served.setup, await served.agent()
        ask = asking(agent["token"], 20)
        readers = await asyncio.gather(*(connected(setup.port, ask) for _ in range(streams)))
        await until_true(lambda: all(reader.parts for reader in readers), 100)
        before = "1000 sat"
        for price, more in (("2000 sat", instance("y", upstream.url, f"[models.n]\n{PRICED}")), ("3000 sat", "")):
            change(setup, (f'input = "{before}"', f'input = "{price}"'))
            add(setup, more)
            done = await reload(served)
            assert done["made"] == done["closed"] == ["providers_openai"]
            assert done["open_calls"] == streams
            before = price
        assert done["offers"] == 2
        assert not any(reader.whole.done() for reader in readers)
        upstream.open_gate()
        assert all([await reader.whole for reader in readers])
        await served.verified()
        charged = served.setup.rows("SELECT count(*), count(DISTINCT amount_msat) FROM transfer WHERE hold_seq > 0")
        assert charged == [(streams, 1)], "they pay the price that they began with"
        answer = await served.http.post("/v1/chat/completions", json=chat("n"), headers=bearer(agent))
        assert answer.headers["x-arbstr-provider"] == "providers_openai.y"

    told(tmp_path, story)


def bearer(agent: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {agent['token']}"}


def test_what_was_made_before_is_closed_when_its_last_call_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives: list[str] = []
    start, close = EndpointProvider.start, EndpointProvider.aclose

    async def started(self: EndpointProvider) -> None:
        lives.append("start")
        await start(self)

    async def closed(self: EndpointProvider) -> None:
        lives.append("close")
        await close(self)

    monkeypatch.setattr(EndpointProvider, "start", started)
    monkeypatch.setattr(EndpointProvider, "aclose", closed)

    async def story(served: Served, upstream: Upstream) -> None:
        agent = await served.agent()
        upstream.script("m", Act(how="gate"))
        waiting = asyncio.create_task(served.call(agent))
        await until_true(lambda: upstream.hits("m") == 1)
        change(served.setup, ('input = "1000 sat"', 'input = "5000 sat"'))
        assert (await reload(served))["open_calls"] == 1
        assert lives == ["start", "start"]
        again = asyncio.create_task(served.call(agent))
        await until_true(lambda: upstream.hits("m") == 2)
        assert lives == ["start", "start"]
        upstream.open_gate()
        first, second = await waiting, await again
        assert (first.status_code, second.status_code) == (200, 200)
        # 11 tokens of input, 5 of output: 4000 sat for a million.
        costs = [int(answer.headers["x-arbstr-cost-msat"]) for answer in (first, second)]
        assert costs == [11 + 5 * 4, 11 * 5 + 5 * 4]
        await until_true(lambda: lives == ["start", "start", "close"])

    told(tmp_path, story)
    assert lives == ["start", "start", "close", "close"]


def test_what_is_wrong_is_told_whole_and_changes_nothing(tmp_path: Path) -> None:
    async def story(served: Served, upstream: Upstream) -> None:
        agent = await served.agent()
        good = served.setup.file.read_text()
        add(served.setup, '[routing]\nstrategy = "dearest"\nkep = 3\n[plugins.providers_openai.instances.y]\nurl = 7\n')
        said = await refused(served)
        assert "as it was before" in said
        assert "kep" in said
        assert "instances.y" in said
        assert "url" in said
        served.setup.file.write_text("[arbstr\n")
        assert "is not TOML" in await refused(served)
        served.setup.file.write_text(good + '\n[routing]\nstrategy = "dearest"\n')
        assert "there is no 'dearest'" in await refused(served)
        served.setup.file.unlink()
        assert "config.toml" in await refused(served)
        assert (await served.call(agent)).status_code == 200
        served.setup.file.write_text(good)
        assert await reload(served) == {
            "made": [],
            "kept": ["providers_openai", "policy_price", "policy_keywords", "wallet_simulated"],
            "closed": [],
            "offers": 1,
            "open_calls": 0,
            "notices": [],
        }
        assert (await served.call(agent)).status_code == 200

    told(tmp_path, story)


def test_what_is_read_at_the_start_alone_is_named(tmp_path: Path) -> None:
    async def story(served: Served, upstream: Upstream) -> None:
        good = served.setup.file.read_text()
        change(served.setup, ("[server]\n", '[server]\nkeep_alive = "comment"\ncors_origins = ["*"]\n'))
        add(served.setup, '[vault]\norphans = "full"\nmargin = "1 %"\n[vault.defaults]\ndaily = "1 sat"\n')
        said = await refused(served)
        for key in ("[server] keep_alive", "[server] cors_origins", "[vault] orphans", "[vault.defaults] daily"):
            assert f"{key}: is read when arbstr starts: restart, or put it back" in said
        assert "margin" not in said
        served.setup.file.write_text(good + "\n[plugins.wallet_simulated]\nbalance = 5\n")
        assert "[plugins.wallet_simulated]: the plugin moves money" in await refused(served)
        served.setup.file.write_text(good.replace(', "wallet_simulated"', ""))
        assert "[plugins.wallet_simulated]: the plugin moves money" in await refused(served)
        served.setup.file.write_text(good + '\n[vault]\nmargin = "100 %"\n')
        assert (await reload(served))["made"] == []
        answer = await served.call(await served.agent())
        assert int(answer.headers["x-arbstr-cost-msat"]) == 2 * (11 + 5 * 4)

    told(tmp_path, story)


def test_a_new_key_in_the_same_file_counts(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-first-0123456789")

    async def story() -> None:
        with Upstream() as upstream:
            row = instance("x", upstream.url, more='key = "file:key"')
            async with serving(write(tmp_path, row)) as served:
                agent = await served.agent()
                await served.call(agent)
                assert (await reload(served))["made"] == []
                (tmp_path / "key").write_text("sk-second-0123456789")
                assert (await reload(served))["made"] == ["providers_openai"]
                await served.call(agent)
                keys = [seen.headers["authorization"] for seen in upstream.seen]
                assert keys == ["Bearer sk-first-0123456789", "Bearer sk-second-0123456789"]

    run(story())


def test_plugins_come_and_go(tmp_path: Path) -> None:
    async def story(served: Served, upstream: Upstream) -> None:
        agent = await served.agent()
        change(served.setup, ('"policy_keywords", ', '"providers_mock", "dashboard", '))
        add(served.setup, '[[plugins.providers_mock.models]]\nname = "free"\nfree = true\n')
        done = await reload(served)
        assert (done["made"], done["closed"]) == (["providers_mock", "dashboard"], ["policy_keywords"])
        assert (await served.call(agent, model="free")).status_code == 200
        assert (await served.http.get("/dashboard/")).status_code == 200
        states = {row["name"]: row["state"] for row in (await served.admin.get("/admin/plugins")).json()}
        assert (states["providers_mock"], states["policy_keywords"]) == ("ok", "disabled")
        change(served.setup, ('"providers_openai", ', ""))
        text = served.setup.file.read_text()
        served.setup.file.write_text(text[: text.index("[plugins.providers_openai")] + text[text.index("[[plugins") :])
        assert (await reload(served))["closed"] == ["providers_openai"]
        assert (await served.call(agent)).status_code == 404

    told(tmp_path, story)


def test_what_does_not_start_is_closed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: Any) -> None:
        raise OSError("no such device")

    async def story(served: Served, upstream: Upstream) -> None:
        agent = await served.agent()
        change(served.setup, ('input = "1000 sat"', 'input = "5000 sat"'))
        with monkeypatch.context() as patch:
            patch.setattr(EndpointProvider, "start", broken)
            assert "did not start: OSError: no such device" in await refused(served)
        assert int((await served.call(agent)).headers["x-arbstr-cost-msat"]) == 11 + 5 * 4
        await reload(served)
        assert int((await served.call(agent)).headers["x-arbstr-cost-msat"]) == 11 * 5 + 5 * 4

    told(tmp_path, story)


def test_what_is_known_of_providers_stays_but_of_those_made_anew(tmp_path: Path) -> None:
    async def story(served: Served, upstream: Upstream) -> None:
        agent = await served.agent()
        upstream.script("m", Act(how="status", status=500), Act())
        assert (await served.call(agent)).status_code == 502

        async def breaker() -> str:
            (row,) = (await served.admin.get("/admin/providers")).json()["providers"]
            return str(row["offers"][0]["breaker"])

        assert await breaker() == "open"
        add(served.setup, "[market]\nrefresh_seconds = 30\n")
        assert (await reload(served))["kept"]
        assert await breaker() == "open"
        change(served.setup, ('input = "1000 sat"', 'input = "5000 sat"'))
        await reload(served)
        assert await breaker() == "closed"
        assert (await served.call(agent)).status_code == 200

    told(tmp_path, story, "[dispatch.breaker]\nfailures = 1\n")


def test_a_signal_and_a_command_do_the_same(tmp_path: Path) -> None:
    with Upstream() as upstream:
        setup = write(tmp_path, instance("x", upstream.url))
        running = Process(setup, "--listen", f"127.0.0.1:{setup.port}")
        try:
            agent = setup.json("agent", "create", "a", "--fund", "100sat")

            async def sells(model: str) -> bool:
                async with httpx.AsyncClient(
                    base_url=setup.url, headers=bearer(agent), trust_env=False, timeout=60
                ) as http:
                    return (await http.get(f"/v1/models/{model}")).status_code == 200

            add(setup, instance("y", upstream.url, f"[models.n]\n{PRICED}"))
            os.kill(running.pid, signal.SIGHUP)
            run(until(lambda: sells("n"), 60))
            add(setup, instance("z", upstream.url, f"[models.o]\n{PRICED}"))
            assert setup.json("reload")["offers"] == 3
            assert run(sells("o"))
            add(setup, "[routing]\nkep = 3\n")
            os.kill(running.pid, signal.SIGHUP)
            done = setup.command("reload")
            assert (done.returncode, "kep" in done.stderr) == (1, True)
            assert run(sells("m"))
        finally:
            assert running.stop() == 0
    assert "the configuration was not changed" in (tmp_path / "serve.log").read_text()
    change(setup, ("[routing]\nkep = 3\n", ""))
    assert "No server runs" in setup.command("reload").stderr


def test_sigterm_under_load_settles_everything_and_exits_0(tmp_path: Path) -> None:
    """Streams that can end within the grace do; those that cannot are charged what came. Nothing stays held."""
    quick, slow = 60, 20

    async def story(setup: Setup, running: Process, token: str, upstream: Upstream) -> None:
        upstream.script("m", Act(how="halfway", words=20))
        ending = await asyncio.gather(*(connected(setup.port, asking(token, 20)) for _ in range(quick)))
        await until_true(lambda: all(reader.parts for reader in ending), 100)
        upstream.script("m", Act(how="stall", words=20))
        endless = await asyncio.gather(*(connected(setup.port, asking(token, 20)) for _ in range(slow)))
        await until_true(lambda: all(reader.parts for reader in endless), 100)
        os.kill(running.pid, signal.SIGTERM)
        await asyncio.sleep(0)
        upstream.open_gate()
        assert all([await reader.whole for reader in ending])
        assert not any([await reader.whole for reader in endless])
        await until_true(lambda: not running.running, 60)

    with Upstream() as upstream:
        setup = write(tmp_path, instance("x", upstream.url), server="shutdown_grace_seconds = 5")
        running = Process(setup)
        try:
            agent = setup.json("agent", "create", "a", "--fund", "1btc", "--max-charge", "1btc", "--daily", "1btc")
            run(story(setup, running, agent["token"], upstream))
        finally:
            ended = running.kill()
    assert ended == 0
    ledger = setup.json("audit", "verify")
    assert (ledger["ok"], ledger["sum_msat"], ledger["open_holds"]) == (True, 0, 0)
    assert dict(setup.rows("SELECT state, count(*) FROM hold GROUP BY state")) == {"settled": quick + slow}
