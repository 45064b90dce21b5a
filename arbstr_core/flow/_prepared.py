"""What an agent wants to pay, made ready: where to, how much, over which rails and for what fee at most.

It reads and asks; it holds nothing and sends nothing. So what is wrong with a destination is said before money is held.
"""

from __future__ import annotations

import re

import msgspec

from arbstr_core.api import (
    Clock,
    InvoiceTarget,
    Msat,
    Network,
    PaymentTarget,
    RailCapability,
    RailQuote,
    TokenTarget,
    WalletRail,
)
from arbstr_core.rails import AUTO, Addresses, Rails, Raised, Rules, answered, choose, read_address, read_invoice
from arbstr_core.types import MAX_MSAT, BadRequest, CallRefused, Conflict, RailUnavailable, format_amount
from arbstr_core.vault import Purpose, RequestRecord, Requests, RequestState

ECASH = "ecash"
"""What is written in the place of a destination by who wants a token"""
_QUOTE_SECONDS = 20.0
_LEAST_RESERVE = 2_000
_SCHEME = re.compile(r"lightning:", re.IGNORECASE)
_PUBLIC_KEY = re.compile(r"0[23][0-9a-f]{64}\Z")
_DAY_MS = 86_400_000


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be paid. `to` is an invoice, a Lightning address, an LNURL, or `ecash`; an invoice says the amount
    itself. A token of `mint` may be locked to a public key; then it can be taken back after `refund_days`."""

    to: str
    amount_msat: int | None = None
    rail: str = AUTO
    mint: str = ""
    lock: str = ""
    refund_days: int = 30

    @property
    def written(self) -> str:
        """The destination as it is kept: the same for the same ask."""
        if not self.ecash:
            return _SCHEME.sub("", self.to.strip(), count=1)
        return ECASH + (f" of {self.mint}" if self.mint else "") + (f" for {self.lock}" if self.lock else "")

    @property
    def ecash(self) -> bool:
        """True where a token is wanted."""
        return self.to.strip().lower() == ECASH


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that could be made: `quotes` by rail, the first one first; `fee_msat` is held for its fee, and is the
    most that it may be. `own` is the request whose invoice it is, where that is one of ours."""

    target: PaymentTarget
    kind: str
    quotes: tuple[tuple[str, RailQuote], ...]
    fee_msat: int
    own: RequestRecord | None = None

    @property
    def rails(self) -> tuple[str, ...]:
        """Those that may pay it, by name."""
        return tuple(name for name, _ in self.quotes)


