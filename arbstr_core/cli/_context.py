"""What commands share: their common options, how amounts are read, and how an error ends them."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from arbstr_core import config
from arbstr_core.cli._check import examine_tables
from arbstr_core.cli._operator import OperatorClient, operator_client
from arbstr_core.cli._show import warn
from arbstr_core.config import Settings
from arbstr_core.types import ArbstrError, ConfigError, parse_amount

P = ParamSpec("P")
T = TypeVar("T")

ConfigFile = Annotated[
    str | None, typer.Option("-c", "--config", help="The configuration; else ARBSTR_CONFIG, else ./config.toml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def amount(text: str | int) -> int:
    """An option's amount in msat."""
    if isinstance(text, int):
        return text  # an option's default
    try:
        return parse_amount(text)
    except ValueError as bad:
        raise typer.BadParameter(str(bad)) from None


Amount = Annotated[int, typer.Argument(parser=amount, metavar="AMOUNT", help="21, 21sat, 1500msat or 0.5btc.")]
FundOption = Annotated[int, typer.Option("--fund", parser=amount, metavar="AMOUNT", help="Money to begin with.")]
MaxChargeOption = Annotated[
    int | None, typer.Option("--max-charge", parser=amount, metavar="AMOUNT", help="The most one call may cost.")
]
DailyOption = Annotated[
    int | None, typer.Option("--daily", parser=amount, metavar="AMOUNT", help="The most a day (UTC) may cost.")
]


def config_path(explicit: str | None) -> Path:
    """The configuration a command works with. Raises ConfigError where there is none."""
    return config.find(explicit, os.environ)


def settings_of(explicit: str | None) -> Settings:
    """The settings a command works with. Where they are wrong, ConfigError says so of the plugins' tables as well."""
    path = config_path(explicit)
    try:
        return config.load(path)
    except ConfigError:
        raise ConfigError(examine_tables(path)[1]) from None


def ask(explicit: str | None, work: Callable[[OperatorClient], Awaitable[T]], *, market: bool = False) -> T:
    """Do `work` with the operator's API, the running server's or our own; `market` where it is about offers."""

    async def run() -> T:
        async with operator_client(settings_of(explicit), market=market) as client:
            return await work(client)

    return asyncio.run(run())


def command(function: Callable[P, T]) -> Callable[P, T]:
    """End a command with a sentence and exit code 1 where arbstr itself raises; bugs keep their traceback."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except ArbstrError as error:
            for line in str(error).splitlines():
                warn(line)
            raise typer.Exit(1) from None

    return run


def pairs(words: list[str]) -> dict[str, Any]:
    """`--name value --other=value` as a dictionary, for parameters that only a plugin knows."""
    found: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("--") or len(word) == 2:
            raise typer.BadParameter(f"{word!r}: write parameters as --name VALUE")
        name, equals, value = word[2:].partition("=")
        found[name] = value if equals else next(rest, "")
    return found
