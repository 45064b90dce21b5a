"""The command line. It loads no plugin until a command needs one, so a broken one breaks no `--help`."""

from __future__ import annotations

import asyncio
import os
from importlib.metadata import version
from typing import Annotated, Any

import msgspec
import typer
import uvloop

from arbstr_core import config as configuration
from arbstr_core.cli import (
    _agents,
    _approvals,
    _audit,
    _db,
    _deposits,
    _key,
    _operator_commands,
    _payments,
    _plugins,
    _sellers,
)
from arbstr_core.cli._check import examine_config
from arbstr_core.cli._context import AsJson, ConfigFile, ask, command, config_path, settings_of
from arbstr_core.cli._doctor import examine
from arbstr_core.cli._house import open_house
from arbstr_core.cli._init import write_config
from arbstr_core.cli._ledger import ledger
from arbstr_core.cli._logs import set_up
from arbstr_core.cli._memory import one_heap
from arbstr_core.cli._operator import part
from arbstr_core.cli._part import Part
from arbstr_core.cli._providers import providers
from arbstr_core.cli._redact import Redactor
from arbstr_core.cli._route import offers, route
from arbstr_core.cli._savings import savings
from arbstr_core.cli._serve import serve as serve_house
from arbstr_core.cli._show import as_json, facts, receipt_facts, say, table, warn
from arbstr_core.cli._solvency import capital, freeze, loss, solvency, thaw
from arbstr_core.config import Address, Settings
from arbstr_core.types import ConfigError, Problem

app = typer.Typer(
    help="arbstr: buys every LLM call from the cheapest qualified provider, and settles it in bitcoin.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(_agents.app, name="agent")
app.add_typer(_approvals.app, name="approval")
app.add_typer(_deposits.app, name="deposit")
app.add_typer(_payments.app, name="payment")
app.add_typer(_sellers.app, name="seller")
app.add_typer(_plugins.app, name="plugin")
app.add_typer(_operator_commands.app, name="operator")
app.add_typer(_db.app, name="db")
app.add_typer(_key.app, name="key")
app.add_typer(_audit.app, name="audit")

app.command(name="ledger")(ledger)
app.command(name="offers")(offers)
app.command(name="route")(route)
app.command(name="providers")(providers)
app.command(name="savings")(savings)
app.command(name="solvency")(solvency)
app.command(name="freeze")(freeze)
app.command(name="thaw")(thaw)
app.command(name="capital")(capital)
app.command(name="loss")(loss)


def main() -> None:
    """The entry point of `arbstr`."""
    app()


def _say_version(wanted: bool) -> None:
    if wanted:
        say(f"arbstr {version('arbstr-core')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which.")]
NewConfig = Annotated[
    str | None,
    typer.Option("-c", "--config", help="Where the configuration goes; else ARBSTR_CONFIG, else ./config.toml."),
]


@app.callback()
def _about(version: Version = False) -> None:
    pass


Listen = Annotated[str | None, typer.Option(help="Another address than listen in the table server.")]


@app.command()
@command
def serve(
    config: ConfigFile = None,
    listen: Listen = None,
    mock: Annotated[bool, typer.Option("--mock", help="Scripted providers in the place of the real ones.")] = False,
    role: Annotated[Part | None, typer.Option(help="Which part this process is; else as the file says.")] = None,
) -> None:
    """Serve until told to stop (Ctrl-C, SIGTERM); what is open then is finished and settled."""
    _serve(config, listen, mock=mock, role=role)


@app.command()
@command
def treasury(config: ConfigFile = None, listen: Listen = None) -> None:
    """Move money, and serve no calls, until told to stop: the part of `serve` that needs the wallets, on PostgreSQL."""
    _serve(config, listen, mock=False, role=Part.TREASURY)


def _serve(config: str | None, listen: str | None, *, mock: bool, role: Part | None) -> None:
    def read() -> Settings:
        settings = settings_of(config)
        changed: dict[str, Any] = {} if role is None else {"role": role.value}
        if listen is not None:
            changed["listen"] = _address(listen)
        return msgspec.structs.replace(settings, server=msgspec.structs.replace(settings.server, **changed))

    settings, redactor = read(), Redactor()
    set_up(settings.log, redactor)
    one_heap()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ready = _ready_to_move if settings.server.role == Part.TREASURY.value else _ready
        runner.run(serve_house(settings, mock=mock, ready=ready, reread=read, learn=redactor.learn))


@app.command()
@command
def reload(config: ConfigFile = None, json: AsJson = False) -> None:
    """Have the running server read its configuration again. No call is cut; where something is wrong, nothing
    changes."""
    done = ask(config, lambda client: client.post("/reload"))
    if json:
        as_json(done)
        return
    for notice in done["notices"]:
        warn(f"warning: {notice}")
    say(f"made anew: {', '.join(done['made']) or 'nothing'}; {done['offers']} offers can be bought")
    say(f"{done['open_calls']} calls go on as they began")


def _ready(address: str) -> None:
    print(f"arbstr serves on http://{address}/v1", flush=True)  # noqa: T201 - one plain line that scripts wait for


def _ready_to_move(address: str) -> None:
    print(f"arbstr moves money, and answers operators on http://{address}/admin", flush=True)  # noqa: T201 - the same


def _address(text: str) -> Address:
    try:
        return Address.from_config(text)
    except ValueError as bad:
        raise ConfigError([Problem(f"--listen: {bad}")]) from None


@app.command()
@command
def init(config: NewConfig = None) -> None:
    """Write a configuration to start from, and make the state it names: database, admin token, master key."""
    path = configuration.named(config, os.environ)
    written = write_config(path)
    settings = configuration.load(path)

    async def make() -> None:
        async with open_house(settings):
            pass

    asyncio.run(make())
    say(f"{'wrote' if written else 'kept'} {path}")
    say(f"state is in {settings.data_dir}; `arbstr serve -c {path}` starts")


@app.command()
@command
def check(config: ConfigFile = None) -> None:
    """Read the configuration and every plugin's table in it; say everything that is wrong, with its remedy."""
    path = config_path(config)
    found = examine_config(path)
    if found.problems:
        raise ConfigError(found.problems)
    for notice in found.notices:
        warn(f"warning: {notice}")
    say(f"{path} is valid")


@app.command()
@command
def doctor(config: ConfigFile = None, json: AsJson = False) -> None:
    """Look at everything that can be wrong, and say what to do. Exit code 1 where something is."""
    found = examine(config_path(config))
    if json:
        as_json([{"what": each.what, "ok": each.ok, "detail": each.detail} for each in found])
    else:
        table(["", "what", ""], [["ok" if f.ok else "!!", f.what, f.detail] for f in found], empty="")
    if not all(each.ok for each in found):
        raise typer.Exit(1)


@app.command()
@command
def receipt(
    request_id: Annotated[str, typer.Argument(help="The x-request-id of an answer.")],
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """What one call cost, who served it, and why."""
    document = ask(config, lambda client: client.get(f"/receipts/{part(request_id, 'a receipt')}"))
    if json:
        as_json(document)
    else:
        facts(receipt_facts(document))