class Preparing:
    """See the module."""

    def __init__(self, rails: Rails, requests: Requests, addresses: Addresses, clock: Clock, rules: Rules) -> None:
        self._rails = rails
        self._requests = requests
        self._addresses = addresses
        self._clock = clock
        self._rules = rules

    async def prepare(self, ask: Ask, *, realm: str, payer: str, reference: str) -> Prepared:
        """What `payer`, a root agent or a seller, could pay. `reference` names a token, where one is asked for. Raises
        BadRequest with what is wrong and what to do, Conflict, or RailUnavailable."""
        rails = self._rails.within(realm)
        if not rails:
            raise BadRequest(f"No rail here moves money of realm {realm!r}: ask the operator to enable one", param="to")
        target, kind = await self._target(ask, realm, reference)
        own = await self._own(target, realm, payer)
        if own is not None:
            free = RailQuote(amount_msat=target.amount_msat, fee_limit_msat=Msat(0))
            return Prepared(target=target, kind=kind, quotes=((own.rail, free),), fee_msat=0, own=own)
        quotes = await self._quotes(choose(rails, target, ask.rail, self._rules), target)
        fee = max(quote.fee_limit_msat for _, quote in quotes)
        if target.amount_msat + fee > MAX_MSAT:
            raise BadRequest("With its fee that is more bitcoin than there will ever be: ask for less", param="to")
        return Prepared(target=target, kind=kind, quotes=quotes, fee_msat=fee)

    # Where to

    async def _target(self, ask: Ask, realm: str, reference: str) -> tuple[PaymentTarget, str]:
        if ask.ecash:
            return await self._token(ask, realm, reference), ECASH
        if ask.mint or ask.lock:
            raise BadRequest(f'mint and lock are for tokens: write to = "{ECASH}", or leave them out', param="to")
        payers = self._rails.within(realm, RailCapability.BOLT11)
        address = read_address(ask.to)
        if address is None:
            target = await read_invoice(payers, ask.to, self._clock.now_ms())
            if ask.amount_msat not in (None, target.amount_msat):
                asked = format_amount(ask.amount_msat or 0)
                raise BadRequest(
                    f"The invoice is for {format_amount(target.amount_msat)}, not {asked}: leave the amount out, or "
                    "ask for another invoice",
                    param="amount_msat",
                )
            return target, "invoice"
        amount = _amount(ask)
        fetched = await self._addresses.invoice(address, amount)
        target = await read_invoice(payers, fetched.text, self._clock.now_ms())
        if target.amount_msat != amount:
            raise BadRequest(
                f"{address.text} asks for {target.amount_msat} msat instead of {amount}: it is not to be trusted",
                param="to",
            )
        if target.description_hash != fetched.metadata_hash:
            raise BadRequest(
                f"{address.text} gave an invoice that is not bound to it (LUD-06): it is not to be trusted", param="to"
            )
        return target, address.kind.value

    async def _token(self, ask: Ask, realm: str, reference: str) -> TokenTarget:
        if ask.lock and not _PUBLIC_KEY.match(ask.lock):
            raise BadRequest("lock is a compressed public key: 02 or 03 and 64 more hex digits", param="lock")
        if ask.mint:
            known = [mint for rail in self._rails.within(realm) for mint in (await rail.limits()).mints]
            if ask.mint not in known:
                raise BadRequest(
                    f"No tokens are issued at {ask.mint}; mints: {', '.join(known) or 'none'}", param="mint"
                )
        return TokenTarget(
            reference=reference,
            amount_msat=Msat(_amount(ask)),
            network=Network(realm),
            mint=ask.mint,
            lock=ask.lock,
            refund_ms=self._clock.now_ms() + ask.refund_days * _DAY_MS if ask.lock else 0,
        )

    # Our own invoices

    async def _own(self, target: PaymentTarget, realm: str, payer: str) -> RequestRecord | None:
        """The request whose invoice it is. Raises what is in the way of paying it from within."""
        if not isinstance(target, InvoiceTarget):
            return None
        own = await self._requests.by_reference(target.reference)
        if own is None or own.realm != realm:
            return None
        if own.agent == payer:
            raise BadRequest("The invoice is this account's own: paying it would move nothing", param="to")
        if own.state is RequestState.PAID:
            raise Conflict("The invoice is paid already: ask for a new one")
        if own.state is not RequestState.OPEN or own.text != target.text:
            raise BadRequest("The invoice is not one that can be paid any more: ask for a new one", param="to")
        rail = self._rails.find(own.rail)
        within = own.purpose in (Purpose.DEPOSIT, Purpose.CAPITAL)
        if not within or rail is None or RailCapability.CANCEL not in rail.capabilities:
            raise BadRequest(
                "The invoice was made here, and cannot be paid from here: pay it from another wallet", param="to"
            )
        return own

    # What it costs

    async def _quotes(self, rails: tuple[WalletRail, ...], target: PaymentTarget) -> tuple[tuple[str, RailQuote], ...]:
        quotes, refused = [], []
        for rail in rails:
            amount = Msat(target.amount_msat)
            said = await answered(rail.quote(target, amount), seconds=_QUOTE_SECONDS)
            if isinstance(said, Raised):
                refused.append(_refusal(rail, said))
            else:
                quotes.append((rail.name, _with_reserve(rail, said)))
        if not quotes:
            raise next((each for each in refused if isinstance(each, BadRequest)), refused[0])
        return tuple(quotes)


def _refusal(rail: WalletRail, said: Raised) -> CallRefused:
    if said.refused:
        return BadRequest(f"{rail.name} does not pay that: {said.what}", param="to")
    return RailUnavailable(f"{rail.name} cannot be asked now: {said.what}; try again, or name another rail")


def _with_reserve(rail: WalletRail, quote: RailQuote) -> RailQuote:
    """A rail that cannot be held to a fee may take more than it says: what the operator sets aside for that."""
    if RailCapability.FEE_LIMIT in rail.capabilities:
        return quote
    reserve = max(_LEAST_RESERVE, -(-quote.amount_msat // 100))
    return msgspec.structs.replace(quote, fee_limit_msat=Msat(quote.fee_limit_msat + reserve))


def _amount(ask: Ask) -> int:
    if ask.amount_msat is None:
        raise BadRequest("Say how much: amount_msat", param="amount_msat")
    return ask.amount_msat
