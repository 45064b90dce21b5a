"""`arbstr agent`: paying sub-accounts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from arbstr_core.cli._context import (
    Amount,
    AsJson,
    ConfigFile,
    FundOption,
    ask,
    command,
)
from arbstr_core.cli._limits import limit, with_limits
from arbstr_core.cli._operator import part
from arbstr_core.cli._show import agent_facts, as_json, facts, sat, say, table

app = typer.Typer(help="Agents: paying sub-accounts with a token, a balance and limits.", no_args_is_help=True)

app.command(name="limit")(limit)

Agent = Annotated[str, typer.Argument(help="The agent's id or name.", metavar="AGENT")]


@app.command()
@command
@with_limits
def create(
    name: Annotated[str, typer.Argument(help="A name of your choice.")],
    limits: dict[str, Any],
    fund: FundOption = 0,
    realm: Annotated[str | None, typer.Option(help="Where its money lives: sim, or a network.")] = None,
    parent: Annotated[str | None, typer.Option(help="The agent whose money it spends, by id or name.")] = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Make an agent. Its token is printed once, and never again."""
    given = {"realm": realm, "parent": parent}
    new = {
        "name": name,
        "fund_msat": fund,
        **limits,
        **{key: value for key, value in given.items() if value is not None},
    }
    made = ask(config, lambda client: client.post("/agents", new))
    if json:
        as_json(made)
        return
    facts(agent_facts(made))
    say(f"\ntoken, shown this once:\n{made['token']}")


@app.command(name="list")
@command
def list_agents(config: ConfigFile = None, json: AsJson = False) -> None:
    """All agents, oldest first."""
    agents = ask(config, lambda client: client.rows("/agents"))
    if json:
        as_json(agents)
        return
    known = {agent["id"]: agent for agent in agents}
    rows = [[*_names(agent), *_money(agent, known)] for agent in agents]
    table(["id", "name", "realm", "state", "balance", "available"], rows, empty="No agents: arbstr agent create NAME")


@app.command()
@command
def show(agent: Agent, config: ConfigFile = None, json: AsJson = False) -> None:
    """One agent: balance, held, limits."""
    _print(ask(config, lambda client: client.get(f"/agents/{part(agent, 'an agent')}")), json)


@app.command()
@command
def fund(
    agent: Agent,
    amount: Amount,
    key: Annotated[str | None, typer.Option(help="The same key again funds nothing more.")] = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Give an agent money: made where its realm is sim, else out of what your rail holds."""
    funding = {"amount_msat": amount, "key": key}
    _print(ask(config, lambda client: client.post(f"/agents/{part(agent, 'an agent')}/fund", funding)), json)


@app.command()
@command
def transfer(
    payer: Annotated[str, typer.Argument(help="Whose money it is, by id or name.", metavar="FROM")],
    payee: Annotated[str, typer.Argument(help="Whose it will be, by id or name.", metavar="TO")],
    amount: Amount,
    key: Annotated[str | None, typer.Option(help="The same key again transfers nothing more.")] = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Move money from one agent to another, whatever their limits."""
    asked = {"from": payer, "to": payee, "amount_msat": amount}
    done = ask(config, lambda client: client.post("/transfers", asked, key=key))
    if json:
        as_json(done)
    else:
        say(f"{done['to']} has {sat(done['amount_msat'])} more, {done['from']} as much less: {done['id']}")


@app.command()
@command
def disable(agent: Agent, config: ConfigFile = None, json: AsJson = False) -> None:
    """Refuse an agent's calls from now on."""
    _print(ask(config, lambda client: client.post(f"/agents/{part(agent, 'an agent')}/disable")), json)


@app.command()
@command
def enable(agent: Agent, config: ConfigFile = None, json: AsJson = False) -> None:
    """Serve an agent's calls again."""
    _print(ask(config, lambda client: client.post(f"/agents/{part(agent, 'an agent')}/enable")), json)


@app.command()
@command
def rotate(agent: Agent, config: ConfigFile = None, json: AsJson = False) -> None:
    """A new token; the old ones stop working at once. It is printed once, and never again."""
    made = ask(config, lambda client: client.post(f"/agents/{part(agent, 'an agent')}/rotate"))
    if json:
        as_json(made)
    else:
        say(f"token of {made['name']}, shown this once:\n{made['token']}")


def _print(agent: dict[str, object], json: bool) -> None:
    if json:
        as_json(agent)
    else:
        facts(agent_facts(agent))


def _money(agent: dict[str, Any], known: dict[str, dict[str, Any]]) -> list[str]:
    """Balance and what is available of it. A child key has neither: it spends from the account of the agent at the
    top, whose row shows them once."""
    top = agent
    while top["parent"] in known:
        top = known[top["parent"]]
    if top is not agent:
        return [f"spends from {top['name']}", ""]
    return [sat(agent["posted_msat"]), sat(agent["available_msat"])]


def _names(agent: dict[str, str]) -> list[str]:
    return [agent["id"], agent["name"], agent["realm"], "enabled" if agent["enabled"] else "disabled"]
