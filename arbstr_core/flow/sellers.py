"""Sellers: what each has earned of calls is paid to him, from a threshold on, and at most every so often."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import msgspec

from arbstr_core.api import Clock
from arbstr_core.flow._keys import switched_on
from arbstr_core.flow._office import Office
from arbstr_core.flow._paging import whole_page
from arbstr_core.flow._payments import operators_document
from arbstr_core.flow._prepared import ECASH, Ask, Prepared, Preparing
from arbstr_core.flow._sealed import token_of
from arbstr_core.rails import Rails, read_address
from arbstr_core.storage import Cipher
from arbstr_core.types import ArbstrError, BadRequest, CallRefused, Conflict, NotFound
from arbstr_core.vault import (
    NewPayment,
    PaymentKind,
    PaymentRecord,
    PaymentState,
    Requests,
    SellerRecord,
    Treasury,
)

_log = logging.getLogger("arbstr.flow")

Json = dict[str, Any]

_SECONDS = 60.0
_STEP_MSAT = 1_000
"""Sellers are paid whole sats: every rail, and every wallet behind an address, takes those"""
_TRIES = 3
_NAME = re.compile(r"(?!\.)[^/]{1,100}\Z")
_ECASH = re.compile(r"ecash(?: of (?P<mint>\S+))?(?: for (?P<lock>0[23][0-9a-f]{64}))?\Z")


class SellerRooms(msgspec.Struct, frozen=True, kw_only=True):
    """What sellers need of the house."""

    treasury: Treasury
    requests: Requests
    preparing: Preparing
    rails: Rails
    office: Office
    cipher: Cipher
    clock: Clock
    ids: Callable[[str], str]


class SellerFlow:
    """See the module. `rooms` is None where the vault is switched off."""

    def __init__(self, rooms: SellerRooms | None) -> None:
        self._maybe_rooms = rooms

    @property
    def _rooms(self) -> SellerRooms:
        return switched_on(self._maybe_rooms)

    # What operators ask

    async def put(
        self,
        name: str,
        *,
        destination: str,
        realm: str | None,
        threshold_msat: int,
        every_seconds: int,
        enabled: bool,
        actor: str,
    ) -> Json:
        """Say how a seller is paid from now on. Raises BadRequest."""
        if not _NAME.match(name) or not name.isprintable() or name != name.strip():
            raise BadRequest(f"{name!r} is no seller's name: 1 to 100 printable characters, and no /", param="name")
        _readable(destination)
        where = realm or self._rooms.rails.default_realm()
        self._rooms.rails.of_realm(where)
        seller = SellerRecord(
            name=name,
            realm=where,
            destination=destination,
            threshold_msat=threshold_msat,
            every_seconds=every_seconds,
            enabled=enabled,
        )
        await self._rooms.treasury.set_seller(seller, actor=actor)
        return _document(await self._known(name, where))

    async def sellers(self) -> Json:
        """All of them, what each has earned and was not paid yet, and when he was paid last."""
        return whole_page(_document(each) for each in await self._rooms.treasury.sellers())

    async def pay(self, name: str, realm: str | None) -> Json:
        """Pay one now, whatever his threshold and schedule say. Raises Conflict where a payment to him is under way."""
        seller = await self._known(name, realm)
        if not seller.destination:
            raise Conflict(f"nobody has said how {name!r} is paid: `arbstr seller add` does")
        return operators_document(await self._pay(seller))

    async def token(self, payment_id: str) -> Json:
        """The token that a seller was paid with, for whoever hands it to him."""
        found = await self._rooms.requests.payment(payment_id)
        if found is None or found.kind is not PaymentKind.SELLER:
            raise NotFound(f"There is no payment {payment_id!r} to a seller; an agent's token is its own to see")
        token = token_of(self._rooms.cipher, found)
        if found.state is not PaymentState.SUCCEEDED or not token:
            raise Conflict(f"payment {payment_id} is {found.state}, and was not paid with a token")
        return {"payment": found.id, "owner": found.owner, "token": token}

    async def _known(self, name: str, realm: str | None) -> SellerRecord:
        found = [each for each in await self._rooms.treasury.sellers() if each.name == name]
        if realm is not None or len(found) > 1:
            where = realm or self._rooms.rails.default_realm()
            found = [each for each in found if each.realm == where]
        if not found:
            raise NotFound(f"There is no seller {name!r}; `arbstr seller list` shows them, `add` makes one")
        return found[0]

    # What happens by itself

    async def run(self) -> None:
        """Pay those who are to be paid, ever again."""
        while True:
            try:
                await self.round()
            except ArbstrError as broken:
                _log.warning("sellers are not paid now: %s", broken)
            await self._rooms.clock.sleep(_SECONDS)

    async def round(self) -> int:
        """Open the payments that are due, if this process is the one that moves money; how many."""
        if await self._rooms.office.turn() is None:
            return 0
        opened = 0
        for seller in await self._rooms.treasury.sellers():
            if not _is_due(seller, self._rooms.clock.now_ms()):
                continue
            try:
                await self._pay(seller)
                opened += 1
            except CallRefused as refused:
                _log.warning("seller %s cannot be paid now: %s", seller.name, refused)
        return opened

    async def _pay(self, seller: SellerRecord) -> PaymentRecord:
        """Open a payment of all that he has, less what paying it may take."""
        id = self._rooms.ids("pay_")
        made = await self._affordable(seller, id)
        new = NewPayment(
            id=id,
            kind=PaymentKind.SELLER,
            realm=seller.realm,
            owner=seller.name,
            amount_msat=made.target.amount_msat,
            fee_msat=made.fee_msat,
            destination=seller.destination,
            target=msgspec.json.encode(made.target),
            reference=made.target.reference,
            rails=made.rails,
        )
        await self._rooms.treasury.open_payment(new)
        found = await self._rooms.requests.payment(id)
        assert found is not None, f"payment {id} was written a moment ago"
        return found

    async def _affordable(self, seller: SellerRecord, reference: str) -> Prepared:
        amount = seller.balance_msat
        for _ in range(_TRIES):
            amount -= amount % _STEP_MSAT
            if amount <= 0:
                break
            ask = msgspec.structs.replace(_readable(seller.destination), amount_msat=amount)
            made = await self._rooms.preparing.prepare(
                ask, realm=seller.realm, payer=f"seller:{seller.name}", reference=reference
            )
            if made.own is not None:
                raise BadRequest(f"{seller.destination} leads to an account here: fund that one instead", param="to")
            if amount + made.fee_msat <= seller.balance_msat:
                return made
            amount = seller.balance_msat - made.fee_msat
        raise Conflict(f"the {seller.balance_msat} msat of {seller.name} do not cover what paying them may take")


def _is_due(seller: SellerRecord, now_ms: int) -> bool:
    if not seller.enabled or seller.balance_msat < seller.threshold_msat:
        return False
    return seller.last_ms is None or now_ms >= seller.last_ms + seller.every_seconds * 1000


def _readable(destination: str) -> Ask:
    """Where a seller is paid, again and again. Raises BadRequest."""
    found = _ECASH.match(destination)
    if found is not None:
        return Ask(to=ECASH, mint=found["mint"] or "", lock=found["lock"] or "")
    if read_address(destination) is None:
        raise BadRequest(
            "A seller is paid again and again: give a Lightning address, an LNURL, or `ecash`, as `ecash of MINT` or "
            "`ecash for PUBLIC_KEY`",
            param="destination",
        )
    return Ask(to=destination)


def _document(seller: SellerRecord) -> Json:
    return msgspec.structs.asdict(seller)
