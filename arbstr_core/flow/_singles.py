"""Calls without an account: each comes with the ecash that pays for it, and gets its change back.

The token is read, the call planned, and only if the token suffices is it redeemed, into an account of its own that ends
with the call. Its key is the SHA-256 of the token: whoever has the token can ask for what became of it, also when no
answer arrived. What is left is made a token by the sender, as any other payment; what a crash leaves is found later.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from arbstr_core.api import Clock, Msat, PaidByToken, RailCapability, RailQuote, TokenFacts, TokenTarget, WalletRail
from arbstr_core.flow._bills import Bills
from arbstr_core.flow._remedies import Outcome, Quotes, Remedies
from arbstr_core.flow._sealed import token_of
from arbstr_core.flow._teller import APPRAISE_SECONDS, Teller
from arbstr_core.rails import Rails, answered, appraise
from arbstr_core.storage import Cipher
from arbstr_core.types import (
    ArbstrError,
    Caller,
    Conflict,
    InsufficientFunds,
    NotFound,
    RailUnavailable,
    format_amount,
)
from arbstr_core.vault import (
    Granted,
    NewPayment,
    PaymentKind,
    PaymentRecord,
    PaymentState,
    RefusalReason,
    Refused,
    Requests,
    RequestState,
    Treasury,
    single_agent,
)

_log = logging.getLogger("arbstr.flow")

Json = dict[str, Any]

CHANGE = "/v1/change/"
_REQUEST, _PAYMENT = "one_", "chg_"
_SHORT = 40
"""of a key, in the ids of what belongs to it: 160 bits"""
_QUOTE_SECONDS = 10.0
_CHANGE_SECONDS = 5.0
"""how long an answer waits for its change; then it says where that is to be had"""
_LOOK_SECONDS = (0.005, 0.1)
_SAT = 1000
_IDLE_SECONDS = 60.0
"""nobody is at work any more on what pays a call, after so long without a hold"""
_SWEEP_SECONDS = 15.0
_DUST_MS = 90 * 86_400_000
_DUST_SECONDS = 3600.0
_MOST_TRIES = 100
"""how often change is made again that its rail did not make"""


class Singles:
    """See the module. `alone` says that no other process serves calls: what began before this one did is over."""

    def __init__(
        self,
        rails: Rails,
        requests: Requests,
        treasury: Treasury,
        teller: Teller,
        bills: Bills,
        cipher: Cipher,
        clock: Clock,
        *,
        alone: bool = False,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self.requests = requests
        self.teller = teller
        self.bills = bills
        self.clock = clock
        self._rails = rails
        self._treasury = treasury
        self._cipher = cipher
        self._began_ms = clock.now_ms() if alone else 0
        self._idle_ms = int(idle_seconds * 1000)
        self._dust: set[str] = set()
        self._dusted = -_DUST_SECONDS
        self._over: list[str] = []
        self._woken = asyncio.Event()

    def single(self, paid: PaidByToken) -> Single:
        """What pays a call."""
        return Single(self, paid)

    async def read(self, token: str) -> tuple[WalletRail, TokenFacts]:
        """The rail that takes a token, whatever its realm, and what it is worth. Raises BadRequest, RailUnavailable."""
        able = [rail for rail in self._rails.all if RailCapability.ECASH in rail.capabilities]
        return await appraise(able, token, seconds=APPRAISE_SECONDS)

    # What is left

    async def claim(self, key: str) -> Json:
        """What became of the token with this SHA-256, and the change, for as long as it is asked for."""
        request = await self.requests.find(request_of(key))
        if request is None or request.subject != key:
            raise NotFound("No call was paid with that token: {digest} is the SHA-256 of its text, in hex")
        found = await self._change(key)
        token = "" if found is None else token_of(self._cipher, found)
        account = await self.requests.single(key)
        posted, held = account or (0, 0)
        if request.state is RequestState.REFUSED:
            state = "refused"
        elif request.state is not RequestState.PAID:
            state = "redeeming"
        elif held:
            state = "running"
        elif token:
            state = "ready"
        else:
            more = posted >= _SAT and key not in self._dust
            state = "waiting" if more or found is not None else "nothing"
        return {
            "state": state,
            "token": token or None,
            "amount_msat": found.amount_msat if token and found is not None else 0,
            "left_msat": posted,
            "paid_msat": request.amount_msat,
            "reason": request.reason,
        }

    async def change(self, key: str, *, seconds: float = _CHANGE_SECONDS) -> str:
        """The change of a call that has ended, once it is made; empty where there is none so soon."""
        end = self.clock.monotonic() + seconds
        wait, longest = _LOOK_SECONDS
        while True:
            found = await self._change(key)
            if found is not None and found.state is PaymentState.SUCCEEDED:
                return token_of(self._cipher, found)
            if found is None and not await self.open_change(key):
                return ""
            if self.clock.monotonic() >= end:
                return ""
            await self.clock.sleep(wait)
            wait = min(2 * wait, longest)

    async def open_change(self, key: str) -> bool:
        """Have change made of what is left, once; False where nothing is that could be."""
        if await self._change(key) is not None:
            return True
        try:
            new = await self._payment(key)
            if new is None:
                return False
            await self._treasury.open_payment(new)
        except (Conflict, RailUnavailable) as later:
            # It is held for the call yet, or under way: both end.
            _log.info("the change of %s waits: %s", key[:8], later)
            return True
        except InsufficientFunds:
            return False
        return True

    async def _payment(self, key: str) -> NewPayment | None:
        """The token to be made; None where all that is left is less than the smallest."""
        request, account = await self.requests.find(request_of(key)), await self.requests.single(key)
        if request is None or account is None:
            return None
        rail = self._rails.find(request.rail)
        if rail is None:
            raise RailUnavailable(f"there is no rail {request.rail} here any more")
        number = len(await self._changes(key))
        if number >= _MOST_TRIES:
            return None
        id = f"{_PAYMENT}{key[:_SHORT]}_{number}"
        found = await self._sized(rail, account[0], id, request.memo)
        if found is None:
            self._dust.add(key)
            return None
        target, fee = found
        return NewPayment(
            id=id,
            kind=PaymentKind.CHANGE,
            realm=request.realm,
            amount_msat=target.amount_msat,
            fee_msat=fee,
            destination="change",
            target=msgspec.json.encode(target),
            reference=id,
            rails=(rail.name,),
            owner=key,
        )

    async def _sized(self, rail: WalletRail, left: int, id: str, mint: str) -> tuple[TokenTarget, int] | None:
        """The largest token of whole sats that what is left pays for, and the most that making it takes."""
        amount = left - left % _SAT
        smallest = (await rail.limits()).tokens.smallest_msat
        while amount >= max(_SAT, smallest):
            target = TokenTarget(reference=id, amount_msat=Msat(amount), network=rail.network, mint=mint)
            quote = await answered(rail.quote(target, Msat(amount)), seconds=_QUOTE_SECONDS)
            if not isinstance(quote, RailQuote):
                raise RailUnavailable(f"{rail.name} makes no change now: {quote.what}")
            over = amount + quote.fee_limit_msat - left
            if over <= 0:
                return target, quote.fee_limit_msat
            amount -= -(-over // _SAT) * _SAT
        return None

    async def _changes(self, key: str) -> Sequence[PaymentRecord]:
        return await self.requests.payments(owner=key, kind=PaymentKind.CHANGE)

    async def _change(self, key: str) -> PaymentRecord | None:
        """The change that is made, or being made."""
        gone = (PaymentState.FAILED, PaymentState.CANCELLED, PaymentState.REJECTED)
        return next((each for each in await self._changes(key) if each.state not in gone), None)

    def ended(self, key: str) -> None:
        """A call has ended: have its change made, whoever waits for it."""
        self._over.append(key)
        self._woken.set()

    async def run(self) -> None:
        """Make change of calls as they end, and of what was left without, for ever."""
        while True:
            try:
                await self.sweep()
            except ArbstrError as broken:
                _log.error("what is left of single calls is not looked after now: %s", broken)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await self._woken.wait()

    async def sweep(self) -> None:
        """Once."""
        self._woken.clear()
        while self._over:
            await self.open_change(self._over.pop())
        idle, after = max(self.clock.now_ms() - self._idle_ms, self._began_ms), ""
        # All of them: what is too little for change stays among them for as long as it is there.
        while found := await self._treasury.singles_to_end(idle, after=after, least_msat=_SAT):
            for key, _, _ in found:
                if key not in self._dust:
                    await self.open_change(key)
            after = found[-1][0]
        if self.clock.monotonic() >= self._dusted + _DUST_SECONDS:
            self._dusted = self.clock.monotonic()
            await self._treasury.keep_dust(_DUST_MS)


class Single:
    """What pays one call."""

    def __init__(self, singles: Singles, paid: PaidByToken) -> None:
        self._singles = singles
        self._token = paid.token.reveal()
        self._paid = False
        self._read: tuple[WalletRail, TokenFacts] | None = None
        self.header = paid.header
        self.key = key_of(paid)
        self.caller = Caller(agent=single_agent(self.key), name="X-Cashu")

    async def read(self) -> Caller:
        """Who pays: nobody known, with money of this realm. Raises BadRequest where the token is no good, Conflict
        where it was used."""
        if self._read is None:
            if await self._singles.requests.find(request_of(self.key)) is not None:
                raise self._used()
            self._read = await self._singles.read(self._token)
            self.caller = msgspec.structs.replace(self.caller, realm=self._read[0].network.value)
        return self.caller

    async def fits(self, quotes: Quotes) -> Outcome:
        """Whether the token suffices, as the vault would say it."""
        assert self._read is not None, "a token is read before it is held against a price"
        left = self._read[1].amount_msat
        needed = quotes[0].ceiling_msat
        if needed <= left:
            return Granted(id="", amount_msat=needed, candidates=1)
        return Refused(reason=RefusalReason.INSUFFICIENT, needed_msat=needed, left_msat=left, agent=self.caller.agent)

    async def pay(self, quotes: Quotes, remedies: Remedies) -> None:
        """Redeem the token, once it is known that it suffices. Raises InsufficientFunds with the token untouched."""
        if self._paid:
            return
        found = await self.fits(quotes)
        if isinstance(found, Refused):
            _, found = await remedies.hold(quotes, found)
        if isinstance(found, Refused):
            raise await self._too_little(found)
        await self._redeem()
        self._paid = True

    async def _redeem(self) -> None:
        assert self._read is not None, "a token is read before it is redeemed"
        try:
            redeemed = await self._singles.teller.redeem_for_call(
                *self._read, self._token, request_of(self.key), self.key
            )
        except Conflict:
            raise self._used() from None
        if redeemed.state is not RequestState.PAID:
            raise RailUnavailable(
                f"The token is being redeemed, which takes long; what becomes of it is said at GET {CHANGE}{self.key}"
            )

    async def _too_little(self, found: Refused) -> InsufficientFunds:
        needed, has = format_amount(found.needed_msat), format_amount(found.left_msat)
        return InsufficientFunds(
            f"The call may cost up to {needed}, and the token in X-Cashu is worth {has}: it was not redeemed. Send one "
            "that is worth more, or a smaller max_tokens; what the call does not use comes back as change",
            needed_msat=found.needed_msat,
            available_msat=found.left_msat,
            ecash=await self._singles.bills.ecash(self.caller.realm, found.needed_msat),
        )

    def _used(self) -> Conflict:
        return Conflict(
            f"The token in X-Cashu was handed in before, and pays for one call: its change is at GET {CHANGE}{self.key}"
        )

    async def change(self) -> str:
        """The change, once the call has ended; empty where there is none so soon, or none at all."""
        return await self._singles.change(self.key) if self._paid else ""

    def ended(self) -> None:
        """The call has ended, whatever became of it."""
        if self._paid:
            self._singles.ended(self.key)


def key_of(paid: PaidByToken) -> str:
    """What the call is known by that a token pays for."""
    return hashlib.sha256(paid.token.reveal().encode()).hexdigest()


def change_of(paid: PaidByToken) -> str:
    """Where the change of a call is to be had."""
    return f"{CHANGE}{key_of(paid)}"


def request_of(key: str) -> str:
    """The id of the request that hands the token of a single call in."""
    return f"{_REQUEST}{key[:_SHORT]}"
