"""What `arbstr plugin list` and `arbstr doctor` show: every installed plugin, and how far each came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from arbstr_core.plugins._examine import Decode, LoadState, examine
from arbstr_core.plugins._found import Found, by_name, clash_sentence, installed


class PluginState(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the list."""

    name: str
    kinds: tuple[str, ...]
    """`provider`, `policy`, `wallet`, `command`; unknown, so empty, where it was not imported"""
    version: str
    distribution: str
    state: LoadState
    error: str | None = None


def states(enabled: Sequence[str], tables: Mapping[str, Mapping[str, Any]], decode: Decode) -> list[PluginState]:
    """Every installed plugin, and every enabled one that is not, by name. A broken one never raises.

    Only enabled plugins are imported. A clash has a row for each distribution.
    """
    known = by_name(installed())
    rows: list[PluginState] = []
    for name in sorted({*known, *enabled}):
        rivals = known.get(name, [])
        if len(rivals) > 1:
            rows += _rows(rivals, LoadState.CLASH, clash_sentence(rivals))
        elif name not in enabled:
            rows += _rows(rivals, LoadState.DISABLED, None)
        else:
            rows.append(_examined(name, known, tables, decode))
    return rows


def _rows(found: Sequence[Found], state: LoadState, error: str | None) -> Iterator[PluginState]:
    for each in found:
        yield PluginState(
            name=each.name,
            kinds=(),
            version=each.version,
            distribution=each.distribution,
            state=state,
            error=error,
        )


def _examined(
    name: str, known: Mapping[str, Sequence[Found]], tables: Mapping[str, Mapping[str, Any]], decode: Decode
) -> PluginState:
    one = examine(name, known, tables, decode)
    return PluginState(
        name=name,
        kinds=one.kinds,
        version=one.found.version if one.found else "",
        distribution=one.found.distribution if one.found else "",
        state=one.state,
        error="\n".join(one.problems) or None,
    )
