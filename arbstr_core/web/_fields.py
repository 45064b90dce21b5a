"""The kinds of fields that requests have. An amount is a whole number of msat, as a JSON number and nothing else."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from arbstr_core.flow import Asked
from arbstr_core.types import MAX_MSAT, BadRequest

Json = dict[str, Any]

_MOST_MS = 2**53


def printable(text: str) -> str:
    """Text without control characters. Raises ValueError."""
    if not text.isprintable():
        raise ValueError("holds characters that cannot be printed")
    return text


Text = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(printable)]
Msat = Annotated[int, Field(ge=0, le=MAX_MSAT, strict=True)]
PaidMsat = Annotated[int, Field(gt=0, le=MAX_MSAT, strict=True)]
Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Seconds = Annotated[int, Field(ge=1, le=31_536_000, strict=True)]
Millis = Annotated[int, Field(ge=0, le=_MOST_MS, strict=True)]
Id = Annotated[str, Path(min_length=1, max_length=256), AfterValidator(printable)]

Key = Annotated[
    str | None, Header(min_length=1, max_length=200, description="what is asked for again under it is the same")
]
Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]

Wanted = Annotated[str | None, Query(min_length=1, max_length=256), AfterValidator(lambda v: v and printable(v))]
Time = Annotated[int | None, Query(ge=0, le=_MOST_MS)]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]
Rows = Annotated[int | None, Query(description="rows on the page: 1 to 100, else 50")]


class KeyLimits(BaseModel):
    """What a key may spend. What is null, or not named, does not apply; but without a largest charge and a daily limit
    nothing may be spent."""

    model_config = ConfigDict(extra="forbid")
    max_charge_msat: Msat | None = Field(None, description="largest single charge")
    daily_msat: Msat | None = Field(None, description="in a day of `zone`")
    zone: Text | None = Field(None, description="IANA name of a time zone, as Europe/Berlin; null: UTC")
    hourly_msat: Msat | None = Field(None, description="in any sixty minutes")
    per_minute: Count | None = Field(None, description="requests in any minute")
    concurrent: Count | None = Field(None, description="open calls at one time")
    models: list[Text] | None = Field(None, description="models that may be asked for")
    expires_ms: Millis | None = Field(None, description="Unix milliseconds from which on nothing is spent")


class AllLimits(KeyLimits):
    """All limits of an agent, those among them that are the operator's alone to set."""

    max_fee_msat: Msat | None = Field(None, description="largest routing fee of one payout")
    approval_seconds: Seconds | None = Field(
        None, description="how long a call above the largest charge waits for an operator; null: it is refused"
    )
    pending_approvals: Annotated[int, Field(ge=0, le=10_000, strict=True)] | None = Field(
        None, description="how many calls may wait for an operator at one time; null: 16"
    )
    alert_floor_msat: Msat | None = Field(None, description="below this much the operator is told")
    alert_cooldown_seconds: Seconds | None = Field(None, description="and not again for so long; null: an hour")
    attempts_msat: Msat | None = Field(None, description="what failed attempts may cost the operator in an hour")
    payouts_unapproved_msat: Msat | None = Field(
        None, description="payouts up to this need no approval; null: each does"
    )


def known_parameters(request: Request) -> None:
    """Refuse a parameter that the route does not know: a list whose filter is misspelled would be the list of all."""
    known = _parameters(request.scope["route"].dependant)
    for name in request.query_params:
        if name not in known:
            told = f"there is: {', '.join(sorted(known))}" if known else "it takes none"
            raise BadRequest(f"There is no parameter {name!r} here; {told}", param=name)


def _parameters(dependant: Any) -> frozenset[str]:
    """All that a route and what it depends on ask for in the query."""
    own = frozenset(field.alias for field in dependant.query_params)
    return own.union(*(_parameters(each) for each in dependant.dependencies))


def named(limits: KeyLimits) -> Json:
    """The limits that a request names, null ones too."""
    return {name: getattr(limits, name) for name in AllLimits.model_fields if name in limits.model_fields_set}


def first_limits(limits: KeyLimits) -> Json:
    """Those of a new agent: null is as good as not named."""
    return {name: value for name, value in named(limits).items() if value is not None}


def asked_page(cursor: Cursor = None, limit: Rows = None) -> Asked:
    """Which page of a list."""
    return Asked(cursor=cursor, limit=limit)


def asked_history(
    cursor: Cursor = None,
    limit: Rows = None,
    kind: Wanted = None,
    since_ms: Time = None,
    until_ms: Time = None,
) -> Asked:
    """Which page of what happened, of one kind, or in a time: since_ms <= at < until_ms."""
    return Asked(cursor=cursor, limit=limit, kind=kind, since_ms=since_ms, until_ms=until_ms)


def asked_calls(
    cursor: Cursor = None,
    limit: Rows = None,
    kind: Wanted = None,
    model: Wanted = None,
    since_ms: Time = None,
    until_ms: Time = None,
) -> Asked:
    """Which page of calls."""
    return Asked(cursor=cursor, limit=limit, kind=kind, model=model, since_ms=since_ms, until_ms=until_ms)


PageAsked = Annotated[Asked, Depends(asked_page)]
HistoryAsked = Annotated[Asked, Depends(asked_history)]
CallsAsked = Annotated[Asked, Depends(asked_calls)]
