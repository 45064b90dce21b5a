"""Which part of arbstr a process may be: `[server] role` against the database, its role there, and the plugins."""

from __future__ import annotations

import enum

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


async def require_part(settings: Settings, database: Database, wallets: list[str]) -> None:
    """Raises ConfigError with everything that does not fit the part; `wallets` are the plugins that bring rails."""
    if database.dialect is not Dialect.POSTGRESQL:
        return
    bounded = await database.read(lambda connection: connection.exec_driver_sql("SELECT arbstr_bounded()").scalar())
    problems = []
    if settings.server.role == PROXY:
        problems += [f"[arbstr] plugins: {stem} is a wallet, and this process is to hold none" for stem in wallets]
        if not bounded:
            problems.append(
                "[storage] url: its role owns the tables, so nothing bounds it; name what `arbstr db roles` made"
            )
    elif bounded:
        problems.append(
            "[storage] url: its role may serve calls and no more: `arbstr serve --role proxy`, or name the owner's role"
        )
    if problems:
        raise ConfigError([Problem(each) for each in problems])
