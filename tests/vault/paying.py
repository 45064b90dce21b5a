"""Payouts for tests of the vault: held for, sent and ended by what a rail is said to say."""

from __future__ import annotations

from arbstr_core.vault import Job, NewPayment, PaidEnd, PaymentKind, Requests, Sent, Treasury

EVIDENCE = "the test says so"


def treasury(vault) -> Treasury:
    """The treasury of a vault's process."""
    return Treasury(vault._db, boot_id=vault._boot_id)


def new_payout(request, *, rails=("lnd",), realm="sim", **more) -> NewPayment:
    """What is to be paid for a hold."""
    meant = {
        "id": request.id,
        "kind": PaymentKind.PAYOUT,
        "realm": realm,
        "agent": request.agent,
        "amount_msat": request.ceilings[0] - request.fee_msat,
        "fee_msat": request.fee_msat,
        "destination": "somebody",
        "target": b"{}",
        "reference": request.id,
        "rails": rails,
    }
    return NewPayment(**meant | more)


async def hold_payout(vault, request, **more):
    """What the vault says to a payout."""
    return await treasury(vault).open_payout(new_payout(request, **more), request)


async def turn(vault):
    """The treasury's turn."""
    fence = await vault.take_job(Job.TREASURY, seconds=60)
    assert fence is not None
    return treasury(vault).turn(fence)


async def payment(vault, id):
    """A payment as it stands."""
    found = await Requests(vault._db).payment(id)
    assert found is not None
    return found


async def send(vault, id):
    """Hand a payment to its rail."""
    found = await payment(vault, id)
    sent = await treasury(vault).dispatch(await turn(vault), found, fee_limit_msat=found.fee_held_msat)
    assert isinstance(sent, Sent), sent
    return sent.payment


async def paid(vault, id, fee):
    """Hand it to its rail, which says that it has left."""
    end = PaidEnd(fee_msat=fee, evidence=EVIDENCE)
    return await treasury(vault).end(await turn(vault), await send(vault, id), end)


async def cancel(vault, id):
    """Give it up."""
    return await treasury(vault).cancel(await payment(vault, id), actor="ag_alice", reason="it is not wanted any more")
