"""`arbstr key`: the master key, which seals what is secret in the database."""

from __future__ import annotations

import asyncio

import typer

from arbstr_core import storage
from arbstr_core.cli._context import AsJson, ConfigFile, command, settings_of
from arbstr_core.cli._data import open_database
from arbstr_core.cli._show import as_json, say
from arbstr_core.config import Settings
from arbstr_core.plugins import LoopClock
from arbstr_core.storage import Rotated
from arbstr_core.types import StorageError
from arbstr_core.vault import living

app = typer.Typer(help="The master key.", no_args_is_help=True)


@app.callback()
def _about() -> None:
    pass


@app.command()
@command
def rotate(config: ConfigFile = None, json: AsJson = False) -> None:
    """Make a new master key and seal what plugins keep with it, while no server runs."""
    done = asyncio.run(_rotated(settings_of(config)))
    if json:
        as_json({"old": done.old, "new": done.new, "resealed": done.resealed, "kept": str(done.kept)})
        return
    say(f"master key {done.new} counts; {done.resealed} values were sealed anew")
    say(f"the one before, {done.old}, is kept: {done.kept}; backups that were made before now need it")
    say("copy master.key to where you keep it, and to the data_dir of every other process on this database")


async def _rotated(settings: Settings) -> Rotated:
    database = open_database(settings, LoopClock())
    try:
        alive = await database.read(living)
        if alive:
            raise StorageError(
                f"{alive} other processes use this database: stop them, and wait until their leases have ended"
            )
        return await storage.rotate(database, settings.data_dir / "master.key")
    finally:
        await database.close()
