"""`arbstr init`: a configuration to start from, and the state it names."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from arbstr_core.types import StorageError


def packaged_config() -> str:
    """The annotated configuration that arbstr ships with."""
    inside = resources.files("arbstr_core") / "config.toml"
    if inside.is_file():
        return inside.read_text()
    # A checkout that is installed in place keeps it at its root.
    return (Path(__file__).parents[2] / "config.toml").read_text()


def write_config(path: Path) -> bool:
    """Write the packaged configuration to `path` unless something is there; True where it was written."""
    try:
        with path.open("x") as file:
            file.write(packaged_config())
    except FileExistsError:
        return False
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}): name another place with -c") from error
    return True
