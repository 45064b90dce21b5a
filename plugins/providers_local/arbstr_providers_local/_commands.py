"""The operator's commands: `fetch` gets the model now, `status` says how its server is."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from arbstr_core.api import Command, Tools
from arbstr_providers_local._config import LocalConfig
from arbstr_providers_local._fetch import Fetch
from arbstr_providers_local._keeper import STATUS_FILE, State
from arbstr_providers_local._model import SHA256, Shelf, sha256_of


def commands(config: LocalConfig, tools: Tools) -> Iterable[Command]:
    """Both also run where no server does."""

    async def fetch(_: Mapping[str, str]) -> Any:
        return await fetch_model(Shelf(config.path, tools.data_dir), tools)

    async def status(_: Mapping[str, str]) -> Any:
        return read_status(Path(tools.data_dir), config.model)

    return [
        Command(name="fetch", help="Get the model now; prints its path and SHA-256.", run=fetch, offline=True),
        Command(name="status", help="The model server: pid, port, state, restarts.", run=status, offline=True),
    ]


async def fetch_model(shelf: Shelf, tools: Tools) -> dict[str, Any]:
    """Find or fetch the model; a stored file that was damaged since is fetched again."""
    found = shelf.find()
    digest = await asyncio.to_thread(sha256_of, found) if found else ""
    fetched = found is None or (found == shelf.stored and digest != SHA256)
    if fetched:
        found, digest = await Fetch(shelf.folder, tools.log, lambda percent: None).run(), SHA256
    return {"path": str(found), "sha256": digest, "fetched": fetched}


def read_status(folder: Path, model: str) -> dict[str, Any]:
    """What the keeper last noted; `stopped` where its process is gone."""
    stopped = {"state": State.STOPPED.value, "pid": None, "port": None, "model": model, "path": None, "restarts": 0}
    try:
        noted: dict[str, Any] = json.loads((folder / STATUS_FILE).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return stopped
    owner = noted.pop("owner", None)
    return noted if isinstance(owner, int) and _alive(owner) else stopped


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
