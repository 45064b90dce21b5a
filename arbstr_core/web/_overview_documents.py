"""The documents of the operator's overview; see `_documents`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class AssetDocument(BaseModel):
    """Money of a realm by the ledger: on a rail, prepaid at a provider's node, on its way there or back (`transit`),
    disputed (`claim`), or come in and nobody's yet (`suspense`)."""

    kind: Literal["rail", "prepaid", "transit", "claim", "suspense"]
    where: str = Field(description="the rail or the node")
    account: str = Field(description="as the ledger names it")
    amount_msat: int


class RealmMoneyDocument(BaseModel):
    """The money of one realm, by the ledger."""

    realm: str
    agents_msat: int
    sellers_msat: int
    calls_msat: int = Field(description="of calls that are paid one by one")
    suspense_msat: int
    liabilities_msat: int = Field(description="all four together")
    held_msat: int = Field(description="of that, what calls and payouts hold now")
    equity_msat: int = Field(description="the operator's own; costs and losses are not taken off it")
    lost_msat: int = Field(description="what operators have written off of what was theirs, ever")
    assets_msat: int
    assets: list[AssetDocument]


class MoneyDocument(BaseModel):
    """Whose the money is, and where."""

    realms: list[RealmMoneyDocument]


class LineDocument(BaseModel):
    """Sums of some calls over a time, and in each step of it."""

    calls: int
    failed: int = Field(description="those that did not get a whole answer")
    charged_msat: int
    input_tokens: int
    output_tokens: int
    first_byte_ms: int | None = Field(description="a mean")
    charged_each_msat: list[int]
    calls_each: list[int]


class GroupDocument(LineDocument):
    """Those of one agent (its id), model or provider; an empty name is that of calls that came to none."""

    name: str


class SpendDocument(BaseModel):
    """What was charged over time, by the request log."""

    by: str
    step: str
    since_ms: int
    until_ms: int
    at_ms: list[int] = Field(description="when each step begins")
    total: LineDocument
    groups: list[GroupDocument] = Field(description="the twelve that cost most")
    rest: LineDocument | None = Field(description="all others")


class LiveCallDocument(BaseModel):
    """A call that has not ended."""

    id: str
    agent: str
    agent_name: str
    endpoint: str
    model: str
    stream: bool
    began_ms: int
    stage: Literal["deciding", "approval", "asking", "answering", "ending"]
    provider: str | None = Field(description="who answers it")
    failed: int = Field(description="candidates that were asked in vain")
    held_msat: int | None
    used_msat: int | None = Field(description="what it has cost so far")


class LiveDocument(BaseModel):
    """The calls that this process serves."""

    now_ms: int
    calls: list[LiveCallDocument]
