"""Owns what every wallet rail promises of payments: one key pays once, and nothing has failed without evidence."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from arbstr_core.api import BadRequest, Failed, InvoiceTarget, Msat, Paid, Payment, RailCapability, Unknown
from arbstr_core.testing._other_side import AMOUNT, Ending, RailScenes, Scene, WalletWorld, payments_since
from arbstr_core.testing._store import MemoryStore

_UNSURE = (Ending.UNKNOWN_THEN_PAID, Ending.UNKNOWN_THEN_FAILED, Ending.REPLY_LOST)


class PaymentTests(RailScenes):
    """Part of `WalletSuite`."""

    def test_decode_reads_what_it_pays_and_refuses_the_rest(self, world: WalletWorld) -> None:
        """A target has the amount, a reference and the rail's network; nonsense is BadRequest."""

        async def scenario(scene: Scene) -> None:
            rail = scene.rail
            if RailCapability.BOLT11 in rail.capabilities:
                target = await scene.target()
                assert isinstance(target, InvoiceTarget), f"an invoice was decoded as {target!r}"
                assert target.amount_msat == AMOUNT, f"the target says {target.amount_msat} msat instead of {AMOUNT}"
                assert target.network is rail.network, f"on {target.network}, decoded by a rail on {rail.network}"
                assert target.reference, "the target has no reference"
                with pytest.raises(BadRequest):
                    await rail.decode(target.text[:-1])
            for text in ("", "no-such-thing", "lnbc1" + "q" * 40):
                with pytest.raises(BadRequest):
                    await rail.decode(text)

        self._run(world, scenario)

    def test_another_amount_is_refused(self, world: WalletWorld) -> None:
        """Neither `quote` nor `pay` takes an amount that is not the target's, and nothing leaves."""

        async def scenario(scene: Scene) -> None:
            target, before = await scene.target(), await scene.held()
            for amount in (Msat(AMOUNT - 1000), Msat(AMOUNT + 1000), Msat(0), Msat(-AMOUNT)):
                with pytest.raises(BadRequest):
                    await scene.rail.quote(target, amount)
                with pytest.raises(BadRequest):
                    await scene.rail.pay(target, amount, fee_limit=AMOUNT, key="pay-other")
            assert await scene.held() == before, "money left for an amount that was refused"

        self._run(world, scenario)

    def test_a_payment_costs_its_amount_and_fee(self, world: WalletWorld) -> None:
        """The quoted limit bounds the fee; the balance falls by exactly amount and fee; the amount arrives."""

        async def scenario(scene: Scene) -> None:
            target, before = await scene.target(), await scene.held()
            quote = await scene.rail.quote(target, AMOUNT)
            assert quote.amount_msat == AMOUNT, f"quoted {quote.amount_msat} msat for {AMOUNT}"
            assert 0 <= quote.expected_fee_msat <= quote.fee_limit_msat, f"expects more than the limit: {quote!r}"
            payment = await scene.pay(target, "pay-1", fee_limit=quote.fee_limit_msat)
            assert isinstance(payment, Paid), f"the payment should succeed: {payment!r}"
            assert payment.evidence.strip(), "paid, and no evidence of it"
            assert 0 <= payment.fee_msat <= quote.fee_limit_msat, (
                f"the fee is {payment.fee_msat} msat, and its limit {quote.fee_limit_msat}"
            )
            spent = before - await scene.held()
            assert spent == AMOUNT + payment.fee_msat, f"{spent} msat left for {AMOUNT} and a fee of {payment.fee_msat}"
            if isinstance(target, InvoiceTarget):
                assert await scene.other.arrived(target) == AMOUNT, "another amount arrived"
                if payment.proof:
                    found = hashlib.sha256(bytes.fromhex(payment.proof)).hexdigest()
                    assert found == target.reference, "the proof is not the preimage of the payment hash"

        self._run(world, scenario)

    def test_no_fee_allowed_is_no_fee_paid(self, world: WalletWorld) -> None:
        """A fee limit of 0 is kept by a rail with `fee_limit`: paid without a fee, or failed and nothing gone."""

        async def scenario(scene: Scene) -> None:
            if RailCapability.FEE_LIMIT not in scene.rail.capabilities:
                return
            target, before = await scene.target(), await scene.held()
            payment = await scene.pay(target, "pay-1", fee_limit=Msat(0))
            gone = before - await scene.held()
            expected = AMOUNT if isinstance(payment, Paid) else 0
            assert gone == expected, f"{payment!r} with a fee limit of 0, and {gone} msat are gone"

        self._run(world, scenario)

    def test_one_key_pays_once(self, world: WalletWorld) -> None:
        """The same key again, after or at once, is the same payment."""

        async def scenario(scene: Scene) -> None:
            target, before = await scene.target(), await scene.held()
            limit = await scene.limit(target)
            both = await asyncio.gather(
                *(scene.rail.pay(target, AMOUNT, fee_limit=limit, key="pay-1") for _ in range(2))
            )
            again = await scene.pay(target, "pay-1", fee_limit=limit)
            assert not any(isinstance(each, Failed) for each in both), f"asked twice at once: {both!r}"
            assert isinstance(again, Paid), f"paid, and asked again: {again!r}"
            spent = before - await scene.held()
            assert spent == AMOUNT + again.fee_msat, f"one key, and {spent} msat left instead of {AMOUNT} and the fee"
            await _arrived_once(scene, target, again)

        self._run(world, scenario)

    def test_a_restart_remembers(self, world: WalletWorld) -> None:
        """A new object on the same store knows the payment: `lookup` finds it, and `pay` does not repeat it."""

        async def main() -> None:
            async with world.other(Ending.PAID) as other:
                store = MemoryStore()
                async with self._living(world, other, store) as scene:
                    target = await scene.target()
                    limit = await scene.limit(target)
                    first = await scene.pay(target, "pay-1", fee_limit=limit)
                    after = await scene.held()
                async with self._living(world, other, store) as scene:
                    assert await scene.end(target, "pay-1", limit) == first, "after a restart lookup says another thing"
                    again = await scene.pay(target, "pay-1", fee_limit=limit)
                    assert again == first, "after a restart pay says something else"
                    assert await scene.held() == after, "after a restart the same key moved money again"
                    await _arrived_once(scene, target, again)

        asyncio.run(main())

    def test_a_payment_never_asked_for_is_not_paid(self, world: WalletWorld) -> None:
        """`lookup` of an unknown key is Failed or Unknown; once it said Failed, that key never pays."""

        async def scenario(scene: Scene) -> None:
            target, before = await scene.target(), await scene.held()
            limit = await scene.limit(target)
            found = await scene.look(target, "never-asked", limit)
            assert isinstance(found, Failed | Unknown), f"lookup of a key never used says {found!r}"
            if isinstance(found, Failed):
                late = await scene.pay(target, "never-asked", fee_limit=limit)
                assert isinstance(late, Failed), f"lookup said failed for good, and then pay said {late!r}"
                assert await scene.held() == before, "lookup said failed for good, and then money left"

        self._run(world, scenario)

    def test_failed_moves_nothing_and_stays(self, world: WalletWorld) -> None:
        """A failed payment leaves the balance alone, and neither `lookup` nor the same key changes that."""

        async def scenario(scene: Scene) -> None:
            target, before = await scene.target(), await scene.held()
            limit = await scene.limit(target)
            failed = await scene.pay(target, "pay-1", fee_limit=limit)
            assert isinstance(failed, Failed), f"the payment should fail: {failed!r}"
            assert failed.reason.strip(), "failed without a reason"
            assert failed.evidence.strip(), "failed without evidence"
            assert isinstance(await scene.look(target, "pay-1", limit), Failed), "failed, and lookup says otherwise"
            assert isinstance(await scene.pay(target, "pay-1", fee_limit=limit), Failed), (
                "failed, and the key paid later"
            )
            assert await scene.held() == before, "the payment failed, and money is gone"
            if isinstance(target, InvoiceTarget):
                assert await scene.other.arrived(target) == 0, "the payment failed, and money arrived"

        self._run(world, scenario, Ending.FAILED)

    def test_unknown_ends_by_lookup(self, world: WalletWorld) -> None:
        """Unknown is not final: `lookup` ends it as Paid or Failed, which stays, and the balance agrees with it."""
        unsure = [each for each in world.endings if each in _UNSURE]
        assert unsure, f"a world has at least one ending of {[each.value for each in _UNSURE]}"
        for ending in unsure:
            self._run(world, _ENDS[ending], ending)

    def test_unknown_ends_after_a_restart(self, world: WalletWorld) -> None:
        """The same where the rail is made anew between the payment and the lookup."""

        async def main(ending: Ending) -> None:
            async with world.other(ending) as other:
                store = MemoryStore()
                async with self._living(world, other, store) as scene:
                    target, before = await scene.target(), await scene.held()
                    limit = await scene.limit(target)
                    await scene.rail.pay(target, AMOUNT, fee_limit=limit, key="pay-1")
                await other.resolve()
                async with self._living(world, other, store) as scene:
                    end = await scene.end(target, "pay-1", limit)
                    assert not isinstance(end, Unknown), "the payment is unknown for ever"
                    await _agrees(scene, target, end, before)

        for ending in world.endings:
            asyncio.run(main(ending))

    def test_what_left_is_on_record(self, world: WalletWorld) -> None:
        """`payments` shows what was paid, once each, with its key; it resumes after a cursor, and ends."""

        async def scenario(scene: Scene) -> None:
            targets = [await scene.target() for _ in range(2)] if _bolt11(scene) else [await scene.target()]
            start = await payments_since(scene.rail, "")
            since = start[-1].cursor if start else ""
            for at, target in enumerate(targets):
                payment = await scene.pay(target, f"pay-{at}")
                assert isinstance(payment, Paid), f"the payment should succeed: {payment!r}"
            found = await payments_since(scene.rail, since)
            assert [each.reference for each in found] == [each.reference for each in targets], f"on record: {found!r}"
            assert [each.key for each in found] == [f"pay-{at}" for at in range(len(targets))], f"on record: {found!r}"
            assert all(each.amount_msat == AMOUNT for each in found), f"other amounts than paid: {found!r}"
            assert all(isinstance(each.payment, Paid) for each in found), f"paid, and not on record as that: {found!r}"
            assert await payments_since(scene.rail, found[0].cursor) == found[1:], "after a cursor it is another story"

        self._run(world, scenario)

    def test_what_failed_is_not_on_record(self, world: WalletWorld) -> None:
        """A failed payment is not among what left."""

        async def scenario(scene: Scene) -> None:
            target = await scene.target()
            await scene.pay(target, "pay-1")
            found = [each for each in await payments_since(scene.rail, "") if each.reference == target.reference]
            assert found == [], f"failed, and on record as {found!r}"

        self._run(world, scenario, Ending.FAILED)


