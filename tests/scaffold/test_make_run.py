"""What `make run` starts: the demo serves the real local model, keeps its agent, and ends as it should."""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import free_port

ROOT = Path(__file__).parents[2]
SECONDS = 120

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with arbstr's own configuration, on a free port."""
    port = free_port()
    text = (ROOT / "config.toml").read_text()
    assert text.count('listen = "127.0.0.1:8080"') == 1
    (tmp_path / "config.toml").write_text(text.replace('listen = "127.0.0.1:8080"', f'listen = "127.0.0.1:{port}"'))
    return tmp_path


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "demo.py"), *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The demo, with what it printed up to its last line; then Ctrl-C."""
    with start(folder) as process:
        try:
            yield _printed(process)
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=SECONDS)
    assert code == 0


def _printed(process: subprocess.Popen[bytes], last: str = "Ctrl-C stops.") -> str:
    assert process.stdout is not None
    said, limit = b"", time.monotonic() + SECONDS
    while last.encode() not in said:
        assert select.select([process.stdout], [], [], max(0, limit - time.monotonic()))[0], said.decode()
        piece = os.read(process.stdout.fileno(), 65536)
        assert piece, f"it ended: {said.decode()}"
        said += piece
    return said.decode()


def token_in(said: str) -> str:
    return re.findall(r"Bearer (arb_\S+?)\"", said)[0]


def test_the_printed_lines_work_and_the_agent_is_made_once(folder: Path) -> None:
    with running(folder) as first:
        curl = first[first.index("curl ") : first.index("\n\nor in Python")]
        answer = subprocess.run(
            [*shlex.split(curl.replace("\\\n", "")), "--silent", "--noproxy", "*"], capture_output=True, timeout=SECONDS
        )
        assert b'"usage"' in answer.stdout, answer
        python = first[first.index("from openai import") : first.index("\n\nThe token is")]
        done = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
    kept = folder / "data" / "demo.token"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "10,000 sat (simulated)" in first
    with running(folder) as second:
        assert token_in(second) == token_in(first) == kept.read_text().strip()
        assert "no longer works" not in first + second
        kept.unlink()
    with running(folder) as third:
        assert token_in(third) != token_in(first)
        assert token_in(third) == kept.read_text().strip()
        kept.write_text(token_in(first))
    with running(folder) as fourth:
        assert f"the token in {kept} no longer works: here is a new one\n" in fourth
        assert token_in(fourth) == kept.read_text().strip() != token_in(first)


def test_the_printed_way_to_a_receipt_works(folder: Path) -> None:
    with running(folder) as said:
        curl = said[said.index("curl ") : said.index("\n\nor in Python")].replace("\\\n", "")
        answer = subprocess.run(
            [*shlex.split(curl), "-i", "--silent", "--noproxy", "*"], capture_output=True, text=True, timeout=SECONDS
        )
        request = re.findall(r"^x-request-id: (req_\S+)", answer.stdout, re.MULTILINE)[0]
        (command,) = re.findall(r"^What a call cost and why: (.+ receipt) ID, where", said, re.MULTILINE)
        words = [*shlex.split(command), request]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
        assert request in done.stdout


def test_a_disabled_demo_agent_is_a_sentence(folder: Path) -> None:
    with running(folder):
        arbstr = Path(sys.executable).with_name("arbstr")
        subprocess.run([arbstr, "agent", "disable", "demo"], cwd=folder, check=True, timeout=SECONDS)
    with start(folder) as process:
        said = _printed(process, "refused: ")
        process.send_signal(signal.SIGINT)
        said += process.communicate(timeout=SECONDS)[0].decode()
    assert "the demo agent is refused: The agent 'demo' is disabled" in said
    assert "Traceback" not in said


def test_a_taken_port_is_a_sentence(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with start(folder, address) as process:
            said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert said.decode().startswith(f"{address} is taken: ")
    assert len(said.splitlines()) == 1
    assert not (folder / "data").exists()


def test_a_broken_configuration_is_a_sentence(folder: Path) -> None:
    (folder / "config.toml").write_text("[arbstr]\nplugins = 1\n")
    with start(folder) as process:
        said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert b"[arbstr] plugins" in said
    assert b"Traceback" not in said
