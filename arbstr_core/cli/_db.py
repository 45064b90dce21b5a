"""`arbstr db`: the database as a thing that is upgraded, copied, put back, and looked at."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from arbstr_core import storage
from arbstr_core.cli._context import AsJson, ConfigFile, command, settings_of
from arbstr_core.cli._data import database_password, make_data_dir, open_database, schemas
from arbstr_core.cli._part import PROXY as SERVES_ALONE
from arbstr_core.cli._roles import PROXY, role_statements
from arbstr_core.cli._show import as_json, say, table
from arbstr_core.config import Settings
from arbstr_core.plugins import LoopClock
from arbstr_core.storage import Database, Finding
from arbstr_core.types import StorageError
from arbstr_core.vault import Vault, unguarded

app = typer.Typer(help="The database: upgrade, backup, restore, check.", no_args_is_help=True)

NewFile = Annotated[Path, typer.Argument(help="Where the backup goes; nothing is overwritten.", metavar="FILE")]
Backup = Annotated[Path, typer.Argument(help="What `arbstr db backup` wrote.", metavar="FILE")]


@app.command()
@command
def upgrade(config: ConfigFile = None, json: AsJson = False) -> None:
    """Bring the database up to date with this program, while no server runs."""

    async def run() -> storage.Upgraded:
        database = open_database(settings_of(config), LoopClock(), upgrade=True)
        await database.close()
        return database.upgraded

    done = asyncio.run(run())
    kept = str(done.kept) if done.kept else None
    if json:
        as_json({"steps": list(done.steps), "kept": kept})
        return
    for step in done.steps:
        say(f"applied {step}")
    if kept:
        say(f"the file as it was is kept: {kept}")
    if not done.steps:
        say("the database is up to date")


@app.command()
@command
def backup(file: NewFile, config: ConfigFile = None, json: AsJson = False) -> None:
    """Copy the database as it is at one moment, also while a server runs. The master key is not in it."""
    settings = settings_of(config)
    if storage.is_postgresql(settings.database_url):
        storage.dump_postgresql(settings.database_url, database_password(settings), file)
    else:
        path = storage.database_path(settings.database_url, settings.data_dir)
        if not path.exists():
            raise StorageError(f"{path} is not there: there is nothing to copy")
        storage.copy_sqlite(path, file)
    size = file.stat().st_size
    if json:
        as_json({"file": str(file.absolute()), "bytes": size})
    else:
        say(f"wrote {file} ({size} bytes); keep master.key and audit.key of {settings.data_dir} as well, and elsewhere")


@app.command()
@command
def restore(file: Backup, config: ConfigFile = None, json: AsJson = False) -> None:
    """Put a backup in the place of the database, which is kept. What it holds is checked first.

    Nothing is paid out afterwards until the rails have been compared with the ledger.
    """
    settings = settings_of(config)
    make_data_dir(settings)
    put_back = _restore_postgresql if storage.is_postgresql(settings.database_url) else _restore_sqlite
    kept = asyncio.run(put_back(settings, file))
    if json:
        as_json({"restored": str(file.absolute()), "kept": None if kept is None else str(kept)})
        return
    say(f"restored {file}; the ledger verifies")
    if kept is not None:
        say(f"what was there before is kept: {kept}")
    say("nothing is paid out until the rails have been compared with the ledger; calls may be served")


@app.command()
@command
def check(config: ConfigFile = None, json: AsJson = False) -> None:
    """Look at the database, also while a server runs. Exit code 1 where something is wrong."""
    found = examine_database(settings_of(config))
    if json:
        as_json([msgspec.to_builtins(each) for each in found])
    else:
        table(["", "what", ""], [["ok" if f.ok else "!!", f.what, f.detail] for f in found], empty="")
    if not all(each.ok for each in found):
        raise typer.Exit(1)


@app.command()
@command
def roles(
    proxy: Annotated[str, typer.Option(help="The role of processes that serve calls, and hold no wallet.")] = PROXY,
    apply: Annotated[bool, typer.Option("--apply", help="Run the statements, as the role of [storage] url.")] = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """What gives a role of PostgreSQL what `arbstr serve --role proxy` needs and no more, as statements for psql."""
    settings = settings_of(config)
    statements = role_statements(settings.database_url, proxy)
    if apply:
        asyncio.run(open_database(settings, LoopClock()).close())
        storage.run_together(settings.database_url, database_password(settings), statements)
    if json:
        as_json({"role": proxy, "applied": apply, "statements": list(statements)})
    elif apply:
        say(f"{proxy} may serve calls, and no more; give it a password (psql: \\password {proxy}) or another way in")
    else:
        say("\n".join(f"{each};" for each in statements))


def examine_database(settings: Settings) -> list[Finding]:
    """What can be wrong with the database. Raises StorageError where it cannot be read at all."""
    found = list(storage.files(settings.database_url, settings.data_dir))
    with storage.looking(settings.database_url, settings.data_dir, database_password(settings)) as connection:
        found += storage.inside(connection, schemas())
        if settings.server.role == SERVES_ALONE:
            found.append(Finding(what="guards", ok=True, detail="the treasury looks at them: this role may not"))
        elif storage.is_made(connection) and all(each.ok for each in found if each.what == "version"):
            wrong = unguarded(connection, schemas())
            detail = f"{wrong}: restore a backup, keep this database" if wrong else "all in place"
            found.append(Finding(what="guards", ok=wrong is None, detail=detail))
    return found


async def _restore_sqlite(settings: Settings, file: Path) -> Path | None:
    path = storage.database_path(settings.database_url, settings.data_dir)
    lock = storage.locked(settings.database_url, settings.data_dir)
    new = _restoring(path)
    try:
        storage.copy_backup(file, new)
        copy = msgspec.structs.replace(settings.storage, url=f"sqlite:///{new.absolute()}")
        await _mark(open_database(msgspec.structs.replace(settings, storage=copy), LoopClock(), upgrade=True), file)
        return storage.put_in_place(new, path, time.time_ns() // 1_000_000)
    finally:
        for left in new.parent.glob(f"{new.name}*"):
            left.unlink()
        lock.close()


def _restoring(path: Path) -> Path:
    return Path(os.path.realpath(path)).with_name(f"{path.name}.restoring")


async def _restore_postgresql(settings: Settings, file: Path) -> None:
    password = database_password(settings)
    with storage.looking(settings.database_url, settings.data_dir, password) as connection:
        if storage.is_used(connection):
            raise StorageError(
                "the database of [storage] url is not empty, and nothing is overwritten: make an empty one "
                "(createdb), name it in [storage] url, and restore into that"
            )
    lock = storage.locked(settings.database_url, settings.data_dir)
    try:
        storage.load_postgresql(settings.database_url, password, file)
    finally:
        lock.close()
    await _mark(open_database(settings, LoopClock(), upgrade=True), file)


async def _mark(database: Database, file: Path) -> None:
    """Say in the audit where the database comes from, if all that it holds is well."""
    try:
        money = Vault(database, boot_id=f"restore-{secrets.token_hex(8)}")
        found = await money.verify()
        if not found.ok:
            raise StorageError(f"{file} is not to be used: {found.first_bad}; take an older backup")
        await money.mark_restored(file.name)
    finally:
        await database.close()
