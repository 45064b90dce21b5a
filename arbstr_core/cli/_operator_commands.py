"""`arbstr operator`: who may operate beside the bearer of `admin.token`."""

from __future__ import annotations

from typing import Annotated

import typer

from arbstr_core.cli._context import AsJson, ConfigFile, ask, command
from arbstr_core.cli._operator import part
from arbstr_core.cli._show import as_json, moment, say, table

app = typer.Typer(help="Operators: people and programs with a token of their own.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The operator's name.", metavar="NAME")]


@app.command()
@command
def add(name: Name, config: ConfigFile = None, json: AsJson = False) -> None:
    """Make an operator. Its token is shown this once: it logs in a browser, and opens /admin."""
    made = ask(config, lambda client: client.post("/operators", {"name": name}))
    if json:
        as_json(made)
    else:
        say(f"{made['name']} may operate. The token, which is shown this once:")
        say(made["token"])


@app.command(name="list")
@command
def list_operators(config: ConfigFile = None, json: AsJson = False) -> None:
    """Operators with names, those that were revoked too."""
    rows = ask(config, lambda client: client.rows("/operators"))
    if json:
        as_json(rows)
        return
    shown = [
        [
            *(row["name"], moment(row["created_ms"]), row["created_by"], str(row["sessions"])),
            "-" if row["revoked_ms"] is None else moment(row["revoked_ms"]),
        ]
        for row in rows
    ]
    table(["name", "since", "made by", "logged in", "revoked"], shown, empty="Nobody but the bearer of admin.token.")


@app.command()
@command
def revoke(name: Name, config: ConfigFile = None, json: AsJson = False) -> None:
    """End an operator's token, and every session that it opened."""
    ended = ask(config, lambda client: client.post(f"/operators/{part(name, 'an operator')}/revoke"))
    if json:
        as_json(ended)
    else:
        say(f"{ended['name']} operates no longer")
