"""Brings money to nodes: asks a node how, opens the payment, and hands over what it came to.

The payment has the key by which the provider knows it. A payment that did not come to be, or has failed, is let go of
at the provider; one that was paid is gone on with until the node has said what it made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from arbstr_core.api import (
    Bolt11Request,
    Clock,
    Credited,
    EcashRequest,
    Msat,
    NodeFunds,
    PaymentTarget,
    Prepaid,
    RailCapability,
    RailQuote,
    TokenTarget,
    WalletRail,
)
from arbstr_core.flow._office import Office
from arbstr_core.flow._prepaid import account_of
from arbstr_core.flow._sealed import proof_of, token_of
from arbstr_core.rails import AUTO, Rails, Raised, Rules, answered, choose, read_invoice
from arbstr_core.storage import Cipher
from arbstr_core.types import CallRefused, FundingDenied
from arbstr_core.vault import (
    NewPayment,
    NewRequest,
    PaymentKind,
    PaymentRecord,
    PaymentState,
    Purpose,
    RequestKind,
    Requests,
    RequestState,
    Treasury,
)

_SAT = 1000
_ASK_SECONDS = 60.0
_LIGHTNING_FIRST = Rules(ecash_below_msat=Msat(0))


class Bringing:
    """See the module."""

    def __init__(
        self,
        treasury: Treasury,
        requests: Requests,
        rails: Rails,
        office: Office,
        cipher: Cipher,
        clock: Clock,
        *,
        ids: Callable[[str], str],
        working_ppm: int,
    ) -> None:
        self._treasury = treasury
        self._requests = requests
        self._rails = rails
        self._office = office
        self._cipher = cipher
        self._clock = clock
        self._ids = ids
        self._working_ppm = working_ppm

    async def begin(self, provider: Prepaid, funds: NodeFunds) -> str:
        """Open a payment for what is wanted; why not, where it cannot be."""
        realm = provider.network.value
        amount = Msat((funds.wanted_msat - funds.balance_msat) // _SAT * _SAT)
        if amount <= 0:
            return ""
        bolt11 = self._rails.within(realm, RailCapability.BOLT11)
        taken, mints = await self._mints(realm, amount)
        if funds.mints and not taken & {_plain(mint) for mint in funds.mints}:
            return (
                f"what it gives back is ecash of {', '.join(funds.mints)}, which no rail here takes: add that mint, or "
                "nothing would come back"
            )
        key = self._ids("top_")
        call = provider.funding(funds.node, amount, key=key, bolt11=bool(bolt11), mints=tuple(mints))
        asked = await answered(call, seconds=_ASK_SECONDS)
        if isinstance(asked, Raised):
            return f"it cannot be paid: {asked.what}"
        try:
            target, rails = await self._target(asked, amount, realm, key, bolt11, mints)
            quote = await answered(rails[0].quote(target, amount), seconds=_ASK_SECONDS)
            if isinstance(quote, Raised):
                raise _NotPaid(f"{rails[0].name} does not pay it: {quote.what}")
            await self._open(provider, funds.node, key, target, amount, rails, quote)
        except (CallRefused, _NotPaid) as refused:
            await self._let_go(provider, funds.node, key)
            return f"{amount} msat are not sent: {refused}"
        return ""

    async def _mints(self, realm: str, amount: int) -> tuple[set[str], dict[str, WalletRail]]:
        """Whose tokens can be redeemed; and where ecash for so much can be issued, and by which rail."""
        taken: set[str] = set()
        found: dict[str, WalletRail] = {}
        for rail in self._rails.within(realm, RailCapability.ECASH):
            balance = await answered(rail.balance(), seconds=_ASK_SECONDS)
            limits = await answered(rail.limits(), seconds=_ASK_SECONDS)
            if isinstance(balance, Raised) or isinstance(limits, Raised):
                continue
            taken |= {_plain(mint) for mint in limits.mints}
            for mint in limits.mints:
                if balance.places.get(mint, balance.spendable_msat) >= amount:
                    found.setdefault(mint, rail)
        return taken, found

    async def _target(
        self,
        asked: Bolt11Request | EcashRequest,
        amount: Msat,
        realm: str,
        key: str,
        bolt11: Sequence[WalletRail],
        mints: dict[str, WalletRail],
    ) -> tuple[PaymentTarget, tuple[WalletRail, ...]]:
        """Where it goes, and over which rails. Raises CallRefused, or _NotPaid, for what is not what was asked for."""
        if isinstance(asked, EcashRequest):
            mint = next((mint for mint in asked.mints if mint in mints), None)
            if mint is None or asked.amount_msat != amount:
                raise _NotPaid("the node wants another token than it was asked about")
            rail = mints[mint]
            return TokenTarget(reference=key, amount_msat=amount, network=rail.network, mint=mint), (rail,)
        target = await read_invoice(bolt11, asked.text, self._clock.now_ms())
        if target.amount_msat != amount:
            raise _NotPaid(f"the node's invoice is for {target.amount_msat} msat, not {amount}")
        if await self._requests.by_reference(target.reference) is not None:
            raise _NotPaid("the node's invoice is one of ours")
        return target, choose(bolt11, target, AUTO, _LIGHTNING_FIRST)

    async def _open(
        self,
        provider: Prepaid,
        node: str,
        key: str,
        target: PaymentTarget,
        amount: Msat,
        rails: Sequence[WalletRail],
        quote: RailQuote,
    ) -> None:
        new = NewPayment(
            id=key,
            kind=PaymentKind.TOPUP,
            realm=provider.network.value,
            amount_msat=amount,
            fee_msat=quote.fee_limit_msat,
            destination=account_of(provider.name, node),
            target=msgspec.json.encode(target),
            reference=target.reference,
            rails=tuple(rail.name for rail in rails),
            owner=account_of(provider.name, node),
        )
        await self._treasury.open_payment(new, working_ppm=self._working_ppm)

    async def _let_go(self, provider: Prepaid, node: str, key: str) -> str:
        done = await answered(provider.done(node, key=key), seconds=_ASK_SECONDS)
        return f"{key} could not be let go of: {done.what}" if isinstance(done, Raised) else ""

    # What was begun

    async def go_on(self, provider: Prepaid, node: str, key: str) -> str:
        """What is to be done about a payment, by its state; why it cannot be."""
        payment = await self._requests.payment(key)
        if payment is None or (payment.state.final and payment.state is not PaymentState.SUCCEEDED):
            return await self._let_go(provider, node, key)
        if payment.state is not PaymentState.SUCCEEDED:
            return ""
        if payment.handed is None:
            problem = await self._hand_over(provider, node, payment)
            if problem:
                return problem
        return await self._let_go(provider, node, key)

    async def _hand_over(self, provider: Prepaid, node: str, payment: PaymentRecord) -> str:
        proof = token_of(self._cipher, payment) or proof_of(self._cipher, payment)
        said = await answered(provider.funded(node, proof, key=payment.id), seconds=_ASK_SECONDS)
        turn = await self._office.sure()
        match said:
            case Credited(amount_msat=credited):
                await self._treasury.hand_over(turn, payment, credited=credited, said="the node has credited it")
                return ""
            case FundingDenied(evidence=evidence) if payment.token is None:
                await self._treasury.hand_over(turn, payment, credited=None, said=evidence)
                return ""
            case FundingDenied(evidence=evidence):
                return await self._taken_back(payment, evidence)
        return f"{payment.id} is not credited yet: {said.what if isinstance(said, Raised) else said!r}"

    async def _taken_back(self, payment: PaymentRecord, evidence: str) -> str:
        """The node does not take its token: it is ours again if nobody has redeemed it, and a claim if somebody has."""
        new = NewRequest(
            id=f"back_{payment.id}",
            kind=RequestKind.RECLAIM,
            purpose=Purpose.NODE,
            realm=payment.realm,
            rail=payment.rail,
            amount_msat=payment.amount_msat,
            subject=payment.id,
        )
        request = await self._requests.open(new)
        if request.state is RequestState.ASKED:
            return f"{payment.id} is denied ({evidence}), and its token is taken back"
        back = request.state is RequestState.PAID
        said = f"{evidence}; its token {'came back' if back else f'did not come back: {request.reason}'}"
        turn = await self._office.sure()
        await self._treasury.hand_over(turn, payment, credited=None, said=said, returned=back)
        return ""


class _NotPaid(Exception):
    """What a node asks for is not paid; why."""


def _plain(mint: str) -> str:
    """The same for the same mint, however it is written."""
    return mint.rstrip("/").lower()
