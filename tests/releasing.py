"""Writes down, as text, what a database of this program looks like that has been used: tests/released/NAME.

Run once for each release, `python tests/releasing.py 0.1.0`; a test upgrades every one of them for ever. It holds the
keys of that database, which are good for nothing else.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from house import Setup, instance, run, serving, write
from postgres import Cluster, programs
from upstream import Act, Upstream

from arbstr_core.cli._data import schemas
from arbstr_core.storage import Schema
from arbstr_core.storage._tables import schema as storages

KEYS = ("master.key", "audit.key")


async def used(setup: Setup, upstream: Upstream) -> dict[str, Any]:
    """Something of everything; what has to be there afterwards."""
    async with serving(setup) as served:
        alice = await served.agent("alice", approval_seconds=600, max_charge_msat=10**6)
        bob = await served.agent("bob", fund=5_000_000)
        own = {"authorization": f"Bearer {alice['token']}"}
        made = await served.http.post("/wallet/keys", json={"name": "helper", "daily_msat": 10**6}, headers=own)
        for who in (alice, bob, made.json()):
            for _ in range(3):
                assert (await served.call(who)).status_code == 200
        await served.call(alice, max_tokens=10**6)  # waits for an operator
        upstream.script("m", Act(how="status", status=500))
        await served.call(bob)
        await served.admin.post(f"/admin/agents/{bob['id']}/disable")
        await served.admin.post("/admin/operators", json={"name": "pat"})
        await served.admin.post("/admin/audit/checkpoints")
        verified = (await served.admin.get("/admin/audit/verify")).json()
        assert verified["ok"], verified
        rows = (await served.admin.get("/admin/agents")).json()["data"]
        posted = {row["name"]: row["posted_msat"] for row in rows}
    return {"posted_msat": posted, "transfers": verified["transfers"], "token": alice["token"]}


def digests(schema: Schema) -> list[str]:
    """What each step of a room does, on both databases."""
    return [
        hashlib.sha256(json.dumps([step.sqlite, step.postgresql]).encode()).hexdigest() for step in schema.migrations
    ]


def main() -> None:
    """Write both databases down."""
    folder = Path(__file__).with_name("released") / sys.argv[1]
    folder.mkdir(parents=True)
    steps = {schema.room: digests(schema) for schema in (storages(), *schemas())}
    facts: dict[str, Any] = {"steps": steps}
    with TemporaryDirectory() as place, Upstream() as upstream, Cluster() as cluster:
        row = instance("x", upstream.url)
        setup = write(Path(place) / "sqlite", row)
        facts["sqlite"] = run(used(setup, upstream))
        with closing(sqlite3.connect(setup.database)) as database:
            (folder / "sqlite.sql").write_text("\n".join(database.iterdump()) + "\n")
        url = cluster.create_database()
        upstream.script("m", Act())
        other = write(Path(place) / "postgresql", f'{row}[storage]\nurl = "{url}"\n')
        facts["postgresql"] = run(used(other, upstream))
        dump = [programs() / "pg_dump", "--column-inserts", "--no-owner", "--no-privileges", f"--dbname={url}"]
        text = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
        # What psql is told, and which versions of its own dumped it.
        kept = [line for line in text.splitlines() if not line.startswith(("\\", "-- Dumped"))]
        (folder / "postgresql.sql").write_text("\n".join(kept) + "\n")
        for kind, house in (("sqlite", setup), ("postgresql", other)):
            for name in KEYS:
                shutil.copy(house.folder / "data" / name, folder / f"{kind}.{name}")
    (folder / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
