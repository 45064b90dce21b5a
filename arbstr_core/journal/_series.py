"""Sums of the request log over steps of time, for the names that cost most."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from arbstr_core.journal._journal import REQUESTS
from arbstr_core.journal._requests import RequestFilter, good, latency, where
from arbstr_core.storage import Database

_NAMED = {"agent": "agent_id", "model": "model", "provider": "provider"}


class Sums(msgspec.Struct, frozen=True):
    """Of some calls; `latency_ms` is the times to the first byte, all together."""

    calls: int = 0
    good: int = 0
    charged_msat: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latency_ms: int = 0


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """`names` are those that were charged most, the first of them most; `steps` are (number of the step since 1970,
    name, sums), where all that is none of `names` goes under None."""

    names: tuple[str, ...]
    steps: tuple[tuple[int, str | None, Sums], ...]


class Series:
    """What was noted and written; the last half second may be missing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, wanted: RequestFilter, *, by: str, most: int, step_ms: int) -> Lines:
        """The `most` agents, models or providers that were charged most, and the sums of each step, on one snapshot."""
        return await self._database.read(lambda connection: _lines(connection, wanted, by, most, step_ms))


def _lines(connection: sa.Connection, wanted: RequestFilter, by: str, most: int, step_ms: int) -> Lines:
    name, sums = REQUESTS.c[_NAMED[by]], _sums()
    leading = sa.select(name).where(*where(wanted)).group_by(name).order_by(sums[2].desc(), sums[0].desc(), name)
    names = tuple(connection.execute(leading.limit(most)).scalars())
    # Whole numbers divide to whole numbers, on both databases.
    step = REQUESTS.c.at_ms.op("/")(sa.literal_column(str(step_ms))).label("step")
    named = sa.case((name.in_(names), name), else_=sa.null()).label("named")
    query = sa.select(step, named, *sums).where(*where(wanted)).group_by(sa.text("1"), sa.text("2"))
    found = [(int(row[0]), row[1], Sums(*map(int, row[2:]))) for row in connection.execute(query)]
    return Lines(names=names, steps=tuple(found))


def _sums() -> list[sa.ColumnElement[int]]:
    row = REQUESTS.c
    summed = (good(), row.charged_msat, row.input_tokens, row.output_tokens, latency())
    return [sa.func.count(), *(sa.func.coalesce(sa.func.sum(each), 0) for each in summed)]
