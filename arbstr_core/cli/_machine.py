"""What `arbstr doctor` looks at of the machine: its clock, its limits, its ports, keys, and who is told things."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa

from arbstr_core import storage
from arbstr_core.cli._part import PROXY
from arbstr_core.config import Address, Settings
from arbstr_core.storage import Finding, is_held, lock_base

_FEW_FILES = 1024
_BEHIND_SECONDS = 60
_APART_SECONDS = 5
_BUILT_S = 1_760_000_000
"""No arbstr is older than this, so no clock is right that says so."""
_ANCHOR_SECONDS = 3.0
_NEWEST = (
    ("audit", "SELECT at_ms FROM audit ORDER BY seq DESC LIMIT 1"),
    ("holds", "SELECT created_ms FROM hold ORDER BY seq DESC LIMIT 1"),
)


def limits() -> Iterator[Finding]:
    """How many files and connections this user may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = soft != resource.RLIM_INFINITY and soft < _FEW_FILES
    said = f"{soft} open files, and every stream needs two: raise it (ulimit -n {min(hard, 65_536)}, LimitNOFILE=)"
    yield Finding(what="limits", ok=not few, detail=said if few else f"{soft} open files")


def clock(connection: sa.Connection | None, *, postgresql: bool) -> Iterator[Finding]:
    """Whether this machine's time can be right: what was written lies in the past, and the server's is the same."""
    now = time.time()
    said = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC"
    wrong = []
    if now < _BUILT_S:
        wrong.append(f"{said} is before this program was made")
    if connection is not None:
        for table, query in _NEWEST:
            newest = connection.exec_driver_sql(query).scalar()
            if newest is not None and newest / 1000 > now + _BEHIND_SECONDS:
                wrong.append(f"{table} holds a row from {newest / 1000 - now:.0f} seconds after {said}")
    if connection is not None and postgresql:
        apart = connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one()
        if abs(float(apart) - time.time()) > _APART_SECONDS:
            wrong.append(f"the database's clock is {float(apart) - time.time():+.0f} seconds from this machine's")
    remedy = ": set the clock, and keep it with NTP; days and hours of limits are counted by it"
    yield Finding(what="clock", ok=not wrong, detail="; ".join(wrong) + remedy if wrong else said)


def ports(settings: Settings) -> Iterator[Finding]:
    """Whether the listeners can be had, where no server has them."""
    if is_held(lock_base(settings.database_url, settings.data_dir)):
        return
    for key, address in (("listen", settings.server.listen), ("admin_listen", settings.server.admin_listen)):
        if address is not None and address.unix is None and address.port:
            taken = _taken(address)
            detail = f"{address}: {taken}; stop what listens there, or change [server] {key}" if taken else str(address)
            yield Finding(what=key, ok=taken is None, detail=detail)


def _taken(address: Address) -> str | None:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as wrong:
            return (wrong.strerror or str(wrong)).lower()
    return None


async def anchors(settings: Settings) -> list[Finding]:
    """Whether the places that checkpoints go to can take them. None is told anything."""
    return [await _anchor(name, settings) for name in settings.audit.anchors]


async def _anchor(name: str, settings: Settings) -> Finding:
    if name == "syslog" or name.startswith("file:"):
        shown, wrong = name, _local(name, settings.base)
    else:
        shown, wrong = urlsplit(name).hostname or "?", await _unreachable(name)
    return Finding(what=f"anchor {shown}", ok=wrong is None, detail=wrong or "takes checkpoints")


def _local(name: str, base: Path) -> str | None:
    if name != "syslog":
        return _unwritable(base / Path(name.removeprefix("file:")).expanduser())
    there = any(Path(each).exists() for each in ("/dev/log", "/var/run/syslog"))
    return None if there else "no system log listens here (/dev/log): start one, or name another anchor"


def _unwritable(path: Path) -> str | None:
    if path.is_dir():
        return f"{path} is a folder: name a file"
    if not path.parent.is_dir():
        return f"{path.parent} is not there: make it, or mount it"
    place = path if path.exists() else path.parent
    return None if os.access(place, os.W_OK) else f"{place} cannot be written: change its owner"


async def _unreachable(url: str) -> str | None:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_ANCHOR_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError) as wrong:
        why = f"{type(wrong).__name__}" if not str(wrong) else str(wrong)
        return f"{parts.hostname}:{port} cannot be reached ({why}): start what listens there, or change [audit] anchors"
    writer.close()
    return None


def lost(settings: Settings) -> Iterator[Finding]:
    """Keys whose database is not there. A start would make an empty one beside them, and look well."""
    names = [name for name in ("master.key", "audit.key") if (settings.data_dir / name).exists()]
    if names:
        path = storage.database_path(settings.database_url, settings.data_dir)
        detail = (
            f"{path} holds no ledger, and {' and '.join(names)} beside it belong to one: put it back, "
            "`arbstr db restore` a backup, or correct [storage] url; `arbstr init` begins anew"
        )
        yield Finding(what="database", ok=False, detail=detail)


def keys(settings: Settings, connection: sa.Connection | None) -> Iterator[Finding]:
    """Whether the keys beside the database are the ones that it was written with."""
    looks = [("master.key", storage.wrong_master_key), ("audit.key", storage.wrong_audit_key)]
    if settings.server.role == PROXY:
        del looks[1:]  # the treasury signs
    for name, look in looks:
        wrong = look(connection, settings.data_dir / name)
        if wrong is not None or (settings.data_dir / name).exists():
            yield Finding(what=name, ok=wrong is None, detail=wrong or "the one that this database knows")
