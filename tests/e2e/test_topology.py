"""The deployment that deploy/ describes, with bitcoin: PostgreSQL, a Lightning node, a Nutshell mint and arbstr, as
processes, from the environment file that users get; then the smoke test that users get."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from topology import DEPLOY, topology

pytestmark = pytest.mark.timeout(600)


def test_it_comes_up_and_passes_the_smoke_test(tmp_path: Path) -> None:
    with topology(tmp_path) as made:
        token = tmp_path / "volumes" / "arbstr" / "admin.token"
        done = subprocess.run(
            [sys.executable, DEPLOY / "smoke", "--url", made.url, "--token-file", token],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, (done.stderr, made.services["bitcoin-arbstr"].log.read_text())
        assert done.stdout.endswith("arbstr works.\n")
        (rails,) = [line for line in done.stdout.splitlines() if line.startswith("ok  rails")]
        assert rails.split(maxsplit=2)[2] == "wallet_lnd, wallet_cashu, wallet_simulated"
        # A check that is always well checks nothing.
        for service in made.services.values():
            code = service.stop()
            assert code in (0, None, -15), (service.name, code)
            assert "healthcheck" not in service.said or not service.well(), service.name
