"""That every guard is in place, word for word, and switched on; and that nothing was put beside or around them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from arbstr_core.storage import Dialect, Guard, Schema, unlike
from arbstr_core.vault._bounds import Bound, bounds
from arbstr_core.vault._migrations import guards

_SQLITE = "SELECT sql FROM sqlite_schema WHERE type = 'trigger'"
_POSTGRESQL = """SELECT g.tgname, g.tgenabled::text, pg_get_triggerdef(g.oid), p.prosrc, p.prosecdef, l.lanname,
p.proconfig FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_proc p ON p.oid = g.tgfoid
JOIN pg_language l ON l.oid = p.prolang
WHERE NOT g.tgisinternal AND c.relnamespace = current_schema()::regnamespace"""


def unguarded(connection: sa.Connection, schemas: Sequence[Schema]) -> str | None:
    """The first guard that is not there, was changed, or is switched off; else what else of the database is not as the
    migrations of `schemas` make it."""
    return _first_guard(connection) or unlike(connection, schemas)


def _first_guard(connection: sa.Connection) -> str | None:
    if Dialect(connection.dialect.name) is Dialect.SQLITE:
        there = {row[0] for row in connection.exec_driver_sql(_SQLITE)}
        gone = [guard.name for guard in guards(Dialect.SQLITE) if not set(guard.made(Dialect.SQLITE)) <= there]
    else:
        found = {row[0]: tuple(row) for row in connection.exec_driver_sql(_POSTGRESQL)}
        gone = [
            guard.name
            for guard in guards(Dialect.POSTGRESQL)
            if guard.made(Dialect.POSTGRESQL) and not _stands(guard, found)
        ]
        gone += [bound.name for bound in bounds() if not _bounds(bound, found)]
    return f"guard {gone[0]} is not there, or was changed, or is switched off" if gone else None


def _bounds(bound: Bound, found: dict[str, tuple[object, ...]]) -> bool:
    row = found.get(bound.name)
    return row is not None and bound.stands(row[1:2] + row[3:]) and _plain(str(row[2])) == _plain(bound.trigger())


def _plain(definition: str) -> str:
    """The same, without the marks that PostgreSQL puts around a condition."""
    return _normal(definition).replace("(", "").replace(")", "")


def _stands(guard: Guard, found: dict[str, tuple[object, ...]]) -> bool:
    row = found.get(guard.name)
    if row is None:
        return False
    _, enabled, definition, body, definer, language, settings = row
    stands = (body, definer, language, settings, enabled) == (guard.body(), False, "plpgsql", None, "O")
    return stands and _normal(str(definition)) == _normal(guard.postgresql())


def _normal(definition: str) -> str:
    """A trigger's definition without what PostgreSQL adds: the schema's name."""
    return " ".join(definition.replace(" ON public.", " ON ").replace("FUNCTION public.", "FUNCTION ").split())
