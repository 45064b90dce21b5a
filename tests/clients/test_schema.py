"""The description of every door, and what comes of whatever it allows and forbids: schemathesis asks, and finds no
failure of ours, no status that is not described, and no error in another shape."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from driving import PYTHON, ROOT
from house import PRICED, Setup, instance, process, write
from upstream import Upstream

TOKEN = "router" + "x" * 32
EXAMPLES = "6"
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"),
    *("unsupported_method", "errors_have_the_one_shape"),
)
SPOKEN = 'endpoints = ["chat/completions", "completions", "embeddings", "responses", "messages"]'


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Setup, Path, str]]:
    """A running arbstr, the file with its description, and an agent's token."""
    folder = tmp_path_factory.mktemp("described")
    with Upstream() as upstream:
        tables = instance("x", upstream.url, f"[models.m]\n{PRICED}", SPOKEN)
        setup = write(folder, tables, server='internal_token = "env:ROUTER"')
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("ROUTER", TOKEN)
            with (
                process(setup),
                httpx.Client(base_url=setup.url, headers=setup.operator(), trust_env=False, timeout=60) as admin,
            ):
                new = {"name": "a", "fund_msat": 10**9, "max_charge_msat": 10**9, "daily_msat": 10**12}
                token = admin.post("/admin/agents", json=new).raise_for_status().json()["token"]
                (folder / "openapi.json").write_text(admin.get("/openapi.json").raise_for_status().text)
                yield setup, folder / "openapi.json", token
                ledger = admin.get("/admin/audit/verify").raise_for_status().json()
                assert (ledger["ok"], ledger["sum_msat"], ledger["open_holds"]) == (True, 0, 0)


@pytest.mark.parametrize("door", ["/v1", "/wallet", "/admin", "/internal", "/(providers|health|readyz)"])
def test_a_door(described: tuple[Setup, Path, str], clients_made: None, door: str, tmp_path: Path) -> None:
    setup, file, token = described
    keys: dict[str, Callable[[], str]] = {
        "/admin": lambda: f"Authorization: Bearer {setup.token()}",
        "/internal": lambda: f"X-Internal-Token: {TOKEN}",
    }
    key = keys.get(door, lambda: f"Authorization: Bearer {token}")()
    asked = ["run", str(file), "--url", setup.url, "--include-path-regex", f"^{door}(/|$)", "-H", key]
    asked += ["--phases", "coverage,fuzzing", "-n", EXAMPLES, "--seed", "1", "--continue-on-failure"]
    asked += ["--no-color", "--warnings", "off"]
    done = subprocess.run(
        [str(PYTHON.with_name("st")), *asked, "--checks", ",".join(CHECKS)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SCHEMATHESIS_HOOKS": "error_shape"}
        | {"PYTHONPATH": str(ROOT / "tests" / "clients")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
