"""`/v1` beside the calls: receipts, and what the first arbstr answered, in its own shapes.

For an agent it is of its own calls, for the operator of all. Amounts in sats are that one's; receipts are in msat.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from arbstr_core.accounts import Operators
from arbstr_core.flow import HouseFlow, StatsFlow, WalletFlow
from arbstr_core.types import Caller, Endpoint, Unauthorized
from arbstr_core.web._asgi import credential, header_map
from arbstr_core.web._documents import ChangeDocument, ReceiptDocument
from arbstr_core.web._fields import Digest, Id
from arbstr_core.web._market_documents import PlanDocument
from arbstr_core.web._request import hints_of
from arbstr_core.web._stats_documents import (
    CostDocument,
    CountDocument,
    HealthDocument,
    ProvidersDocument,
    RequestsAsked,
    RequestsDocument,
    StatsAsked,
    StatsDocument,
)
from arbstr_core.wire import members, read_call, splice

Json = dict[str, Any]

_CHAT = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "required": ["model", "messages"]}}},
    }
}


_MESSAGES = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "required": ["model", "messages"]}}},
    }
}


def with_a_limit(body: bytes) -> bytes:
    """A body that is only counted, as one that asks for an answer: that needs a limit."""
    try:
        spans = members(body)
    except ValueError:
        return body  # what is wrong with it is said where it is read
    return body if "max_tokens" in spans else splice(body, spans, {"max_tokens": b"1"})


async def _whose(request: Request) -> Caller | None:
    """The agent that asks; None for the operator, who may see everything."""
    given = credential(header_map(request.scope))
    wallet: WalletFlow = request.app.state.wallet
    try:
        return await wallet.identify(given)
    except Unauthorized as unknown:
        operators: Operators = request.app.state.operators
        if request.scope.get("arbstr.operators", False) and await operators.bearer(given):
            return None
        raise unknown from None


Whose = Annotated[Caller | None, Depends(_whose)]


def call_routes(router: APIRouter, wallet: WalletFlow, ids: Callable[[], str]) -> None:
    """What a call did cost, and how large one would be, for whoever makes it."""

    @router.get("/v1/receipts/{request_id}", tags=["openai"], response_model=ReceiptDocument)
    async def receipt(request: Request, request_id: Id) -> Json:
        """What a call was charged, to whom it went and why, and what others would have cost. The id is the answer's
        `x-request-id`; a stream's receipt is there once the stream has ended."""
        caller = await wallet.identify(credential(header_map(request.scope)))
        return await wallet.receipt(caller, request_id)

    @router.get("/v1/change/{digest}", tags=["openai"], response_model=ChangeDocument)
    async def change(digest: Digest) -> Json:
        """What became of the token that a call was paid with in `X-Cashu`, and the change. `digest` is the SHA-256 of
        the token's text, hex; whoever knows it had the token."""
        return await wallet.claim(digest)

    @router.post("/v1/messages/count_tokens", tags=["openai"], response_model=CountDocument, openapi_extra=_MESSAGES)
    async def count(request: Request) -> Json:
        """How many tokens of input a message request has, where it would go: counted with the model's own tokenizer
        where the provider offers that, else estimated by its bytes. Nothing is sent and nothing charged."""
        caller = await wallet.identify(credential(header_map(request.scope)))
        call = read_call(
            with_a_limit(await request.body()),
            call_id=ids(),
            endpoint=Endpoint.MESSAGES,
            hints=hints_of(header_map(request.scope)),
            arrived_ms=time.time_ns() // 1_000_000,
        )
        return {"input_tokens": await wallet.count_input(caller, call)}


def plan_routes(router: APIRouter, house: HouseFlow, ids: Callable[[], str]) -> None:
    """What would become of a call."""

    @router.post("/v1/route", tags=["openai"], response_model=PlanDocument, openapi_extra=_CHAT)
    async def route(caller: Whose, request: Request, endpoint: Endpoint = Endpoint.CHAT) -> Json:
        """What would happen to a request, the same as for `/v1/chat/completions` or for the `endpoint` named, with the
        same headers: every offer with its cost, or the reason why it is out. Nothing is sent, and nothing held."""
        call = read_call(
            await request.body(),
            call_id=ids(),
            endpoint=endpoint,
            hints=hints_of(header_map(request.scope)),
            arrived_ms=time.time_ns() // 1_000_000,
        )
        return house.route(call, caller)


def stats_routes(router: APIRouter, stats: StatsFlow, ids: Callable[[], str]) -> None:
    """What the first arbstr told of itself."""

    @router.get("/v1/stats", tags=["stats"], response_model=StatsDocument, response_model_exclude_unset=True)
    async def totals(caller: Whose, asked: StatsAsked) -> Json:
        """How many calls there were in a time, and what they cost; by model or tier where that is asked for."""
        return await stats.totals(caller, asked)

    @router.get("/v1/requests", tags=["stats"], response_model=RequestsDocument, response_model_exclude_unset=True)
    async def requests(caller: Whose, asked: RequestsAsked) -> Json:
        """The calls of a time, page by page."""
        return await stats.requests(caller, asked)

    @router.post("/v1/cost", tags=["stats"], response_model=CostDocument, openapi_extra=_CHAT)
    async def cost(caller: Whose, request: Request) -> Json:
        """What a chat request is expected to cost at the provider that would get it. Nothing is sent."""
        call = read_call(
            await request.body(),
            call_id=ids(),
            endpoint=Endpoint.CHAT,
            hints=hints_of(header_map(request.scope)),
            arrived_ms=time.time_ns() // 1_000_000,
        )
        return stats.cost(call, caller)

    @router.get("/providers", tags=["stats"], response_model=ProvidersDocument)
    async def providers(caller: Whose) -> Json:
        """Who sells what, and at which price; and what is not sold, with the reason."""
        return stats.providers()

    @router.get("/health", tags=["stats"], response_model=HealthDocument)
    async def health(response: Response) -> Json:
        """How the providers do: 503 where every circuit is open. Whether arbstr itself serves is `/readyz`."""
        found = stats.health()
        if found["status"] == "unhealthy":
            response.status_code = 503
        return found
