"""`deploy/smoke` against an arbstr that works, and against ones that do not: it says what is wrong, in a line."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from house import Setup, run, serving, write
from ports import free_port

SMOKE = Path(__file__).parents[2] / "deploy" / "smoke"
MODEL = '[[plugins.providers_mock.models]]\nname = "m"\ninput = "1000 sat"\noutput = "4000 sat"\n'
PLUGINS = ("providers_mock", "policy_price", "wallet_simulated")


async def smoke(setup: Setup, *words: str, token: str = "", listen: str = "") -> subprocess.CompletedProcess[str]:
    """Run it as a user does."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, SMOKE, *([] if listen else ["--url", setup.url]), *words],
        env={name: value for name, value in (("ARBSTR_ADMIN_TOKEN", token), ("LISTEN", listen)) if value},
        cwd=setup.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_all_that_works_has_a_line_and_the_agent_is_disabled(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(write(tmp_path, MODEL, plugins=PLUGINS)) as house:
            done = await smoke(house.setup)
            assert (done.returncode, done.stderr) == (0, "")
            first, *lines, last = done.stdout.splitlines()
            assert first.split()[:2] == ["asks", f"{house.setup.url}:"]
            told = ["health", "rails", "agent", "call", "receipt", "stream", "receipt", "balance", "audit"]
            assert [line.split()[:2] for line in lines] == [["ok", each] for each in told]
            assert last == "arbstr works."
            (agent,) = (await house.admin.get("/admin/agents")).json()["data"]
            assert agent["enabled"] is False
            assert 0 < agent["posted_msat"] < 1_000_000

    run(story())


def test_it_asks_where_make_run_was_told_to_listen(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(write(tmp_path, MODEL, plugins=PLUGINS)) as house:
            done = await smoke(house.setup, listen=f"0.0.0.0:{house.setup.port}")
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.split()[:2] == ["asks", f"{house.setup.url}:"]

    run(story())


def test_it_says_that_it_waits(tmp_path: Path) -> None:
    nobody = Setup(tmp_path, free_port())
    gone = asyncio.run(smoke(nobody, "--wait", "1", token="x"))
    waits = gone.stdout.splitlines()[1]
    assert waits.startswith(f"..  waits up to 1 seconds: {nobody.url}/readyz does not answer: ")
    assert gone.stderr.startswith("!!  not ready after 1 seconds: ")


def test_what_does_not_work_is_a_line_on_standard_error(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(write(tmp_path)) as house:
            empty = await smoke(house.setup)
            assert empty.stderr == "!!  no model is on offer: `arbstr offers` says why\n"
            wrong = await smoke(house.setup, token="arb_wrong")
            assert wrong.stderr.startswith("!!  /admin/rails answered 401: ")
            agents = (await house.admin.get("/admin/agents")).json()["data"]
            assert [agent["enabled"] for agent in agents] == [False]
            for each in (empty, wrong):
                assert (each.returncode, len(each.stderr.splitlines())) == (1, 1)

    run(story())


def test_what_is_not_there_is_a_line_too(tmp_path: Path) -> None:
    nobody = Setup(tmp_path, free_port())
    gone = asyncio.run(smoke(nobody, "--wait", "0", token="x"))
    assert gone.stderr.startswith(f"!!  not ready after 0 seconds: {nobody.url}/readyz does not answer: ")
    unread = asyncio.run(smoke(nobody))
    assert unread.stderr.startswith("!!  data/admin.token cannot be read (No such file or directory): name ")
    assert (gone.returncode, unread.returncode) == (1, 1)
