"""A program that commits rows to SQLite and says of each that it is there: arguments are the file, the journal's mode,
the mode of synchronous, how many rows, and how many of them between checkpoints."""

import sqlite3
import sys

path, journal, synchronous, rows, every = sys.argv[1:]
connection = sqlite3.connect(path, isolation_level=None)
connection.execute(f"PRAGMA journal_mode={journal}")
connection.execute(f"PRAGMA synchronous={synchronous}")
connection.execute("PRAGMA wal_autocheckpoint=0")
connection.execute("CREATE TABLE IF NOT EXISTS kept (x INTEGER PRIMARY KEY, filler BLOB)")
(first,) = connection.execute("SELECT coalesce(max(x), 0) + 1 FROM kept").fetchone()
for x in range(first, first + int(rows)):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO kept VALUES (?, randomblob(3000))", (x,))
    connection.execute("UPDATE kept SET filler = randomblob(100) WHERE x % 7 = ? % 7 AND x > ? - 50", (x, x))
    connection.execute("COMMIT")
    print(x, flush=True)
    if x % int(every) == 0:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
connection.close()
