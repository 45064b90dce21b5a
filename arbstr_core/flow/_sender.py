"""The one sender: takes payments out of the vault's outbox, hands each to its rail, and finds out how it ends.

Of every kind: agents' payouts, sellers', money for nodes, change of single calls. Whoever opens a payment only wakes
the sender. What is not known to have ended is looked up for ever, ever less often; only evidence ends it, and the next
rail is asked only after the one before has failed with some.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial

import msgspec

from arbstr_core.api import Clock, Msat, PaymentRef, PaymentTarget, RailQuote, RailState, WalletRail
from arbstr_core.flow._office import Office
from arbstr_core.flow._sealed import paid_end
from arbstr_core.rails import Believed, Rails, answered, look, pay, status_of, take_back
from arbstr_core.storage import Cipher
from arbstr_core.types import Failed, Paid, StorageError, Unknown, VaultUnavailable
from arbstr_core.vault import (
    FailedEnd,
    LostTurn,
    Over,
    PaymentRecord,
    PaymentState,
    Requests,
    Sent,
    Treasury,
    Turn,
    Vault,
    Waits,
)

_log = logging.getLogger("arbstr.flow")

_TARGET: msgspec.json.Decoder[PaymentTarget] = msgspec.json.Decoder(PaymentTarget)
_DUE_AT_ONCE = 1_000
_WALKED = "walked"
_NOT_TRUSTED = frozenset({RailState.WRONG_NODE, RailState.ROLLED_BACK})


class SenderRules(msgspec.Struct, frozen=True, kw_only=True):
    """How long the sender waits, and for how many at a time."""

    at_once: int = 32
    """payments that rails are asked about at one time"""
    at_once_of_one: int = 8
    """and of one owner: who pays what nobody takes holds up himself alone"""
    pay_seconds: float = 60
    look_seconds: float = 30
    idle_seconds: float = 0.5
    """between two looks at least; longer where nobody else writes payments down"""
    stop_seconds: float = 5
    broken_seconds: float = 60
    """after arbstr itself has failed over a payment"""


def wait_ms(tries: int) -> int:
    """How long to wait after so many lookups that said nothing: from a second to five minutes."""
    return min(300_000, 1_000 << min(tries, 9))


def target_of(payment: PaymentRecord) -> PaymentTarget:
    """Where a payment goes."""
    return _TARGET.decode(payment.target)


class Sender:
    """See the module."""

    def __init__(
        self,
        vault: Vault,
        treasury: Treasury,
        requests: Requests,
        rails: Rails,
        office: Office,
        cipher: Cipher,
        clock: Clock,
        *,
        rules: SenderRules | None = None,
    ) -> None:
        self._vault = vault
        self._treasury = treasury
        self._requests = requests
        self._rails = rails
        self._office = office
        self._cipher = cipher
        self._clock = clock
        self._rules = rules or SenderRules()
        self._busy: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._broken: dict[str, float] = {}
        self._woken = asyncio.Event()
        self._restored_ms: int | None = None
        self._ended: list[Callable[[PaymentRecord], None]] = []
        vault.tell(lambda _: self.wake())
        treasury.tell(self.wake)

    def wake(self) -> None:
        """There is something to send."""
        self._woken.set()

    def tell(self, ended: Callable[[PaymentRecord], None]) -> None:
        """Call `ended` from now on with each payment whose end this process has written down."""
        self._ended.append(ended)

    async def run(self) -> None:
        """Send, ever again. Where it is told to stop, what rails are being asked may end for a moment yet."""
        try:
            while True:
                rest = self._rules.idle_seconds
                try:
                    await self.round()
                    rest = await self._office.rest_seconds(rest)
                except (StorageError, VaultUnavailable) as broken:
                    _log.warning("nothing is paid out now: %s", broken)
                await self._rest(rest)
        finally:
            await self._stop()

    async def round(self) -> int:
        """Begin with all that is due and not begun; how many it were."""
        self._woken.clear()
        turn = await self._office.turn()
        if turn is None:
            self._let_go()
            return 0
        begun = 0
        of_owner = Counter(owner for owner, _ in self._busy.values())
        # One that ends while this is read stands there as it was before its end.
        at_work = frozenset(self._busy)
        for payment in await self._treasury.due_payments(self._clock.now_ms(), _DUE_AT_ONCE):
            if len(self._busy) >= self._rules.at_once:
                break
            held_up = payment.id in at_work or self._clock.monotonic() < self._broken.get(payment.id, 0.0)
            if held_up or of_owner[payment.owner] >= self._rules.at_once_of_one:
                continue
            of_owner[payment.owner] += 1
            begun += 1
            task = asyncio.create_task(self._drive(turn, payment), name=f"payment {payment.id}")
            self._busy[payment.id] = (payment.owner, task)
            task.add_done_callback(partial(self._done, payment.id))
        return begun

    async def settled(self) -> None:
        """Wait until no rail is being asked; for tests and for the end."""
        while self._busy:
            await asyncio.wait([task for _, task in self._busy.values()])

    async def _rest(self, seconds: float) -> None:
        """Until there may be something to do."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    async def _stop(self) -> None:
        tasks = [task for _, task in self._busy.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._rules.stop_seconds)
            self._let_go()
            await asyncio.wait(tasks)

    def _let_go(self) -> None:
        """What is open at a rail is cancelled: whoever has the turn goes on with it under the same key."""
        for _, task in self._busy.values():
            task.cancel()

    def _done(self, payment_id: str, task: asyncio.Task[None]) -> None:
        del self._busy[payment_id]
        self._woken.set()
        failed = None if task.cancelled() else task.exception()
        if isinstance(failed, LostTurn):
            self._office.lost()
        elif isinstance(failed, StorageError | VaultUnavailable):
            _log.warning("payment %s is gone on with later: %s", payment_id, failed)
            self._broken[payment_id] = self._clock.monotonic() + self._rules.idle_seconds
        elif failed is not None:
            _log.critical("payment %s could not be gone on with", payment_id, exc_info=failed)
            self._broken[payment_id] = self._clock.monotonic() + self._rules.broken_seconds
        else:
            self._broken.pop(payment_id, None)

    # One payment

    async def _drive(self, turn: Turn, payment: PaymentRecord) -> None:
        """The next step of a payment, by its state."""
        rail = self._rails.find(payment.rail)
        if rail is None or rail.network.value != payment.realm:
            await self._without_rail(turn, payment)
        elif payment.state is PaymentState.RESERVED:
            await self._send(turn, payment, rail)
        elif await self._not_compared(payment):
            why = f"the ledger was restored from a backup, and {rail.name} has not been compared with it yet"
            await self._unknown(turn, payment, why)
        elif payment.own_request is not None:
            await self._conclude(turn, payment, await self._take_back(payment))
        elif payment.state is PaymentState.DISPATCHING and not await self._frozen(payment):
            # Whether it was sent is not known: its rail looks first, and sends only what cannot leave twice.
            await self._conclude(turn, payment, await self._pay(rail, payment))
        else:
            await self._conclude(turn, payment, await look(rail, _ref(payment), seconds=self._rules.look_seconds))

    async def _without_rail(self, turn: Turn, payment: PaymentRecord) -> None:
        why = f"the rail {payment.rail} is not in the configuration: put it back, and it is gone on with"
        if payment.state.sent:
            await self._unknown(turn, payment, why)
        else:
            await self._treasury.postpone(turn, payment, why, wait_ms=wait_ms(payment.tries))

    async def _send(self, turn: Turn, payment: PaymentRecord, rail: WalletRail) -> None:
        """Write down that it is handed to its rail now, and only then do it."""
        status = await status_of(rail)
        if status.state in _NOT_TRUSTED:
            await self._treasury.freeze_rail(turn, rail.name, f"{status.state}: {status.detail}")
        if status.state is not RailState.READY:
            why = f"{rail.name} is {status.state}: {status.detail}"
            await self._treasury.postpone(turn, payment, why, wait_ms=wait_ms(payment.tries))
            return
        match await self._treasury.dispatch(turn, payment, fee_limit_msat=payment.fee_limit_msat):
            case Waits(reason=why):
                await self._treasury.postpone(turn, payment, why, wait_ms=wait_ms(payment.tries))
            case Over(reason=why):
                _log.info("payment %s is over before it was sent: %s", payment.id, why)
                await self._is_over(payment.id)
            case Sent(payment=sent) if sent.own_request is not None:
                await self._conclude(turn, sent, await self._take_back(sent))
            case Sent(payment=sent):
                await self._conclude(turn, sent, await self._pay(rail, sent))

    async def _pay(self, rail: WalletRail, payment: PaymentRecord) -> Believed:
        return await pay(rail, _ref(payment), seconds=self._rules.pay_seconds)

    async def _take_back(self, payment: PaymentRecord) -> Believed:
        """The invoice is one of ours: once its rail has taken it back, nobody else pays it, and it is a transfer."""
        rail = self._rails.find(payment.rail)
        assert rail is not None, f"{payment.rail} was there a moment ago"
        return await take_back(rail, payment.reference, seconds=self._rules.look_seconds)

    async def _conclude(self, turn: Turn, payment: PaymentRecord, believed: Believed) -> None:
        """Write down what is known now."""
        match believed.payment:
            case Paid() as paid:
                end = paid_end(self._cipher, payment.id, paid, distrust=believed.distrust)
                payee = await self._payee(payment)
                await self._treasury.end(turn, payment, end, payee=payee)
            case Failed(reason=why, evidence=evidence):
                name, fee = await self._next_rail(payment)
                failed = FailedEnd(reason=why, evidence=evidence, next_rail=name, fee_msat=fee)
                _log.info("payment %s has failed on %s: %s", payment.id, payment.rail, why)
                await self._treasury.end(turn, payment, failed)
            case Unknown(reason=why):
                await self._unknown(turn, payment, why)
                return
        await self._is_over(payment.id)

    async def _unknown(self, turn: Turn, payment: PaymentRecord, why: str) -> None:
        wait = wait_ms(payment.tries)
        await self._treasury.postpone(turn, payment, why, wait_ms=wait, state=PaymentState.UNKNOWN)

    async def _payee(self, payment: PaymentRecord) -> str | None:
        if payment.own_request is None:
            return None
        request = await self._requests.find(payment.own_request)
        assert request is not None, f"payment {payment.id}: its invoice is not there"
        return request.agent

    async def _next_rail(self, payment: PaymentRecord) -> tuple[str | None, int]:
        """(rail, fee) of the next one that may pay it, within what is held for its fee; (None, 0) where none may."""
        at = payment.rails.index(payment.rail) if payment.rail in payment.rails else len(payment.rails)
        target = target_of(payment)
        for name in payment.rails[at + 1 :]:
            rail = self._rails.find(name)
            if rail is None or rail.network.value != payment.realm:
                continue
            amount = Msat(payment.amount_msat)
            quote = await answered(rail.quote(target, amount), seconds=self._rules.look_seconds)
            if isinstance(quote, RailQuote) and 0 <= quote.fee_limit_msat <= payment.fee_held_msat:
                return name, quote.fee_limit_msat
        return None, 0

    async def _frozen(self, payment: PaymentRecord) -> bool:
        """What is frozen is looked up, and not sent, even where it was about to be."""
        scopes = {f"realm:{payment.realm}", f"rail:{payment.rail}"}
        return any(each.scope in scopes for each in await self._treasury.frozen())

    async def _not_compared(self, payment: PaymentRecord) -> bool:
        """The ledger was restored, so the rail may know more of the payment than what is written down here."""
        if self._restored_ms is None:
            # No database is restored under a process that works on it.
            self._restored_ms = await self._vault.restored_ms() or 0
        if not self._restored_ms or (payment.sent_ms or 0) > self._restored_ms:
            return False
        return int(await self._treasury.place(payment.rail, _WALKED) or 0) < self._restored_ms

    async def _is_over(self, payment_id: str) -> None:
        found = await self._requests.payment(payment_id)
        if found is not None and found.state.final:
            for ended in self._ended:
                ended(found)


def _ref(payment: PaymentRecord) -> PaymentRef:
    return PaymentRef(
        key=payment.rail_key,
        target=target_of(payment),
        fee_limit_msat=Msat(payment.fee_limit_msat),
        sent_ms=payment.sent_ms or 0,
    )
