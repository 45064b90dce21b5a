"""The deployments that deploy/ describes, as processes, from the environment file that users get; then the smoke test
that users get. With bitcoin: PostgreSQL, a Lightning node, a Nutshell mint and arbstr."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from topology import topology

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
        # A check that is always well checks nothing.
        for service in made.services.values():
            code = service.stop()
            assert code in (0, None, -15), (service.name, code)
            assert "healthcheck" not in service.said or not service.well(), service.name
