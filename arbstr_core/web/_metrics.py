"""`GET /metrics`, for Prometheus: an operator may read it, and whoever has the token made for that."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from arbstr_core.accounts import Operators
from arbstr_core.flow import MetricsFlow
from arbstr_core.web._asgi import Message, header_map
from arbstr_core.web._sessions import identify

_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def may_read(operators: Operators, scope: Message) -> None:
    """Raise Unauthorized for whoever may not read metrics."""
    if not operators.reads_metrics(header_map(scope).get("authorization", "")):
        await identify(operators, scope)


def metrics_routes(router: APIRouter, operators: Operators, flow: MetricsFlow) -> None:
    """The one page."""

    @router.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def metrics(request: Request) -> PlainTextResponse:
        """What calls added up to since the start, and how the house stands; docs/metrics.md."""
        await may_read(operators, request.scope)
        return PlainTextResponse(await flow.page(), media_type=_TYPE)
