"""Owns the operator's commands: the rest of the simulated world, which pays and can be paid."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from arbstr_core.api import Amount, BadRequest, Clock, Command, Param
from arbstr_wallet_simulated import _decisions as decisions
from arbstr_wallet_simulated._config import Config
from arbstr_wallet_simulated._journal import Journal
from arbstr_wallet_simulated._texts import INVOICE_PREFIX, read_invoice, write_invoice, write_token


def commands(config: Config, journal: Journal, clock: Clock) -> list[Command]:
    """`settle-invoice`, `make-invoice`, `make-token`."""

    async def settle_invoice(given: Mapping[str, str]) -> Any:
        text = given["invoice"].strip()
        reference = read_invoice(text).payment_hash if text.startswith(INVOICE_PREFIX) else text
        book = await journal.decide(lambda book: decisions.settle(book, reference, clock.now_ms()))
        return {"reference": reference, "state": "paid", "amount_msat": book.invoices[reference].amount_msat}

    async def make_invoice(given: Mapping[str, str]) -> Any:
        amount, expires_ms = _amount(given), clock.now_ms() + config.invoice_seconds * 1000
        nonce = f"outside:{secrets.token_hex(16)}"
        text = write_invoice(amount_msat=amount, nonce=nonce, expires_ms=expires_ms, memo=given.get("memo", ""))
        return {"invoice": text, "amount_msat": amount, "expires_ms": expires_ms}

    async def make_token(given: Mapping[str, str]) -> Any:
        amount = _amount(given)
        return {"token": write_token(amount_msat=amount, token_id=secrets.token_hex(32)), "amount_msat": amount}

    amount = Param(name="amount", help="such as 21sat or 1500msat", required=True)
    return [
        Command(
            name="settle-invoice",
            help="Let somebody pay an invoice of this wallet: a deposit comes in.",
            run=settle_invoice,
            params=(Param(name="invoice", help="the invoice sim1..., or its reference", required=True),),
            offline=True,
        ),
        Command(
            name="make-invoice",
            help="Make an invoice of somebody else, for this wallet to pay.",
            run=make_invoice,
            params=(amount, Param(name="memo", help="what it is for")),
            offline=True,
        ),
        Command(
            name="make-token",
            help="Make a token of somebody else, for this wallet to redeem.",
            run=make_token,
            params=(amount,),
            offline=True,
        ),
    ]


def _amount(given: Mapping[str, str]) -> int:
    try:
        amount = Amount.from_config(given["amount"]).msat
    except ValueError as bad:
        raise BadRequest(str(bad), param="amount") from None
    if amount <= 0:
        raise BadRequest("the amount is 0; give one above", param="amount")
    return amount
