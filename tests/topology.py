"""What deploy/compose.yaml describes, as plain processes: the same commands, scripts, environment, order and checks,
from the same .env.example. There is no container engine here, so its images are programs of this machine, its volumes
are folders, its hosts 127.0.0.1. The chain has no part: the Lightning node is that of the tests.

`make topology` runs it until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from arbstr_wallet_cashu._nutshell import install
from lightning import programs
from mints import HOME
from postgres import Cluster
from postgres import programs as postgres_programs

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SECONDS = 200
PAUSE = 1.0
"""between two checks of a service: each is a program of its own"""
LEFT_OUT = frozenset({"bitcoind", "miner"})
"""the chain"""


def quiet_ports(count: int) -> list[int]:
    """Free ports that no system hands out by itself: they are listened on up to a minute later, and until then other
    tests may open thousands of connections."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found += [port] if port not in found else []
    return found


def environment(example: Path, folder: Path) -> dict[str, str]:
    """What `deploy/env` makes of the example."""
    file = folder / ".env"
    subprocess.run([example.with_name("env"), file], check=True, capture_output=True)
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def composed(variables: Mapping[str, str], profile: str) -> dict[str, dict[str, Any]]:
    """The services of `profile`, with everything filled in, each after those it depends on."""

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"\$\$|\$\{(\w+)\}", lambda found: variables[found[1]] if found[1] else "$", value)
        if isinstance(value, dict):
            return {key: fill(each) for key, each in value.items()}
        return [fill(each) for each in value] if isinstance(value, list) else value

    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    chosen = {name: fill(service) for name, service in services.items() if profile in service["profiles"]}
    order = TopologicalSorter({name: service.get("depends_on", {}) for name, service in chosen.items()})
    return {name: chosen[name] for name in order.static_order()}


class Unwell(AssertionError):
    """A service that does not come up; with what it logged."""


