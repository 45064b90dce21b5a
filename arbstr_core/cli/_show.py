"""How commands show what they found: one JSON document, or tables for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from arbstr_core.types import format_amount

_OUT = Console(soft_wrap=True, highlight=False)
_ERR = Console(stderr=True, soft_wrap=True, highlight=False)
_WIDE = 1_000
"""Where no terminal shows it, nothing is wrapped."""


def as_json(document: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(document, indent=2))  # noqa: T201 - plain, so that no terminal width changes it


def say(message: str) -> None:
    """A sentence on standard output."""
    _OUT.print(escape(message))


def warn(message: str) -> None:
    """A sentence on standard error."""
    _ERR.print(escape(message))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Rows in columns; `empty` where there are none."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        drawn.add_row(*(escape(cell) for cell in row))
        count += 1
    if count:
        _print(drawn)
    else:
        say(empty)


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values, one a line."""
    drawn = Table.grid(padding=(0, 2))
    for name, value in rows:
        drawn.add_row(f"[bold]{escape(name)}[/bold]", escape(value))
    _print(drawn)


def _print(drawn: Table) -> None:
    _OUT.print(drawn, width=None if _OUT.is_terminal else _WIDE)


def sat(msat: int | None) -> str:
    """An amount for people; a dash for none."""
    return "-" if msat is None else format_amount(msat)


def agent_facts(agent: Mapping[str, Any]) -> list[tuple[str, str]]:
    """An agent, for people."""
    limits = agent["limits"] or {}
    return [
        ("id", agent["id"]),
        ("name", agent["name"]),
        ("realm", agent["realm"]),
        ("enabled", "yes" if agent["enabled"] else "no"),
        ("balance", sat(agent["posted_msat"])),
        ("held", sat(agent["held_msat"])),
        ("available", sat(agent["available_msat"])),
        ("largest charge", sat(limits.get("max_charge_msat"))),
        ("daily limit", sat(limits.get("daily_msat"))),
    ]


def receipt_facts(receipt: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A receipt, for people."""
    usage = receipt["usage"]
    tokens = f"{usage['input_tokens']} in ({usage['cached_input_tokens']} cached), {usage['output_tokens']} out"
    rows = [
        ("id", receipt["id"]),
        ("agent", receipt["agent"]),
        ("model", receipt["model"] or "-"),
        ("provider", receipt["provider"] or "-"),
        ("state", receipt["state"]),
        ("held", sat(receipt["held_msat"])),
        ("charged", sat(receipt["charged_msat"])),
        ("tokens", f"{tokens} ({usage['source']})"),
    ]
    for attempt in receipt["attempts"]:
        detail = f": {attempt['detail']}" if attempt.get("detail") else ""
        rows.append(("attempt", f"{attempt['provider']} {attempt['outcome']} after {attempt['ms']} ms{detail}"))
    rows += [("reason", reason) for reason in receipt["reasons"]]
    rows += [("instead", f"{other['provider']} for {sat(other['cost_msat'])}") for other in receipt["alternatives"]]
    return rows
