"""The tables of this room: the master key's check value, and what plugins keep; and the database's clock."""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage._ddl import create, narrow
from arbstr_core.storage._migrations import Migration, Schema
from arbstr_core.storage._statements import BYTES, TEXT, Dialect

_METADATA = sa.MetaData()
CIPHER_CHECK = narrow(
    "cipher_check",
    _METADATA,
    sa.Column("key_id", TEXT, primary_key=True),
    sa.Column("sealed", BYTES, nullable=False),
)
PLUGIN_STORE = narrow(
    "plugin_store",
    _METADATA,
    sa.Column("stem", TEXT, primary_key=True),
    sa.Column("key", TEXT, primary_key=True),
    sa.Column("value", BYTES, nullable=False),
)
_CLOCK = """CREATE FUNCTION arbstr_now() RETURNS bigint LANGUAGE sql VOLATILE
AS $$SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint$$"""


def schema() -> Schema:
    """The migrations of this room."""
    first = Migration(
        version=1,
        name="cipher check, plugin store",
        sqlite=create(Dialect.SQLITE, CIPHER_CHECK, PLUGIN_STORE),
        postgresql=(_CLOCK, *create(Dialect.POSTGRESQL, CIPHER_CHECK, PLUGIN_STORE)),
    )
    return Schema(room="storage", migrations=(first,))
