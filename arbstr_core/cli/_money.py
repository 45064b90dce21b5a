"""What moves money over rails in a house: put together from the vault and the rails."""

from __future__ import annotations

from dataclasses import dataclass

from arbstr_core.api import Clock
from arbstr_core.config import Settings
from arbstr_core.flow import Office, Reconcile, Sender
from arbstr_core.rails import Rails
from arbstr_core.storage import Cipher, Signer
from arbstr_core.vault import Requests, Treasury, Vault


@dataclass(frozen=True, kw_only=True)
class Money:
    """The vault, who signs for it, and its ways in for what moves over rails; None where it is switched off."""

    vault: Vault | None = None
    signer: Signer | None = None
    treasury: Treasury | None = None
    requests: Requests | None = None


@dataclass(frozen=True, kw_only=True)
class Moving:
    """What moves it."""

    office: Office
    sender: Sender
    reconcile: Reconcile


def treasury_of(settings: Settings, money: Money, rails: Rails, cipher: Cipher, clock: Clock) -> Moving | None:
    """The treasury of this process; None where the vault is switched off."""
    if money.vault is None or money.treasury is None or money.requests is None:
        return None
    office = Office(money.vault, money.treasury, clock, alone=not money.vault.shared)
    sender = Sender(money.vault, money.treasury, money.requests, rails, office, cipher, clock)
    reconcile = Reconcile(
        money.vault,
        money.treasury,
        money.requests,
        rails,
        office,
        clock,
        working_ppm=settings.vault.working_capital.ppm,
        every_seconds=settings.vault.check_seconds,
    )
    return Moving(office=office, sender=sender, reconcile=reconcile)
