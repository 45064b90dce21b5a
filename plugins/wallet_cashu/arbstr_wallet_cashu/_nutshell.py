"""Owns a development mint: Nutshell (PyPI `cashu`) in an environment of its own, run as a process. Never imported.

Its money is nobody's: it holds no bitcoin (FakeWallet), pays every invoice without paying, and its own are paid by
themselves where that is asked for.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

REQUIREMENTS = Path(__file__).with_name("nutshell.txt")
HOST = "127.0.0.1"
_READY_SECONDS = 60.0
_STOP_SECONDS = 10.0
_PAUSE = 0.05
_TAIL = 2000
_OURS = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")


class NoMint(Exception):
    """The mint cannot be set up, or does not start; the message says why."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a mint behaves. `pays_itself`: its invoices are paid once somebody asks about them. What its wallet says of a
    payment (SETTLED, FAILED, PENDING, UNKNOWN) is `payment` when it is made, and `then` when it is asked later."""

    fee_ppk: int = 0
    pays_itself: bool = True
    payment: str = "SETTLED"
    then: str = "SETTLED"
    key: str = ""
    """what its keys are made of; none: made once, and kept beside its database"""
    management_port: int = 0
    """where `mint-cli` reaches it; 0: nowhere"""


def install(folder: Path) -> Path:
    """An environment with Nutshell in `folder`, made where it is not there or not as it should be. Raises NoMint."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    stamp = folder / "installed"
    with _alone(folder / "lock"):
        if not (stamp.exists() and stamp.read_text() == wanted):
            stamp.unlink(missing_ok=True)
            environment = folder / "env"
            _run([sys.executable, "-m", "venv", "--clear", str(environment)])
            python = str(environment / "bin" / "python")
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            _run([*pip, "-r", str(REQUIREMENTS)])
            stamp.write_text(wanted)
    return folder / "env"


class Nutshell:
    """One mint: its environment, its folder, and its process while it runs."""

    def __init__(self, environment: Path, folder: Path, port: int, options: Options | None = None) -> None:
        self.folder = folder
        self.port = port
        self.options = options or Options()
        self.url = f"http://{HOST}:{port}"
        self.log = folder / "log"
        self._bin = environment / "bin"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return once it answers. Raises NoMint."""
        self._prepare()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait(self._process.pid)
        except BaseException:
            self.stop()
            raise

    def leave(self) -> int:
        """Start it, and leave it to itself: it goes on when we end. Its process id. Raises NoMint."""
        self._prepare()
        words = ["/bin/sh", "-c", 'log="$1"; shift; "$@" >>"$log" 2>&1 </dev/null & echo $!', "sh", str(self.log)]
        done = subprocess.run(
            [*words, *self._command()],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=True,
            start_new_session=True,
        )
        pid = int(done.stdout)
        try:
            self._wait(pid)
        except BaseException:
            end(pid, self.folder)
            raise
        return pid

    def stop(self) -> None:
        """End it, and wait for its end."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def manage(self, *arguments: str) -> str:
        """What `mint-cli` says: `next-keyset`, `update mint-quote`, ... Raises NoMint."""
        command = [str(self._bin / "mint-cli"), "--insecure", "--port", str(self.options.management_port), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment(), capture_output=True, text=True, check=False
        )
        if done.returncode or "Error:" in done.stderr:
            raise NoMint(f"mint-cli {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def _command(self) -> list[str]:
        return [str(self._bin / "mint"), "--host", HOST, "--port", str(self.port)]

    def _prepare(self) -> None:
        """Make its folder. Raises NoMint where somebody else has the port."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            # As servers do: a port that was just left is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self.port))
            except OSError as taken:
                raise NoMint(f"port {self.port} cannot be listened on ({taken}); name another with --port") from None

    def _wait(self, pid: int) -> None:
        until = time.monotonic() + _READY_SECONDS
        while time.monotonic() < until:
            if not runs(pid, self.folder):
                raise NoMint(f"the mint ended before it answered:\n{self._last_words()}")
            if self._answers():
                return
            time.sleep(_PAUSE)
        raise NoMint(f"the mint does not answer within {_READY_SECONDS:g} s:\n{self._last_words()}")

    def _answers(self) -> bool:
        """Whether a Nutshell listens there: it does so once it is ready, and not before."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", "/v1/info")
            return b"Nutshell/" in connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-_TAIL:] if self.log.exists() else ""

    def _environment(self) -> dict[str, str]:
        """All its settings, and nothing else of ours: it reads every name it knows out of its environment."""
        options, yes = self.options, {True: "TRUE", False: "FALSE"}
        return {name: os.environ[name] for name in _OURS if name in os.environ} | {
            "HOME": str(self.folder),
            "CASHU_DIR": str(self.folder),
            "MINT_DATABASE": str(self.folder / "mint"),
            "MINT_AUTH_DATABASE": str(self.folder / "auth"),
            "MINT_PRIVATE_KEY": options.key or self._key(),
            "MINT_BACKEND_BOLT11_SAT": "FakeWallet",
            "MINT_INPUT_FEE_PPK": str(options.fee_ppk),
            "MINT_RATE_LIMIT": "FALSE",
            "MINT_QUOTE_BACKEND_CHECK_RATE_LIMIT": "0",
            "MINT_RPC_SERVER_ENABLE": yes[bool(options.management_port)],
            "MINT_RPC_SERVER_MUTUAL_TLS": "FALSE",
            "MINT_RPC_SERVER_ADDR": HOST,
            "MINT_RPC_SERVER_PORT": str(options.management_port or 8086),
            "FAKEWALLET_BRR": yes[options.pays_itself],
            "FAKEWALLET_DELAY_INCOMING_PAYMENT": "0",
            "FAKEWALLET_DELAY_OUTGOING_PAYMENT": "0",
            "FAKEWALLET_BALANCE_SAT": "100000000000",
            "FAKEWALLET_PAY_INVOICE_STATE": options.payment,
            "FAKEWALLET_PAYMENT_STATE": options.then,
        }

    def _key(self) -> str:
        path = self.folder / "mint.key"
        with (
            contextlib.suppress(FileExistsError),
            open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file,
        ):
            file.write(secrets.token_hex(32))
        return path.read_text()


def end(pid: int, folder: Path) -> bool:
    """End the mint with `pid`, if that is still one that runs in `folder`; whether it was."""
    if not runs(pid, folder):
        return False
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + _STOP_SECONDS
    while runs(pid, folder) and time.monotonic() < until:
        time.sleep(_PAUSE)
    return True


def runs(pid: int, folder: Path) -> bool:
    """Whether `pid` is a mint that runs in `folder`, and no other process that has the number now."""
    try:
        cwd = Path(f"/proc/{pid}/cwd")
        if cwd.exists():
            return cwd.resolve() == folder.resolve() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    done = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "mint" in done.stdout


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One at a time: others wait until it is installed."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoMint(f"{' '.join(command[:4])} ... failed:\n{(done.stdout + done.stderr)[-_TAIL:]}")
