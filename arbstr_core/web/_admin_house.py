"""`/admin/offers`, `/admin/route`, `/admin/rails` and `/admin/plugins`: the market, and what plugins bring."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from arbstr_core.flow import AdminFlow, HouseFlow
from arbstr_core.types import BadRequest, ChatCall, Endpoint
from arbstr_core.web._fields import Id
from arbstr_core.web._market_documents import (
    CheckDocument,
    CommandDocument,
    OffersDocument,
    PlanDocument,
    ProviderDocument,
    ProvidersDocument,
    ReloadDocument,
)

Json = dict[str, Any]


class Planned(BaseModel):
    """What `POST /admin/route` takes: a request that is not sent, whole or as a model and a prompt."""

    model: str | None = None
    prompt: str = "Hello"
    request: dict[str, Any] | None = Field(None, description="a whole one, in the place of model and prompt")
    endpoint: Endpoint = Endpoint.CHAT
    policy: str | None = Field(None, description="its header X-Arbstr-Policy")
    complexity: str | None = Field(None, description="its header X-Arbstr-Complexity")
    agent: str | None = Field(None, description="who would send it: what was learned of that agent counts")

    def body(self) -> Json:
        """The request that is planned."""
        if self.request is not None:
            return self.request
        if self.model is None:
            raise BadRequest("Name a model, or give a whole request", param="model")
        return {"model": self.model, "messages": [{"role": "user", "content": self.prompt}]}

    def hints(self) -> dict[str, str]:
        """The headers that it has."""
        said = {"x-arbstr-policy": self.policy, "x-arbstr-complexity": self.complexity}
        return {name: value for name, value in said.items() if value}


PlanCall = Callable[[Json, dict[str, str], Endpoint], ChatCall]
"""Makes a call that is never sent, of a body and headers."""


def market_routes(router: APIRouter, house: HouseFlow, admin: AdminFlow, plan_call: PlanCall) -> None:
    """What can be bought."""

    @router.get("/offers", tags=["market"], response_model=OffersDocument)
    async def offers() -> Json:
        """Everything on offer, and what is out with its reason."""
        return house.offers()

    @router.get("/providers", tags=["market"], response_model=ProvidersDocument)
    async def providers() -> Json:
        """Every provider, its breakers, and how it has done."""
        return house.providers()

    @router.post("/providers/check", tags=["market"], response_model=CheckDocument)
    async def check() -> Json:
        """Ask every provider whether it is there and takes our key."""
        return await house.check_providers()

    @router.post("/providers/{provider}/close", tags=["market"], response_model=ProviderDocument)
    async def close(provider: Id) -> Json:
        """Close the breakers of a provider that was mended."""
        return house.close_breakers(provider)

    @router.post("/route", tags=["market"], response_model=PlanDocument)
    async def route(planned: Planned) -> Json:
        """What would happen to a call, without sending it: every offer with its cost, or the reason why it is out."""
        call = plan_call(planned.body(), planned.hints(), planned.endpoint)
        return house.route(call, await admin.caller(planned.agent) if planned.agent else None)

    @router.get("/rails", tags=["market"], response_model=dict[str, Json])
    async def rails() -> Json:
        """Every wallet rail's state."""
        return await house.rails()


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The configuration that counts: what became of it, and how another one comes to count."""

    plugins: Callable[[], list[Json]]
    notices: Callable[[], list[str]]
    reload: Callable[[], Awaitable[Json]]


def reload_routes(router: APIRouter, present: Present) -> None:
    """Another configuration."""

    @router.post("/reload", tags=["plugins"], response_model=ReloadDocument)
    async def reload() -> Json:
        """Read the configuration again, and let it count; 409 with all that is wrong with it, and nothing changes."""
        return await present.reload()


def plugin_routes(router: APIRouter, house: HouseFlow, present: Present) -> None:
    """What plugins bring."""

    @router.get("/notices", tags=["plugins"])
    async def list_notices() -> list[str]:
        """What plugins warned of when they were made: an instance that is off for want of its key, say."""
        return present.notices()

    @router.get("/plugins", tags=["plugins"])
    async def list_plugins() -> list[Json]:
        """Every installed plugin and its state."""
        return present.plugins()

    @router.get("/plugins/{stem}", tags=["plugins"], response_model=list[CommandDocument])
    async def plugin_commands(stem: Id) -> list[Json]:
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
            for command in house.commands().get(stem, ())
        ]

    @router.post("/plugins/{stem}/{command}", tags=["plugins"])
    async def run_command(stem: Id, command: Id, arguments: dict[str, str]) -> Any:
        """Run a plugin's command."""
        return await house.run_command(stem, command, arguments)
