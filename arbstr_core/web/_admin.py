"""The control plane: the operator's API below `/admin`, its description, and whether the server is ready.

`/openapi.json` describes it. No page shows that: the usual ones load programs from elsewhere.

FastAPI, because nothing here is on the way of a call. Amounts are integers of msat, named `*_msat`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from arbstr_core.accounts import Operator
from arbstr_core.flow import AdminFlow
from arbstr_core.types import MAX_MSAT, CallRefused, ChatCall
from arbstr_core.web._errors import answer, error_body

_log = logging.getLogger("arbstr.web")

Msat = Annotated[int, Field(ge=0, le=MAX_MSAT, strict=True)]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
Json = dict[str, Any]


class NewAgent(BaseModel):
    """What `POST /admin/agents` takes. Limits that are not named come from `[vault.defaults]`."""

    model_config = ConfigDict(extra="forbid")
    name: str
    realm: str | None = None
    fund_msat: Msat = 0
    max_charge_msat: Msat | None = None
    daily_msat: Msat | None = None


class Funding(BaseModel):
    """What `POST /admin/agents/{agent}/fund` takes. The same `key` again funds nothing more."""

    model_config = ConfigDict(extra="forbid")
    amount_msat: Annotated[int, Field(gt=0, le=MAX_MSAT, strict=True)]
    key: str | None = Field(default=None, min_length=1, max_length=200)


class Planned(BaseModel):
    """What `POST /admin/route` takes: a chat request that is not sent."""

    model: str
    prompt: str = "Hello"
    policy: str | None = None


def control_plane(
    admin: AdminFlow,
    operator: Operator,
    plan_call: Callable[[str, str, str | None], ChatCall],
    plugins: Callable[[], list[Json]],
    notices: Callable[[], list[str]],
    *,
    version: str,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """The application behind every path that is no OpenAI endpoint."""
    app = FastAPI(title="arbstr", version=version, lifespan=lifespan, docs_url=None, redoc_url=None)

    def known(authorization: Annotated[str, Header()] = "") -> None:
        operator.require(authorization)

    router = APIRouter(prefix="/admin", dependencies=[Depends(known)])
    _agents(router, admin)
    _records(router, admin)
    _market(router, admin, plan_call)
    _plugins(router, admin, plugins, notices)
    app.include_router(router)

    @app.get("/readyz", tags=["health"])
    async def ready() -> Json:
        """200 once calls are served."""
        return {"status": "ready"}

    _errors(app)
    return app


def _agents(router: APIRouter, admin: AdminFlow) -> None:
    @router.post("/agents", status_code=201, tags=["agents"])
    async def create_agent(new: NewAgent) -> Json:
        """Make an agent. The answer holds its token, which is shown this once."""
        return await admin.create_agent(
            new.name,
            realm=new.realm,
            fund_msat=new.fund_msat,
            max_charge_msat=new.max_charge_msat,
            daily_msat=new.daily_msat,
        )

    @router.get("/agents", tags=["agents"])
    async def list_agents() -> list[Json]:
        """All agents, oldest first."""
        return await admin.agents()

    @router.get("/agents/{agent}", tags=["agents"])
    async def show_agent(agent: str) -> Json:
        """One agent, by id or name."""
        return await admin.agent(agent)

    @router.post("/agents/{agent}/fund", tags=["agents"])
    async def fund_agent(agent: str, funding: Funding) -> Json:
        """Give an agent money."""
        return await admin.fund(agent, funding.amount_msat, key=funding.key)

    @router.post("/agents/{agent}/disable", tags=["agents"])
    async def disable_agent(agent: str) -> Json:
        """Refuse the agent's calls from now on."""
        return await admin.set_enabled(agent, False)

    @router.post("/agents/{agent}/enable", tags=["agents"])
    async def enable_agent(agent: str) -> Json:
        """Serve the agent's calls again."""
        return await admin.set_enabled(agent, True)

    @router.post("/agents/{agent}/rotate", tags=["agents"])
    async def rotate_token(agent: str) -> Json:
        """A new token, shown this once; the old ones stop working."""
        return await admin.rotate(agent)


def _records(router: APIRouter, admin: AdminFlow) -> None:
    @router.get("/receipts/{request_id}", tags=["records"])
    async def receipt(request_id: str) -> Json:
        """What one call cost, who served it, and why; its id is the answer's `x-request-id`."""
        return await admin.receipt(request_id)

    @router.get("/audit/verify", tags=["records"])
    async def verify() -> Json:
        """Replay the ledger and check every invariant."""
        return await admin.verify()


def _market(
    router: APIRouter,
    admin: AdminFlow,
    plan_call: Callable[[str, str, str | None], ChatCall],
) -> None:
    @router.get("/offers", tags=["market"])
    async def offers() -> Json:
        """Everything on offer, and what is out with its reason."""
        return admin.offers()

    @router.post("/route", tags=["market"])
    async def route(planned: Planned) -> Json:
        """What would happen to a call, without sending it."""
        return admin.route(plan_call(planned.model, planned.prompt, planned.policy))

    @router.get("/rails", tags=["market"])
    async def rails() -> Json:
        """Every wallet rail's state."""
        return await admin.rails()


def _plugins(
    router: APIRouter, admin: AdminFlow, plugins: Callable[[], list[Json]], notices: Callable[[], list[str]]
) -> None:
    @router.get("/notices", tags=["plugins"])
    async def list_notices() -> list[str]:
        """What plugins warned of when they were made: an instance that is off for want of its key, say."""
        return notices()

    @router.get("/plugins", tags=["plugins"])
    async def list_plugins() -> list[Json]:
        """Every installed plugin and its state."""
        return plugins()

    @router.get("/plugins/{stem}", tags=["plugins"])
    async def plugin_commands(stem: str) -> list[Json]:
        """The commands of one plugin."""
        return [
            {
                "name": command.name,
                "help": command.help,
                "params": [
                    {"name": param.name, "help": param.help, "required": param.required, "default": param.default}
                    for param in command.params
                ],
            }
            for command in admin.commands().get(stem, ())
        ]

    @router.post("/plugins/{stem}/{command}", tags=["plugins"])
    async def run_command(stem: str, command: str, arguments: dict[str, str]) -> Any:
        """Run a plugin's command."""
        return await admin.run_command(stem, command, arguments)


def _errors(app: FastAPI) -> None:
    """Every error in the one shape, those of the framework too."""

    @app.exception_handler(CallRefused)
    async def refused(request: Request, error: CallRefused) -> Response:
        status, headers, body = answer(error)
        return Response(body, status, dict(headers))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:])
        body = error_body(f"{field or 'the body'}: {first['msg']}", "invalid_request_error", param=field or None)
        return Response(body, 422, {"content-type": "application/json"})

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        message = f"{request.method} {request.url.path}: {error.detail}"
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code)
        body = error_body(message, "invalid_request_error", code=code)
        headers = {**(error.headers or {}), "content-type": "application/json"}
        return Response(body, error.status_code, headers)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return JSONResponse(
            {"error": {"message": "arbstr failed; its log says why", "type": "api_error", "param": None, "code": None}},
            500,
        )
