"""`arbstr payment`: what goes out over rails, and what an operator does about it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from arbstr_core.cli._context import AsJson, ConfigFile, ask, command
from arbstr_core.cli._operator import part
from arbstr_core.cli._show import as_json, facts, moment, sat, table

app = typer.Typer(help="Payments: what goes out over rails.", no_args_is_help=True)

Payment = Annotated[str, typer.Argument(help="The payment's id.", metavar="PAYMENT")]


@app.command(name="list")
@command
def list_payments(
    state: Annotated[str | None, typer.Option(help="created, reserved, dispatching, unknown, succeeded, ...")] = None,
    kind: Annotated[str | None, typer.Option(help="payout, seller, topup or change.")] = None,
    owner: Annotated[str | None, typer.Option(help="A root agent's id, a seller's name, a node's.")] = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Payments, the newest first."""
    rows = ask(config, lambda client: client.rows("/payments", state=state, kind=kind, owner=owner))
    if json:
        as_json(rows)
        return
    shown = [
        [
            *(row["id"], row["kind"], row["owner"], sat(row["amount_msat"]), row["state"], row["rail"]),
            *(moment(row["created_ms"]), row["reason"] or "-"),
        ]
        for row in rows
    ]
    table(["id", "kind", "of", "amount", "state", "rail", "since", "why"], shown, empty="Nothing was paid.")


@app.command()
@command
def show(payment: Payment, config: ConfigFile = None, json: AsJson = False) -> None:
    """One of them, with what each attempt came to."""
    _print(ask(config, lambda client: client.get(_path(payment))), json)


@app.command()
@command
def approve(payment: Payment, config: ConfigFile = None, json: AsJson = False) -> None:
    """Let a payout go that waits for you."""
    _print(ask(config, lambda client: client.post(f"{_path(payment)}/approve")), json)


@app.command()
@command
def deny(payment: Payment, config: ConfigFile = None, json: AsJson = False) -> None:
    """Refuse it; its money is the agent's again."""
    _print(ask(config, lambda client: client.post(f"{_path(payment)}/deny")), json)


@app.command()
@command
def cancel(payment: Payment, config: ConfigFile = None, json: AsJson = False) -> None:
    """Give up one that was not sent yet."""
    _print(ask(config, lambda client: client.post(f"{_path(payment)}/cancel")), json)


@app.command()
@command
def resolve(
    payment: Payment,
    outcome: Annotated[str, typer.Argument(help="paid or failed.", metavar="OUTCOME")],
    evidence: Annotated[str, typer.Option(help="How you know; it goes into the audit.")],
    fee_msat: Annotated[int, typer.Option(help="What it took, where it was paid.")] = 0,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """End one whose rail does not say what became of it. It is never looked up again: be sure."""
    said = {"outcome": outcome, "evidence": evidence, "fee_msat": fee_msat}
    _print(ask(config, lambda client: client.post(f"{_path(payment)}/resolve", said)), json)


def _path(payment: str) -> str:
    return f"/payments/{part(payment, 'a payment')}"


def _print(row: dict[str, Any], json: bool) -> None:
    if json:
        as_json(row)
        return
    told = [
        (f"attempt {each['attempt']}", f"{each['outcome']} on {each['rail']}: {each['evidence']}")
        for each in row["attempts"]
    ]
    facts(
        [
            ("id", row["id"]),
            ("kind", row["kind"]),
            ("of", row["owner"]),
            ("to", row["to"]),
            ("amount", sat(row["amount_msat"])),
            ("fee", f"up to {sat(row['fee_held_msat'])}" if row["fee_msat"] is None else sat(row["fee_msat"])),
            ("rail", row["rail"]),
            ("state", row["state"]),
            *([("why", row["reason"])] if row["reason"] else []),
            *([("approval", row["approval"])] if row["approval"] else []),
            *told,
        ]
    )
