"""What counts as the end of a payment. Pure: a record and what the node shows, to the record that follows from it.

the node shows                               the payment is
-------------------------------------------  ---------------------------------------------------------------
SUCCEEDED, with the preimage of the hash     paid
FAILED, of the one request that was made     failed
FAILED, and another request may yet arrive   unknown, until the invoice cannot be paid any more; then failed
IN_FLIGHT, INITIATED, anything else          unknown
nothing of this hash                         unknown, until the invoice cannot be paid any more; then failed
nothing of a hash that it has shown before   unknown: it lost records
nothing, and its records were rolled back    unknown
anything, but it is another node             unknown

LND refuses an invoice that has expired before it writes anything down, so that a request which arrives late comes to
nothing then. A time-out, an exception, the end of a stream and ALREADY_EXISTS are not in the table: they say nothing.
"""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from arbstr_core.api import Failed, Msat, Paid, Payment, Unknown
from arbstr_wallet_lnd import _lnd_pb2 as pb
from arbstr_wallet_lnd._journal import Record

LATE_MS = 600_000
"""How far the clocks of arbstr and the node may be apart."""
_STUCK_MS = 600_000
_REASONS = {
    pb.TIMEOUT: "no way to the payee was found in time",
    pb.NO_ROUTE: "there is no way to the payee with enough capacity, within the fee limit",
    pb.ERROR: "the payee or a node on the way reported an error",
    pb.INCORRECT_PAYMENT_DETAILS: "the payee does not know the invoice, or it is paid or cancelled",
    pb.INSUFFICIENT_BALANCE: "the node's channels do not have the amount and its fee",
    pb.CANCELED_BY_NODE: "it was cancelled at the node",
}


def judge(record: Record, shown: pb.Payment | None, *, node: str, whole: bool, now_ms: int) -> Record:
    """`record` with what `shown` (None: the node knows no such hash) proves about it. An end never changes.

    `whole` says that the node's records are not known to have been rolled back: only then absence proves anything.
    """
    if record.end is not None or record.node != node:
        return record
    if shown is None or _is_before(record, shown):
        return _absent(record, now_ms) if whole else record
    record = replace(record, seen=True, lost=False)
    if shown.status == pb.Payment.SUCCEEDED and _proves(shown, record):
        evidence = f"LND: SUCCEEDED, its payment {shown.payment_index}"
        paid = Paid(fee_msat=Msat(shown.fee_msat), evidence=evidence, proof=shown.payment_preimage)
        return replace(record, end=paid)
    if shown.status == pb.Payment.FAILED and (len(record.sends) <= 1 or _dead(record, now_ms)):
        said = pb.FailureReason.Name(shown.failure_reason) if shown.failure_reason in _REASONS else "no reason"
        evidence = f"LND: FAILED ({said}), its payment {shown.payment_index}"
        return replace(record, end=Failed(reason=_REASONS.get(shown.failure_reason, "it failed"), evidence=evidence))
    return record


def standing(record: Record, shown: pb.Payment | None, *, node: str, now_ms: int) -> Payment:
    """What is known of a payment, for whoever asked."""
    if record.end is not None:
        return record.end
    if record.node != node:
        return Unknown(reason=f"it was sent from the node {record.node}, and this is {node}")
    if record.lost:
        return Unknown(reason="the node has shown it, and knows nothing of it now: its records were rolled back")
    if shown is None or _is_before(record, shown):
        return Unknown(reason="the node knows nothing of it yet")
    if shown.status == pb.Payment.FAILED:
        return Unknown(
            reason="it failed at the node, where a second request may still arrive until the invoice expires"
        )
    if shown.status == pb.Payment.SUCCEEDED:
        return Unknown(reason="the node says that it succeeded, with a preimage that is not the invoice's")
    if shown.status == pb.Payment.INITIATED and not shown.htlcs and now_ms > _made_ms(shown) + _STUCK_MS:
        return Unknown(reason="the node noted it and never began: see `lncli trackpayment`")
    return Unknown(reason="it is on its way")


def may_send(record: Record, shown: pb.Payment | None, *, now_ms: int) -> bool:
    """Whether another request for the same payment does no harm: the node has shown nothing of it, and the invoice
    can be paid. Should an earlier one arrive as well, the node takes one of the two."""
    unheard = shown is None or _is_before(record, shown)
    return record.end is None and unheard and not record.seen and not record.lost and now_ms < record.expires_ms


def _absent(record: Record, now_ms: int) -> Record:
    if record.seen:
        return replace(record, lost=True)
    if not _dead(record, now_ms):
        return record
    evidence = "LND: NOT_FOUND, after the invoice had expired"
    return replace(record, end=Failed(reason="it never left the node before the invoice expired", evidence=evidence))


def _is_before(record: Record, shown: pb.Payment) -> bool:
    """True of a failure that an earlier key left behind under the same hash."""
    after_ns = record.sends[-1].after_ns if record.sends else 0
    return shown.status == pb.Payment.FAILED and shown.creation_time_ns == after_ns != 0


def _proves(shown: pb.Payment, record: Record) -> bool:
    try:
        preimage = bytes.fromhex(shown.payment_preimage)
    except ValueError:
        return False
    return hashlib.sha256(preimage).hexdigest() == record.payment_hash


def _dead(record: Record, now_ms: int) -> bool:
    return now_ms > record.expires_ms + LATE_MS


def _made_ms(shown: pb.Payment) -> int:
    return shown.creation_time_ns // 1_000_000
