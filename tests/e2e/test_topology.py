"""The deployments that deploy/ describes, as processes, from the environment file that users get; then the smoke test
that users get. With bitcoin: PostgreSQL, a Lightning node, a Nutshell mint and arbstr."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from topology import ROOT, Topology, topology

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(
    ("profile", "rails"),
    [("small", "wallet_simulated"), ("regtest", "wallet_lnd, wallet_cashu, wallet_simulated")],
    ids=["small", "regtest"],
)
def test_it_comes_up_and_passes_the_smoke_test(profile: str, rails: str, tmp_path: Path) -> None:
    with topology(tmp_path, profile) as made:
        done = subprocess.run(
            [sys.executable, *made.smoke()],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        logs = [service.log.read_text() for service in made.services.values() if service.said["image"] == "arbstr"]
        assert done.returncode == 0, (done.stderr, logs)
        assert done.stdout.endswith("arbstr works.\n")
        (told,) = [line for line in done.stdout.splitlines() if line.startswith("ok  rails")]
        assert told.split(maxsplit=2)[2] == rails
        if profile == "regtest":
            assert an_invoice(made).startswith("lnbcrt")
        # A check that is always well checks nothing.
        for service in made.services.values():
            code = service.stop()
            assert code in (0, None, -15), (service.name, code)
            assert "healthcheck" not in service.said or not service.well(), service.name


def an_invoice(made: Topology) -> str:
    """What an agent gets who wants to pay in: asked of the proxy, made by the treasury, at the Lightning node."""
    token = (made.folder / "volumes" / "treasury" / "admin.token").read_text().strip()
    with httpx.Client(trust_env=False, timeout=60) as http:

        def asked(url: str, bearer: str, **body: object) -> dict[str, str]:
            answer = http.post(url, json=body, headers={"authorization": f"Bearer {bearer}"})
            assert answer.is_success, answer.text
            return dict(answer.json())

        agent = asked(f"{made.url('treasury')}/admin/agents", token, name="payer", realm="regtest")
        wanted = asked(f"{made.url('proxy')}/wallet/deposits", agent["token"], amount_msat=50_000, rail="wallet_lnd")
        return wanted["invoice"]


def test_one_command_starts_it_and_says_how_it_is_asked(tmp_path: Path) -> None:
    """What `make topology` starts; the line that it prints is typed as it is. Nothing is left behind."""
    running = subprocess.Popen(
        [sys.executable, "-m", "topology"],
        cwd=ROOT / "tests",
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    try:
        line = running.stdout.readline()
        said, _, command = line.partition(": ")
        assert said == "All is well. This asks it", line
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, (command, done.stderr)
        assert done.stdout.endswith("arbstr works.\n")
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=300)
    assert running.returncode == 0
    assert list(tmp_path.glob("arbstr-topology-*")) == []
