"""The operator's proof: the ledger replayed, checkpoints, agents' statements."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from arbstr_core.flow import AdminFlow, AuditFlow
from arbstr_core.types import BadRequest, NotFound
from arbstr_core.web._fields import Id

Json = dict[str, Any]
Hex64 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Hex128 = Annotated[str, Field(pattern="^[0-9a-f]{128}$")]


class VerificationDocument(BaseModel):
    """The ledger, replayed."""

    model_config = ConfigDict(extra="allow")
    ok: bool
    transfers: int
    sum_msat: int
    open_holds: int
    first_bad: str | None


class SignedCheckpoint(BaseModel):
    """A checkpoint as anchors keep it. `body` is JSON, and the signature (Ed25519, hex) is over just those bytes."""

    body: str
    key_id: str
    public_key: str
    signature: str


class CheckpointDocument(BaseModel):
    """What a checkpoint says of the audit's end: its last row, and how many rows the ledger had."""

    ledger: str
    epoch: int
    seq: int
    hash: str
    holds: int
    transfers: int
    entries: int
    at_ms: int
    key_id: str
    signature: str


class SignedStatement(BaseModel):
    """An agent's statement as text, JSON or CSV; the signature (Ed25519, hex) is over just that text."""

    statement: str
    key_id: str
    public_key: str
    signature: str


class Anchored(BaseModel):
    """One checkpoint as an anchor kept it: a line of an anchor's file."""

    model_config = ConfigDict(extra="forbid")
    body: Annotated[str, Field(max_length=2_000)]
    key_id: str
    public_key: Hex64
    signature: Hex128


class Proof(BaseModel):
    """What `POST /admin/audit/verify` takes: checkpoints from elsewhere, and the key that they must be signed with
    (without it: the one that signs here)."""

    model_config = ConfigDict(extra="forbid")
    checkpoints: Annotated[list[Anchored], Field(max_length=100_000)] = []
    public_key: Hex64 | None = None


def proof_routes(router: APIRouter, admin: AdminFlow, audit: AuditFlow | None) -> None:
    """Add them to the operator's routes. `audit` is None where the vault is switched off."""

    def needed() -> AuditFlow:
        if audit is None:
            raise NotFound("The vault is switched off ([vault] enabled = false): there is nothing to prove")
        return audit

    @router.get("/audit/verify", tags=["proof"], response_model=VerificationDocument)
    async def verify() -> Json:
        """Replay the ledger, check every invariant, and hold it against its own checkpoints."""
        return await needed().verify()

    @router.post("/audit/verify", tags=["proof"], response_model=VerificationDocument)
    async def verify_anchored(proof: Proof) -> Json:
        """The same, and against checkpoints that were kept elsewhere."""
        made = [(anchored.body, anchored.signature) for anchored in proof.checkpoints]
        key = None if proof.public_key is None else bytes.fromhex(proof.public_key)
        return await needed().verify(made, public_key=key)

    @router.get("/audit/checkpoints", tags=["proof"], response_model=list[CheckpointDocument])
    async def checkpoints() -> list[Json]:
        """The newest checkpoints, newest first."""
        return await needed().checkpoints()

    @router.post("/audit/checkpoints", tags=["proof"], response_model=SignedCheckpoint)
    async def make_checkpoint() -> Json:
        """Sign the audit's end now, and tell it to every anchor."""
        made = await needed().checkpoint()
        if made is None:
            raise BadRequest("The audit is empty: there is nothing to sign yet")
        return {"body": made.body, "key_id": made.key_id, "public_key": made.public_key, "signature": made.signature}

    @router.get("/agents/{agent}/statement", tags=["proof"], response_model=SignedStatement)
    async def statement(
        agent: Id,
        since_ms: Annotated[int | None, Query(ge=0)] = None,
        until_ms: Annotated[int | None, Query(ge=0)] = None,
        format: Literal["json", "csv"] = "json",
    ) -> Json:
        """Every entry of a root agent's account in a time, signed: anyone with the public key can check it."""
        id = (await admin.agent(agent))["id"]
        make = needed().statement if format == "json" else needed().statement_csv
        return await make(id, since_ms, until_ms)
