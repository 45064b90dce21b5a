"""`arbstr providers`: who sells what, whose breakers are open, and closing those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from arbstr_core.cli._context import AsJson, ConfigFile, ask, command
from arbstr_core.cli._operator import part
from arbstr_core.cli._show import as_json, moment, table

_COLUMNS = ("provider", "model", "breaker", "answered", "first byte", "calls", "last failure")


@command
def providers(
    close: Annotated[
        str | None, typer.Option(metavar="NAME", help="Close the breakers of this one, which was mended.")
    ] = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Every provider with its models, their breakers, and what is out with its reason."""
    if close is not None:
        name = part(close, "the name of a provider")
        ask(config, lambda client: client.post(f"/providers/{name}/close"), market=True)
    rows = ask(config, lambda client: client.get("/providers"), market=True)["providers"]
    if json:
        as_json([{**row, "models": [offer["model"] for offer in row["offers"]]} for row in rows])
        return
    shown = [line for row in rows for line in _lines(row)]
    table(_COLUMNS, shown, empty="No providers: enable one in [arbstr] plugins")


def _lines(row: Mapping[str, Any]) -> list[list[str]]:
    name = row["provider"]
    lines = [[name, *_offer(offer)] for offer in row["offers"]]
    lines += [[name, _model(out), "out", "-", "-", "-", out["reason"]] for out in row["out"]]
    if row["failing"]:
        lines.append([name, "-", "-", "-", "-", "-", row["failing"]])
    return lines


def _offer(offer: Mapping[str, Any]) -> list[str]:
    breaker = offer["breaker"].replace("_", " ")
    if offer["until_ms"] is not None:
        breaker += f" until {moment(offer['until_ms'])[11:]} UTC"
    calls = "-"
    if offer["max_concurrent"] is not None:
        calls = f"{offer['open_calls']} of {offer['max_concurrent']}"
        calls += f", {offer['waiting']} waiting" if offer["waiting"] else ""
    first_byte = f"{offer['first_byte_ms']} ms" if offer["first_byte_ms"] else "-"
    success = f"{offer['success']:.0%}"
    return [_model(offer), breaker, success, first_byte, calls, offer["last_failure"] or ""]


def _model(row: Mapping[str, Any]) -> str:
    """A model, and at which node where its provider has several."""
    return f"{row['model']} ({row['node']})" if row.get("node") else str(row["model"])
