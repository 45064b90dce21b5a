"""Owns what the wallet decides on a book: pure, so that a decision can be made again on a newer book."""

from __future__ import annotations

from msgspec.structs import replace

from arbstr_core.api import (
    BadRequest,
    Conflict,
    Deposit,
    DepositKind,
    Failed,
    Invoice,
    InvoiceTarget,
    Msat,
    Outgoing,
    Paid,
    Payment,
    PaymentTarget,
    Unknown,
)
from arbstr_wallet_simulated._config import Config, Outcome
from arbstr_wallet_simulated._events import Book, CameIn, Cancelled, Claimed, Invoiced, LookedUp, Sent, TookToken
from arbstr_wallet_simulated._texts import TokenText, hash_of, preimage_of, read_invoice, write_invoice, write_token

_UNSURE = Unknown(reason="scripted: no answer came")


def invoice(book: Book, key: str, amount: int, memo: str, expires_ms: int) -> Invoiced | None:
    """A new invoice, none where `key` has one."""
    if key in book.invoice_of:
        return None
    nonce = f"invoice:{key}"
    text = write_invoice(amount_msat=amount, nonce=nonce, expires_ms=expires_ms, memo=memo)
    return Invoiced(key=key, reference=hash_of(nonce), text=text, amount_msat=amount, expires_ms=expires_ms)


def cancel(book: Book, reference: str) -> Cancelled | None:
    """Take an invoice back, unless it is taken back already."""
    _known(book, reference)
    if reference in book.settled:
        raise Conflict(f"the invoice {reference} is paid, and cannot be cancelled")
    return None if reference in book.cancelled else Cancelled(reference=reference)


def settle(book: Book, reference: str, now_ms: int) -> CameIn | None:
    """Somebody pays an invoice of ours, once."""
    known = _known(book, reference)
    if reference in book.settled:
        return None
    if reference in book.cancelled:
        raise BadRequest(f"the invoice {reference} is cancelled, and cannot be paid")
    if known.expires_ms <= now_ms:
        raise BadRequest(f"the invoice {reference} has expired")
    return CameIn(reference=reference, amount_msat=known.amount_msat)


def pay(
    book: Book, target: PaymentTarget, *, key: str, fee: int, fee_limit: int, config: Config, now_ms: int
) -> Sent | None:
    """A payment for `key`, none where it has one. What cannot be paid is refused before the script is asked."""
    before = book.payments.get(key)
    if before is not None:
        if before.reference not in ("", target.reference):
            raise BadRequest(f"the key {key!r} paid another destination before")
        return None
    amount = target.amount_msat
    sent = Sent(
        key=key,
        reference=target.reference,
        amount_msat=amount,
        fee_msat=fee,
        outcome=Outcome.FAILED,
        sent_ms=now_ms,
    )
    refusal = _refusal(book, target, fee=fee, fee_limit=fee_limit, now_ms=now_ms)
    if refusal is not None:
        return replace(sent, reason=refusal)
    outcome = config.script[book.scripted % len(config.script)] if config.script else Outcome.PAID
    sent = replace(sent, outcome=outcome, scripted=True)
    if not outcome.pays:
        return replace(sent, reason="scripted: the payment failed")
    if isinstance(target, InvoiceTarget):
        return replace(sent, proof=preimage_of(read_invoice(target.text).nonce))
    return replace(sent, token=write_token(amount_msat=amount, token_id=target.reference, lock=target.lock))


def _refusal(book: Book, target: PaymentTarget, *, fee: int, fee_limit: int, now_ms: int) -> str | None:
    """Why nothing is sent, or None."""
    if isinstance(target, InvoiceTarget) and target.expires_ms <= now_ms:
        return "the invoice has expired"
    if target.reference in book.invoices:
        return "the invoice is this wallet's own"
    if target.reference in book.paid_to:
        return "the destination was paid before, under another key"
    if fee > fee_limit:
        return f"the fee is {fee} msat, and its limit {fee_limit}"
    if target.amount_msat + fee > book.balance_msat:
        return f"the wallet has {book.balance_msat} msat"
    return None


