"""`arbstr savings`: what routing has saved, as a table and as bars."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from arbstr_core.cli._context import AsJson, ConfigFile, ask, command
from arbstr_core.cli._show import as_json, sat, say, table
from arbstr_core.types import BadRequest

_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_WIDE = 40
_MOST_DAYS = 31


@command
def savings(
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Only later calls: 30d, 12h, 90m, or a day as 2026-11-28.")
    ] = "30d",
    baseline: Annotated[
        str, typer.Option(help="mean or median of who would have served a call; or list:PROVIDER.")
    ] = "mean",
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """What routing has saved: what calls cost, held against what the others would have cost, by their receipts."""
    since_ms = _since(since, time.time())
    found = ask(config, lambda client: client.get("/savings", since_ms=since_ms, baseline=baseline))
    if json:
        as_json(found)
        return
    shown = [[row["model"], *_cells(row)] for row in found["models"]]
    if len(shown) > 1:
        shown.append(["all", *_cells(found)])
    table(
        ["model", "calls", "cost", "else", "saved", ""], shown, empty="No calls that somebody else might have served."
    )
    for row in found["days"][-_MOST_DAYS:]:
        say(f"{row['day']}  {_bar(row)}  {_share(row)}")
    if found["alone"]:
        say(f"{found['alone']} calls that nobody else would have served are not counted.")
    if found["left_out"]:
        say(f"{found['left_out']} calls are not counted, for which {baseline} has no price.")


def _since(text: str, now: float) -> int:
    """Unix milliseconds. Raises BadRequest."""
    ago = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if ago:
        return max(0, int((now - int(ago[1]) * _UNITS[ago[2]]) * 1000))
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError:
        raise BadRequest(f"since is {text[:40]!r}; write 30d, 12h, 90m, or a day as 2026-11-28") from None


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        str(row["calls"]),
        sat(row["charged_msat"]),
        sat(row["baseline_msat"]),
        sat(row["saved_msat"]),
        _share(row),
    ]


def _share(row: Mapping[str, Any]) -> str:
    return "-" if row["saved_share"] is None else f"{row['saved_share']:.1%} saved"


def _bar(row: Mapping[str, Any]) -> str:
    """What was paid of the baseline, and what was saved of it."""
    paid = round(_WIDE * min(max(1 - (row["saved_share"] or 0.0), 0.0), 1.0))
    return "\u2588" * paid + "\u2591" * (_WIDE - paid)
