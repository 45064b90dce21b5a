"""The database: a SQLite file or PostgreSQL; one writer thread with group commit; migrations,
encryption, plugins' stores."""

from arbstr_core.storage._backup import (
    copy_backup,
    copy_sqlite,
    dump_postgresql,
    load_postgresql,
    put_in_place,
)
from arbstr_core.storage._cipher import Cipher, open_cipher, wrong_master_key
from arbstr_core.storage._database import Database, Upgraded, is_postgresql, lock_base, locked, run_together
from arbstr_core.storage._ddl import Guard, append_only, create, fixed, kept, narrow, partial_index, wide
from arbstr_core.storage._durable import make_secret
from arbstr_core.storage._inspect import Finding, files, inside, is_made, is_used, looking, mode_of
from arbstr_core.storage._link import ConstraintFailed, Link, NotAllowed, NotCommitted
from arbstr_core.storage._lock import Announcement, is_held, read_announcement
from arbstr_core.storage._migrations import Migration, Schema
from arbstr_core.storage._reading import Reader
from arbstr_core.storage._rotation import Rotated, rotate
from arbstr_core.storage._shape import unlike
from arbstr_core.storage._signer import Signer, is_signed, key_id_of, open_signer, wrong_audit_key
from arbstr_core.storage._sqlite import database_path
from arbstr_core.storage._statements import (
    BYTES,
    INTEGER,
    TEXT,
    Bulk,
    BulkInsert,
    Dialect,
    Load,
    Rows,
    Statement,
    array,
    bulk_insert,
    constant,
)
from arbstr_core.storage._store import PluginStore
from arbstr_core.storage._transaction import Operation, RunFirst, Transaction
from arbstr_core.storage._writer import Writer

__all__ = [
    "BYTES",
    "INTEGER",
    "TEXT",
    "Announcement",
    "Bulk",
    "BulkInsert",
    "Cipher",
    "ConstraintFailed",
    "Database",
    "Dialect",
    "Finding",
    "Guard",
    "Link",
    "Load",
    "Migration",
    "NotAllowed",
    "NotCommitted",
    "Operation",
    "PluginStore",
    "Reader",
    "Rotated",
    "Rows",
    "RunFirst",
    "Schema",
    "Signer",
    "Statement",
    "Transaction",
    "Upgraded",
    "Writer",
    "append_only",
    "array",
    "bulk_insert",
    "constant",
    "copy_backup",
    "copy_sqlite",
    "create",
    "database_path",
    "dump_postgresql",
    "files",
    "fixed",
    "inside",
    "is_held",
    "is_made",
    "is_postgresql",
    "is_signed",
    "is_used",
    "kept",
    "key_id_of",
    "load_postgresql",
    "lock_base",
    "locked",
    "looking",
    "make_secret",
    "mode_of",
    "narrow",
    "open_cipher",
    "open_signer",
    "partial_index",
    "put_in_place",
    "read_announcement",
    "rotate",
    "run_together",
    "unlike",
    "wide",
    "wrong_audit_key",
    "wrong_master_key",
]