class Service:
    """One service as a process."""

    def __init__(self, name: str, said: Mapping[str, Any], topology: Topology) -> None:
        self.name = name
        self.said = said
        self.log = topology.folder / f"{name}.log"
        self._topology = topology
        self._places = self._volumes()
        self._process: subprocess.Popen[bytes] | None = None

    def _volumes(self) -> dict[str, str]:
        """Folders and files in the container, and where they are here: volumes are folders; what is mounted is copied,
        with its own places in it, since it names them."""
        places: dict[str, str] = {}
        for volume in self.said.get("volumes", []):
            source, target = volume.split(":")[:2]
            place = self._topology.folder / ("volumes" if source[0] != "." else self.name) / source.lstrip("./")
            places[target] = str(place)
            if source[0] != ".":
                place.mkdir(parents=True, exist_ok=True)
        return places

    def here(self, text: str) -> str:
        """`text` with the places, addresses and users of this machine in it."""
        for place, ours in self._places.items():
            text = re.sub(rf"(?<![\w/.-]){place}(?![\w-])", ours, text)
        text = re.sub(r"\b(0\.0\.0\.0|127\.0\.0\.1):8080\b", f"127.0.0.1:{self._topology.port(self.name)}", text)
        return text.replace("0.0.0.0", "127.0.0.1").replace("10001:10001", f"{os.getuid()}:{os.getgid()}")

    @property
    def environ(self) -> dict[str, str]:
        said = {name: self.here(str(value)) for name, value in self.said.get("environment", {}).items()}
        return {"PATH": self._topology.path(self.name), "HOME": str(self._topology.folder), **said}

    def start(self) -> None:
        """Start it. What it needs is well by now."""
        for volume in self.said.get("volumes", []):
            source, target = volume.split(":")[:2]
            if source[0] == ".":
                self._copy(DEPLOY / source, Path(self._places[target]))
        # The image of arbstr has one of its own.
        entrypoint = self.said.get("entrypoint", ["arbstr"])
        words = [self.here(str(word)) for word in (*entrypoint, *self.said.get("command", []))]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                words, env=self.environ, cwd=self._topology.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _copy(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        for file in source.rglob("*") if source.is_dir() else [source]:
            place = target / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(self.here(file.read_text()))

    def wait(self, condition: str) -> None:
        """Until it is as those that depend on it want it: healthy by its own check, or ended well."""
        limit = time.monotonic() + SECONDS
        while not self._is(condition):
            if time.monotonic() > limit or (self._ended() is not None and condition == "service_healthy"):
                raise Unwell(f"{self.name} is not well: {self._last_check}\n{self.log.read_text()}")
            time.sleep(PAUSE)

    def _is(self, condition: str) -> bool:
        if condition == "service_completed_successfully":
            code = self._ended()
            if code:
                raise Unwell(f"{self.name} ended with {code}:\n{self.log.read_text()}")
            return code == 0
        return self.well()

    def well(self) -> bool:
        """Whether its health check says so."""
        kind, *words = self.said["healthcheck"]["test"]
        words = [self.here(word) for word in words]
        done = subprocess.run(
            ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words,
            env=self.environ, cwd=self._topology.folder, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        self._last_check = done.stdout + done.stderr
        return done.returncode == 0

    def _ended(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def stop(self) -> int | None:
        """End it as the engine does; its exit code."""
        if self._process is None or self._process.poll() is not None:
            return self._ended()
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    _last_check = ""


class Postgres(Service):
    """The image of PostgreSQL makes a cluster, runs the scripts it is given, and serves; so does this."""

    def start(self) -> None:
        cluster = self._topology.cluster
        assert cluster is not None, "it was made with this service"
        cluster.start()
        (script,) = [place for target, place in self._places.items() if "initdb.d" in target]
        self._copy(DEPLOY / "postgres" / "arbstr.sh", Path(script))
        done = subprocess.run(
            ["/bin/sh", script],
            env={**self.environ, "PGHOST": "127.0.0.1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        cluster = self._topology.cluster
        if cluster is not None and cluster.pid is not None:
            cluster.stop()


class Topology:
    """All services of a profile."""

    def __init__(self, folder: Path, profile: str) -> None:
        self.folder = folder
        self._ports: dict[str, int] = {}
        postgres, lnd, mint = quiet_ports(3)
        variables = environment(DEPLOY / ".env.example", folder) | {
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(postgres),
            "LND_HOST": "127.0.0.1",
            "LND_PORT": str(lnd),
            "MINT_PORT": str(mint),
            "MINT_URL": f"http://127.0.0.1:{mint}",
        }
        found = composed(variables, profile)
        programs.put_into(folder / "bin")
        self._nutshell = install(HOME) if "mint" in found else folder
        self.cluster = Cluster() if "postgres" in found else None
        if self.cluster is not None:
            self.cluster.port = postgres
        self.services = {
            name: (Postgres if name == "postgres" else Service)(name, said, self)
            for name, said in found.items()
            if name not in LEFT_OUT
        }

    def port(self, name: str) -> int:
        """Where the arbstr of the service `name` listens."""
        if name not in self._ports:
            (self._ports[name],) = quiet_ports(1)
        return self._ports[name]

    def url(self, name: str) -> str:
        """The same, as a URL."""
        return f"http://127.0.0.1:{self.port(name)}"

    def smoke(self) -> list[str | Path]:
        """The smoke test that users get, for these services."""
        serves, answers = ("arbstr", "arbstr") if "arbstr" in self.services else ("proxy", "treasury")
        token = self.folder / "volumes" / answers / "admin.token"
        return [DEPLOY / "smoke", "--url", self.url(serves), "--admin", self.url(answers), "--token-file", token]

    def path(self, name: str) -> str:
        """Where the programs of the image of the service `name` are."""
        own = {"mint": self._nutshell / "bin", "postgres": postgres_programs()}.get(name, Path(sys.executable).parent)
        return os.pathsep.join([str(own), str(self.folder / "bin"), os.environ["PATH"]])

    def up(self) -> None:
        """Start each service once those that it depends on are as it wants them; all are well then."""
        conditions = {
            name: condition["condition"]
            for service in self.services.values()
            for name, condition in service.said.get("depends_on", {}).items()
        }
        for name, service in self.services.items():
            service.start()
            service.wait(conditions.get(name, "service_healthy"))

    def down(self) -> None:
        """End them, the last first."""
        for service in reversed(self.services.values()):
            service.stop()
        if self.cluster is not None:
            self.cluster.remove()


@contextlib.contextmanager
def topology(folder: Path, profile: str) -> Iterator[Topology]:
    """What runs in `profile`, until the end of the block."""
    made = Topology(folder, profile)
    try:
        made.up()
        yield made
    finally:
        made.down()


def main() -> None:
    """For a person: start everything, say where it is, and wait for Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="arbstr-topology-"))
    try:
        with contextlib.suppress(KeyboardInterrupt), topology(folder, "regtest") as made:
            print(f"All is well. This asks it: {shlex.join(map(str, made.smoke()))}", flush=True)
            print(f"Logs are in {folder}. Ctrl-C stops.", flush=True)
            signal.pause()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
