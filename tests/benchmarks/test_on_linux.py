"""What the measuring kit does with processes; like the kit itself it needs Linux, so elsewhere it is not collected."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.load import Case
from benchmarks.machine import Cores, Missing, cpu_seconds, require, sync_ms
from benchmarks.processes import HERE, PATH, started_bare, started_upstream

ANYWHERE = Cores(frozenset({0}), taskset=False)
WHOLE = Case(name="whole answer", connections=32)
STREAM = Case(name="stream", connections=1, stream=True)
SLOW = Case(name="slow", connections=1, stream=True, pacing="mock-slow")


def test_what_is_missing_is_a_sentence_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match=r"wrk and cc not found: apt-get install wrk gcc\Z"):
        require("wrk", "cc")


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "benchmarks"]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=HERE.parent, env={**os.environ, "PATH": str(tmp_path)}, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "wrk and cc not found: apt-get install wrk gcc\n"


def test_cpu_of_children_counts() -> None:
    busy = "import time\nwhile time.process_time() < 0.05: pass\nprint(flush=True)\ninput()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert cpu_seconds(process.pid) >= 0.05
        process.communicate(b"\n")


def test_syncing_takes_a_while(tmp_path: Path) -> None:
    assert sync_ms(tmp_path) > 0


def answer(url: str, case: Case) -> tuple[str, str]:
    """The type and the text of what comes back."""
    with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)) as connection:
        connection.request("POST", PATH, case.body(), {"content-type": "application/json"})
        found = connection.getresponse()
        return found.headers["content-type"], found.read().decode()


def check_answers(url: str) -> None:
    """One call of each kind, and what must come back."""
    kind, text = answer(url, WHOLE)
    assert kind == "application/json"
    assert json.loads(text)["usage"]["total_tokens"] == 540
    for case in (STREAM, SLOW):
        kind, text = answer(url, case)
        assert kind.startswith("text/event-stream")
        events = text.split("\n\n")
        assert len(events) == 54 + 1
        assert events[53:] == ["data: [DONE]", ""]
        assert json.loads(events[52].removeprefix("data: "))["usage"]["total_tokens"] == 462


def test_the_upstream_compiles_and_speaks_and_bare_passes_it_on(tmp_path: Path) -> None:
    if shutil.which("cc") is None:  # the benchmarks want a compiler, arbstr does not
        with pytest.raises(Missing, match="apt-get install gcc"):
            require("cc")
        return
    with started_upstream(tmp_path, ANYWHERE) as upstream:
        check_answers(upstream.url)
        with started_bare(tmp_path, ANYWHERE, upstream) as bare:
            check_answers(bare.url)
