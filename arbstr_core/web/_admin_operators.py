"""`/admin/session` and `/admin/operators`: who operates, and how a browser logs in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from arbstr_core.accounts import Operators
from arbstr_core.flow import OperatorsFlow
from arbstr_core.web._documents import Page
from arbstr_core.web._fields import Id, PageAsked, Text
from arbstr_core.web._sessions import cookie_for_login, forgotten, identify, require_own_page, session_of

Json = dict[str, Any]

_MOST_SECONDS = 7 * 86_400


class Login(BaseModel):
    """What `POST /admin/session` takes."""

    model_config = ConfigDict(extra="forbid")
    token: Annotated[str, Field(min_length=1, max_length=256)] = Field(description="an operator's")


class NewOperator(BaseModel):
    """What `POST /admin/operators` takes."""

    model_config = ConfigDict(extra="forbid")
    name: Text


class SessionDocument(BaseModel):
    """Who is logged in."""

    actor: str = Field(description="`operator`, or `operator:NAME`: as the audit names it")


class NewSessionDocument(SessionDocument):
    """The session's id is in its cookie, which no page can read."""

    page_key: str = Field(description="goes into each request of the session, as X-Arbstr-Page")


class OperatorDocument(BaseModel):
    """One who may operate, or might once."""

    name: str
    created_by: str
    created_ms: int
    revoked_ms: int | None
    sessions: int = Field(description="browsers that are logged in")


class NewOperatorDocument(OperatorDocument):
    """With its token, which is shown this once."""

    token: str


async def _who(request: Request) -> str:
    operators: Operators = request.app.state.operators
    return await identify(operators, request.scope)


Who = Annotated[str, Depends(_who)]
"""The operator that asks, as the audit names it"""


def login_routes(router: APIRouter, operators: Operators) -> None:
    """The one door that nobody needs a key for: it hands them out."""

    @router.post("/session", status_code=201, tags=["operators"], response_model=NewSessionDocument)
    async def log_in(request: Request, login: Login) -> Response:
        """Log a browser in: sets a cookie that no script can read. Over HTTPS, or on this machine itself."""
        require_own_page(request.scope)
        cookie = cookie_for_login(request.scope)
        made = await operators.log_in(login.token)
        said = {"actor": made.actor, "page_key": made.page_key}
        return JSONResponse(said, 201, {"set-cookie": cookie.said(made.id, _MOST_SECONDS), "cache-control": "no-store"})


def operator_routes(router: APIRouter, operators: Operators, flow: OperatorsFlow) -> None:
    """Those for whoever operates already."""

    @router.get("/session", tags=["operators"], response_model=SessionDocument)
    async def session(who: Who) -> Json:
        """Who asks."""
        return {"actor": who}

    @router.delete("/session", tags=["operators"], response_model=SessionDocument)
    async def log_out(request: Request, response: Response, who: Who) -> Json:
        """Log this browser out."""
        keys = session_of(request.scope)
        if keys is not None:
            await operators.log_out(keys)
        response.headers["set-cookie"] = forgotten(request.scope)
        return {"actor": who}

    @router.post("/operators", status_code=201, tags=["operators"], response_model=NewOperatorDocument)
    async def add_operator(new: NewOperator, who: Who) -> Json:
        """Another operator, with a token of its own, which is shown this once."""
        return await flow.add(new.name, actor=who)

    @router.get("/operators", tags=["operators"], response_model=Page[OperatorDocument])
    async def list_operators(asked: PageAsked) -> Json:
        """Operators with names, those that were revoked too, the oldest first."""
        return await flow.list(asked)

    @router.post("/operators/{operator}/revoke", tags=["operators"], response_model=OperatorDocument)
    async def revoke_operator(operator: Id, who: Who) -> Json:
        """End an operator's token, and every session that it opened."""
        return await flow.revoke(operator, actor=who)
