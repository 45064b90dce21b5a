"""Sums of the request log over steps of time, for the names that cost most."""

from __future__ import annotations

from collections.abc import Sequence

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


class Series:
    """What was noted and written; the last half second may be missing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def leading(self, wanted: RequestFilter, *, by: str, most: int) -> list[tuple[str, Sums]]:
        """The `most` agents, models or providers that were charged most, and their sums."""
        name = REQUESTS.c[_NAMED[by]]
        sums = _sums()
        query = sa.select(name, *sums).where(*where(wanted)).group_by(name)
        query = query.order_by(sums[2].desc(), sums[0].desc(), name).limit(most)
        return await self._database.read(
            lambda connection: [(found[0], Sums(*map(int, found[1:]))) for found in connection.execute(query)]
        )

    async def steps(
        self, wanted: RequestFilter, *, by: str, names: Sequence[str], step_ms: int
    ) -> list[tuple[int, str | None, Sums]]:
        """(number of the step since 1970, name, sums); all that is not one of `names` goes under None."""
        column = REQUESTS.c[_NAMED[by]]
        # Whole numbers divide to whole numbers, on both databases.
        step = REQUESTS.c.at_ms.op("/")(sa.literal_column(str(step_ms))).label("step")
        named = sa.case((column.in_(names), column), else_=sa.null()).label("named")
        query = sa.select(step, named, *_sums()).where(*where(wanted)).group_by(sa.text("1"), sa.text("2"))
        return await self._database.read(
            lambda connection: [
                (int(found[0]), found[1], Sums(*map(int, found[2:]))) for found in connection.execute(query)
            ]
        )


def _sums() -> list[sa.ColumnElement[int]]:
    row = REQUESTS.c
    summed = (good(), row.charged_msat, row.input_tokens, row.output_tokens, latency())
    return [sa.func.count(), *(sa.func.coalesce(sa.func.sum(each), 0) for each in summed)]
