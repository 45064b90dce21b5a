"""Owns what the wallet decides on a book: pure, so that a decision can be made again on a newer book."""

from __future__ import annotations

from msgspec.structs import replace

from arbstr_core.api import BadRequest, Deposit, Failed, Invoice, Msat, Paid, Payment, PaymentTarget, Unknown
from arbstr_wallet_simulated._config import Outcome
from arbstr_wallet_simulated._events import Book, CameIn, Cancelled, Invoiced, LookedUp, Sent, TookToken
from arbstr_wallet_simulated._texts import hash_of, preimage_of, read_ecash, read_invoice, write_invoice, write_token


def invoice(book: Book, key: str, amount: int, memo: str, expires_ms: int) -> Invoiced | None:
    """A new invoice, none where `key` has one."""
    if key in book.invoice_of:
        return None
    if amount <= 0:
        raise BadRequest(f"{amount} msat is no amount to ask for")
    nonce = f"invoice:{key}"
    text = write_invoice(amount_msat=amount, nonce=nonce, expires_ms=expires_ms, memo=memo)
    return Invoiced(key=key, reference=hash_of(nonce), text=text, amount_msat=amount, expires_ms=expires_ms)


def cancel(book: Book, reference: str) -> Cancelled | None:
    """Take an invoice back, unless it is taken back already."""
    _known(book, reference)
    if reference in book.settled:
        raise BadRequest(f"the invoice {reference} is paid, and cannot be cancelled")
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
    book: Book, target: PaymentTarget, *, key: str, fee: int, fee_limit: int, script: tuple[Outcome, ...], now_ms: int
) -> Sent | None:
    """A payment for `key`, none where it has one. What cannot be paid is refused before the script is asked."""
    before = book.payments.get(key)
    if before is not None:
        if before.reference not in ("", target.reference):
            raise BadRequest(f"the key {key!r} paid another destination before")
        return None
    amount = target.amount_msat
    sent = Sent(key=key, reference=target.reference, amount_msat=amount, fee_msat=fee, outcome=Outcome.FAILED)
    refusal = _refusal(book, target, fee=fee, fee_limit=fee_limit, now_ms=now_ms)
    if refusal is not None:
        return replace(sent, reason=refusal)
    outcome = script[book.scripted % len(script)] if script else Outcome.PAID
    if not outcome.pays:
        return replace(sent, outcome=outcome, scripted=True, reason="scripted: the payment failed")
    if read_ecash(target.text) is not None:
        token = write_token(amount_msat=amount, token_id=target.reference)
        return replace(sent, outcome=outcome, scripted=True, token=token)
    return replace(sent, outcome=outcome, scripted=True, proof=preimage_of(read_invoice(target.text).nonce))


def _refusal(book: Book, target: PaymentTarget, *, fee: int, fee_limit: int, now_ms: int) -> str | None:
    """Why nothing is sent, or None."""
    if target.expires_ms <= now_ms:
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


def look(book: Book, key: str) -> Sent | LookedUp | None:
    """What a lookup finds out. A key that never paid never will: its failure is written down, which is the evidence."""
    sent = book.payments.get(key)
    if sent is None:
        return Sent(
            key=key, reference="", amount_msat=0, fee_msat=0, outcome=Outcome.FAILED, reason="it was never sent"
        )
    return LookedUp(key=key) if sent.outcome.unsure and key not in book.known else None


def receive(book: Book, key: str, token_id: str, amount: int) -> TookToken | None:
    """Redeem a token, none where `key` did."""
    took = book.taken.get(token_id)
    if took is not None:
        if took.key != key:
            raise BadRequest("the token was redeemed before")
        return None
    if key in book.taken_for:
        raise BadRequest(f"the key {key!r} redeemed another token before")
    return TookToken(key=key, token_id=token_id, amount_msat=amount)


def reclaim(book: Book, reference: str, key: str) -> TookToken | None:
    """Take back a token that we issued."""
    issued = book.issued.get(reference)
    if issued is None:
        raise BadRequest(f"no token was issued as {reference}")
    return receive(book, key, reference, issued.amount_msat)


def payment_of(book: Book, key: str) -> Payment:
    """What is known of a payment."""
    sent = book.payments[key]
    if sent.outcome.unsure and key not in book.known:
        return Unknown(reason="scripted: no answer came")
    if not sent.outcome.pays:
        return Failed(reason=sent.reason)
    return Paid(fee_msat=Msat(sent.fee_msat), proof=sent.proof, token=sent.token)


def invoice_of(book: Book, key: str) -> Invoice:
    """The invoice made for `key`."""
    made = book.invoice_of[key]
    return Invoice(
        text=made.text, reference=made.reference, amount_msat=Msat(made.amount_msat), expires_ms=made.expires_ms
    )


def deposit_at(book: Book, position: int) -> Deposit:
    """The deposit after `position` others; its cursor is its own number."""
    came = book.deposits[position]
    return Deposit(reference=came.reference, amount_msat=Msat(came.amount_msat), cursor=str(position + 1))


def token_deposit(book: Book, key: str) -> Deposit:
    """The deposit that a token became for `key`."""
    took = book.taken_for[key]
    return Deposit(reference=took.token_id, amount_msat=Msat(took.amount_msat))


def _known(book: Book, reference: str) -> Invoiced:
    made = book.invoices.get(reference)
    if made is None:
        raise BadRequest(f"this wallet made no invoice {reference!r}")
    return made
