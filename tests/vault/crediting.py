"""Deposits for tests of the vault."""

from __future__ import annotations

from vault.paying import treasury, turn

from arbstr_core.types import Deposit, DepositKind, Msat
from arbstr_core.vault import NewRequest, Purpose, RequestKind, Requests, RequestState

RAIL = "lnd"
LATE_MS = 2_000_000_000_000


def came(reference, msat, *, key="", cursor="1", fee=0, kind=DepositKind.INVOICE):
    return Deposit(reference=reference, amount_msat=Msat(msat), fee_msat=Msat(fee), kind=kind, cursor=cursor, key=key)


def wanted(id, msat=500, *, whose="alice", kind=RequestKind.INVOICE, purpose=Purpose.DEPOSIT, **more):
    who = None if whose is None else f"ag_{whose}"
    return NewRequest(id=id, kind=kind, purpose=purpose, realm="sim", rail=RAIL, agent=who, amount_msat=msat, **more)


async def credited(vault, reference, msat, *, id="rq_1", owner="ag_alice", stream=True, **more):
    """An invoice was asked for and paid."""
    found = await Requests(vault._db).open(wanted(id, msat, **more))
    if found.state is RequestState.ASKED and found.kind is RequestKind.INVOICE:
        await treasury(vault).answer(id, text="lnbc...", reference=reference, expires_ms=LATE_MS)
    deposit = came(reference, msat, key=id)
    return await treasury(vault).credit(await turn(vault), RAIL, "sim", deposit, owner=owner, stream=stream)
