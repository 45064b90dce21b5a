"""`arbstr doctor`: looks at everything that can be wrong, and says what to do. It works where nothing else does."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from arbstr_core import storage
from arbstr_core.cli import _machine as machine
from arbstr_core.cli._check import missing_secrets
from arbstr_core.cli._data import database_password, token_path
from arbstr_core.cli._db import examine_database
from arbstr_core.cli._house import plugin_rows
from arbstr_core.cli._operator import Refused, operator_client
from arbstr_core.cli._part import PROXY, TREASURY
from arbstr_core.config import Settings, load
from arbstr_core.plugins import installed
from arbstr_core.storage import Finding, database_path, is_held, lock_base, mode_of
from arbstr_core.types import ArbstrError, ConfigError

_IN_THE_WAY = frozenset(
    {"secrets", "plugin", "data_dir", "database", "version", "integrity", "references", "guards"}
    | {"master.key", "audit.key"}
)
"""What nothing is started beside"""


def examine(path: Path) -> list[Finding]:
    """Look at the configuration at `path` and all it names. Never raises for what is merely wrong.

    Where something is wrong that a start would trip over, or make worse, nothing is started.
    """
    try:
        settings = load(path)
    except ConfigError as bad:
        wrong = [Finding(what="configuration", ok=False, detail=problem) for problem in bad.problems]
        return [*wrong, *_distributions()]
    found = [Finding(what="configuration", ok=True, detail=str(path))]
    found += [Finding(what="secrets", ok=False, detail=problem) for problem in missing_secrets(settings)]
    found += _plugins(settings)
    found += _writable(settings)
    found += _database(settings)
    starts = not any(not each.ok and each.what.split()[0] in _IN_THE_WAY for each in found)
    if is_held(lock_base(settings.database_url, settings.data_dir)):
        starts = True  # it has started long ago
    found += _files(settings)
    found += machine.limits()
    found += machine.ports(settings)
    found += asyncio.run(machine.anchors(settings))
    if starts:
        found += asyncio.run(_running(settings))
    return found


def _distributions() -> Iterator[Finding]:
    for plugin in installed():
        yield Finding(what=f"plugin {plugin.name}", ok=True, detail=f"installed: {plugin}")


def _plugins(settings: Settings) -> Iterator[Finding]:
    for row in plugin_rows(settings):
        if row["state"] == "disabled":
            continue
        well = row["state"] == "ok"
        detail = f"{row['distribution']} {row['version']}" if well else f"{row['state']}: {row['error']}"
        yield Finding(what=f"plugin {row['name']}", ok=well, detail=detail)


def _writable(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    place = next(each for each in (folder, *folder.parents) if each.exists())
    if not place.is_dir():
        yield Finding(what="data_dir", ok=False, detail=f"{place} is no folder: name another in [arbstr] data_dir")
    else:
        well = os.access(place, os.W_OK)
        detail = str(folder) if well else f"{place} cannot be written: change its owner"
        yield Finding(what="data_dir", ok=well, detail=detail)


def _files(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    for file in (token_path(settings), folder / "master.key", folder / "audit.key"):
        if file.exists():
            yield mode_of(file)


def _database(settings: Settings) -> Iterator[Finding]:
    """The database, where there is one already, its keys, and the clock by which it was written."""
    postgresql = storage.is_postgresql(settings.database_url)
    if not postgresql and not database_path(settings.database_url, settings.data_dir).exists():
        yield from storage.files(settings.database_url, settings.data_dir)
        yield from machine.lost(settings)
        yield from machine.keys(settings, None)
        yield from machine.clock(None, postgresql=False)
        return
    try:
        found = examine_database(settings)
        yield from found
        with storage.looking(settings.database_url, settings.data_dir, database_password(settings)) as connection:
            yield from machine.keys(settings, connection)
            made = storage.is_made(connection)
            if not made and not postgresql:
                yield from machine.lost(settings)
            yield from machine.clock(connection if made else None, postgresql=postgresql)
    except (ArbstrError, SQLAlchemyError) as bad:
        yield Finding(what="database", ok=False, detail=str(bad))


async def _running(settings: Settings) -> list[Finding]:
    """What only a house that stands can tell: the running server's, or one of our own."""
    if settings.server.role == PROXY and is_held(lock_base(settings.database_url, settings.data_dir)):
        detail = "running; the treasury's `arbstr doctor` looks at rails and ledger, `/metrics` tells of its providers"
        return [Finding(what="server", ok=True, detail=detail)]
    try:
        async with operator_client(settings, market=True) as client:
            found = [Finding(what="server", ok=True, detail="running" if client.running else "not running")]
            found += [Finding(what="warning", ok=False, detail=text) for text in await client.get("/notices")]
            found += _offers(await client.get("/offers"), buys=settings.server.role != TREASURY)
            found += _providers(await client.post("/providers/check"))
            rails = await client.get("/rails")
            found += _rails(rails)
            if settings.vault.enabled and settings.server.role != PROXY:
                found.append(_ledger(await client.get("/audit/verify")))
                found += _frozen(await client.get("/solvency"))
                found += _unknown(await client.rows("/payments", 100, state="unknown"), rails)
                found += _untold(await client.rows("/events", 1, undelivered=True))
            return found
    except (ArbstrError, Refused) as broken:
        return [Finding(what="start", ok=False, detail=line) for line in str(broken).splitlines()]