def _bolt11(scene: Scene) -> bool:
    return RailCapability.BOLT11 in scene.rail.capabilities


async def _unknown_ends(scene: Scene) -> None:
    target, before = await scene.target(), await scene.held()
    limit = await scene.limit(target)
    first = await scene.rail.pay(target, AMOUNT, fee_limit=limit, key="pay-1")
    assert isinstance(first, Unknown), f"the payment should be unknown first: {first!r}"
    again = await scene.rail.pay(target, AMOUNT, fee_limit=limit, key="pay-1")
    assert not isinstance(again, Failed) or isinstance(await scene.look(target, "pay-1"), Failed), "failed, then not"
    await scene.other.resolve()
    end = await scene.end(target, "pay-1", limit)
    assert not isinstance(end, Unknown), "looked up again and again, and the payment is still unknown"
    assert await scene.look(target, "pay-1", limit) == end, "the end of a payment changed"
    await _agrees(scene, target, end, before)


async def _comes_back(scene: Scene) -> None:
    target, before = await scene.target(), await scene.held()
    await scene.rail.pay(target, AMOUNT, fee_limit=await scene.limit(target), key="pay-0")
    between = await scene.rail.balance()
    assert between.most_msat == before, f"{before} msat may all come back, and the balance says {between!r}"
    await scene.other.resolve()
    await scene.end(target, "pay-0")
    await _unknown_ends(scene)


