"""`arbstr check`: everything that is wrong with a configuration, found without starting anything."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import msgspec

from arbstr_core import config, plugins
from arbstr_core.cli._house import make_everything
from arbstr_core.config import Settings, StorageSettings
from arbstr_core.types import ArbstrError, ConfigError, Problem


def every_problem(path: Path) -> list[Problem]:
    """What is wrong with the file at `path`, and with each plugin's table in it; empty where nothing is."""
    settings, problems = config.survey(config.read(path), path)
    if settings is None:
        return problems
    try:
        plugins.load(settings.arbstr.plugins, settings.plugins, config.decode)
    except ConfigError as bad:
        return problems + list(bad.problems)
    return problems or asyncio.run(_made(settings))


async def _made(settings: Settings) -> list[Problem]:
    """What plugins and rooms say once they are made. Nothing is started, and the state is thrown away."""
    with tempfile.TemporaryDirectory(prefix="arbstr-check-") as folder:
        apart = msgspec.structs.replace(
            settings,
            arbstr=msgspec.structs.replace(settings.arbstr, data_dir=folder),
            storage=StorageSettings(),
        )
        try:
            async with make_everything(apart):
                return []
        except ConfigError as bad:
            return list(bad.problems)
        except ArbstrError as bad:
            return [Problem(line) for line in str(bad).splitlines()]
