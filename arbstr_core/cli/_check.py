"""`arbstr check`: everything that is wrong with a configuration, found without starting anything."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import msgspec

from arbstr_core import config, plugins
from arbstr_core.cli._data import database_password
from arbstr_core.cli._flows import door_token
from arbstr_core.cli._house import make_everything
from arbstr_core.cli._operators import webhook, webhook_secret
from arbstr_core.cli._part import misplaced, require_postgresql
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
    secrets = missing_secrets(settings)
    if problems:
        return Verdict(problems + secrets)
    made = asyncio.run(_made(settings))
    return Verdict([*secrets, *(each for each in made.problems if each not in secrets)], made.notices)


def missing_secrets(settings: Settings) -> list[Problem]:
    """What `serve` looks for and does not find, beside what plugins say of theirs."""
    found: list[Problem] = []
    for look in (database_password, _door_tokens, _webhook):
        try:
            look(settings)
        except ConfigError as bad:
            found += bad.problems
    return found


def _door_tokens(settings: Settings) -> None:
    for name in ("internal_token", "metrics_token"):
        door_token(settings, name)


def _webhook(settings: Settings) -> None:
    if webhook(settings.webhooks) is not None:
        webhook_secret(settings)


async def _made(settings: Settings) -> Verdict:
    """What plugins and rooms say once they are made. Nothing is started, and the state is thrown away."""
    with tempfile.TemporaryDirectory(prefix="arbstr-check-") as folder:
        apart = msgspec.structs.replace(
            settings,
            arbstr=msgspec.structs.replace(settings.arbstr, data_dir=folder),
            storage=StorageSettings(),
            # What a part needs of its database is looked at here, for the one that it is made on is another.
            server=msgspec.structs.replace(settings.server, role="all"),
        )
        try:
            require_postgresql(settings)
            async with make_everything(apart) as house:
                rails = [stem for stem, made in house.trade.made["arbstr_wallet_rails"] if made]
                return Verdict(misplaced(settings, rails), house.trade.notices.texts)
        except ConfigError as bad:
            return Verdict(list(bad.problems))
        except ArbstrError as bad:
            return Verdict([Problem(line) for line in str(bad).splitlines()])