def look(book: Book, key: str, *, config: Config, now_ms: int) -> Sent | LookedUp | None:
    """What a lookup finds out. A key that never paid never will: its failure is written down, which is the evidence."""
    sent = book.payments.get(key)
    if sent is None:
        return Sent(
            key=key, reference="", amount_msat=0, fee_msat=0, outcome=Outcome.FAILED, reason="it was never sent"
        )
    over = now_ms >= sent.sent_ms + config.unknown_seconds * 1000
    return LookedUp(key=key) if sent.outcome.unsure and key not in book.known and over else None


def receive(book: Book, key: str, token: TokenText, fee: int, *, reclaimed: bool = False) -> TookToken | None:
    """Redeem a token, none where `key` did."""
    took = book.taken.get(token.token_id)
    if took is not None:
        if took.key != key:
            raise BadRequest("the token was redeemed before")
        return None
    if token.token_id in book.claimed:
        raise BadRequest("the token was redeemed before")
    if key in book.taken_for:
        raise BadRequest(f"the key {key!r} redeemed another token before")
    if token.amount_msat <= fee:
        raise BadRequest(f"the token is worth {token.amount_msat} msat, and redeeming it takes {fee}")
    return TookToken(
        key=key, token_id=token.token_id, amount_msat=token.amount_msat - fee, fee_msat=fee, reclaimed=reclaimed
    )


def reclaim(book: Book, reference: str, key: str, fee: int) -> TookToken | None:
    """Take back a token that we issued."""
    issued = book.issued.get(reference)
    if issued is None:
        raise BadRequest(f"no token was issued as {reference}")
    try:
        token = TokenText(amount_msat=issued.amount_msat, token_id=reference)
        return receive(book, key, token, fee, reclaimed=True)
    except BadRequest as refused:
        raise Conflict(str(refused)) from None


def claim(book: Book, token: TokenText) -> Claimed:
    """Somebody else redeems a token that we issued, once."""
    if token.token_id not in book.issued:
        raise BadRequest("this wallet issued no such token")
    if token.token_id in book.claimed or token.token_id in book.taken:
        raise BadRequest("the token was redeemed before")
    return Claimed(token_id=token.token_id)


def payment_of(book: Book, key: str) -> Payment:
    """What is known of a payment."""
    sent = book.payments[key]
    if sent.outcome.unsure and key not in book.known:
        return _UNSURE
    if not sent.outcome.pays:
        return Failed(reason=sent.reason, evidence=f"journal: {sent.reason}")
    return _paid(sent)


def outgoing_at(book: Book, position: int) -> Outgoing | None:
    """The payment after `position` others that left or may leave; None for one that is known to have failed."""
    sent = book.left[position]
    payment = payment_of(book, sent.key)
    if isinstance(payment, Failed):
        return None
    return Outgoing(
        reference=sent.reference,
        amount_msat=Msat(sent.amount_msat),
        payment=payment,
        cursor=str(position + 1),
        key=sent.key,
    )


def invoice_of(book: Book, key: str) -> Invoice:
    """The invoice made for `key`."""
    made = book.invoice_of[key]
    return Invoice(
        text=made.text, reference=made.reference, amount_msat=Msat(made.amount_msat), expires_ms=made.expires_ms
    )


def deposit_at(book: Book, position: int) -> Deposit:
    """The deposit after `position` others; its cursor is its own number."""
    came, cursor = book.deposits[position], str(position + 1)
    if isinstance(came, TookToken):
        return _took(came, cursor)
    return Deposit(
        reference=came.reference,
        amount_msat=Msat(came.amount_msat),
        kind=DepositKind.INVOICE,
        cursor=cursor,
        key=book.invoices[came.reference].key,
    )


def token_deposit(book: Book, key: str) -> Deposit:
    """The deposit that a token became for `key`."""
    took = book.taken_for[key]
    return _took(took, str(book.deposits.index(took) + 1))


def _took(took: TookToken, cursor: str) -> Deposit:
    return Deposit(
        reference=took.token_id,
        amount_msat=Msat(took.amount_msat),
        kind=DepositKind.RECLAIMED if took.reclaimed else DepositKind.TOKEN,
        cursor=cursor,
        key=took.key,
        fee_msat=Msat(took.fee_msat),
    )


def _paid(sent: Sent) -> Paid:
    return Paid(fee_msat=Msat(sent.fee_msat), evidence="journal: paid", proof=sent.proof, token=sent.token)


def _known(book: Book, reference: str) -> Invoiced:
    made = book.invoices.get(reference)
    if made is None:
        raise BadRequest(f"this wallet made no invoice {reference!r}")
    return made
