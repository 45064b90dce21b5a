"""The market and the router, put together from the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from arbstr_core.api import Clock, Provider, RoutingPolicy, Strategy
from arbstr_core.config import Settings
from arbstr_core.market import Caps, FixedRate, Market, MedianRate, Pricing, Rates
from arbstr_core.net import Fetcher
from arbstr_core.routing import Router
from arbstr_core.types import ConfigError, FxRate, Problem

Hooked = Sequence[tuple[str, tuple[Any, ...]]]
"""What plugins made of one hook, with each owner's name."""


def market_of(settings: Settings, providers: Sequence[Provider], rates: Rates, clock: Clock) -> Market:
    """What `providers` offer, at the prices of `[market]` and `[vault] margin`."""
    market = settings.market
    caps = Caps(input=market.max_input, output=market.max_output, request=market.max_request)

    def pricing(fx: FxRate | str) -> Pricing:
        return Pricing(margin_ppm=settings.vault.margin.ppm, fx=fx, caps=caps)

    return Market(
        providers,
        pricing,
        rates,
        clock,
        refresh_seconds=market.refresh_seconds,
        stale_seconds=market.stale_seconds,
        targets=market.aliases,
    )


def rates_of(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Rates:
    """What a bitcoin costs, as the configuration says or where it says to ask."""
    market = settings.market
    if not market.usd_sources:
        return FixedRate(market.usd_per_btc, spread_ppm=market.usd_spread.ppm, as_of_ms=clock.now_ms())
    fetch = Fetcher([source.url for source in market.usd_sources])
    stack.push_async_callback(fetch.aclose)
    return MedianRate(
        market.usd_sources,
        fetch,
        clock,
        spread_ppm=market.usd_spread.ppm,
        apart_ppm=market.usd_apart.ppm,
        stale_seconds=market.usd_stale_seconds,
    )


def router_of(settings: Settings, made: Hooked) -> Router:
    """The policies in the order of the configuration, and all strategies. Raises ConfigError for an unknown one."""
    routing = settings.routing
    by_plugin = dict(made)
    order = routing.policies if routing.policies is not None else tuple(by_plugin)
    brings = partial(_brought, by_plugin)
    policies = [each for name in order for each in brings(name, RoutingPolicy)]
    strategies = {each.name: each for name in by_plugin for each in brings(name, Strategy)}
    problems = []
    if routing.strategy not in strategies:
        known = ", ".join(sorted(strategies)) or "none; enable a plugin that brings one"
        problems.append(Problem(f"[routing] strategy: there is no {routing.strategy!r}; there is: {known}"))
    for name in routing.policies or ():
        if not brings(name, RoutingPolicy):
            problems.append(Problem(f"[routing] policies: the plugin {name!r} brings no routing policy; take it out"))
    if problems:
        raise ConfigError(problems)
    return Router(
        policies,
        strategies,
        strategy=routing.strategy,
        output_tokens=routing.output_tokens,
        keep=routing.keep,
        cache_seconds=routing.cache_seconds,
    )


def _brought(by_plugin: dict[str, tuple[Any, ...]], name: str, kind: type) -> list[Any]:
    return [each for each in by_plugin.get(name, ()) if isinstance(each, kind)]
