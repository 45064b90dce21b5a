"""Whether the database still has the shape that the migrations give it: what was taken away, changed, or added.

What it should be is made from the migrations themselves: on SQLite in memory, on PostgreSQL as temporary tables of a
transaction that is rolled back, so that the server writes both down in the same words. Tables that no migration makes
are somebody else's.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import sqlalchemy as sa

from arbstr_core.storage._migrations import Schema
from arbstr_core.storage._statements import Dialect
from arbstr_core.storage._tables import schema

Shape = Mapping[tuple[str, str], str]
"""(table, kind and name of a part) -> how it is written down"""

_SQLITE = "SELECT tbl_name, type || ' ' || name, coalesce(sql, '') FROM sqlite_schema"
_TABLES = re.compile(r"\s*(CREATE TABLE|CREATE SEQUENCE|CREATE (UNIQUE )?INDEX|ALTER TABLE|DROP (TABLE|INDEX))\b", re.I)
_POLICY = re.compile(r"\s*CREATE POLICY (\w+) ON (\w+)|\s*ALTER TABLE (\w+) ENABLE (ROW LEVEL SECURITY)", re.I)
_TRIGGER = re.compile(r"\s*(CREATE|DROP) TRIGGER (\w+)\b.*? ON (\w+)", re.I | re.S)

_PARTS = """SELECT c.relname, 'column ' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
CASE WHEN a.attnotnull THEN 'NOT NULL' END, nullif(a.attidentity, ''), nullif(a.attgenerated, ''),
nullif(a.attcollation::text, '0'), pg_get_expr(d.adbin, d.adrelid))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = {0} AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT c.relname, 'constraint ' || o.conname, pg_get_constraintdef(o.oid)
|| CASE WHEN o.convalidated THEN '' ELSE ' NOT VALID' END FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
WHERE c.relnamespace = {0} AND o.contype IN ('c', 'f', 'p', 'u', 'x')
UNION ALL SELECT c.relname, 'index ' || i.relname, pg_get_indexdef(x.indexrelid)
|| CASE WHEN x.indisvalid AND x.indisready AND x.indislive THEN '' ELSE ' INVALID' END
FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
WHERE c.relnamespace = {0}"""
# What comes on top of a table; of each, those that there may never be.
_ON_TOP = """SELECT c.relname, 'rule ' || r.rulename || ' was added'
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE {0}
UNION ALL SELECT c.relname, 'row level security is forced' FROM pg_class c WHERE {0} AND c.relforcerowsecurity
UNION ALL SELECT c.relname, 'its rows are not written to the log (UNLOGGED)' FROM pg_class c
WHERE {0} AND c.relpersistence <> 'p'
UNION ALL SELECT c.relname, 'it has parents or children' FROM pg_class c
WHERE {0} AND EXISTS (SELECT 1 FROM pg_inherits h WHERE c.oid IN (h.inhrelid, h.inhparent))
UNION ALL SELECT c.relname, 'what holds its foreign keys is switched off' FROM pg_class c
WHERE {0} AND EXISTS (SELECT 1 FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgisinternal AND g.tgenabled <> 'O')
ORDER BY 1, 2"""
_POLICIES = """SELECT c.relname, p.polname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE {0}
UNION ALL SELECT c.relname, 'row level security' FROM pg_class c WHERE {0} AND c.relrowsecurity ORDER BY 1, 2"""
_TRIGGERS = """SELECT c.relname, g.tgname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
WHERE NOT g.tgisinternal AND {0} ORDER BY 1, 2"""
_OURS = "c.relnamespace = current_schema()::regnamespace AND c.relname IN ({0})"
# Guards are passed by where this is not the default, of which only 'origin' is one that lets them work.
_REPLICA = """SELECT 'role ' || coalesce(r.rolname, 'any') || ', database ' || coalesce(d.datname, 'any')
FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
AND EXISTS (SELECT 1 FROM unnest(s.setconfig) given WHERE given LIKE 'session_replication_role=%%'
AND given <> 'session_replication_role=origin') ORDER BY 1"""


def unlike(connection: sa.Connection, schemas: Sequence[Schema]) -> str | None:
    """The first thing that is not as the migrations of these rooms and of our own make it, or passes by what they
    make."""
    schemas = [schema(), *schemas]
    if Dialect(connection.dialect.name) is Dialect.SQLITE:
        return _different(_made_in_memory(tuple(schemas)), _found_sqlite(connection))
    made = _made_for_a_moment(connection, schemas)
    own = str(connection.exec_driver_sql("SELECT current_schema()").scalar())
    found = _parts(connection, f"'{own}'::regnamespace", own)
    return _different(made, found) or _on_top(connection, schemas, {table for table, _ in made}) or _replica(connection)


def _different(made: Shape, found: Shape) -> str | None:
    tables = {table for table, _ in made}
    for table, part in sorted(made.keys() | {key for key in found if key[0] in tables}):
        if (table, part) not in found:
            return f"table {table}: {part} is not there"
        if (table, part) not in made:
            return f"table {table}: {part} was added"
        if made[table, part] != found[table, part]:
            return f"table {table}: {part} is not as it was made"
    return None


# SQLite


def _found_sqlite(connection: sa.Connection) -> Shape:
    return {(row[0], row[1]): row[2] for row in connection.exec_driver_sql(_SQLITE)}


@lru_cache(maxsize=4)
def _made_in_memory(schemas: tuple[Schema, ...]) -> Shape:
    made = sqlite3.connect(":memory:")
    try:
        for each in schemas:
            for step in each.migrations:
                for statement in step.statements(Dialect.SQLITE):
                    made.execute(statement)
        return {(row[0], row[1]): row[2] for row in made.execute(_SQLITE)}
    finally:
        made.close()


# PostgreSQL


def _made_for_a_moment(connection: sa.Connection, schemas: Sequence[Schema]) -> Shape:
    """What the migrations make, in this server's words."""
    with connection.engine.connect() as other:
        # It only reads, by default; nothing of this is ever committed.
        other.exec_driver_sql("SET TRANSACTION READ WRITE")
        other.exec_driver_sql("SET LOCAL search_path TO pg_temp")
        for statement in _statements(schemas):
            if _TABLES.match(statement):
                other.exec_driver_sql(statement.replace("%", "%%"))
        found = _parts(other, "pg_my_temp_schema()", "pg_temp")
        other.rollback()
    return found


