"""The tables of this room: the master key's check value, and what plugins keep."""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage._migrations import Migration, Schema
from arbstr_core.storage._sqlite import create_table

_METADATA = sa.MetaData()
CIPHER_CHECK = sa.Table(
    "cipher_check",
    _METADATA,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
PLUGIN_STORE = sa.Table(
    "plugin_store",
    _METADATA,
    sa.Column("stem", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)


def schema() -> Schema:
    """The migrations of this room."""
    first = Migration(
        version=1, name="cipher check, plugin store", sqlite=tuple(map(create_table, _METADATA.sorted_tables))
    )
    return Schema(room="storage", migrations=(first,))
