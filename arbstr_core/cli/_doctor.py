"""`arbstr doctor`: looks at everything that can be wrong, and says what to do. It works where nothing else does."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from arbstr_core.cli._data import token_path
from arbstr_core.cli._house import plugin_rows
from arbstr_core.cli._operator import Refused, operator_client
from arbstr_core.config import Settings, load
from arbstr_core.plugins import installed
from arbstr_core.storage import database_path
from arbstr_core.types import ArbstrError, ConfigError

_FEW_BYTES = 500 * 1024 * 1024


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at: what, whether it is well, and a sentence."""

    what: str
    ok: bool
    detail: str


def examine(path: Path) -> list[Finding]:
    """Look at the configuration at `path` and all it names. Never raises for what is merely wrong."""
    try:
        settings = load(path)
    except ConfigError as bad:
        wrong = [Finding(what="configuration", ok=False, detail=problem) for problem in bad.problems]
        return [*wrong, *_distributions()]
    found = [Finding(what="configuration", ok=True, detail=str(path))]
    found += _plugins(settings)
    found += _files(settings)
    if all(finding.ok for finding in found):
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


def _files(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    place = folder if folder.exists() else folder.parent
    writable = os.access(place, os.W_OK)
    yield Finding(
        what="data_dir", ok=writable, detail=str(folder) if writable else f"{place} cannot be written: change its owner"
    )
    free = shutil.disk_usage(place).free if place.exists() else 0
    detail = f"{free // 2**20} MiB free"
    yield Finding(what="disk", ok=free > _FEW_BYTES, detail=detail if free > _FEW_BYTES else f"{detail}: make room")
    database = database_path(settings.database_url, folder)
    for file in (token_path(settings), folder / "master.key", database):
        if file.exists():
            mode = stat.S_IMODE(file.stat().st_mode)
            kept = not mode & 0o077
            yield Finding(
                what=file.name,
                ok=kept,
                detail="for its owner alone" if kept else f"{file} is open to others ({mode:o}): chmod 600 it",
            )


async def _running(settings: Settings) -> list[Finding]:
    """What only a house that stands can tell: the running server's, or one of our own."""
    try:
        async with operator_client(settings, market=True) as client:
            found = [Finding(what="server", ok=True, detail="running" if client.running else "not running")]
            found += [Finding(what="warning", ok=False, detail=text) for text in await client.get("/notices")]
            found += _offers(await client.get("/offers"))
            found += _rails(await client.get("/rails"))
            if settings.vault.enabled:
                found.append(_ledger(await client.get("/audit/verify")))
            return found
    except (ArbstrError, Refused) as broken:
        return [Finding(what="start", ok=False, detail=line) for line in str(broken).splitlines()]


def _offers(document: dict[str, Any]) -> Iterator[Finding]:
    models = {row["model"] for row in document["offers"]}
    detail = f"{len(document['offers'])} offers of {len(models)} models"
    yield Finding(what="offers", ok=bool(models), detail=detail if models else "no model can be bought: add a provider")
    for row in document["out"]:
        yield Finding(what=f"offer {row['provider']} {row['model']}", ok=False, detail=row["reason"])
    for row in document["failing"]:
        yield Finding(what=f"provider {row['provider']}", ok=False, detail=row["reason"])


def _rails(document: dict[str, Any]) -> Iterator[Finding]:
    for name, status in document.items():
        ready = status["state"] == "ready"
        yield Finding(what=f"rail {name}", ok=ready, detail=f"{status['state']} {status['detail']}".strip())


def _ledger(verified: dict[str, Any]) -> Finding:
    if verified["ok"]:
        return Finding(what="ledger", ok=True, detail=f"{verified['transfers']} transfers, sum 0")
    return Finding(what="ledger", ok=False, detail=f"{verified['first_bad']}: restore a backup, keep this file")
