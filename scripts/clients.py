"""Makes .cache/clients: the real clients that tests/clients runs against arbstr, apart from arbstr's own environment.

`python` in it has what tests/clients/requirements.txt names, `node` what tests/clients/package-lock.json does. Safe to
repeat, and beside itself. It says, too, where the browser is missing that tests/dashboard looks with.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from chromium import chromium  # noqa: E402

WANTED = ROOT / "tests" / "clients"
MADE = ROOT / ".cache" / "clients"
REQUIREMENTS = WANTED / "requirements.txt"
NODE_FILES = [WANTED / name for name in ("package.json", "package-lock.json", ".npmrc")]
OLDEST_NODE = 18


class Missing(Exception):
    """What the clients need is not on this machine."""


def main() -> int:
    """Make what is missing; 1 where that cannot be."""
    MADE.mkdir(parents=True, exist_ok=True)
    with (MADE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            node = _node()
            _browser()
            _kept("python", [sys.version, REQUIREMENTS.read_text()], _make_python)
            _kept("node", [node, *(path.read_text() for path in NODE_FILES)], _make_node)
        except Missing as missing:
            print(missing, file=sys.stderr)
            return 1
        except subprocess.CalledProcessError as failed:
            print(f"{failed.cmd[0]} failed, and the clients of tests/clients are not all there", file=sys.stderr)
            return 1
    return 0


def _kept(name: str, made_of: list[str], make: Callable[[Path], None]) -> None:
    """Make a folder anew, unless it was made of just the same."""
    stamp = MADE / f"{name}.made-of"
    wanted = hashlib.sha256("\0".join(made_of).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(MADE / name, ignore_errors=True)
    make(MADE / name)
    stamp.write_text(wanted)


def _make_python(folder: Path) -> None:
    print("clients 1/2: those of Python", flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--no-deps"]
    with subprocess.Popen([*pip, "-r", str(REQUIREMENTS)], stdout=subprocess.PIPE, text=True) as installing:
        assert installing.stdout is not None
        for line in installing.stdout:
            if collected := re.match(r"Collecting ([A-Za-z0-9._-]+)", line):
                print(f"    {collected[1]}", flush=True)
    if installing.returncode:
        raise subprocess.CalledProcessError(installing.returncode, ["pip"])


def _make_node(folder: Path) -> None:
    print("clients 2/2: those of Node.js", flush=True)
    folder.mkdir()
    for path in NODE_FILES:
        shutil.copy(path, folder)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)


def _browser() -> None:
    """Raise Missing where there is no browser."""
    if chromium() is None:
        raise Missing(
            "the tests look at the dashboard with Chromium, and none is on this machine: install it (Debian: apt-get "
            "install chromium), name another with CHROMIUM=PROGRAM, or run a part of the tests that does without"
        )


def _node() -> str:
    """The version of Node.js. Raises Missing where it is too old, or npm is not there."""
    why = f"the tests run real clients on Node.js {OLDEST_NODE} or later"
    remedy = "install them (Debian: apt-get install nodejs npm), or run a part of the tests that does without"
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise Missing(f"{why}, and {program} is not on this machine: {remedy}")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST_NODE:
        raise Missing(f"{why}, and this is {version}: {remedy}")
    return version


if __name__ == "__main__":
    sys.exit(main())
