"""Asks a rail to move money, and believes only what has evidence. Whatever else comes of it is unknown.

A plugin may raise anything, hang, or say what it cannot know: nothing of that makes a payment fail.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec

from arbstr_core.api import (
    BadRequest,
    Conflict,
    Failed,
    InvoiceTarget,
    Msat,
    Paid,
    Payment,
    PaymentRef,
    RailUnavailable,
    TokenTarget,
    Unknown,
    WalletRail,
)

T = TypeVar("T")

_GRACE_SECONDS = 10.0
"""How long a rail may take to end what it was asked, once nobody waits for it"""


class Believed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a payment; `distrust` says why its rail is not to be trusted any more, empty where it is."""

    payment: Payment
    distrust: str = ""


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """A rail raised something, or did not answer in time. `refused` says that it was a refusal of what was asked,
    `conflict` that things are not as it would need them."""

    what: str
    refused: bool = False
    conflict: bool = False


async def pay(rail: WalletRail, ref: PaymentRef, *, seconds: float) -> Believed:
    """Hand a payment to its rail, and wait so long for its end."""
    target = ref.target
    call = rail.pay(target, Msat(target.amount_msat), fee_limit=ref.fee_limit_msat, key=ref.key)
    return _believed(rail, ref, await answered(call, seconds=seconds))


async def look(rail: WalletRail, ref: PaymentRef, *, seconds: float) -> Believed:
    """Ask a rail what became of a payment."""
    return _believed(rail, ref, await answered(rail.lookup(ref), seconds=seconds))


async def take_back(rail: WalletRail, reference: str, *, seconds: float) -> Believed:
    """Take an invoice of ours back, which one of our own wants to pay: Paid once nobody else can pay it any more."""
    said = await answered(rail.cancel(reference), seconds=seconds)
    if not isinstance(said, Raised):
        return Believed(payment=Paid(fee_msat=Msat(0), evidence=f"{rail.name} has taken the invoice back"))
    if said.conflict:
        why = "the invoice is paid, or being paid, by somebody else"
        return Believed(payment=Failed(reason=why, evidence=f"{rail.name}: {said.what}"))
    return Believed(payment=Unknown(reason=f"{rail.name}: {said.what}"))


async def answered(call: Coroutine[Any, Any, T], *, seconds: float | None) -> T | Raised:
    """What a rail answers within so many seconds, or ever, or why it did not. Only a cancellation of the caller goes
    through."""
    task = asyncio.ensure_future(call)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_GRACE_SECONDS if seconds is None else seconds)
    if not task.done() or task.cancelled():
        return Raised(what="no answer" if seconds is None else f"no answer within {seconds:.0f} seconds")
    raised = task.exception()
    if raised is None:
        return task.result()
    if not isinstance(raised, Exception):
        raise raised
    known = isinstance(raised, BadRequest | Conflict | RailUnavailable)
    what = str(raised) if known else f"{type(raised).__name__}: {raised}"
    return Raised(what=what, refused=isinstance(raised, BadRequest), conflict=isinstance(raised, Conflict))


def _believed(rail: WalletRail, ref: PaymentRef, said: Payment | Raised) -> Believed:
    if isinstance(said, Raised):
        return Believed(payment=Unknown(reason=f"{rail.name}: {said.what}"))
    if isinstance(said, Paid):
        return _paid(rail, ref, said)
    if isinstance(said, Failed) and said.evidence.strip():
        return Believed(payment=said)
    if isinstance(said, Unknown):
        return Believed(payment=said)
    return Believed(payment=Unknown(reason=f"{rail.name} says that it failed, and shows no evidence"))


def _paid(rail: WalletRail, ref: PaymentRef, said: Paid) -> Believed:
    if type(said.fee_msat) is not int or said.fee_msat < 0 or not said.evidence.strip():
        return Believed(
            payment=Unknown(reason=f"{rail.name} says that it is paid, and not for how much, or how it knows")
        )
    if isinstance(ref.target, TokenTarget) and not said.token:
        return Believed(payment=Unknown(reason=f"{rail.name} says that it is paid, and shows no token"))
    if isinstance(ref.target, InvoiceTarget) and said.proof and not _proves(said.proof, ref.target.reference):
        why = f"it shows a preimage for {ref.target.reference} that is none"
        return Believed(payment=msgspec.structs.replace(said, proof=""), distrust=why)
    return Believed(payment=said)


def _proves(proof: str, payment_hash: str) -> bool:
    try:
        return hashlib.sha256(bytes.fromhex(proof)).hexdigest() == payment_hash
    except ValueError:
        return False
