"""The control plane: `/admin`, `/wallet` and `/internal`, their description, and whether the server is ready.

`/openapi.json` describes it. No page shows that: the usual ones load programs from elsewhere.

FastAPI, because nothing here is on the way of a call. Amounts are integers of msat, named `*_msat`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from arbstr_core.accounts import Internal, Operators
from arbstr_core.flow import (
    AdminFlow,
    AuditFlow,
    BillingFlow,
    DepositFlow,
    HouseFlow,
    MetricsFlow,
    OperatorsFlow,
    OverviewFlow,
    PayoutFlow,
    SellerFlow,
    SolvencyFlow,
    StatsFlow,
    TransferFlow,
    WalletFlow,
)
from arbstr_core.storage import NotAllowed
from arbstr_core.types import CallRefused, Forbidden, InsufficientFunds, StorageError, VaultUnavailable
from arbstr_core.web._admin_agents import agent_routes, approval_routes, limit_routes
from arbstr_core.web._admin_house import PlanCall, Present, market_routes, plugin_routes, reload_routes
from arbstr_core.web._admin_operators import Who, login_routes, operator_routes
from arbstr_core.web._admin_overview import overview_routes
from arbstr_core.web._admin_proof import proof_routes
from arbstr_core.web._admin_records import record_routes
from arbstr_core.web._admin_solvency import solvency_routes
from arbstr_core.web._deposits import deposit_routes, incoming_routes
from arbstr_core.web._documents import ReadyDocument
from arbstr_core.web._errors import answer, error_body, reserve_refused, shape_of
from arbstr_core.web._fields import known_parameters
from arbstr_core.web._internal import billing_routes
from arbstr_core.web._metrics import metrics_routes
from arbstr_core.web._openapi import ERRORS, describe
from arbstr_core.web._payouts import payment_routes, payout_routes
from arbstr_core.web._sellers import seller_routes
from arbstr_core.web._transfers import own_transfers, transfer_routes
from arbstr_core.web._v1 import call_routes, plan_routes, stats_routes
from arbstr_core.web._wallet import account_routes, key_routes

_log = logging.getLogger("arbstr.web")

Json = dict[str, Any]

_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlFlows:
    """What the control plane asks."""

    admin: AdminFlow
    house: HouseFlow
    wallet: WalletFlow
    payouts: PayoutFlow
    sellers: SellerFlow
    billing: BillingFlow
    solvency: SolvencyFlow
    stats: StatsFlow
    operators: OperatorsFlow
    overview: OverviewFlow
    metrics: MetricsFlow
    audit: AuditFlow | None
    """None where the vault is switched off"""
    deposits: DepositFlow | None
    """the same"""
    transfers: TransferFlow | None
    """the same"""


def control_plane(
    flows: ControlFlows,
    operators: Operators,
    internal: Internal,
    plan_call: PlanCall,
    present: Present,
    ids: Callable[[], str],
    *,
    version: str,
) -> FastAPI:
    """The application behind every path that is no OpenAI endpoint. `ids` makes request ids."""
    app = FastAPI(title="arbstr", version=version, docs_url=None, redoc_url=None)
    app.state.wallet = flows.wallet
    app.state.operators = operators
    wallet = APIRouter(prefix="/wallet", dependencies=[Depends(known_parameters)], responses=ERRORS)
    account_routes(wallet, flows.wallet, ids)
    key_routes(wallet, flows.wallet)
    deposit_routes(wallet, flows.deposits)
    own_transfers(wallet, flows.transfers)
    payout_routes(wallet, flows.payouts)
    first = APIRouter(responses=ERRORS)
    call_routes(first, flows.wallet, ids)
    stats_routes(first, flows.stats, ids)
    plan_routes(first, flows.house, ids)
    login = APIRouter(prefix="/admin", dependencies=[Depends(known_parameters)], responses=ERRORS)
    login_routes(login, operators)
    watched = APIRouter(dependencies=[Depends(known_parameters)], responses=ERRORS)
    metrics_routes(watched, operators, flows.metrics)
    admin = _operators(flows, operators, plan_call, present)
    for router in (login, admin, watched, wallet, _routers(flows.billing, internal), first):
        # They are whole: `include_router` would make each of them a second time.
        app.router.routes.extend(router.routes)

    @app.get("/readyz", tags=["health"], response_model=ReadyDocument, responses={503: ERRORS[503]})
    async def ready() -> Json:
        """200 while calls are served; 503 while this process stops, or has lost its lease of the database."""
        return flows.house.ready()

    _errors(app)
    describe(app)
    return app


def _operators(
    flows: ControlFlows,
    operators: Operators,
    plan_call: PlanCall,
    present: Present,
) -> APIRouter:
    def known(who: Who) -> None:
        """That it is known who asks is all."""

    router = APIRouter(prefix="/admin", dependencies=[Depends(known), Depends(known_parameters)], responses=ERRORS)
    operator_routes(router, operators, flows.operators)
    agent_routes(router, flows.admin)
    limit_routes(router, flows.admin)
    approval_routes(router, flows.admin)
    payment_routes(router, flows.payouts)
    seller_routes(router, flows.sellers)
    record_routes(router, flows.admin)
    overview_routes(router, flows.overview)
    proof_routes(router, flows.admin, flows.audit)
    solvency_routes(router, flows.solvency)
    incoming_routes(router, flows.deposits)
    transfer_routes(router, flows.transfers)
    market_routes(router, flows.house, flows.admin, plan_call)
    plugin_routes(router, flows.house, present)
    reload_routes(router, present)
    return router


def _routers(billing: BillingFlow, internal: Internal) -> APIRouter:
    def known(x_internal_token: Annotated[str, Header(include_in_schema=False)] = "") -> None:
        internal.require(x_internal_token)

    router = APIRouter(prefix="/internal", dependencies=[Depends(known), Depends(known_parameters)], responses=ERRORS)
    billing_routes(router, billing)
    return router


def _errors(app: FastAPI) -> None:
    """Every error in the one shape, those of the framework too."""

    @app.exception_handler(CallRefused)
    async def refused(request: Request, error: CallRefused) -> Response:
        if isinstance(error, InsufficientFunds) and request.url.path.startswith("/internal"):
            status, headers, body = reserve_refused(error)
        else:
            status, headers, body = answer(error, shape_of(request.url.path))
        return Response(body, status, dict(headers))

    @app.exception_handler(StorageError)
    async def unusable(request: Request, error: StorageError) -> Response:
        _log.error("%s %s: %s", request.method, request.url.path, error)
        if isinstance(error, NotAllowed):
            what = "This process serves calls and may do no more: ask the operator where the treasury listens"
            return await refused(request, Forbidden(what))
        # What is wrong with the database is for its operator alone.
        for_all = "The ledger cannot be used now, so nothing was done; try again later"
        message = str(error) if request.url.path.startswith("/admin") else for_all
        return await refused(request, VaultUnavailable(message))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        json = first["type"] == "json_invalid"
        field = "" if json else ".".join(str(part) for part in first["loc"][1:])
        what = "is not JSON" if json else first["msg"]
        shape = shape_of(request.url.path)
        said = f"{field or 'the body'}: {what}"
        body = error_body(said, "invalid_request_error", param=field or None, endpoint=shape, status=400)
        return Response(body, 400, _JSON)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        message = f"{request.method} {request.url.path}: {error.detail}"
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code)
        status = error.status_code
        shape = shape_of(request.url.path)
        body = error_body(message, "invalid_request_error", code=code, endpoint=shape, status=status)
        return Response(body, error.status_code, {**(error.headers or {}), **_JSON})

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return Response(error_body("arbstr failed; its log says why", "api_error"), 500, _JSON)
