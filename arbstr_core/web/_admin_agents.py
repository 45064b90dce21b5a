"""`/admin/agents` and `/admin/approvals`: who may spend, how much, and what an operator is asked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from arbstr_core.flow import AdminFlow
from arbstr_core.web._admin_operators import Who
from arbstr_core.web._documents import (
    AgentDocument,
    ApprovalDocument,
    EventDocument,
    LimitsVersion,
    NewAgentDocument,
    Page,
    TokenDocument,
)
from arbstr_core.web._fields import AllLimits, Id, Msat, PageAsked, PaidMsat, Text, Wanted, first_limits, named

Json = dict[str, Any]
State = Literal["pending", "granted", "held", "used", "denied", "expired"]


class NewAgent(AllLimits):
    """What `POST /admin/agents` takes. A largest charge and daily limit that are not named come from
    `[vault.defaults]`; a child key's are its parent's."""

    name: str
    realm: Text | None = Field(None, description="where its money lives: sim, or a network")
    parent: Text | None = Field(None, description="id or name of the agent whose money it spends")
    fund_msat: Msat = 0


class Funding(BaseModel):
    """What `POST /admin/agents/{agent}/fund` takes."""

    model_config = ConfigDict(extra="forbid")
    amount_msat: PaidMsat
    key: str | None = Field(None, min_length=1, max_length=200, description="the same again funds nothing more")


def agent_routes(router: APIRouter, admin: AdminFlow) -> None:
    """Agents themselves."""

    @router.post("/agents", status_code=201, tags=["agents"], response_model=NewAgentDocument)
    async def create_agent(new: NewAgent, who: Who) -> Json:
        """Make an agent, or a child key of one. The answer holds its token, which is shown this once."""
        return await admin.create_agent(
            new.name,
            realm=new.realm,
            parent=new.parent,
            fund_msat=new.fund_msat,
            limits=first_limits(new),
            actor=who,
        )

    @router.get("/agents", tags=["agents"], response_model=Page[AgentDocument])
    async def list_agents(asked: PageAsked, parent: Wanted = None) -> Json:
        """Agents, oldest first; with `parent` the child keys of one."""
        return await admin.agents(asked, parent=parent)

    @router.get("/agents/{agent}", tags=["agents"], response_model=AgentDocument)
    async def show_agent(agent: Id) -> Json:
        """One agent, by id or name."""
        return await admin.agent(agent)

    @router.post("/agents/{agent}/fund", tags=["agents"], response_model=AgentDocument)
    async def fund_agent(agent: Id, funding: Funding) -> Json:
        """Give an agent money."""
        return await admin.fund(agent, funding.amount_msat, key=funding.key)

    @router.post("/agents/{agent}/disable", tags=["agents"], response_model=AgentDocument)
    async def disable_agent(agent: Id, who: Who) -> Json:
        """Refuse the agent's calls from now on, and those of its child keys."""
        return await admin.set_enabled(agent, False, actor=who)

    @router.post("/agents/{agent}/enable", tags=["agents"], response_model=AgentDocument)
    async def enable_agent(agent: Id, who: Who) -> Json:
        """Serve the agent's calls again."""
        return await admin.set_enabled(agent, True, actor=who)

    @router.post("/agents/{agent}/rotate", tags=["agents"], response_model=TokenDocument)
    async def rotate_token(agent: Id, who: Who) -> Json:
        """A new token, shown this once; the old ones stop working."""
        return await admin.rotate(agent, actor=who)


def limit_routes(router: APIRouter, admin: AdminFlow) -> None:
    """Their limits."""

    @router.get("/agents/{agent}/limits", tags=["limits"], response_model=Page[LimitsVersion])
    async def list_limits(agent: Id, asked: PageAsked) -> Json:
        """All versions of an agent's limits, the newest first: that one counts."""
        return await admin.limits(agent, asked)

    @router.put("/agents/{agent}/limits", tags=["limits"], response_model=AgentDocument)
    async def set_limits(agent: Id, limits: AllLimits, who: Who) -> Json:
        """A new version of an agent's limits, as a whole: what is not named does not apply any more."""
        return await admin.set_limits(agent, named(limits), whole=True, actor=who)

    @router.patch("/agents/{agent}/limits", tags=["limits"], response_model=AgentDocument)
    async def change_limits(agent: Id, limits: AllLimits, who: Who) -> Json:
        """A new version with the named limits changed; null takes one away."""
        return await admin.set_limits(agent, named(limits), whole=False, actor=who)


def approval_routes(router: APIRouter, admin: AdminFlow) -> None:
    """What an operator is asked and told."""

    @router.get("/approvals", tags=["approvals"], response_model=Page[ApprovalDocument])
    async def list_approvals(
        asked: PageAsked,
        state: Annotated[State | None, Query()] = None,
        agent: Wanted = None,
    ) -> Json:
        """Approvals, the newest first."""
        return await admin.approvals(asked, state=state, agent=agent)

    @router.get("/approvals/{approval}", tags=["approvals"], response_model=ApprovalDocument)
    async def show_approval(approval: Id) -> Json:
        """One approval."""
        return await admin.approval(approval)

    @router.post("/approvals/{approval}/grant", tags=["approvals"], response_model=ApprovalDocument)
    async def grant_approval(approval: Id, who: Who) -> Json:
        """Let it through once. The same again changes nothing."""
        return await admin.decide(approval, grant=True, actor=who)

    @router.post("/approvals/{approval}/deny", tags=["approvals"], response_model=ApprovalDocument)
    async def deny_approval(approval: Id, who: Who) -> Json:
        """Refuse it. The same again changes nothing."""
        return await admin.decide(approval, grant=False, actor=who)

    @router.get("/events", tags=["approvals"], response_model=Page[EventDocument])
    async def list_events(asked: PageAsked, undelivered: bool = False) -> Json:
        """What the operator was told by webhook, or is to be told, the newest first."""
        return await admin.events(asked, undelivered=undelivered)
