"""`arbstr ledger`: what changed an agent's balance."""

from __future__ import annotations

from typing import Annotated

import typer

from arbstr_core.cli._context import AsJson, ConfigFile, ask, command
from arbstr_core.cli._show import as_json, moment, sat, table


@command
def ledger(
    agent: Annotated[str | None, typer.Argument(help="An agent's id or name; else all.", metavar="[AGENT]")] = None,
    kind: Annotated[str | None, typer.Option(help="Of one kind alone, as settle or fund.")] = None,
    most: Annotated[int, typer.Option("--most", "-n", min=1, help="How many of them.")] = 50,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Transfers, the newest first."""
    rows = ask(config, lambda client: client.rows("/ledger", most, agent=agent, kind=kind))
    if json:
        as_json(rows)
        return
    shown = [
        [
            str(row["seq"]),
            moment(row["at_ms"]),
            row["kind"],
            sat(row["amount_msat"] if row["change_msat"] is None else row["change_msat"]),
            row["call"] or row["key"] or "-",
            row["model"] or "-",
        ]
        for row in rows
    ]
    table(["seq", "time", "kind", "amount", "of", "model"], shown, empty="No transfers.")
