"""What is bought, from whom, and by which rules: the plugins' objects, and the market, the router and the dispatch over
them. A configuration makes one; another may take its place while calls are served."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import msgspec

from arbstr_core import config, plugins
from arbstr_core.api import Prepaid, Provider, Tools
from arbstr_core.cli._market import market_of, rates_of, router_of
from arbstr_core.cli._notices import Notices, heard
from arbstr_core.cli._toolbox import Toolbox, Toolkit
from arbstr_core.config import Settings
from arbstr_core.dispatch import BreakerRules, Dispatch, DispatchRules
from arbstr_core.market import Market
from arbstr_core.plugins import Loaded
from arbstr_core.routing import Router
from arbstr_core.types import ConfigError, Problem

STARTED = ("arbstr_wallet_rails", "arbstr_providers", "arbstr_policies", "arbstr_authenticators")
"""Hooks whose objects have a life, in the order in which they begin it."""
_HOOKS = (*STARTED, "arbstr_commands", "arbstr_sites")
_FIXED_HOOKS = ("arbstr_wallet_rails", "arbstr_authenticators")

Made = Mapping[str, Sequence[tuple[str, tuple[Any, ...]]]]
"""What the plugins' hooks made: by hook, with each owner's name."""


@dataclass(frozen=True, kw_only=True)
class Trade:
    """The objects of one configuration. `kits` are by plugin; a plugin that was kept has the kit it had."""

    settings: Settings
    mock: bool
    kits: Mapping[str, Toolkit]
    made: Made
    market: Market
    router: Router
    dispatch: Dispatch
    notices: Notices
    _rates: AsyncExitStack

    def objects(self, hook: str, only: Collection[str] | None = None) -> list[Any]:
        """What one hook made, of all plugins or of some."""
        return [each for name, objects in self.made[hook] if only is None or name in only for each in objects]

    def lives(self, only: Collection[str]) -> list[Any]:
        """The objects of these plugins that have a life, in the order in which they begin it."""
        return [each for hook in STARTED for each in self.objects(hook, only)]

    def fixed(self) -> set[str]:
        """The plugins that move money or let callers in: those are made when arbstr starts, and then they stay."""
        names = {name for hook in _FIXED_HOOKS for name, _ in self.made[hook]}
        providers = self.made["arbstr_providers"]
        return names | {name for name, objects in providers if any(isinstance(each, Prepaid) for each in objects)}

    async def aclose(self, only: Collection[str] | None = None) -> None:
        """Let go of what asks for rates, and of what plugins live by, of all or of some."""
        await self._rates.aclose()
        for name, kit in self.kits.items():
            if only is None or name in only:
                await kit.aclose()


def load_plugins(settings: Settings, *, mock: bool) -> Loaded:
    """The plugins that the configuration enables. Raises ConfigError."""
    return plugins.load(
        settings.arbstr.plugins, settings.plugins, config.decode, mock=settings.arbstr.mock if mock else ()
    )


async def trade_of(
    settings: Settings, loaded: Loaded, box: Toolbox, *, mock: bool, before: Trade | None = None
) -> Trade:
    """Make it; nothing is started. A plugin whose table, and what that refers to, are as they were `before` keeps its
    objects. Raises ConfigError or PluginError; then nothing is left of it."""
    kept = _kept(settings, loaded, before)
    kits = {name: kept.get(name) or Toolkit(box, settings, name) for name in loaded.names}
    rates = AsyncExitStack()
    try:
        with heard() as notices:
            made = {hook: loaded.call_each(hook, _tools(kits), _of(before, hook, kept)) for hook in _HOOKS}
        providers: list[Provider] = [each for _, objects in made["arbstr_providers"] for each in objects]
        by_name = {provider.name: provider for provider in providers}
        return Trade(
            settings=settings,
            mock=mock,
            kits=kits,
            made=made,
            market=market_of(settings, providers, rates_of(settings, box.clock, rates), box.clock),
            router=router_of(settings, made["arbstr_policies"]),
            dispatch=Dispatch(
                by_name, box.clock, _dispatch_rules(settings), before=None if before is None else before.dispatch
            ),
            notices=notices,
            _rates=rates,
        )
    except BaseException:
        await rates.aclose()
        for name, kit in kits.items():
            if name not in kept:
                await kit.aclose()
        raise


def _kept(settings: Settings, loaded: Loaded, before: Trade | None) -> dict[str, Toolkit]:
    if before is None:
        return {}
    return {
        name: before.kits[name]
        for name in loaded.names
        if name in before.kits
        and before.kits[name].table == settings.plugins.get(name, {})
        and before.kits[name].holds()
    }


def _tools(kits: Mapping[str, Toolkit]) -> Callable[[str], Tools]:
    return lambda name: kits[name].tools


def _of(before: Trade | None, hook: str, kept: Collection[str]) -> dict[str, tuple[Any, ...]]:
    return {} if before is None else {name: objects for name, objects in before.made[hook] if name in kept}


def require_fixed(old: Trade, new: Trade) -> None:
    """Raise ConfigError where a plugin would change that stays as it is while arbstr serves."""
    changed = sorted(name for name in old.fixed() | new.fixed() if old.kits.get(name) is not new.kits.get(name))
    if changed:
        what = "moves money or lets callers in, and is changed when arbstr starts alone: restart, or put it back"
        raise ConfigError([Problem(f"[plugins.{name}]: the plugin {what}") for name in changed])


_MAY_CHANGE = frozenset({"arbstr.plugins", "arbstr.mock", "routing", "market", "dispatch", "vault.margin", "plugins"})
_MAY_NOT = frozenset({"dispatch.connect_seconds"})


def require_same(old: Settings, new: Settings) -> None:
    """Raise ConfigError with every key that is read at the start alone, and has changed since."""
    changed = [path for path in _differing("", old, new) if not _may_change(path)]
    if changed:
        what = "is read when arbstr starts: restart, or put it back"
        places = [path.rpartition(".") for path in changed]
        raise ConfigError([Problem(f"[{table}] {key}: {what}") for table, _, key in places])


def _differing(path: str, old: Any, new: Any) -> list[str]:
    if old == new:
        return []
    if isinstance(old, msgspec.Struct) and type(old) is type(new) and (not path or _is_table(old)):
        parts = [(field, getattr(old, field), getattr(new, field)) for field in old.__struct_fields__]
        return [each for name, a, b in parts for each in _differing(f"{path}.{name}".strip("."), a, b)]
    return [path]


def _is_table(value: msgspec.Struct) -> bool:
    return not hasattr(value, "from_config")


def _may_change(path: str) -> bool:
    ways = {path, path.partition(".")[0]}
    return path not in _MAY_NOT and not ways.isdisjoint(_MAY_CHANGE)


def _dispatch_rules(settings: Settings) -> DispatchRules:
    asked, breaker = settings.dispatch, settings.dispatch.breaker
    return DispatchRules(
        first_byte_seconds=asked.first_byte_seconds,
        idle_seconds=asked.idle_seconds,
        deadline_seconds=asked.deadline_seconds or 3 * asked.first_byte_seconds,
        hedge_seconds=asked.hedge_seconds,
        queue=asked.queue,
        queue_seconds=asked.queue_seconds,
        breaker=BreakerRules(**msgspec.structs.asdict(breaker)),
    )
