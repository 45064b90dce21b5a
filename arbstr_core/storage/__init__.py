"""The database: one file, one process, one writer thread with group commit; migrations, encryption, plugins' stores."""

from arbstr_core.storage._cipher import Cipher, open_cipher
from arbstr_core.storage._database import Database
from arbstr_core.storage._lock import Announcement, is_held, read_announcement
from arbstr_core.storage._migrations import Migration, Schema
from arbstr_core.storage._sqlite import (
    ConstraintFailed,
    create_index,
    create_table,
    database_path,
    immutable,
    no_delete,
    no_insert_over,
    trigger,
)
from arbstr_core.storage._statements import Bulk, BulkInsert, Statement, bulk_insert, constant, field, one_row, rows_of
from arbstr_core.storage._store import PluginStore
from arbstr_core.storage._writer import Operation, Transaction, Writer

__all__ = [
    "Announcement",
    "Bulk",
    "BulkInsert",
    "Cipher",
    "ConstraintFailed",
    "Database",
    "Migration",
    "Operation",
    "PluginStore",
    "Schema",
    "Statement",
    "Transaction",
    "Writer",
    "bulk_insert",
    "constant",
    "create_index",
    "create_table",
    "database_path",
    "field",
    "immutable",
    "is_held",
    "no_delete",
    "no_insert_over",
    "one_row",
    "open_cipher",
    "read_announcement",
    "rows_of",
    "trigger",
]
