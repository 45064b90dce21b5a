"""An open call at one glance, for an operator who looks on."""

from __future__ import annotations

import asyncio
import enum

import msgspec

from arbstr_core.dispatch import OpenReply
from arbstr_core.flow._remedies import Outcome
from arbstr_core.vault import ApprovalNeeded, Granted


class Stage(enum.StrEnum):
    """How far a call has come."""

    DECIDING = "deciding"
    APPROVAL = "approval"
    ASKING = "asking"
    ANSWERING = "answering"
    ENDING = "ending"


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """`failed` are the candidates that were tried in vain; `provider` has shown its first byte."""

    stage: Stage
    held_msat: int | None = None
    provider: str | None = None
    failed: int = 0


def glance(
    hold: asyncio.Future[Outcome] | None,
    granted: Granted | None,
    opened: OpenReply | None,
    attempts: int,
    *,
    ending: bool,
) -> Glance:
    """What an exchange knows of itself, in one value."""
    if ending:
        stage = Stage.ENDING
    elif opened is not None:
        stage = Stage.ANSWERING
    elif granted is not None:
        stage = Stage.ASKING
    else:
        stage = Stage.APPROVAL if _waits(hold) else Stage.DECIDING
    return Glance(
        stage=stage,
        held_msat=None if granted is None else granted.amount_msat,
        provider=None if opened is None else opened.quote.offer.provider,
        failed=attempts if opened is None else max(attempts - 1, 0),
    )


def _waits(hold: asyncio.Future[Outcome] | None) -> bool:
    if hold is None or not hold.done() or hold.cancelled() or hold.exception() is not None:
        return False
    return isinstance(hold.result(), ApprovalNeeded)