def _offers(document: dict[str, Any], *, buys: bool) -> Iterator[Finding]:
    models = {row["model"] for row in document["offers"]}
    if not buys:
        detail = "none needed: a treasury buys no models; what can be bought is said where calls are served"
    elif models:
        detail = f"{len(document['offers'])} offers of {len(models)} models"
    else:
        detail = 'no model can be bought: add a provider; a process that is to buy none has [server] role = "treasury"'
    yield Finding(what="offers", ok=bool(models) or not buys, detail=detail)
    for row in document["out"]:
        yield Finding(what=f"offer {row['provider']} {row['model']}", ok=False, detail=row["reason"])
    for row in document["failing"]:
        yield Finding(what=f"provider {row['provider']}", ok=False, detail=row["reason"])
    for row in document["usd"]["failing"]:
        yield Finding(what=f"rate of {row['provider']}", ok=False, detail=row["reason"])


def _providers(document: dict[str, Any]) -> Iterator[Finding]:
    for row in document["failing"]:
        yield Finding(what=f"provider {row['provider']}", ok=False, detail=row["reason"])


def _frozen(document: dict[str, Any]) -> Iterator[Finding]:
    for row in document["frozen"]:
        detail = f"nothing leaves it: {row['reason']}; see `arbstr solvency`, then `arbstr thaw`"
        yield Finding(what=f"frozen {row['scope']}", ok=False, detail=detail)
    for realm in document["realms"]:
        if realm["state"] == "suspect":
            yield Finding(what=f"realm {realm['realm']}", ok=False, detail=f"{realm['reason']}: see `arbstr solvency`")


def _untold(rows: list[dict[str, Any]]) -> Iterator[Finding]:
    for row in rows:
        if row["attempts"] > 1:
            detail = f"an event does not arrive ({row['last_error']}): correct [webhooks] url, or what listens there"
            yield Finding(what="webhook", ok=False, detail=detail)


def _rails(document: dict[str, Any]) -> Iterator[Finding]:
    for name, status in document.items():
        ready = status["state"] == "ready"
        yield Finding(what=f"rail {name}", ok=ready, detail=f"{status['state']} {status['detail']}".strip())
        for warning in status["warnings"]:
            yield Finding(what=f"rail {name}", ok=False, detail=warning)


def _ledger(verified: dict[str, Any]) -> Finding:
    if verified["ok"]:
        return Finding(what="ledger", ok=True, detail=f"{verified['transfers']} transfers, sum 0")
    return Finding(what="ledger", ok=False, detail=f"{verified['first_bad']}: restore a backup, keep this file")


def _unknown(payments: list[dict[str, Any]], rails: dict[str, Any]) -> Iterator[Finding]:
    """Payments that nobody can say the end of now: their money stays held."""
    by_rail = Counter(row["rail"] for row in payments)
    for rail, count in sorted(by_rail.items()):
        if rail in rails:
            why = "has not said what became of them: `arbstr payment list --state unknown` shows them"
        else:
            why = "is not in the configuration any more: put it back into [arbstr] plugins"
        yield Finding(what=f"payments over {rail}", ok=False, detail=f"{count} unknown: {rail} {why}")
