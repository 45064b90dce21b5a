"""Which part of arbstr a process may be: `[server] role` against the database, its role there, and the plugins."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from arbstr_core.config import Settings
from arbstr_core.storage import Database, Dialect, is_postgresql
from arbstr_core.types import ConfigError, Problem

PROXY, TREASURY = "proxy", "treasury"


class Part(enum.StrEnum):
    """What a process can be."""

    ALL = "all"
    PROXY = PROXY
    TREASURY = TREASURY


def require_postgresql(settings: Settings) -> None:
    """Raises ConfigError where a part is to run alone, and nobody could keep it to that."""
    if settings.server.role != "all" and not is_postgresql(settings.database_url):
        what = (
            f"[storage] url: `{settings.server.role}` as a process of its own needs PostgreSQL, whose roles keep it to "
            "its part; name such a database, or run `arbstr serve`, which does everything"
        )
        raise ConfigError([Problem(what)])


def misplaced(settings: Settings, wallets: Sequence[str]) -> list[Problem]:
    """A problem for each plugin of `wallets`, which bring rails, where the process is to have none."""
    if settings.server.role != PROXY:
        return []
    return [Problem(f"[arbstr] plugins: {stem} is a wallet, and this process is to hold none") for stem in wallets]


async def require_part(settings: Settings, database: Database, wallets: list[str]) -> None:
    """Raises ConfigError with everything that does not fit the part; `wallets` are the plugins that bring rails."""
    if database.dialect is not Dialect.POSTGRESQL:
        return
    bounded = await database.read(lambda connection: connection.exec_driver_sql("SELECT arbstr_bounded()").scalar())
    problems = misplaced(settings, wallets)
    if settings.server.role == PROXY and not bounded:
        what = "its role owns the tables, so nothing bounds it; name what `arbstr db roles` made"
        problems.append(Problem(f"[storage] url: {what}"))
    elif settings.server.role != PROXY and bounded:
        what = "its role may serve calls and no more: `arbstr serve --role proxy`, or name the owner's role"
        problems.append(Problem(f"[storage] url: {what}"))
    if problems:
        raise ConfigError(problems)
