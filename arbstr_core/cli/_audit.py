"""`arbstr audit`: the ledger replayed, signed and handed out."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from arbstr_core.cli._context import AsJson, ConfigFile, ask, command
from arbstr_core.cli._operator import part
from arbstr_core.cli._show import as_json, facts, say
from arbstr_core.storage import is_signed, key_id_of
from arbstr_core.types import BadRequest, StorageError
from arbstr_core.vault import Checkpoint

app = typer.Typer(help="Proof: the ledger replayed, signed checkpoints, statements.", no_args_is_help=True)

PublicKey = Annotated[str | None, typer.Option("--key", metavar="HEX", help="The public key that must have signed.")]
When = Annotated[int | None, typer.Option(metavar="MS", help="Unix milliseconds.")]


@app.command()
@command
def verify(
    anchor: Annotated[list[Path] | None, typer.Option(help="A file that an anchor kept; may be given again.")] = None,
    key: PublicKey = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Replay the ledger and check every invariant. Exit code 1 where one does not hold."""
    checkpoints = [line for path in anchor or () for line in _lines(path)]
    proof: dict[str, Any] = {"checkpoints": [msgspec.structs.asdict(line) for line in checkpoints]}
    if key is not None:
        proof["public_key"] = key
    found = ask(config, lambda client: client.post("/audit/verify", proof))
    if json:
        as_json(found)
    else:
        facts([(name.replace("_", " "), _plain(value)) for name, value in found.items()])
    if not found["ok"]:
        raise typer.Exit(1)


@app.command()
@command
def checkpoint(config: ConfigFile = None, json: AsJson = False) -> None:
    """Sign the audit's end now, and tell it to every anchor."""
    made = ask(config, lambda client: client.post("/audit/checkpoints"))
    if json:
        as_json(made)
        return
    body = jsonlib.loads(made["body"])
    facts([("audit row", str(body["seq"])), ("hash", body["hash"]), ("signed by", made["public_key"])])


@app.command()
@command
def export(
    agent: Annotated[str, typer.Argument(help="The agent's id or name.", metavar="AGENT")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where the statement goes; FILE.sig beside it.")],
    csv: Annotated[bool, typer.Option("--csv", help="As CSV; else JSON.")] = False,
    since: When = None,
    until: When = None,
    config: ConfigFile = None,
) -> None:
    """A signed statement of an agent's account: every entry, from an opening to a closing balance."""
    form = "csv" if csv else "json"
    path = f"/agents/{part(agent, 'an agent')}/statement"
    made = ask(config, lambda client: client.get(path, since_ms=since, until_ms=until, format=form))
    signature = {name: made[name] for name in ("key_id", "public_key", "signature")}
    _write(out, made["statement"])
    _write(_beside(out), jsonlib.dumps(signature) + "\n")
    say(f"{out} and {_beside(out)}, signed by {made['public_key']}")


@app.command()
@command
def check(
    statement: Annotated[Path, typer.Argument(help="A statement; FILE.sig is beside it.", metavar="FILE")],
    key: PublicKey = None,
) -> None:
    """Check a statement's signature. Needs no database; exit code 1 where it is wrong."""
    said = _signature(_beside(statement))
    public = key or said["public_key"]
    try:
        good = is_signed(bytes.fromhex(public), _read(statement), bytes.fromhex(said["signature"]))
    except ValueError:
        raise BadRequest(f"{public!r} is not a public key: 64 hex digits", param="key") from None
    if not good:
        say(f"{statement} was NOT signed by {public}, or was changed since")
        raise typer.Exit(1)
    say(f"{statement} was signed by {public} (key {key_id_of(bytes.fromhex(public))})")
    if key is None:
        say("That key came with the statement: compare it with the one that the operator published")


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.sig")


def _lines(path: Path) -> list[Checkpoint]:
    try:
        return [msgspec.json.decode(line, type=Checkpoint) for line in _read(path).splitlines() if line.strip()]
    except msgspec.MsgspecError as broken:
        raise BadRequest(
            f"{path} is not what an anchor keeps ({broken}): one checkpoint a line", param="anchor"
        ) from None


def _signature(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(_read(path), type=dict[str, str])
    except msgspec.MsgspecError as broken:
        raise StorageError(f"{path} is not a signature ({broken})") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror})") from error


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise StorageError(f"{path} is there already: name another file") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror})") from error


def _plain(value: Any) -> str:
    words = {True: "yes", False: "no", None: "-"}
    return words[value] if value is None or isinstance(value, bool) else str(value)
