"""The database role of processes that serve calls and are not the treasury, as statements for PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from arbstr_core import journal, vault
from arbstr_core.storage import is_postgresql
from arbstr_core.types import BadRequest, ConfigError, Problem

PROXY = "arbstr_proxy"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")
_CREATE = """DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{name}')
THEN CREATE ROLE {name} LOGIN; END IF; END $$"""
_OWN = (
    "SELECT, INSERT, UPDATE, DELETE ON plugin_store",
    "SELECT ON cipher_check",
    "SELECT ON retired_key",
    "SELECT ON schema",
)


def role_statements(url: str, name: str) -> Sequence[str]:
    """What makes the role, and gives it what it needs and no more; said again it changes nothing. To be run by whoever
    owns the tables, who may make roles. Raises BadRequest, or ConfigError on another database."""
    if not is_postgresql(url):
        what = "roles are for PostgreSQL, and this is SQLite: everything runs in `arbstr serve` there"
        raise ConfigError([Problem(f"[storage] url: {what}")])
    if _NAME.match(name) is None:
        raise BadRequest(f"{name!r} is no plain name of a role: small letters, digits and _", param="proxy")
    database = urlsplit(url).path.removeprefix("/").replace('"', '""')
    logs = [f"SELECT, INSERT, UPDATE, DELETE ON {table}" for table in journal.TABLES]
    given = [*vault.bounded_privileges(), *_OWN, *logs]
    return (
        _CREATE.format(name=name),
        f'REVOKE TEMPORARY, CREATE ON DATABASE "{database}" FROM PUBLIC, {name}',
        f'GRANT TEMPORARY, CREATE ON DATABASE "{database}" TO CURRENT_USER',
        f"REVOKE ALL ON SCHEMA public FROM PUBLIC, {name}",
        "GRANT ALL ON SCHEMA public TO CURRENT_USER",
        f'GRANT CONNECT ON DATABASE "{database}" TO {name}',
        f"GRANT USAGE ON SCHEMA public TO {name}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {name}",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, {name}",
        *(f"GRANT {each} TO {name}" for each in given),
    )
