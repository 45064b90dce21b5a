"""The market as an operator sees it: dollars by sources that answer over sockets, caps, aliases, and why not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from house import Setup, write

MOCKED = ("providers_mock", "policy_price", "wallet_simulated")
MODELS = """
[[plugins.providers_mock.models]]
name = "dollars"
input = "1 usd"
output = "2 usd"

[[plugins.providers_mock.models]]
name = "sats"
tier = "frontier"
input = "1000 sat"
output = "90000 sat"
"""


@contextmanager
def answering(answers: dict[str, Any]) -> Iterator[str]:
    """A server that answers each path with its JSON, or with the status that stands for it; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = answers.get(self.path, 404)
            self.send_response(said if type(said) is int else 200)
            body = json.dumps(said).encode()
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sources(url: str, *paths: str) -> str:
    rows = [f'[[market.usd_sources]]\nurl = "{url}{path}"\npointer = "/usd"\n' for path in paths]
    return "\n".join(rows)


def offered(place: Setup) -> dict[str, Any]:
    found: dict[str, Any] = place.json("offers")
    return found


def test_dollars_are_sats_by_what_most_sources_say(tmp_path: Path) -> None:
    answers = {"/a": {"usd": "100000"}, "/b": {"usd": 100_100}, "/c": {"usd": 7}, "/d": 503}
    with answering(answers) as url:
        place = write(tmp_path, MODELS + sources(url, "/a", "/b", "/c"), plugins=MOCKED)
        document = offered(place)
        usd = document["usd"]
        assert (usd["usd_per_btc"], usd["spread_ppm"], usd["reason"]) == ("100050", 5_000, None)
        assert usd["source"] == "median of 127.0.0.1 (1), 127.0.0.1 (2)"
        assert usd["failing"] == []
        price = {row["model"]: row["input_msat"] for row in document["offers"]}
        assert price == {"dollars": 10**11 * 1_005 // 1_000 // 100_050 + 1, "sats": 1_000_000}
        shown = place.arbstr("offers")
        assert "1 BTC is 100050 USD, by median of 127.0.0.1 (1), 127.0.0.1 (2) at 20" in shown
        doctor = place.run("doctor")
        assert "rate of" not in doctor.stdout


def test_where_too_few_answer_dollars_buy_nothing_and_the_reason_is_told(tmp_path: Path) -> None:
    with answering({"/a": {"usd": 100_000}, "/b": 503}) as url:
        place = write(tmp_path, MODELS + sources(url, "/a?key=hush", "/a", "/b"), plugins=MOCKED)
        document = offered(place)
        assert [row["model"] for row in document["offers"]] == ["sats"]
        reasons = {row["model"]: row["reason"] for row in document["out"]}
        assert reasons["dollars"] == (
            "its price is in USD and there is no rate: 1 of 3 sources answer, and more than half must"
        )
        assert document["usd"]["failing"] == [
            {"provider": "127.0.0.1 (1)", "reason": "the answer was 404"},
            {"provider": "127.0.0.1 (3)", "reason": "the answer was 503"},
        ]
        doctor = place.run("doctor")
        assert doctor.returncode == 1
        assert "rate of 127.0.0.1 (3)" in doctor.stdout
        assert "hush" not in doctor.stdout + json.dumps(document)


def test_caps_take_out_what_is_too_dear(tmp_path: Path) -> None:
    caps = '[market]\nusd_per_btc = 100000\nmax_output = "50 usd"\n'
    document = offered(write(tmp_path, MODELS + caps, plugins=MOCKED))
    assert [row["model"] for row in document["offers"]] == ["dollars"]
    reasons = {row["model"]: row["reason"] for row in document["out"]}
    assert "above the 50250000 msat of [market] max_output" in reasons["sats"]


def test_aliases_are_shown_and_routed(tmp_path: Path) -> None:
    aliases = '[market]\nusd_per_btc = 100000\n[market.aliases]\nany = ["sats", "dollars", "gone"]\n'
    place = write(tmp_path, MODELS + aliases, plugins=MOCKED)
    named = {row["name"]: (row["stands_for"], row["offers"]) for row in offered(place)["aliases"]}
    assert named == {
        "any": (["sats", "dollars", "gone"], 2),
        "auto": (["every model"], 2),
        "auto:local": (["every model"], 0),
        "auto:standard": (["every model"], 1),
        "auto:frontier": (["every model"], 1),
    }
    assert "any stands for sats, dollars, gone: 2 offers" in place.arbstr("offers")
    route = place.json("route", "--model", "any")
    assert [row["model"] for row in route["candidates"]] == ["dollars", "sats"]
    assert route["reasons"][0].startswith("cheapest: providers_mock (dollars) is expected to cost")
    assert {"provider": "-", "node": "", "model": "gone", "reason": "nobody offers it now"} in route["out"]
    frontier = place.json("route", "--model", "auto:frontier")
    assert [row["model"] for row in frontier["candidates"]] == ["sats"]
