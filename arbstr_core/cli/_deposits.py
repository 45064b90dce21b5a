"""`arbstr deposit`: money that comes in."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from arbstr_core.cli._context import Amount, AsJson, ConfigFile, ask, command
from arbstr_core.cli._operator import Refused
from arbstr_core.cli._show import as_json, facts, moment, sat, say, table

app = typer.Typer(help="Deposits: money that comes in over a rail, for agents and for yourself.", no_args_is_help=True)

Whose = Annotated[
    str | None, typer.Option("--agent", help="Whose it will be, by id or name; else it is your own capital.")
]
Realm = Annotated[str | None, typer.Option(help="Of your own capital: where it will be, sim or a network.")]


@app.command(name="list")
@command
def list_deposits(
    agent: Annotated[str | None, typer.Option(help="Of this agent alone, by id or name.")] = None,
    nobodys: Annotated[bool, typer.Option("--nobodys", help="What nobody is known for yet.")] = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """What came in, the newest first."""
    rows = ask(config, lambda client: client.rows("/deposits", agent=agent, nobodys=nobodys or None))
    if json:
        as_json(rows)
        return
    shown = [
        [moment(row["at_ms"]), row["rail"], row["reference"], row["kind"], sat(row["amount_msat"]), _whose(row)]
        for row in rows
    ]
    table(["at", "rail", "id", "kind", "amount", "agent"], shown, empty="Nothing has come in.")


@app.command()
@command
def requests(
    agent: Annotated[str | None, typer.Option(help="Of this agent alone, by id or name.")] = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """What was asked for, or handed in, the newest first."""
    rows = ask(config, lambda client: client.rows("/deposits/requests", agent=agent))
    if json:
        as_json(rows)
        return
    shown = [
        [row["id"], row["kind"], row["state"], sat(row["amount_msat"]), row["agent"] or "-", row["reason"]]
        for row in rows
    ]
    table(["id", "kind", "state", "amount", "agent", "why"], shown, empty="Nothing was asked for.")


@app.command()
@command
def invoice(
    amount: Amount,
    agent: Whose = None,
    realm: Realm = None,
    rail: Annotated[str | None, typer.Option(help="Which rail makes it; else the first that can.")] = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """An invoice; who pays it pays into an agent's account, or into your own."""
    wanted = _named(amount_msat=amount, agent=agent, realm=realm, rail=rail)
    found = ask(config, lambda client: client.post("/deposits", wanted))
    if json:
        as_json(found)
    elif found["invoice"] is None:
        say(f"{found['id']} is not answered yet ({found['reason'] or 'its rail is busy'}): arbstr deposit requests")
    else:
        say(found["invoice"])


@app.command()
@command
def token(
    text: Annotated[str, typer.Argument(help="The ecash; - reads it from standard input.", metavar="TOKEN")],
    agent: Whose = None,
    realm: Realm = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Redeem ecash, for an agent's account or for your own."""
    given = sys.stdin.read().strip() if text == "-" else text
    if not given:
        raise Refused("there is no token on standard input")
    found = ask(config, lambda client: client.post("/deposits", _named(token=given, agent=agent, realm=realm)))
    if json:
        as_json(found)
        return
    names = ("id", "state", "rail", "reason")
    facts([(name, found[name]) for name in names if found[name]] + [("amount", sat(found["amount_msat"]))])


@app.command()
@command
def assign(
    rail: Annotated[str, typer.Argument(help="The rail it came over.", metavar="RAIL")],
    reference: Annotated[str, typer.Argument(help="What the rail calls it.", metavar="REFERENCE")],
    agent: Annotated[str, typer.Argument(help="Whose it is, by id or name.", metavar="AGENT")],
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Say whose a deposit is that nobody was known for."""
    given = {"rail": rail, "reference": reference, "agent": agent}
    found = ask(config, lambda client: client.post("/deposits/assign", given))
    if json:
        as_json(found)
    else:
        say(f"{reference} is the money of {found['agent']}, by transfer {found['transfer']}")


def _named(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _whose(row: dict[str, Any]) -> str:
    """Whose a deposit is, for people."""
    if row["agent"]:
        return str(row["agent"])
    if row["request"] is None:
        return "assigned" if row["assigned"] else "nobody known"
    return "you" if row["purpose"] == "capital" else str(row["purpose"])
