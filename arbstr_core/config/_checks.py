"""What one table says about another, and what a type cannot say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from arbstr_core.config._settings import (
    ArbstrSettings,
    AuditSettings,
    DispatchSettings,
    MarketSettings,
    RoutingSettings,
    ServerSettings,
    StorageSettings,
    WebhookSettings,
)
from arbstr_core.config._words import did_you_mean, join, problem
from arbstr_core.types import Problem

_STEM = re.compile(r"[a-z][a-z0-9_]*\Z")


def check_arbstr(arbstr: ArbstrSettings) -> Iterator[Problem]:
    """Names of plugins are stems, and stand once."""
    for key, names in (("plugins", arbstr.plugins), ("mock", arbstr.mock)):
        yield from _twice("arbstr", key, names)
        for name in names:
            if not _STEM.match(name):
                stem = name.removeprefix("arbstr-").replace("-", "_").lower()
                remedy = f'write "{stem}"' if _STEM.match(stem) else "`arbstr plugin list` shows the names"
                yield problem("arbstr", key, f'"{name[:40]}" is not the name of a plugin; {remedy}')


def check_tables(arbstr: ArbstrSettings, plugins: Mapping[str, Any]) -> Iterator[Problem]:
    """Every plugin's table belongs to a plugin that is enabled: a table for another is a slip, and silent."""
    enabled = {*arbstr.plugins, *arbstr.mock}
    for name in plugins:
        if name not in enabled:
            what = f"the plugin is not enabled; {_nearest(name, enabled)}add it to [arbstr] plugins, or take this out"
            yield problem(join("plugins", name), None, what)


def check_server(server: ServerSettings) -> Iterator[Problem]:
    """Agents come over TCP; the two doors are not one."""
    if server.listen.unix is not None:
        yield problem(
            "server", "listen", 'wants host:port, as in "127.0.0.1:8080"; only admin_listen may be "unix:PATH"'
        )
    if server.admin_listen == server.listen and server.listen.port:
        yield problem("server", "admin_listen", "is the same as listen; take it out to share one door")


def check_storage(storage: StorageSettings) -> Iterator[Problem]:
    """The URL names a database that arbstr knows, without a password. The URL is never repeated."""
    if re.search(r"://[^/@]*:[^/]*@|[?&]password=", storage.url):
        yield problem("storage", "url", 'holds a password; take it out, and write password = "env:NAME"')
    elif not re.match(r"(sqlite:///.|postgresql://.)", storage.url):
        yield problem(
            "storage", "url", 'is not a database; write "sqlite:///arbstr.db" or "postgresql://user@host/arbstr"'
        )
    elif storage.password is not None and storage.url.startswith("sqlite:"):
        yield problem("storage", "password", "is for PostgreSQL, and url names a SQLite file; take it out")


def check_audit(audit: AuditSettings) -> Iterator[Problem]:
    """`[audit]`."""
    for anchor in audit.anchors:
        if not re.match(r"(file:.+|syslog|https?://[^/@\s]+(/\S*)?)\Z", anchor):
            what = f'{anchor[:40]!r} is no anchor; write "file:PATH", "syslog" or "https://host/path"'
            yield problem("audit", "anchors", what)
    yield from _twice("audit", "anchors", audit.anchors)


def check_webhooks(webhooks: WebhookSettings) -> Iterator[Problem]:
    """An address and what to sign with come together. The address is never repeated: a secret may be part of it."""
    if webhooks.url and not re.match(r"https?://[^/@\s]+(/\S*)?\Z", webhooks.url):
        yield problem("webhooks", "url", 'is not an address; write "https://host/path", without a password')
    if webhooks.url and webhooks.secret is None:
        yield problem("webhooks", "secret", 'is missing; write secret = "env:NAME", which what is sent is signed with')
    if not webhooks.url and (webhooks.secret is not None or webhooks.events is not None):
        yield problem("webhooks", "url", "is missing; write where to send to, or take the table out")
    yield from _twice("webhooks", "events", webhooks.events or ())


def check_routing(routing: RoutingSettings, arbstr: ArbstrSettings) -> Iterator[Problem]:
    """Policies are enabled plugins, each once."""
    names = routing.policies or ()
    yield from _twice("routing", "policies", names)
    enabled = {*arbstr.plugins, *arbstr.mock}
    for name in names:
        if name not in enabled:
            what = f'"{name[:40]}" is not enabled; {_nearest(name, enabled)}add it to [arbstr] plugins'
            yield problem("routing", "policies", what)


_MOST_OF_A_NAME = 256


def check_market(market: MarketSettings) -> Iterator[Problem]:
    """A dollar rate is a positive number; offers live longer than the pause between two looks at them."""
    yield from _check_aliases(market)
    yield from _check_sources(market)
    rate = market.usd_per_btc
    if rate is not None and not (rate.is_finite() and 0 < rate < 10**12):
        yield problem("market", "usd_per_btc", "is not a rate; write how many dollars one bitcoin costs, as in 97000")
    if market.stale_seconds < market.refresh_seconds:
        yield problem("market", "stale_seconds", "is below refresh_seconds, so every offer would go stale; raise it")


def _check_aliases(market: MarketSettings) -> Iterator[Problem]:
    for name, targets in market.aliases.items():
        if not (name.strip() == name and name.isprintable() and 0 < len(name) <= _MOST_OF_A_NAME):
            yield problem("market.aliases", name, "is no name that can be asked for; write another")
        if not targets:
            yield problem("market.aliases", name, "stands for nothing; name models, or take it out")
        yield from _twice("market.aliases", name, targets)


def _check_sources(market: MarketSettings) -> Iterator[Problem]:
    """Addresses are never repeated: a key may be part of one."""
    if market.usd_sources and market.usd_per_btc is not None:
        yield problem("market", "usd_per_btc", "is a rate, and usd_sources say where to get one; keep one of the two")
    if market.usd_sources and market.usd_stale_seconds < market.refresh_seconds:
        what = "is below refresh_seconds, so the rate would go stale before it is asked for again; raise it"
        yield problem("market", "usd_stale_seconds", what)
    for at, source in enumerate(market.usd_sources):
        if not re.match(r"https?://[^/@\s]+(/\S*)?\Z", source.url):
            what = 'is not an address; write "https://host/path", without a password'
            yield problem(f"market.usd_sources[{at}]", "url", what)
        if source.pointer and not source.pointer.startswith("/"):
            what = f'{source.pointer[:40]!r} is no JSON pointer; write one as "/data/0/price"'
            yield problem(f"market.usd_sources[{at}]", "pointer", what)
    urls = [source.url for source in market.usd_sources]
    if len(set(urls)) < len(urls):
        yield problem("market", "usd_sources", "name one address twice, which would count for two; take one out")


def check_dispatch(dispatch: DispatchSettings) -> Iterator[Problem]:
    """Times that contain others are not shorter than those."""
    if dispatch.deadline_seconds is not None and dispatch.deadline_seconds < dispatch.first_byte_seconds:
        what = "is below first_byte_seconds, which it would cut short; raise it"
        yield problem("dispatch", "deadline_seconds", what)
    breaker = dispatch.breaker
    if breaker.most_open_seconds < breaker.open_seconds:
        yield problem("dispatch.breaker", "most_open_seconds", "is below open_seconds; raise it")


def _nearest(name: str, enabled: Iterable[str]) -> str:
    remedy = did_you_mean(name, enabled)
    return f"{remedy} Else " if remedy.startswith("did you mean") else ""


def _twice(table: str, key: str, names: Sequence[str]) -> Iterator[Problem]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield problem(table, key, f'"{name[:40]}" stands there twice; take one out')