def _statements(schemas: Sequence[Schema]) -> Iterator[str]:
    for each in schemas:
        for step in each.migrations:
            yield from step.postgresql


def _parts(connection: sa.Connection, namespace: str, name: str) -> Shape:
    """With no names of schemas: those that are visible are left out here and there."""
    named = re.compile(rf"\b(?:pg_temp(?:_\d+)?|{re.escape(name)})\.")
    rows = connection.exec_driver_sql(_PARTS.format(namespace))
    return {(row[0], row[1]): named.sub("", row[2]) for row in rows}


def _on_top(connection: sa.Connection, schemas: Sequence[Schema], tables: set[str]) -> str | None:
    ours = _OURS.format(", ".join(f"'{table}'" for table in sorted(tables)))
    row = connection.exec_driver_sql(_ON_TOP.format(ours)).first()
    if row is not None:
        return f"table {row[0]}: {row[1]}"
    wrong = _other_policies(connection, schemas, ours)
    if wrong is not None:
        return wrong
    known: set[tuple[str, str]] = set()
    for match in filter(None, map(_TRIGGER.match, _statements(schemas))):
        change = known.add if match[1].upper() == "CREATE" else known.discard
        change((match[3], match[2]))
    for table, name in connection.exec_driver_sql(_TRIGGERS.format(ours)):
        if (table, name) not in known:
            return f"table {table}: trigger {name} was added"
    return None


def _other_policies(connection: sa.Connection, schemas: Sequence[Schema], ours: str) -> str | None:
    """Policies that were added, or taken away: which rows a role sees that does not own them."""
    made = {
        (match[2] or match[3], match[1] or match[4].lower())
        for match in filter(None, map(_POLICY.match, _statements(schemas)))
    }
    found = {(row[0], row[1]) for row in connection.exec_driver_sql(_POLICIES.format(ours))}
    for table, name in sorted(found - made):
        return f"table {table}: {name} is switched on" if " " in name else f"table {table}: policy {name} was added"
    for table, name in sorted(made - found):
        return f"table {table}: {name} is not there, or switched off"
    return None


def _replica(connection: sa.Connection) -> str | None:
    role = connection.exec_driver_sql("SHOW session_replication_role").scalar()
    if role != "origin":
        return f"session_replication_role is {role}: guards are passed by; set it to origin"
    row = connection.exec_driver_sql(_REPLICA).first()
    return None if row is None else f"session_replication_role is set for {row[0]}: guards are passed by; RESET it"
