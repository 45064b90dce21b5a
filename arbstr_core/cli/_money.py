"""What moves money over rails in a house: put together from the vault and the rails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from arbstr_core.accounts import L402
from arbstr_core.api import Clock, Prepaid, Provider
from arbstr_core.config import Settings
from arbstr_core.flow import (
    Bills,
    Bringing,
    DepositFlow,
    Incoming,
    Keys,
    Office,
    PayoutFlow,
    PayoutRooms,
    Preparing,
    Reconcile,
    SellerFlow,
    SellerRooms,
    Sender,
    Singles,
    Sweeping,
    Teller,
    TopUp,
    TopUpRules,
)
from arbstr_core.net import Guard, control_client
from arbstr_core.rails import Addresses, Rails, Rules
from arbstr_core.storage import Cipher, Signer
from arbstr_core.vault import BODY_DIGEST_KEY, History, Requests, Treasury, Vault


@dataclass(frozen=True, kw_only=True)
class Money:
    """The vault, who signs for it, and its ways in for what moves over rails; None where it is switched off."""

    vault: Vault | None = None
    signer: Signer | None = None
    treasury: Treasury | None = None
    requests: Requests | None = None
    history: History | None = None


@dataclass(frozen=True, kw_only=True)
class Moving:
    """What moves it, and what it works with."""

    rails: Rails
    requests: Requests
    treasury: Treasury
    history: History
    office: Office
    sender: Sender
    reconcile: Reconcile
    incoming: Incoming
    topup: TopUp
    public: httpx.AsyncClient
    """reaches public addresses alone: what agents name is asked with it"""
    cipher: Cipher
    teller: Teller
    l402: L402
    bills: Bills
    singles: Singles


def treasury_of(
    settings: Settings,
    money: Money,
    rails: Rails,
    providers: Sequence[Provider],
    cipher: Cipher,
    clock: Clock,
    ids: Callable[[str], str],
    *,
    serving: bool,
) -> Moving | None:
    """The treasury of this process, and what asks it; None where the vault is switched off."""
    vault, treasury, requests, history = money.vault, money.treasury, money.requests, money.history
    if vault is None or treasury is None or requests is None or history is None:
        return None
    office = Office(vault, treasury, clock, alone=not vault.shared)
    reconcile = Reconcile(
        vault,
        treasury,
        requests,
        rails,
        office,
        clock,
        working_ppm=settings.vault.working_capital.ppm,
        every_seconds=settings.vault.check_seconds,
    )
    sender = Sender(vault, treasury, requests, rails, office, cipher, clock)
    incoming = Incoming(rails, requests, treasury, history, office, cipher, clock)
    steps = Bringing(
        *(treasury, requests, rails, office, cipher, clock),
        ids=ids,
        working_ppm=settings.vault.working_capital.ppm,
    )
    back = Sweeping(vault, treasury, requests, rails, cipher, ids=ids)
    topup = _topup(settings, providers, vault, treasury, office, clock, steps, back)
    sender.tell(topup.ended)
    teller = Teller(rails, requests, cipher, clock, ids=ids, serving=serving, elsewhere=treasury)
    l402 = L402(cipher.derived(L402.PURPOSE))
    bills = Bills(teller, requests, rails, vault, l402, clock)
    return Moving(
        rails=rails,
        requests=requests,
        treasury=treasury,
        history=history,
        office=office,
        sender=sender,
        reconcile=reconcile,
        incoming=incoming,
        topup=topup,
        public=control_client(Guard(frozenset())),
        cipher=cipher,
        teller=teller,
        l402=l402,
        bills=bills,
        singles=Singles(rails, requests, treasury, teller, bills, cipher, clock, alone=not vault.shared),
    )


def _topup(
    settings: Settings,
    providers: Sequence[Provider],
    vault: Vault,
    treasury: Treasury,
    office: Office,
    clock: Clock,
    bringing: Bringing,
    sweeping: Sweeping,
) -> TopUp:
    prepaid = [provider for provider in providers if isinstance(provider, Prepaid)]
    rules = TopUpRules(check_seconds=min(settings.vault.check_seconds, TopUpRules().check_seconds))
    return TopUp(prepaid, vault, treasury, office, clock, bringing=bringing, sweeping=sweeping, rules=rules)


def deposit_flow(moving: Moving, keys: Keys) -> DepositFlow:
    """What the doors ask of money that comes in."""
    return DepositFlow(moving.teller, moving.rails, moving.requests, moving.treasury, moving.history, keys)


def payout_flow(
    settings: Settings, vault: Vault | None, moving: Moving | None, clock: Clock, ids: Callable[[str], str]
) -> PayoutFlow:
    """What the doors ask of money that goes out."""
    if vault is None or moving is None:
        return PayoutFlow(None)
    return PayoutFlow(
        PayoutRooms(
            vault=vault,
            treasury=moving.treasury,
            requests=moving.requests,
            history=moving.history,
            preparing=_preparing(settings, moving, clock),
            cipher=moving.cipher,
            clock=clock,
            ids=ids,
            body_key=moving.cipher.derived(BODY_DIGEST_KEY),
        )
    )


def seller_flow(settings: Settings, moving: Moving | None, clock: Clock, ids: Callable[[str], str]) -> SellerFlow:
    """What the doors ask of sellers, and what pays them."""
    if moving is None:
        return SellerFlow(None)
    return SellerFlow(
        SellerRooms(
            treasury=moving.treasury,
            requests=moving.requests,
            preparing=_preparing(settings, moving, clock),
            rails=moving.rails,
            office=moving.office,
            cipher=moving.cipher,
            clock=clock,
            ids=ids,
        )
    )


def _preparing(settings: Settings, moving: Moving, clock: Clock) -> Preparing:
    rules = Rules(ecash_below_msat=settings.payouts.ecash_below.msat)
    return Preparing(moving.rails, moving.requests, Addresses(moving.public), clock, rules)
