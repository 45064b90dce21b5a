"""`arbstr solvency`, `freeze`, `thaw`, `capital` and `loss`: rails against the ledger."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from arbstr_core.cli._context import Amount, AsJson, ConfigFile, amount, ask, command
from arbstr_core.cli._show import as_json, moment, sat, say, table

Realm = Annotated[str | None, typer.Argument(help="A realm, as mainnet.", metavar="[REALM]")]
OfRail = Annotated[str | None, typer.Option("--rail", help="A rail, in the place of a realm.", metavar="RAIL")]
Why = Annotated[str, typer.Option(help="Why; the audit keeps it.")]


@command
def solvency(
    now: Annotated[bool, typer.Option("--now", help="Ask the rails again; needs the running server.")] = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """What each realm has against what it owes, rail by rail, and what is frozen. Exit code 1 where a realm has too
    little, or anything is frozen."""
    found = ask(config, lambda client: client.get("/solvency", now="true" if now else None))
    if json:
        as_json(found)
    else:
        _print(found)
    if found["frozen"] or any(realm["state"] in ("suspect", "frozen") for realm in found["realms"]):
        raise typer.Exit(1)


@command
def freeze(
    realm: Realm = None,
    rail: OfRail = None,
    reason: Why = "an operator wants it so",
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Let nothing leave a realm, or a rail, any more. Calls are served all the same."""
    _set("freeze", realm, rail, reason, config, json)


@command
def thaw(
    realm: Realm = None,
    rail: OfRail = None,
    reason: Why = "an operator wants it so",
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Let money leave a realm, or a rail, again."""
    _set("thaw", realm, rail, reason, config, json)


@command
def capital(
    rail: Annotated[str, typer.Argument(help="The rail that has it.", metavar="RAIL")],
    amount_msat: Annotated[
        int | None, typer.Argument(parser=amount, metavar="[AMOUNT]", help="How much of it; else all.")
    ] = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Book money of your own that a rail holds beyond what the ledger has there: agents are funded, and nodes are paid,
    out of that."""
    asked = {"rail": rail, "amount_msat": amount_msat}
    found = ask(config, lambda client: client.post("/capital", asked))
    if json:
        as_json(found)
    else:
        say(f"{sat(found['amount_msat'])} on {found['rail']} are yours, in realm {found['realm']}")


@command
def loss(
    asset: Annotated[
        str, typer.Argument(help="Its account, as the ledger names it: asset:claim:NODE.", metavar="ASSET")
    ],
    amount_msat: Amount,
    realm: Annotated[str, typer.Option(help="Its realm, as mainnet.")],
    reason: Annotated[str, typer.Option(help="Why it will not come back; the audit keeps it.")],
    key: Annotated[str | None, typer.Option(help="The same key again writes nothing more off.")] = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Write off money of yours that a rail, a node or a mint has and will not give back. No agent loses by it: where
    less would be left than is owed, bring capital first."""
    asked = {"realm": realm, "asset": asset, "amount_msat": amount_msat, "reason": reason}
    found = ask(config, lambda client: client.post("/money/loss", asked, key=key))
    if json:
        as_json(found)
    else:
        say(f"{sat(found['amount_msat'])} of {found['asset']} in realm {found['realm']} are written off")


def _set(what: str, realm: str | None, rail: str | None, reason: str, config: str | None, json: bool) -> None:
    asked = {"realm": realm, "rail": rail, "reason": reason}
    found = ask(config, lambda client: client.post(f"/{what}", asked))
    if json:
        as_json(found)
        return
    state = "frozen" if found["frozen"] else "not frozen"
    say(f"{found['scope']} is {state}" + ("" if found["changed"] else ", as before"))


def _print(found: dict[str, Any]) -> None:
    rows = [
        [
            *(realm["realm"], realm["state"], sat(realm["least_msat"]), sat(realm["most_msat"])),
            *(sat(realm["owed_msat"]), sat(realm["equity_msat"]), sat(realm["nodes_msat"])),
            moment(realm["checked_ms"]),
        ]
        for realm in found["realms"]
    ]
    columns = ["realm", "state", "can spend", "at most", "owed", "equity", "at nodes", "checked"]
    table(columns, rows, empty="No realm has been checked yet: `arbstr serve` does it every minute.")
    rails = [
        [
            *(realm["realm"], rail["name"], rail["state"], sat(rail["spendable_msat"]), sat(rail["in_flight_msat"])),
            *(sat(rail["ledger_msat"]), _signed(rail["surplus_msat"]), rail["problem"] or rail["detail"]),
        ]
        for realm in found["realms"]
        for rail in realm["rails"]
    ]
    if rails:
        columns = ["realm", "name", "state", "can spend", "on its way", "in the ledger", "beyond it", ""]
        table(columns, rails, empty="")
    for realm in found["realms"]:
        if realm["reason"]:
            say(f"{realm['realm']}: {realm['reason']}")
    for each in found["frozen"]:
        say(f"{each['scope']} is frozen since {moment(each['at_ms'])} by {each['actor']}: {each['reason']}")


def _signed(msat: int | None) -> str:
    return "-" if msat is None else f"-{sat(-msat)}" if msat < 0 else sat(msat)
