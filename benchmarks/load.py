"""Owns the load: what is asked, wrk that asks it, and what one run of it came to."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import msgspec

from benchmarks.machine import Cores, cpu_seconds
from benchmarks.processes import HERE, MODEL, PATH, Target


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of call at one number of connections. `pacing` is a word that the upstream knows."""

    name: str
    connections: int
    stream: bool = False
    pacing: str = ""

    def body(self) -> bytes:
        """The request: two kilobytes of prompt, as a short conversation has."""
        said = [
            {"role": "system", "content": "You are helpful. " * 20},
            {"role": "user", "content": "word " * 320},
        ]
        asked = {"model": MODEL, "messages": said, "temperature": 0.5, "stream": self.stream}
        return json.dumps({**asked, "user": self.pacing} if self.pacing else asked).encode()


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What one run came to. CPU is that of the target's process tree, latency as wrk saw it."""

    requests: int
    rps: float
    cpu_us: float
    p50_us: float
    p99_us: float
    errors: int


class _Result(msgspec.Struct):
    """What post.lua prints."""

    requests: int
    micros: int
    p50_us: int
    p99_us: int
    errors: dict[str, int]


def parsed(output: str, cpu: float) -> Run:
    """A run out of what wrk printed, during which the target used `cpu` seconds of CPU."""
    _, marker, line = output.rpartition("\nRESULT ")
    if not marker:
        raise ValueError(f"wrk printed no result: {output.strip()[-500:]!r}")
    found = msgspec.json.decode(line.strip(), type=_Result)
    requests = max(found.requests, 1)
    return Run(
        requests=found.requests,
        rps=found.requests / (found.micros / 1e6),
        cpu_us=cpu * 1e6 / requests,
        p50_us=found.p50_us,
        p99_us=found.p99_us,
        errors=sum(found.errors.values()),
    )


def measure(target: Target, case: Case, seconds: int, folder: Path, cores: Cores) -> Run:
    """Ask `target` as fast as the connections of `case` allow."""
    body = folder / "body.json"
    body.write_bytes(case.body())
    words = ["wrk", "-t1", f"-c{case.connections}", f"-d{seconds}s", "-s", str(HERE / "post.lua"), target.url + PATH]
    words += ["--", str(body), *([f"Authorization=Bearer {target.token}"] if target.token else [])]
    used = cpu_seconds(target.pid)
    done = subprocess.run(cores.on(cores.load, *words), capture_output=True, text=True, check=True)
    return parsed(done.stdout, cpu_seconds(target.pid) - used)
