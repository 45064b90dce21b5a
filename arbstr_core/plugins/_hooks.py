"""The hooks there are, what each may return, and whether a module implements them as it should."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import msgspec
import pluggy

from arbstr_core.api import Authenticator, Command, Hooks, Provider, RoutingPolicy, Site, Strategy, WalletRail

PROJECT = "arbstr"
PREFIX = "arbstr_"
_MARK = "arbstr_impl"  # where pluggy's marker leaves its options


class HookKind(msgspec.Struct, frozen=True):
    """What a hook makes: the kind of plugin it stands for, and the types its objects may have."""

    kind: str
    types: tuple[type, ...]


HOOKS = {
    "arbstr_providers": HookKind("provider", (Provider,)),
    "arbstr_policies": HookKind("policy", (RoutingPolicy, Strategy)),
    "arbstr_wallet_rails": HookKind("wallet", (WalletRail,)),
    "arbstr_authenticators": HookKind("authenticator", (Authenticator,)),
    "arbstr_commands": HookKind("command", (Command,)),
    "arbstr_sites": HookKind("site", (Site,)),
}


def new_manager() -> pluggy.PluginManager:
    """A pluggy manager that knows the hooks and no plugin."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    return manager


def implemented(module: ModuleType) -> tuple[str, ...]:
    """The hooks that `module` implements, in the order of the API."""
    marked = {_hook_name(name, function) for name, function in _candidates(module) if _options(function) is not None}
    return tuple(hook for hook in HOOKS if hook in marked)


def hook_problems(module: ModuleType) -> Iterator[str]:
    """What is wrong with the functions of `module` that are, or look like, hook implementations."""
    for name, function in _candidates(module):
        hook = _hook_name(name, function)
        if hook not in HOOKS:
            near = difflib.get_close_matches(hook, HOOKS, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"the hooks are {', '.join(HOOKS)}"
            yield f"{name} is no hook; {remedy}"
        elif _options(function) is None:
            yield f"{name} is not marked; put @hookimpl above it"
        else:
            yield from _signature_problems(name, hook, function)


def _signature_problems(name: str, hook: str, function: Callable[..., Any]) -> Iterator[str]:
    options = _options(function) or {}
    wanted = [each for each in inspect.signature(getattr(Hooks, hook)).parameters if each != "self"]
    remedy = f"write def {hook}({', '.join(wanted)})"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        yield f"{name} is async def, and hooks are not; {remedy}, and do I/O in the start() of what it returns"
    if options.get("wrapper") or options.get("hookwrapper"):
        yield f"{name} wraps the hook of other plugins; {remedy} under a plain @hookimpl"
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in wanted:
            yield f"{name} has the argument {parameter.name!r}, which this hook does not give; {remedy}"
        elif parameter.kind is not parameter.POSITIONAL_OR_KEYWORD or parameter.default is not parameter.empty:
            yield f"{name} has the argument {parameter.name!r} with a default or by keyword only; {remedy}"


def _candidates(module: ModuleType) -> list[tuple[str, Callable[..., Any]]]:
    """Functions of `module` that are marked as hooks or have a hook's prefix."""
    return [
        (name, value)
        for name, value in sorted(vars(module).items())
        if inspect.isfunction(value) and (name.startswith(PREFIX) or _options(value) is not None)
    ]


def _options(function: object) -> dict[str, Any] | None:
    options = getattr(function, _MARK, None)
    return options if isinstance(options, dict) else None


def _hook_name(name: str, function: object) -> str:
    return (_options(function) or {}).get("specname") or name
