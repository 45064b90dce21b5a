"""`arbstr agent limit`: what an agent may spend."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer

from arbstr_core.cli._context import AsJson, ConfigFile, DailyOption, MaxChargeOption, amount, ask, command
from arbstr_core.cli._operator import Refused, part
from arbstr_core.cli._show import agent_facts, as_json, facts, limit_facts, moment, table

T = TypeVar("T")

_NAMES = {
    "max-charge": "max_charge_msat",
    "daily": "daily_msat",
    "zone": "zone",
    "hourly": "hourly_msat",
    "per-minute": "per_minute",
    "concurrent": "concurrent",
    "models": "models",
    "expires": "expires_ms",
    "approval": "approval_seconds",
    "pending-approvals": "pending_approvals",
    "alert-floor": "alert_floor_msat",
    "alert-cooldown": "alert_cooldown_seconds",
    "max-fee": "max_fee_msat",
    "attempts": "attempts_msat",
    "payouts-unapproved": "payouts_unapproved_msat",
}
"""Limits by the names of their options"""


def _time(text: str | int) -> int:
    if isinstance(text, int):
        return text
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time: write 2030-12-31 or 2030-12-31T12:00:00Z") from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def _several(texts: list[str] | None) -> list[str] | None:
    """What stands between commas, in all of them."""
    return None if texts is None else [each.strip() for text in texts for each in text.split(",") if each.strip()]


def _msat(help: str) -> Any:
    return typer.Option(parser=amount, metavar="AMOUNT", help=help)


_OPTIONS: dict[str, Any] = {
    "max_charge": MaxChargeOption,
    "daily": DailyOption,
    "zone": Annotated[str | None, typer.Option(help="Whose day: as Europe/Berlin; else UTC.")],
    "hourly": Annotated[int | None, _msat("The most in any sixty minutes.")],
    "per_minute": Annotated[int | None, typer.Option(help="Calls in any minute.")],
    "concurrent": Annotated[int | None, typer.Option(help="Open calls at one time.")],
    "models": Annotated[list[str] | None, typer.Option(help="Models, with commas between them.")],
    "expires": Annotated[int | None, typer.Option(parser=_time, metavar="TIME", help="Nothing from then on.")],
    "approval": Annotated[
        int | None, typer.Option(metavar="SECONDS", help="A larger charge waits so long for an operator.")
    ],
    "pending_approvals": Annotated[int | None, typer.Option(help="Calls that may wait for one at one time.")],
    "alert_floor": Annotated[int | None, _msat("Tell the operator when less is left.")],
    "alert_cooldown": Annotated[int | None, typer.Option(metavar="SECONDS", help="And not again for so long.")],
    "max_fee": Annotated[int | None, _msat("The largest fee of one payout.")],
    "attempts": Annotated[int | None, _msat("What failed attempts may cost you in an hour.")],
    "payouts_unapproved": Annotated[int | None, _msat("Payouts up to this need no approval.")],
}


def with_limits(function: Callable[..., T]) -> Callable[..., T]:
    """Give a command an option for each limit; it gets the named ones as `limits`, by the names of their fields."""

    @functools.wraps(function)
    def run(**given: Any) -> T:
        limits = {field: given.pop(_option(name)) for name, field in _NAMES.items()}
        limits["models"] = _several(limits["models"])
        return function(limits={name: value for name, value in limits.items() if value is not None}, **given)

    signature = inspect.signature(function, eval_str=True)
    own = [each for each in signature.parameters.values() if each.name != "limits"]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _OPTIONS.items()
    ]
    plain = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    # Typer reads both.
    run.__signature__ = signature.replace(parameters=[*plain, *more])  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in (*plain, *more)}
    return run


def _option(name: str) -> str:
    return name.replace("-", "_")


@command
@with_limits
def limit(
    agent: Annotated[str, typer.Argument(help="The agent's id or name.", metavar="AGENT")],
    limits: dict[str, Any],
    unset: Annotated[list[str] | None, typer.Option(metavar="LIMIT", help="Take a limit away, as hourly.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="What is not named does not apply any more.")] = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Change what an agent may spend; what is not named stays. With no options: all versions of it."""
    named = limits | dict.fromkeys([_known(name) for name in unset or ()])
    where = f"/agents/{part(agent, 'an agent')}/limits"
    if not named and not replace:
        _versions(ask(config, lambda client: client.rows(where)), json)
        return
    made = ask(config, lambda client: client.put(where, named) if replace else client.patch(where, named))
    if json:
        as_json(made)
    else:
        facts(agent_facts(made))


def _known(name: str) -> str:
    if name not in _NAMES:
        raise Refused(f"there is no limit {name!r}; there is: {', '.join(_NAMES)}")
    return _NAMES[name]


def _versions(rows: list[dict[str, Any]], json: bool) -> None:
    if json:
        as_json(rows)
        return
    shown = [
        [str(row["version"]), moment(row["created_ms"]), "; ".join(" ".join(fact) for fact in limit_facts(row))]
        for row in rows
    ]
    table(["version", "since", "limits"], shown, empty="No limits: nothing may be spent.")
