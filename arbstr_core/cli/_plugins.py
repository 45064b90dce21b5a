"""`arbstr plugin`: what is installed, in what state, and the commands that plugins bring."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from arbstr_core.cli._context import AsJson, ConfigFile, ask, command, pairs, settings_of
from arbstr_core.cli._house import plugin_rows
from arbstr_core.cli._operator import part
from arbstr_core.cli._show import as_json, facts, say, table
from arbstr_core.types import NotFound

app = typer.Typer(help="Plugins: what is installed, in what state, and their commands.", no_args_is_help=True)

Stem = Annotated[str, typer.Argument(help="The plugin's name; `arbstr plugin list` shows them.", metavar="STEM")]

_COLUMNS = ("name", "kinds", "version", "distribution", "state", "error")


@app.command(name="list")
@command
def list_plugins(config: ConfigFile = None, json: AsJson = False) -> None:
    """Every installed plugin, broken ones too. Only enabled ones are imported."""
    rows = plugin_rows(settings_of(config))
    if json:
        as_json(rows)
        return
    table(
        _COLUMNS,
        [[_text(row[name]) for name in _COLUMNS] for row in rows],
        empty="No plugins are installed; the README names them.",
    )


@app.command()
@command
def show(stem: Stem, config: ConfigFile = None, json: AsJson = False) -> None:
    """One plugin: its state, and its commands where it is loaded."""
    rows = [row for row in plugin_rows(settings_of(config)) if row["name"] == stem]
    if not rows:
        raise NotFound(f"There is no plugin {stem!r}; `arbstr plugin list` shows them")
    row: dict[str, Any] = rows[0]
    row["commands"] = (
        ask(config, lambda client: client.get(f"/plugins/{part(stem, 'a plugin')}")) if row["state"] == "ok" else []
    )
    if json:
        as_json(row)
        return
    facts([(name, _text(row[name])) for name in _COLUMNS])
    for each in row["commands"]:
        params = " ".join(f"--{p['name']} {p['name'].upper()}" for p in each["params"])
        say(f"\narbstr plugin run {stem} {each['name']} {params}\n  {each['help']}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@command
def run(
    context: typer.Context,
    stem: Stem,
    name: Annotated[str, typer.Argument(help="The command; `arbstr plugin show STEM` lists them.", metavar="COMMAND")],
    config: ConfigFile = None,
) -> None:
    """Run a command of a plugin; its parameters follow as --name VALUE. Prints JSON."""
    arguments = pairs(context.args)
    as_json(
        ask(
            config,
            lambda client: client.post(f"/plugins/{part(stem, 'a plugin')}/{part(name, 'a command')}", arguments),
        )
    )


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list | tuple) else str(value or "-")
