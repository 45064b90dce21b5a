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


class Verdict(msgspec.Struct, frozen=True):
    """What is wrong, and what is merely worth knowing."""

    problems: list[Problem]
    notices: list[str] = []


def examine_config(path: Path) -> Verdict:
    """What is wrong with the file at `path`, and with each plugin's table in it."""
    settings, problems = config.survey(config.read(path), path)
    if settings is None:
        return Verdict(problems)
    try:
        plugins.load(settings.arbstr.plugins, settings.plugins, config.decode)
    except ConfigError as bad:
        return Verdict(problems + list(bad.problems))
    return Verdict(problems) if problems else asyncio.run(_made(settings))


async def _made(settings: Settings) -> Verdict:
    """What plugins and rooms say once they are made. Nothing is started, and the state is thrown away."""
    with tempfile.TemporaryDirectory(prefix="arbstr-check-") as folder:
        apart = msgspec.structs.replace(
            settings,
            arbstr=msgspec.structs.replace(settings.arbstr, data_dir=folder),
            storage=StorageSettings(),
        )
        try:
            async with make_everything(apart) as (house, _):
                return Verdict([], house.notices.texts)
        except ConfigError as bad:
            return Verdict(list(bad.problems))
        except ArbstrError as bad:
            return Verdict([Problem(line) for line in str(bad).splitlines()])
