"""The tables of this room: the master key's check value, keys before it, what plugins keep; the database's clock."""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage._ddl import create, narrow
from arbstr_core.storage._migrations import Migration, Schema
from arbstr_core.storage._statements import BYTES, INTEGER, TEXT, Dialect

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
RETIRED_KEY = narrow(
    "retired_key",
    sa.MetaData(),
    # 1 is the first that there was.
    sa.Column("n", INTEGER, primary_key=True, autoincrement=False),
    sa.Column("key_id", TEXT, nullable=False),
    # The key itself, under the one that counts.
    sa.Column("sealed", BYTES, nullable=False),
)
_CLOCK = """CREATE FUNCTION arbstr_now() RETURNS bigint LANGUAGE sql VOLATILE
AS $$SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint$$"""

# True in a session of a role that does not own what is ours, and so is bounded in what it may write. Each statement of
# the money path asks for it: in this language, and with names for a search path, it costs a third.
_BOUNDED = """CREATE FUNCTION arbstr_bounded() RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$BEGIN
RETURN session_user OPERATOR(pg_catalog.<>) current_user
AND NOT pg_catalog.pg_has_role(session_user, current_user, 'MEMBER'); END$$"""
# What wallets keep is the owner's alone.
_POLICY = "CREATE POLICY plugin_store_of_others ON plugin_store USING (left(stem, 7) <> 'wallet_')"


def schema() -> Schema:
    """The migrations of this room."""
    first = Migration(
        version=1,
        name="cipher check, plugin store",
        sqlite=create(Dialect.SQLITE, CIPHER_CHECK, PLUGIN_STORE),
        postgresql=(_CLOCK, *create(Dialect.POSTGRESQL, CIPHER_CHECK, PLUGIN_STORE)),
    )
    second = Migration(
        version=2,
        name="what a role may see that does not own the tables",
        sqlite=(),
        postgresql=(_BOUNDED, "ALTER TABLE plugin_store ENABLE ROW LEVEL SECURITY", _POLICY),
    )
    third = Migration(
        version=3,
        name="retired master keys",
        sqlite=create(Dialect.SQLITE, RETIRED_KEY),
        postgresql=create(Dialect.POSTGRESQL, RETIRED_KEY),
    )
    return Schema(room="storage", migrations=(first, second, third))
