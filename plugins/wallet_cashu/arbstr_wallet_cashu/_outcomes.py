"""Owns what is known of a payment by its job: paid, failed with evidence, or unknown."""

from __future__ import annotations

from arbstr_core.api import Failed, InvoiceTarget, Msat, Paid, Payment, PaymentTarget, Unknown
from arbstr_wallet_cashu._book import Draft
from arbstr_wallet_cashu._records import AnyJob, MeltJob, SendJob, State
from arbstr_wallet_cashu._sends import PREFIX

_SAT = 1000


async def never(draft: Draft, *, target: PaymentTarget, key: str, reason: str) -> AnyJob:
    """The record of a payment for which nothing was and will be sent; one that was made already stays."""
    known = await draft.job(PREFIX + key)
    if known is not None:
        return known
    job: AnyJob
    if isinstance(target, InvoiceTarget):
        job = MeltJob(key=key, mint="", state=State.FAILED, reason=reason, target=target)
    else:
        job = SendJob(key=key, mint="", state=State.FAILED, reason=reason, target=target)
    draft.keep(PREFIX + key, job)
    return job


def payment_of(job: AnyJob) -> Payment:
    """What is known of a payment."""
    assert isinstance(job, MeltJob | SendJob), f"{job.key} pays"
    if job.state is State.FAILED:
        return Failed(reason=job.reason, evidence=_evidence(job))
    if job.state is not State.DONE:
        return Unknown(reason=f"the mint {job.mint} has not said yet what became of it")
    if isinstance(job, SendJob):
        return Paid(fee_msat=Msat(job.fee * _SAT), evidence="the mint signed the token's coins", token=job.token)
    return Paid(fee_msat=Msat(job.fee * _SAT), evidence="the mint's quote is PAID", proof=job.proof)


def _evidence(job: MeltJob | SendJob) -> str:
    said = job.evidence if isinstance(job, MeltJob) else ""
    return said or "the purse has its coins, and a record that nothing is or will be sent for this key"


def target_of(job: AnyJob) -> PaymentTarget:
    assert isinstance(job, MeltJob | SendJob), f"{job.key} pays"
    return job.target
