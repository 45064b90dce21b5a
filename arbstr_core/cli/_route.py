"""`arbstr offers` and `arbstr route`: what can be bought, and what would become of a call."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from arbstr_core.cli._context import AsJson, ConfigFile, ask, command
from arbstr_core.cli._show import as_json, moment, sat, say, seller, table, warn
from arbstr_core.types import Endpoint


@command
def offers(config: ConfigFile = None, json: AsJson = False) -> None:
    """Every offer with the agent's price per million tokens, and what is out with its reason."""
    document = ask(config, lambda client: client.get("/offers"), market=True)
    if json:
        as_json(document)
        return
    prices = ("input", "cached_input", "output", "request")
    rows = [
        [r["model"], seller(r), r["tier"], *(sat(r[f"{part}_msat"]) for part in prices), moment(r["asked_ms"])]
        for r in document["offers"]
    ]
    heads = ["model", "provider", "tier", "input", "cached", "output", "request", "as of"]
    table(heads, rows, empty="Nothing is on offer.")
    for row in document["out"]:
        warn(f"out: {row['model']} at {seller(row)}: {row['reason']}")
    for row in document["failing"]:
        warn(f"no answer: {row['provider']}: {row['reason']}")
    for row in document["aliases"]:
        say(f"{row['name']} stands for {', '.join(row['stands_for'])}: {row['offers']} offers")
    _show_rate(document["usd"])


def _show_rate(usd: dict[str, Any]) -> None:
    if usd["usd_per_btc"] is not None:
        say(f"1 BTC is {usd['usd_per_btc']} USD, by {usd['source']} at {moment(usd['as_of_ms'])}")
    for row in usd["failing"]:
        warn(f"no rate: {row['provider']}: {row['reason']}")


@command
def route(
    model: Annotated[str | None, typer.Option(help="The model a caller would ask for.")] = None,
    prompt: Annotated[str, typer.Option(help="The message it would send.")] = "Hello",
    request: Annotated[
        Path | None, typer.Option(help="A file with a whole request as JSON, in the place of these two; - for stdin.")
    ] = None,
    endpoint: Annotated[Endpoint, typer.Option(help="Where it would send that.")] = Endpoint.CHAT,
    policy: Annotated[str | None, typer.Option(help="The header X-Arbstr-Policy it would send.")] = None,
    complexity: Annotated[str | None, typer.Option(help="The header X-Arbstr-Complexity it would send.")] = None,
    agent: Annotated[str | None, typer.Option(help="Who it would be: an agent's id or name.")] = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """What would happen to a call: every offer with its cost, or the reason why it is out. Sends nothing. Exit code 1
    where nobody would be asked."""
    planned: dict[str, Any] = {"model": model, "prompt": prompt, "endpoint": endpoint.value}
    planned |= {"policy": policy, "complexity": complexity, "agent": agent}
    if request is not None:
        planned["request"] = _read(request)
    elif model is None:
        raise typer.BadParameter("name a model with --model, or a file with a whole request with --request")
    document = ask(config, lambda client: client.post("/route", planned), market=True)
    if json:
        as_json(document)
    else:
        _show_plan(document)
    if not document["candidates"]:
        raise typer.Exit(1)


def _show_plan(document: dict[str, Any]) -> None:
    rows = [_row(str(place), each) for place, each in enumerate(document["candidates"], 1)]
    rows += [_row("", each) for each in document["beaten"]]
    heads = ["asked", "provider", "model", "tier", "in", "cached", "out", "expected cost", "at most"]
    table(heads, rows, empty="Nothing qualifies.")
    for reason in document["reasons"]:
        say(f"because: {reason}")
    for row in document["out"]:
        say(f"out: {seller(row)} ({row['model']}): {row['reason']}")


def _row(place: str, candidate: dict[str, Any]) -> list[str]:
    expected = candidate["expected"]
    return [
        place,
        seller(candidate),
        candidate["model"],
        candidate["tier"],
        *(str(expected[f"{part}_tokens"]) for part in ("input", "cached_input", "output")),
        sat(candidate["cost_msat"]),
        sat(candidate["ceiling_msat"]),
    ]


def _read(file: Path) -> dict[str, Any]:
    """The request in a file."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        found = jsonlib.loads(text)
    except (OSError, ValueError) as bad:
        raise typer.BadParameter(f"{file} cannot be read as JSON: {bad}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{file} holds no JSON object")
    return found
