"""`arbstr seller`: who is paid for serving calls."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from arbstr_core.cli._context import AsJson, ConfigFile, amount, ask, command
from arbstr_core.cli._operator import part
from arbstr_core.cli._show import as_json, facts, moment, sat, table

app = typer.Typer(help="Sellers: who is paid for serving calls.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="As rows of providers name him.", metavar="NAME")]
Realm = Annotated[str | None, typer.Option(help="Whose money it is; else that of the rails here.")]


@app.command()
@command
def add(
    name: Name,
    to: Annotated[str, typer.Argument(help="A Lightning address, an LNURL, or ecash.", metavar="DESTINATION")],
    threshold: Annotated[
        int, typer.Option(parser=amount, metavar="AMOUNT", show_default="1000sat", help="He is paid from this much on.")
    ] = 1_000_000,
    every: Annotated[int, typer.Option(help="And at most every so many seconds.")] = 86_400,
    realm: Realm = None,
    off: Annotated[bool, typer.Option("--off", help="He is not paid by himself.")] = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Say how a seller is paid; the same again changes it."""
    said = {
        "name": name,
        "destination": to,
        "threshold_msat": threshold,
        "every_seconds": every,
        "realm": realm,
        "enabled": not off,
    }
    row = ask(config, lambda client: client.post("/sellers", said))
    if json:
        as_json(row)
    else:
        _print(row)


@app.command(name="list")
@command
def list_sellers(config: ConfigFile = None, json: AsJson = False) -> None:
    """All of them, and what each has earned."""
    rows = ask(config, lambda client: client.get("/sellers"))["data"]
    if json:
        as_json(rows)
        return
    shown = [
        [
            *(row["name"], row["realm"], sat(row["balance_msat"]), sat(row["threshold_msat"])),
            *(
                "-" if row["last_ms"] is None else moment(row["last_ms"]),
                row["destination"] or "nobody said: `add` does",
            ),
        ]
        for row in rows
    ]
    table(["name", "realm", "earned", "paid from", "last", "to"], shown, empty="Nobody sells.")


@app.command()
@command
def pay(name: Name, realm: Realm = None, config: ConfigFile = None, json: AsJson = False) -> None:
    """Pay one now, whatever his threshold and schedule say."""
    query = "" if realm is None else f"?realm={part(realm, 'a realm')}"
    row = ask(config, lambda client: client.post(f"/sellers/{part(name, 'a seller')}/pay{query}"))
    if json:
        as_json(row)
    else:
        facts([("payment", row["id"]), ("amount", sat(row["amount_msat"])), ("state", row["state"])])


@app.command()
@command
def token(
    payment: Annotated[str, typer.Argument(help="The payment's id.", metavar="PAYMENT")],
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """The token that a seller was paid with, to hand it to him."""
    row = ask(config, lambda client: client.get(f"/payments/{part(payment, 'a payment')}/token"))
    if json:
        as_json(row)
    else:
        facts([("of", row["owner"]), ("token", row["token"])])


def _print(row: dict[str, Any]) -> None:
    facts(
        [
            ("name", row["name"]),
            ("realm", row["realm"]),
            ("to", row["destination"]),
            ("earned", sat(row["balance_msat"])),
            ("paid from", sat(row["threshold_msat"])),
            ("at most every", f"{row['every_seconds']} s"),
        ]
    )
