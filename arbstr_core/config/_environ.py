"""`${NAME}` in the texts of a configuration: what the environment says, so that one file serves in several places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from arbstr_core.config._words import join, problem
from arbstr_core.types import Problem

_MARK = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?\Z", re.DOTALL)


def filled(document: Mapping[str, Any], environ: Mapping[str, str], problems: list[Problem]) -> dict[str, Any]:
    """`document` with `${NAME}` and `${NAME:-DEFAULT}` replaced in its texts, and `$${` left as `${`. Keys stay as they
    are. What is missing or no name is appended to `problems`, and stays as it was written.
    """
    return _table(document, "", environ, problems)


def _table(table: Mapping[str, Any], path: str, environ: Mapping[str, str], problems: list[Problem]) -> dict[str, Any]:
    return {key: _filled(value, path, key, environ, problems) for key, value in table.items()}


def _filled(value: Any, path: str, key: str, environ: Mapping[str, str], problems: list[Problem]) -> Any:
    if isinstance(value, str):
        return _MARK.sub(lambda found: _said(found, path, key, environ, problems), value)
    if isinstance(value, Mapping):
        return _table(value, join(path, key), environ, problems)
    if isinstance(value, list):
        return [_filled(each, path, f"{key}[{number}]", environ, problems) for number, each in enumerate(value)]
    return value


def _said(found: re.Match[str], path: str, key: str, environ: Mapping[str, str], problems: list[Problem]) -> str:
    if found[1] is None:
        return "${"
    inside = _INSIDE.match(found[1])
    if inside is None:
        what = "a ${...} without a name of the environment: write ${NAME}, ${NAME:-DEFAULT}, or $${ for the signs alone"
        problems.append(problem(path, key, what))
        return found[0]
    name, default = inside.groups()
    if value := environ.get(name, ""):
        return value
    if default is None:
        what = f"the environment has no {name}: set it, or write a default, ${{{name}:-DEFAULT}}"
        problems.append(problem(path, key, what))
        return found[0]
    return str(default)
