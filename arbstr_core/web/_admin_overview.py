"""`/admin/money`, `/admin/spend` and `/admin/live`: the house at one glance."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter

from arbstr_core.flow import OverviewFlow
from arbstr_core.web._fields import Time, Wanted
from arbstr_core.web._overview_documents import LiveDocument, MoneyDocument, SpendDocument

Json = dict[str, Any]
By = Literal["agent", "model", "provider"]
Step = Literal["minute", "hour", "day"]


def overview_routes(router: APIRouter, overview: OverviewFlow) -> None:
    """Reads, and nothing else."""

    @router.get("/money", tags=["records"], response_model=MoneyDocument)
    async def money() -> Json:
        """Each realm's liabilities and assets, by the ledger."""
        return await overview.money()

    @router.get("/spend", tags=["records"], response_model=SpendDocument)
    async def spend(
        by: By = "model",
        step: Step = "hour",
        since_ms: Time = None,
        until_ms: Time = None,
        agent: Wanted = None,
        model: Wanted = None,
        provider: Wanted = None,
    ) -> Json:
        """What was charged over time, in all and by agent, model or provider; without a time, the last 24 steps."""
        only = {"agent": agent, "model": model, "provider": provider}
        return await overview.spend(by=by, step=step, since_ms=since_ms, until_ms=until_ms, names=only)

    @router.get("/live", tags=["records"], response_model=LiveDocument)
    async def live() -> Json:
        """The calls that have not ended, the newest first; of several processes, those of the one that is asked."""
        return overview.live()
