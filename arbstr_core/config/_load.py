"""From a file to settings: which file, what TOML says, and every problem at once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from arbstr_core.config._checks import (
    check_arbstr,
    check_audit,
    check_dispatch,
    check_market,
    check_routing,
    check_server,
    check_storage,
    check_tables,
    check_webhooks,
)
from arbstr_core.config._decode import S, salvage
from arbstr_core.config._environ import filled
from arbstr_core.config._settings import (
    ArbstrSettings,
    AuditSettings,
    DispatchSettings,
    LogSettings,
    MarketSettings,
    PayoutSettings,
    RoutingSettings,
    ServerSettings,
    Settings,
    StorageSettings,
    Tables,
    VaultSettings,
    WebhookSettings,
)
from arbstr_core.config._words import did_you_mean, join, kind_of, problem
from arbstr_core.types import ConfigError, Problem

_TABLES = (
    *("arbstr", "server", "storage", "vault", "payouts", "webhooks", "audit", "log", "routing", "market"),
    "dispatch",
    "plugins",
)


def named(explicit: str | None, environ: Mapping[str, str]) -> Path:
    """Where the configuration is, or is to be: `-c`, then ARBSTR_CONFIG, then ./config.toml."""
    return Path(explicit or environ.get("ARBSTR_CONFIG") or "config.toml").expanduser().absolute()


def find(explicit: str | None, environ: Mapping[str, str]) -> Path:
    """The same. Raises ConfigError where it does not exist."""
    path = named(explicit, environ)
    if path.is_file():
        return path
    if not (explicit or environ.get("ARBSTR_CONFIG")):
        what = "no config.toml here; write one with `arbstr init`, or name one with -c or ARBSTR_CONFIG"
    else:
        source = "-c" if explicit else "ARBSTR_CONFIG"
        what = f"{path}, which {source} names, is not a file; name another, or write one with `arbstr init`"
    raise ConfigError([Problem(what)])


def load(path: Path) -> Settings:
    """Read and check the file at `path`. Raises ConfigError with all problems."""
    return parse(read(path), path)


def read(path: Path) -> str:
    """The text of the file at `path`. Raises ConfigError where it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as bad:
        reason = bad.strerror or type(bad).__name__
        raise ConfigError([Problem(f"{path}: cannot be read ({reason}); write one with `arbstr init`")]) from None
    except UnicodeDecodeError as bad:
        raise ConfigError([Problem(f"{path}: byte {bad.start} is not UTF-8; save the file as UTF-8")]) from None


def parse(text: str, path: Path) -> Settings:
    """Check `text` as the content of the file `path`. Raises ConfigError with all problems."""
    settings, problems = survey(text, path)
    if problems or settings is None:
        raise ConfigError(problems)
    return settings


def survey(text: str, path: Path) -> tuple[Settings | None, list[Problem]]:
    """As parse, but what is wrong falls back to its default: so that the plugins' tables can be checked as well, and
    everything told at once. No settings where a required key is wrong. Raises ConfigError where it is not TOML.
    """
    problems: list[Problem] = []
    document = filled(_document(text, path), os.environ, problems)
    settings, others = _settings(document, path.absolute())
    return settings, problems + others


def _document(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as bad:
        raise ConfigError([Problem(f"{path}: is not TOML: {bad}; correct that place")]) from None
    except RecursionError:
        raise ConfigError([Problem(f"{path}: is nested too deeply; flatten it")]) from None
    except ValueError:  # tomllib lets int() refuse a number of thousands of digits
        raise ConfigError([Problem(f"{path}: holds a number that is too long; correct it")]) from None


def _settings(document: Mapping[str, Any], path: Path) -> tuple[Settings | None, list[Problem]]:
    problems = _unknown_tables(document)

    def section(name: str, schema: type[S]) -> S | None:
        table = document.get(name, {})
        return salvage(name, table, schema, problems) if isinstance(table, Mapping) else None

    arbstr = section("arbstr", ArbstrSettings)
    server = section("server", ServerSettings)
    storage = section("storage", StorageSettings)
    vault = section("vault", VaultSettings)
    payouts = section("payouts", PayoutSettings)
    webhooks = section("webhooks", WebhookSettings)
    audit = section("audit", AuditSettings)
    log = section("log", LogSettings)
    routing = section("routing", RoutingSettings)
    market = section("market", MarketSettings)
    dispatch = section("dispatch", DispatchSettings)
    plugins = _plugin_tables(document, problems)
    problems += [*check_server(server)] if server else []
    problems += [*check_storage(storage)] if storage else []
    problems += [*check_webhooks(webhooks)] if webhooks else []
    audit = _sound(audit, check_audit, problems)
    market = _sound(market, check_market, problems)
    dispatch = _sound(dispatch, check_dispatch, problems)
    if arbstr is not None:
        problems += [*check_arbstr(arbstr), *check_tables(arbstr, plugins)]
        problems += [*check_routing(routing, arbstr)] if routing else []
    if not (arbstr and server and storage and vault and payouts and webhooks):
        return None, problems
    if not (audit and log and routing and market and dispatch):
        return None, problems
    settings = Settings(
        path=path,
        arbstr=arbstr,
        server=_anchored(server, path.parent),
        storage=storage,
        vault=vault,
        payouts=payouts,
        webhooks=webhooks,
        audit=audit,
        log=log,
        routing=routing,
        market=market,
        dispatch=dispatch,
        plugins=plugins,
    )
    return settings, problems


def _sound(table: S | None, check: Callable[[S], Iterable[Problem]], problems: list[Problem]) -> S | None:
    """`table`, or its defaults where `check` finds something in it that nothing could be made of."""
    found = [] if table is None else [*check(table)]
    problems += found
    return type(table)() if table is not None and found else table


def _unknown_tables(document: Mapping[str, Any]) -> list[Problem]:
    """Names at the top that arbstr does not know, and known ones that are no tables."""
    found = []
    for name, value in document.items():
        place, key = (join("", name), None) if isinstance(value, Mapping) else ("", name)
        if name not in _TABLES:
            what = "unknown table" if key is None else "unknown key, outside of any table"
            found.append(problem(place, key, f"{what}; {did_you_mean(name, _TABLES)}"))
        elif key is not None:
            found.append(problem(join("", name), None, f"expected a table, got {kind_of(value)}"))
    return found


def _plugin_tables(document: Mapping[str, Any], problems: list[Problem]) -> Tables:
    """`[plugins.<stem>]`, not read any further: only the plugin knows its keys."""
    tables = document.get("plugins", {})
    whole = {}
    for name, table in tables.items() if isinstance(tables, Mapping) else ():
        if isinstance(table, Mapping):
            whole[name] = table
        else:
            what = f"expected a table, got {kind_of(table)}; write [{join('plugins', name)}]"
            problems.append(problem("plugins", name, what))
    return Tables(whole)


def _anchored(server: ServerSettings, base: Path) -> ServerSettings:
    """A relative path of a Unix socket is relative to the file."""
    admin = server.admin_listen
    if admin is None or admin.unix is None:
        return server
    whole = str(base / Path(admin.unix).expanduser())
    return msgspec.structs.replace(server, admin_listen=msgspec.structs.replace(admin, unix=whole))
