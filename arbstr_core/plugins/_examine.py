"""One enabled plugin, from its name to a checked module and a decoded table: everything that is wrong, in sentences."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from types import ModuleType
from typing import Any

import msgspec

from arbstr_core.api import API_VERSION, Manifest
from arbstr_core.plugins._found import Found, clash_sentence
from arbstr_core.plugins._hooks import HOOKS, hook_problems, implemented
from arbstr_core.plugins._imports import import_plugin, one_line
from arbstr_core.types import PluginError, Problem

Decode = Callable[[str, Mapping[str, Any], type[msgspec.Struct], list[Problem]], msgspec.Struct | None]
"""Reads a plugin's table, at a path, as its struct; appends what is wrong."""


class LoadState(StrEnum):
    """How far a plugin came."""

    OK = "ok"
    DISABLED = "disabled"
    CLASH = "clash"
    IMPORT_ERROR = "import_error"
    WRONG_API = "wrong_api"
    BAD_CONFIG = "bad_config"


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one enabled plugin."""

    name: str
    state: LoadState
    found: Found | None = None
    module: ModuleType | None = None
    config: Any = None
    problems: tuple[Problem, ...] = ()

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hooks it implements; none where it was not imported."""
        return implemented(self.module) if self.module else ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it is: `provider`, `policy`, `wallet`, `command`."""
        return tuple(HOOKS[hook].kind for hook in self.hooks)


def examine(
    name: str, known: Mapping[str, Sequence[Found]], tables: Mapping[str, Mapping[str, Any]], decode: Decode
) -> Examined:
    """Import the plugin `name` unless it clashes, check it, and decode its table."""
    rivals = known.get(name, ())
    if len(rivals) != 1:
        state, sentence = _not_one(name, rivals, known)
        return Examined(name=name, state=state, problems=(Problem(sentence),))
    found = rivals[0]
    try:
        module = import_plugin(found)
    except PluginError as bad:
        return Examined(name=name, state=LoadState.IMPORT_ERROR, found=found, problems=(Problem(f"{found}: {bad}"),))
    wrong = (*_manifest_problems(module, name), *hook_problems(module))
    if wrong:
        said = tuple(Problem(f"{found}: {each}") for each in wrong)
        return Examined(name=name, state=LoadState.WRONG_API, found=found, module=module, problems=said)
    return _configured(found, module, tables.get(name, {}), decode)


def _not_one(name: str, rivals: Sequence[Found], known: Iterable[str]) -> tuple[LoadState, str]:
    if rivals:
        return LoadState.CLASH, clash_sentence(rivals)
    near = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"did you mean {near[0]}, which is? Else " if near else ""
    stem = name.replace("_", "-")
    return LoadState.IMPORT_ERROR, f"plugin {name}: is not installed; {hint}pip install arbstr-{stem}"


def _manifest_problems(module: ModuleType, name: str) -> Iterator[str]:
    manifest = getattr(module, "MANIFEST", None)
    ours = f"{API_VERSION[0]}, {API_VERSION[1]}"
    if not isinstance(manifest, Manifest):
        line = f'MANIFEST = Manifest(name="{name}", api=({ours}), config=...)'
        yield f"has no MANIFEST; put {line} into {module.__name__}"
        return
    if manifest.name != name:
        yield f"its MANIFEST names {manifest.name!r} and its entry point {name!r}; make them one"
    api: Any = manifest.api  # nothing has checked its type yet
    if not (isinstance(api, tuple) and len(api) == 2 and all(isinstance(part, int) for part in api)):
        yield f"its MANIFEST has api={api!r}; write api=({ours})"
    elif api[0] != API_VERSION[0] or api[1] > API_VERSION[1]:
        wants, has = f"{api[0]}.{api[1]}", f"{API_VERSION[0]}.{API_VERSION[1]}"
        remedy = "upgrade arbstr-core" if api > API_VERSION else "upgrade the plugin"
        yield f"it is written for API {wants}, and this arbstr has {has}; {remedy}"
    config: Any = manifest.config
    if not (isinstance(config, type) and issubclass(config, msgspec.Struct)):
        yield f"its MANIFEST has config={config!r}; name a msgspec.Struct, one without fields where there are no keys"


def _configured(found: Found, module: ModuleType, table: Mapping[str, Any], decode: Decode) -> Examined:
    problems: list[Problem] = []
    state = LoadState.BAD_CONFIG
    config = None
    try:
        config = _decoded(found.name, module.MANIFEST.config, table, decode, problems)
    except PluginError as bad:
        state, problems = LoadState.WRONG_API, [Problem(str(bad))]
    said = tuple(Problem(f"{each} ({found.distribution} {found.version})") for each in problems)
    return Examined(
        name=found.name,
        state=state if said else LoadState.OK,
        found=found,
        module=module,
        config=config,
        problems=said,
    )


def _decoded(
    name: str, schema: type[msgspec.Struct], table: Mapping[str, Any], decode: Decode, problems: list[Problem]
) -> msgspec.Struct | None:
    """The table decoded. A schema that is broken itself (an unknown annotation, a raising check) is a PluginError."""
    try:
        return decode(f"plugins.{name}", table, schema, problems)
    except (NameError, TypeError, AttributeError) as bad:
        what = f"its configuration struct {schema.__name__} cannot be used: {one_line(bad)}"
        raise PluginError(f"plugin {name}: {what}; ask its author") from bad
    except Exception as bad:
        # What a plugin's own check says may hold the value it checked, so only the type is told.
        what = f"its configuration struct {schema.__name__} raised {type(bad).__name__}; ask its author"
        raise PluginError(f"plugin {name}: {what}") from bad
