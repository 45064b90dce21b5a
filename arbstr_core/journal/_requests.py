"""Reads the request log: sums over a time, and pages of it.

An id begins with the time at which its call came, so the key of the table is the index by time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from arbstr_core.journal._journal import REQUESTS
from arbstr_core.storage import Database

_PREFIX = "req_"
_GOOD = ("complete", "replayed")
"""outcomes of calls that got the whole answer"""


class RequestFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls: those that came from `since_ms` on and before `until_ms`, of all or of some agents, and so on."""

    since_ms: int
    until_ms: int
    agents: frozenset[str] | None = None
    model: str | None = None
    provider: str | None = None
    success: bool | None = None
    streaming: bool | None = None


class Totals(msgspec.Struct, frozen=True):
    """Sums over calls; `latency_ms` is the time to the first byte."""

    total: int = 0
    success: int = 0
    streaming: int = 0
    charged_msat: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latency_ms: int = 0


class RequestRow(msgspec.Struct, frozen=True):
    """One call as it was noted at `at_ms`."""

    id: str
    at_ms: int
    model: str
    provider: str
    status: int
    outcome: str
    streaming: bool
    success: bool
    charged_msat: int
    input_tokens: int
    output_tokens: int
    latency_ms: int
    total_ms: int


class RequestLog:
    """What was noted and written; the last half second may be missing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def totals(self, wanted: RequestFilter, *, by: str | None = None) -> dict[str, Totals]:
        """The sums of what is wanted by `model` or `tier`, or all together under an empty name."""
        row = REQUESTS.c
        group: sa.ColumnElement[str] = sa.literal("") if by is None else row[by]
        sums = [sa.func.count(), *(sa.func.coalesce(sa.func.sum(each), 0) for each in (
            good(), row.streamed, row.charged_msat, row.input_tokens, row.output_tokens, latency()
        ))]  # fmt: skip
        query = sa.select(group.label("name"), *sums).where(*where(wanted)).group_by(sa.text("name"))
        return await self._database.read(
            lambda connection: {name: Totals(*map(int, found)) for name, *found in connection.execute(query)}
        )

    async def page(
        self, wanted: RequestFilter, *, sort: str, newest_first: bool, skip: int, most: int
    ) -> Sequence[RequestRow]:
        """`most` calls after the first `skip`, sorted by `timestamp`, `cost_sats` or `latency_ms`."""
        row = REQUESTS.c
        key: Any = {"timestamp": row.id, "cost_sats": row.charged_msat, "latency_ms": latency()}[sort]
        order = [key.desc(), row.id.desc()] if newest_first else [key.asc(), row.id.asc()]
        query = (
            sa.select(
                *(row.id, row.at_ms, row.model, row.provider, row.status, row.outcome, row.streamed),
                *(row.charged_msat, row.input_tokens, row.output_tokens, latency(), row.total_ms),
            )
            .where(*where(wanted))
            .order_by(*order)
            .offset(skip)
            .limit(most)
        )
        return await self._database.read(lambda connection: [_row(*found) for found in connection.execute(query)])


def _row(id: str, at_ms: int, model: str, provider: str, *more: Any) -> RequestRow:
    status, outcome, streamed, *counts = more
    return RequestRow(id, at_ms, model, provider, status, outcome, bool(streamed), outcome in _GOOD, *counts)


def good() -> Any:
    """1 for a call that got its whole answer."""
    return sa.case((REQUESTS.c.outcome.in_(_GOOD), 1), else_=0)


def latency() -> Any:
    """The time to the first byte; of a call that never had one, all of its time."""
    row = REQUESTS.c
    return sa.case((row.first_byte_ms > 0, row.first_byte_ms), else_=row.total_ms)


def where(wanted: RequestFilter) -> list[sa.ColumnElement[bool]]:
    """What a row must be to be one of those that are wanted."""
    row = REQUESTS.c
    found = [row.id >= _from(wanted.since_ms), row.id < _from(wanted.until_ms)]
    if wanted.agents is not None:
        found.append(row.agent_id.in_(sorted(wanted.agents)))
    for column, name in ((row.model, wanted.model), (row.provider, wanted.provider)):
        if name is not None:
            found.append(sa.func.lower(column) == name.lower())
    if wanted.success is not None:
        found.append(row.outcome.in_(_GOOD) if wanted.success else row.outcome.not_in(_GOOD))
    if wanted.streaming is not None:
        found.append(row.streamed == int(wanted.streaming))
    return found


def _from(at_ms: int) -> str:
    """The smallest id of a call that came then or later."""
    return f"{_PREFIX}{max(at_ms, 0):012x}"
