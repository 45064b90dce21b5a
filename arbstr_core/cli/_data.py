"""The database that the configuration names, and the operator's token, made where it is missing."""

from __future__ import annotations

import secrets
from pathlib import Path

from arbstr_core import journal, vault
from arbstr_core.api import Clock
from arbstr_core.config import Settings, resolve_secret
from arbstr_core.storage import Database, Schema, make_secret
from arbstr_core.types import ConfigError, Problem, Secret, StorageError


def schemas() -> list[Schema]:
    """What each room wants of the database."""
    return [vault.schema(), journal.schema()]


def database_password(settings: Settings) -> Secret | None:
    """The database's password; None where the configuration names none."""
    ref = settings.storage.password
    if ref is None:
        return None
    found = resolve_secret(ref, settings.base)
    if found is None:
        raise ConfigError([Problem(f"[storage] password: {ref.ref} is empty or not there; set it")])
    return found


def make_data_dir(settings: Settings) -> None:
    """Make `data_dir`, for its owner alone. Raises StorageError where that cannot be done."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{settings.data_dir} cannot be made ({error.strerror}): make it and give it to this user, "
            "or name another in [arbstr] data_dir"
        ) from error


def open_database(settings: Settings, clock: Clock, *, upgrade: bool = False) -> Database:
    """Open it, and make what is not there yet. Raises StorageError or ConfigError."""
    make_data_dir(settings)
    return Database.open(
        settings.database_url,
        data_dir=settings.data_dir,
        clock=clock,
        schemas=schemas(),
        password=database_password(settings),
        upgrade=upgrade,
    )


def token_path(settings: Settings) -> Path:
    """Where the operator's token is."""
    return settings.data_dir / "admin.token"


def operator_token(settings: Settings, *, make: bool = True) -> Secret:
    """The operator's token; made, for the operator's eyes alone, where there is none.

    Raises StorageError where it cannot be read, or is not there and one that was made now (`make`) would not be known.
    """
    path = token_path(settings)
    try:
        found = path.read_text().strip()
    except FileNotFoundError as error:
        if not make:
            raise StorageError(
                f"{path} is not there, and the running server knows the token that it held: put it back, "
                "or restart arbstr, which makes another"
            ) from error
        make_data_dir(settings)
        return Secret(_make(path))
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror}): it holds the operator's token") from error
    if len(found) < 32:
        raise StorageError(f"{path} holds no token: remove it, and the next start makes a new one")
    return Secret(found)


def _make(path: Path) -> str:
    token = f"adm_{secrets.token_urlsafe(32)}"
    make_secret(path, token + "\n")
    return token
