"""Owns the operator's commands: the rest of the simulated world, which pays and can be paid."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from arbstr_core.api import Amount, BadRequest, Clock, Command, Param
from arbstr_wallet_simulated import _decisions as decisions
from arbstr_wallet_simulated._config import Config
from arbstr_wallet_simulated._journal import Journal
from arbstr_wallet_simulated._texts import (
    INVOICE_PREFIX,
    preimage_of,
    read_invoice,
    read_token,
    write_invoice,
    write_token,
)

_AMOUNT = Param(name="amount", help="such as 21sat or 1500msat", required=True)
_COMMANDS = (
    (
        "settle-invoice",
        "Let somebody pay an invoice of this wallet: a deposit comes in.",
        (Param(name="invoice", help="the invoice sim1..., or its reference", required=True),),
    ),
    (
        "make-invoice",
        "Make an invoice of somebody else, for this wallet to pay.",
        (
            _AMOUNT,
            Param(name="memo", help="what it is for"),
            Param(name="description-hash", help="SHA-256 of a description, hex, as LNURL-pay has it"),
        ),
    ),
    ("make-token", "Make a token of somebody else, for this wallet to redeem.", (_AMOUNT,)),
    (
        "claim-token",
        "Let somebody redeem a token that this wallet issued.",
        (Param(name="token", help="the token simA...", required=True),),
    ),
)


def commands(config: Config, journal: Journal, clock: Clock) -> list[Command]:
    """`settle-invoice`, `make-invoice`, `make-token`, `claim-token`."""

    async def settle_invoice(given: Mapping[str, str]) -> Any:
        text = given["invoice"].strip()
        reference = read_invoice(text).payment_hash if text.startswith(INVOICE_PREFIX) else text
        book = await journal.decide(lambda book: decisions.settle(book, reference, clock.now_ms()))
        paid: dict[str, Any] = {"reference": reference, "state": "paid"}
        if text.startswith(INVOICE_PREFIX):
            # Who pays an invoice learns this, and nobody before.
            paid["preimage"] = preimage_of(read_invoice(text).nonce)
        return {**paid, "amount_msat": book.invoices[reference].amount_msat}

    async def make_invoice(given: Mapping[str, str]) -> Any:
        amount, expires_ms = _amount(given), clock.now_ms() + config.invoice_seconds * 1000
        nonce = f"outside:{secrets.token_hex(16)}"
        text = write_invoice(
            amount_msat=amount,
            nonce=nonce,
            expires_ms=expires_ms,
            memo=given.get("memo", ""),
            description_hash=given.get("description-hash", ""),
        )
        return {"invoice": text, "amount_msat": amount, "expires_ms": expires_ms}

    async def make_token(given: Mapping[str, str]) -> Any:
        amount = _amount(given)
        return {"token": write_token(amount_msat=amount, token_id=secrets.token_hex(32)), "amount_msat": amount}

    async def claim_token(given: Mapping[str, str]) -> Any:
        token = read_token(given["token"].strip())
        await journal.decide(lambda book: decisions.claim(book, token))
        return {"amount_msat": token.amount_msat, "state": "claimed"}

    runs = {
        "settle-invoice": settle_invoice,
        "make-invoice": make_invoice,
        "make-token": make_token,
        "claim-token": claim_token,
    }
    return [
        Command(name=name, help=help, run=runs[name], params=params, offline=True) for name, help, params in _COMMANDS
    ]


def _amount(given: Mapping[str, str]) -> int:
    try:
        amount = Amount.from_config(given["amount"]).msat
    except ValueError as bad:
        raise BadRequest(str(bad), param="amount") from None
    if amount <= 0:
        raise BadRequest("the amount is 0; give one above", param="amount")
    return amount