async def _reply_lost(scene: Scene) -> None:
    target, before = await scene.target(), await scene.held()
    limit = await scene.limit(target)
    first = await scene.rail.pay(target, AMOUNT, fee_limit=limit, key="pay-1")
    assert not isinstance(first, Failed), f"it was paid, and its reply lost: {first!r}"
    await scene.other.resolve()
    end = await scene.end(target, "pay-1", limit)
    assert isinstance(end, Paid), f"it was paid, and lookup says {end!r}"
    await _agrees(scene, target, end, before)


_ENDS = {
    Ending.UNKNOWN_THEN_PAID: _unknown_ends,
    Ending.UNKNOWN_THEN_FAILED: _comes_back,
    Ending.REPLY_LOST: _reply_lost,
}


async def _agrees(scene: Scene, target: object, end: Payment, before: int) -> None:
    """The balance and the other side say what the end of the payment says."""
    gone = before - await scene.held()
    expected = AMOUNT + end.fee_msat if isinstance(end, Paid) else 0
    assert gone == expected, f"the payment ended as {end!r}, and {gone} msat are gone instead of {expected}"
    await _arrived_once(scene, target, end)


async def _arrived_once(scene: Scene, target: object, end: Payment) -> None:
    if isinstance(target, InvoiceTarget):
        arrived, expected = await scene.other.arrived(target), AMOUNT if isinstance(end, Paid) else 0
        assert arrived == expected, f"the payment ended as {end!r}, and {arrived} msat arrived"
