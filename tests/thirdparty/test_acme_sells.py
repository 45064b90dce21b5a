"""A provider written outside of arbstr is installed, found, used and charged for; `arbstr serve` runs as it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest
from ports import free_port

SOURCE = Path(__file__).parent / "arbstr_providers_acme"
ARBSTR = str(Path(sys.executable).with_name("arbstr"))
PRICES = [{"model": "acme-1", "input": 1_000_000, "output": 4_000_000}]
TOKENS_IN, TOKENS_OUT = 120, 30
CHARGE = 120 + 4 * 30  # msat: 1 msat a token in, 4 out

CONFIG = """
[arbstr]
plugins = ["providers_acme", "policy_price", "wallet_simulated"]
data_dir = "data"

[server]
listen = "127.0.0.1:{port}"

[plugins.providers_acme]
url = "http://127.0.0.1:{acme}/v1"
"""


class Acme(BaseHTTPRequestHandler):
    """Acme's server: a price list, and chat completions."""

    protocol_version = "HTTP/1.1"
    asked: list[Any]

    def do_GET(self) -> None:
        self._answer(PRICES if self.path == "/v1/prices" else {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, body["model"]))
        usage = {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT, "total_tokens": TOKENS_IN + TOKENS_OUT}
        message = {"role": "assistant", "content": "Acme says " + "hello " * TOKENS_OUT}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        head = {"id": "a", "object": "chat.completion", "created": 1, "model": "acme-1"}
        self._answer({**head, "choices": [choice], "usage": usage})

    def _answer(self, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def acme() -> Iterator[tuple[int, list[Any]]]:
    """Acme's port, and what it was asked."""
    asked: list[Any] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Acme,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder into which pip has installed the plugin."""
    folder = tmp_path / "site"
    words = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", *words, str(SOURCE)], check=True, timeout=120)
    return folder


class House:
    """Commands and a server with one configuration, which see the installed plugin."""

    def __init__(self, folder: Path, site: Path, acme: int) -> None:
        self.port = free_port()
        config = folder / "config.toml"
        config.write_text(CONFIG.format(port=self.port, acme=acme))
        self.env = {**os.environ, "PYTHONPATH": str(site), "ARBSTR_CONFIG": str(config)}

    def command(self, *words: str) -> Any:
        done = subprocess.run([ARBSTR, *words, "--json"], env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def house(tmp_path: Path, site: Path, acme: tuple[int, list[Any]]) -> Iterator[House]:
    """arbstr, serving; stopped as an operator would."""
    house = House(tmp_path, site, acme[0])
    log = (tmp_path / "serve.log").open("wb")
    with log, subprocess.Popen([ARBSTR, "serve"], env=house.env, stdout=subprocess.PIPE, stderr=log) as process:
        try:
            line = process.stdout.readline() if process.stdout else b""
            assert line.startswith(b"arbstr serves on"), (tmp_path / "serve.log").read_text()
            yield house
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
    assert process.returncode == 0, (tmp_path / "serve.log").read_text()


def test_a_third_partys_provider_is_found_used_and_charged_for(house: House, acme: tuple[int, list[Any]]) -> None:
    found = {plugin["name"]: plugin for plugin in house.command("plugin", "list")}["providers_acme"]
    assert (found["state"], found["distribution"]) == ("ok", "arbstr-providers-acme")

    agent = house.command("agent", "create", "buyer", "--fund", "1000sat")
    base_url = f"http://127.0.0.1:{house.port}/v1"
    with openai.OpenAI(base_url=base_url, api_key=agent["token"], max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "Say hello"}]
        answer = client.chat.completions.with_raw_response.create(model="acme-1", messages=messages)
    assert (answer.parse().choices[0].message.content or "").startswith("Acme says hello")
    assert acme[1] == [("/v1/chat/completions", "acme-1")]

    receipt = house.command("receipt", answer.headers["x-request-id"])
    assert (receipt["provider"], receipt["state"]) == ("providers_acme", "settled")
    assert (receipt["usage"]["input_tokens"], receipt["usage"]["output_tokens"]) == (TOKENS_IN, TOKENS_OUT)
    assert receipt["charged_msat"] == CHARGE
    assert house.command("agent", "show", "buyer")["available_msat"] == 1_000_000 - CHARGE
    verified = house.command("audit", "verify")
    assert (verified["ok"], verified["sum_msat"], verified["open_holds"]) == (True, 0, 0)


def test_it_is_under_60_lines() -> None:
    lines = sum(len(path.read_text().splitlines()) for path in SOURCE.rglob("*.py"))
    assert lines < 60
