"""Files beside the database that outlive a power cut: they are there as a whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from arbstr_core.types import StorageError


def sync(path: Path) -> None:
    """Wait until what is in a file, or which names are in a folder, is durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_secret(path: Path, text: str) -> None:
    """Make a file for its owner alone. Raises StorageError where that cannot be done, or there is one."""
    part = path.with_name(f"{path.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # A second name, and not another name: it fails where there is one.
        os.link(part, path)
        part.unlink()
        sync(path.parent)
        # The folder may be as new as the file.
        sync(path.parent.parent)
    except OSError as error:
        raise StorageError(f"{path} cannot be made ({error.strerror}): check its folder") from error
