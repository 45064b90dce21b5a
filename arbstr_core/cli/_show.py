"""How commands show what they found: one JSON document, or tables for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from arbstr_core.types import format_amount

_OUT = Console(soft_wrap=True, highlight=False)
_ERR = Console(stderr=True, soft_wrap=True, highlight=False)
_WIDE = 1_000
_NARROW = 12
"""How narrow a column gets before what is to stay whole runs over the terminal's edge."""
_WHOLE = frozenset({"id", "agent", "of", "name", "provider", "model"})


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
    """Rows in columns; `empty` where there are none. What is copied, as an id, is on one line whatever the width."""
    shown = [[escape(cell) for cell in row] for row in rows]
    if not shown:
        say(empty)
        return
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    least = 0
    for n, column in enumerate(columns):
        widest = max(len(column), *(len(row[n]) for row in shown))
        whole = column in _WHOLE
        drawn.add_column(column, overflow="fold", no_wrap=whole, min_width=widest if whole else None)
        least += widest + 1 if whole else min(widest, _NARROW) + 1
    for row in shown:
        drawn.add_row(*row)
    _print(drawn, least)


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values, one a line."""
    drawn = Table.grid(padding=(0, 2))
    for name, value in rows:
        drawn.add_row(f"[bold]{escape(name)}[/bold]", escape(value))
    _print(drawn, 0)


def _print(drawn: Table, least: int) -> None:
    """As wide as the terminal, but at least so wide; where no terminal shows it, nothing is wrapped."""
    width = max(_OUT.width, least) if _OUT.is_terminal else _WIDE
    Console(soft_wrap=True, highlight=False, width=width).print(drawn)


def sat(msat: int | None) -> str:
    """An amount for people; a dash for none."""
    return "-" if msat is None else format_amount(msat)


def moment(at_ms: int | None) -> str:
    """A time for people, UTC; a dash for none."""
    return "-" if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def agent_facts(agent: Mapping[str, Any]) -> list[tuple[str, str]]:
    """An agent, for people."""
    above = [("below", f"{agent['parent']}, from whose account it spends")] if agent.get("parent") else []
    return [
        ("id", agent["id"]),
        ("name", agent["name"]),
        *above,
        ("realm", agent["realm"]),
        ("enabled", "yes" if agent["enabled"] else "no"),
        ("balance", sat(agent["posted_msat"])),
        ("held", sat(agent["held_msat"])),
        ("available", sat(agent["available_msat"])),
        *limit_facts(agent["limits"] or {}),
    ]


def limit_facts(limits: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Limits, for people: the two that every agent needs, and those of the others that are set."""
    rows = [("largest charge", sat(limits.get("max_charge_msat"))), ("daily limit", sat(limits.get("daily_msat")))]
    for name, words, shown in _LIMITS:
        value = limits.get(name)
        if value is not None and (name not in _ONLY_WITH or limits.get(_ONLY_WITH[name]) is not None):
            rows.append((words, shown(value)))
    return rows


_ONLY_WITH = {"alert_cooldown_seconds": "alert_floor_msat", "pending_approvals": "approval_seconds"}
"""What means nothing without another"""
_LIMITS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("zone", "days of", str),
    ("hourly_msat", "hourly limit", sat),
    ("per_minute", "calls a minute", str),
    ("concurrent", "calls at one time", str),
    ("models", "models", ", ".join),
    ("expires_ms", "until", moment),
    ("approval_seconds", "waits for approval, seconds", str),
    ("pending_approvals", "calls that may wait for approval", str),
    ("alert_floor_msat", "alert below", sat),
    ("alert_cooldown_seconds", "alert again after, seconds", str),
    ("max_fee_msat", "largest payout fee", sat),
    ("attempts_msat", "failed attempts an hour", sat),
    ("payouts_unapproved_msat", "payouts without approval", sat),
)


def receipt_facts(receipt: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A receipt, for people."""
    usage = receipt["usage"]
    tokens = f"{usage['input_tokens']} in ({usage['cached_input_tokens']} cached), {usage['output_tokens']} out"
    rows = [
        ("id", receipt["id"]),
        ("agent", receipt["agent"]),
        ("model", receipt["model"] or "-"),
        ("provider", seller(receipt) if receipt["provider"] else "-"),
        ("state", receipt["state"]),
        ("held", sat(receipt["held_msat"])),
        ("charged", sat(receipt["charged_msat"])),
        ("tokens", f"{tokens} ({usage['source']})"),
    ]
    for attempt in receipt["attempts"]:
        detail = f": {attempt['detail']}" if attempt.get("detail") else ""
        rows.append(("attempt", f"{seller(attempt)} {attempt['outcome']} after {attempt['ms']} ms{detail}"))
    rows += [("reason", reason) for reason in receipt["reasons"]]
    rows += [("instead", f"{seller(other)} for {sat(other['cost_msat'])}") for other in receipt["alternatives"]]
    return rows


def seller(row: Mapping[str, Any]) -> str:
    """A provider, with its node where it has several."""
    return f"{row['provider']}/{row['node']}" if row.get("node") else str(row["provider"])
