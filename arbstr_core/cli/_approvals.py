"""`arbstr approval`: what an operator is asked."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from arbstr_core.cli._context import AsJson, ConfigFile, ask, command
from arbstr_core.cli._operator import part
from arbstr_core.cli._show import as_json, facts, moment, sat, table

app = typer.Typer(help="Approvals: calls and payouts that wait for you.", no_args_is_help=True)

_HEAD, _TAIL = 20, 8
"""What is shown of a long destination"""

Approval = Annotated[str, typer.Argument(help="The approval's id.", metavar="APPROVAL")]


@app.command(name="list")
@command
def list_approvals(
    state: Annotated[str, typer.Option(help="pending, granted, held, used, denied, expired, or all.")] = "pending",
    agent: Annotated[str | None, typer.Option(help="Of this agent alone, by id or name.")] = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Approvals, the newest first."""
    wanted = None if state == "all" else state
    rows = ask(config, lambda client: client.rows("/approvals", state=wanted, agent=agent))
    if json:
        as_json(rows)
        return
    shown = [
        [
            *(row["id"], row["agent_name"], row["kind"], sat(row["ceiling_msat"])),
            *(_what_for(row, short=True), row["state"], moment(row["expires_ms"])),
        ]
        for row in rows
    ]
    table(["id", "agent", "kind", "up to", "for", "state", "until"], shown, empty="Nothing waits.")


@app.command()
@command
def grant(approval: Approval, config: ConfigFile = None, json: AsJson = False) -> None:
    """Let it through, once."""
    _print(ask(config, lambda client: client.post(f"/approvals/{part(approval, 'an approval')}/grant")), json)


@app.command()
@command
def deny(approval: Approval, config: ConfigFile = None, json: AsJson = False) -> None:
    """Refuse it."""
    _print(ask(config, lambda client: client.post(f"/approvals/{part(approval, 'an approval')}/deny")), json)


def _what_for(row: dict[str, Any], *, short: bool) -> str:
    """The models that are called, or where a payout goes."""
    to = row["to"]
    if to is None:
        return ", ".join(row["models"])
    return f"to {to[:_HEAD]}\u2026{to[-_TAIL:]}" if short and len(to) > _HEAD + _TAIL + 1 else f"to {to}"


def _print(row: dict[str, Any], json: bool) -> None:
    if json:
        as_json(row)
        return
    facts(
        [
            ("id", row["id"]),
            ("agent", row["agent_name"]),
            ("up to", sat(row["ceiling_msat"])),
            ("for", _what_for(row, short=False)),
            ("state", row["state"]),
            ("until", moment(row["expires_ms"])),
        ]
    )
