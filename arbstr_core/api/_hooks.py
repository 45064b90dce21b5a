"""Hook specifications: synchronous factories that return objects. Called once each, inside the running loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pluggy

from arbstr_core.api._authenticators import Authenticator
from arbstr_core.api._policies import RoutingPolicy, Strategy
from arbstr_core.api._providers import Provider
from arbstr_core.api._rails import WalletRail
from arbstr_core.api._tools import Tools

hookspec = pluggy.HookspecMarker("arbstr")
hookimpl = pluggy.HookimplMarker("arbstr")
"""Marks a hook implementation: `@hookimpl` above a module's `def arbstr_providers(config, tools)`."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin says of itself: its stem, the API it was written for, and the struct of its configuration table.

    `config` is a msgspec Struct type; its fields are the keys of `[plugins.<name>]`, decoded key by key.
    """

    name: str
    api: tuple[int, int]
    config: type[msgspec.Struct]


class Param(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a command: given as `--name VALUE`, and always text."""

    name: str
    help: str
    required: bool = False
    default: str = ""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's command: `arbstr plugin run STEM NAME`. `run` takes the parameters by name, returns JSON values.

    `offline` commands also run where no server does.
    """

    name: str
    help: str
    run: Callable[[Mapping[str, str]], Awaitable[Any]]
    params: tuple[Param, ...] = ()
    offline: bool = False


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Static pages for operators, served below `/{name}/` on the operator's listener.

    `folder` is read once, when arbstr starts; `index.html` in it answers for the site itself. Pages run under a policy
    (CSP) that lets them load from arbstr alone, without inline scripts and styles; what they know, they ask `/admin`.
    """

    name: str
    """lower-case letters, digits and dashes; no name of a door, as `admin`"""
    title: str
    """for people: what is behind it"""
    folder: Path


class Hooks:
    """Every hook a plugin may implement. `config` is the plugin's own table, decoded; `tools` is its own Tools."""

    @hookspec
    def arbstr_providers(self, config: Any, tools: Tools) -> Iterable[Provider]:  # type: ignore[empty-body]
        """Return the providers this plugin adds. Called once, in the running loop, before any is started.

        Must not do I/O; that belongs to `Provider.start`. An exception stops `arbstr serve` with the plugin's name.
        Since API 1.0.
        """

    @hookspec
    def arbstr_policies(self, config: Any, tools: Tools) -> Iterable[RoutingPolicy | Strategy]:  # type: ignore[empty-body]
        """Return routing policies and strategies. Called once, before the first call is routed; must not do I/O.

        A strategy counts once its plugin is enabled. A policy counts where `[routing] policies` lists its plugin,
        in that order. Since API 1.0.
        """

    @hookspec
    def arbstr_wallet_rails(self, config: Any, tools: Tools) -> Iterable[WalletRail]:  # type: ignore[empty-body]
        """Return the wallet rails this plugin adds. Called once, before any is started; must not do I/O.

        Since API 1.0.
        """

    @hookspec
    def arbstr_authenticators(self, config: Any, tools: Tools) -> Iterable[Authenticator]:  # type: ignore[empty-body]
        """Return other ways to be a caller than an agent's token. Called once, before any is started; must not do I/O.

        They are asked in the order of `[arbstr] plugins`, those whose header a request has. Since API 1.0.
        """

    @hookspec
    def arbstr_commands(self, config: Any, tools: Tools) -> Iterable[Command]:  # type: ignore[empty-body]
        """Return the operator's commands of this plugin: `arbstr plugin run STEM COMMAND`, and
        `/admin/plugins/{stem}/{command}`. Called once, after the other hooks of the plugin; must not do I/O.

        Since API 1.0.
        """

    @hookspec
    def arbstr_sites(self, config: Any) -> Iterable[Site]:  # type: ignore[empty-body]
        """Return static sites to mount beside `/admin`. Called once; must not do I/O: arbstr reads their files.

        Since API 1.0.
        """
