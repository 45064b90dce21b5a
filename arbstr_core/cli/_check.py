"""`arbstr check`: everything that is wrong with a configuration, found without starting anything."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from arbstr_core import config, plugins
from arbstr_core.cli._data import database_password
from arbstr_core.cli._flows import door_token
from arbstr_core.cli._house import make_everything
from arbstr_core.cli._operators import default_limits, webhook, webhook_secret
from arbstr_core.cli._part import misplaced, require_postgresql
from arbstr_core.config import Settings, StorageSettings, VaultDefaults, WebhookSettings
from arbstr_core.types import ArbstrError, ConfigError, Problem


class Verdict(msgspec.Struct, frozen=True):
    """What is wrong, and what is merely worth knowing."""

    problems: list[Problem]
    notices: list[str] = []


def examine_config(path: Path) -> Verdict:
    """What is wrong with the file at `path`, and with each plugin's table in it: all of it, whatever else is wrong.
    Everything is made for it, on a loop of its own."""
    settings, problems = examine_tables(path)
    if settings is None:
        return Verdict(problems)
    problems += _settings_problems(settings)
    rest = _without_broken(settings)
    if rest is None:
        return Verdict(problems)
    made = asyncio.run(_made(_among_enabled(rest)))
    return Verdict([*problems, *(each for each in made.problems if each not in problems)], made.notices)


def examine_tables(path: Path) -> tuple[Settings | None, list[Problem]]:
    """What is wrong with the tables at `path` as they are written, the plugins' among them, and what is well of the
    kernel's own, if enough is. Nothing is made."""
    settings, problems = config.survey(config.read(path), path)
    if settings is not None:
        try:
            plugins.load(settings.arbstr.plugins, settings.plugins, config.decode)
        except ConfigError as bad:
            problems += bad.problems
    return settings, problems


def _without_broken(settings: Settings) -> Settings | None:
    """The same with the plugins alone that are well. None where one is not that may bring a strategy or a policy:
    whether `[routing]` names one that there is cannot be said then."""
    enabled = settings.arbstr.plugins
    rows = [row for row in plugins.states(enabled, settings.plugins, config.decode) if row.name in enabled]
    broken = [row for row in rows if row.state is not plugins.LoadState.OK]
    if not broken:
        return settings
    if any(not row.kinds or "policy" in row.kinds for row in broken):
        return None
    names = {row.name for row in broken}
    well = tuple(name for name in enabled if name not in names)
    return msgspec.structs.replace(settings, arbstr=msgspec.structs.replace(settings.arbstr, plugins=well))


def _among_enabled(settings: Settings) -> Settings:
    """The same without policies that are not enabled, which has been told."""
    policies = settings.routing.policies
    if policies is None or set(policies) <= set(settings.arbstr.plugins):
        return settings
    return msgspec.structs.replace(settings, routing=msgspec.structs.replace(settings.routing, policies=None))


def _settings_problems(settings: Settings) -> list[Problem]:
    """What is wrong with the kernel's own tables beyond what each says by itself."""
    return missing_secrets(settings) + (_raised(default_limits, settings) if settings.vault.enabled else [])


def missing_secrets(settings: Settings) -> list[Problem]:
    """What `serve` looks for and does not find, beside what plugins say of theirs."""
    tokens = [partial(door_token, name=name) for name in ("internal_token", "metrics_token")]
    looks: list[Callable[[Settings], object]] = [database_password, *tokens, _webhook, _webhook_secret]
    return [each for look in looks for each in _raised(look, settings)]


def _raised(look: Callable[[Settings], object], settings: Settings) -> list[Problem]:
    try:
        look(settings)
    except ConfigError as bad:
        return list(bad.problems)
    return []


def _webhook(settings: Settings) -> None:
    webhook(settings.webhooks)


def _webhook_secret(settings: Settings) -> None:
    # One that is not named at all is told where the table is checked.
    if settings.webhooks.url and settings.webhooks.secret is not None:
        webhook_secret(settings)


async def _made(settings: Settings) -> Verdict:
    """What plugins and rooms say once they are made. Nothing is started, and the state is thrown away."""
    with tempfile.TemporaryDirectory(prefix="arbstr-check-") as folder:
        apart = msgspec.structs.replace(
            settings,
            arbstr=msgspec.structs.replace(settings.arbstr, data_dir=folder),
            storage=StorageSettings(),
            # These have been looked at.
            vault=msgspec.structs.replace(settings.vault, defaults=VaultDefaults()),
            webhooks=WebhookSettings(),
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
