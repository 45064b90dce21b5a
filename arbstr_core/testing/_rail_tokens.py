"""Owns what a wallet rail with ecash promises: tokens are redeemed, issued and taken back once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from arbstr_core.api import BadRequest, Conflict, DepositKind, NotSupported, Paid, PaymentRef, RailCapability
from arbstr_core.testing._other_side import (
    AMOUNT,
    Ending,
    RailScenes,
    Scene,
    WalletWorld,
    a_token,
    next_deposits,
    payments_since,
)
from arbstr_core.testing._store import MemoryStore


class TokenTests(RailScenes):
    """Part of `WalletSuite`."""

    def test_a_rail_without_ecash_says_so(self, world: WalletWorld) -> None:
        """Without `ecash` every call with a token is NotSupported."""

        async def scenario(scene: Scene) -> None:
            if RailCapability.ECASH in scene.rail.capabilities:
                return
            target = await scene.target()
            ref = PaymentRef(key="pay-1", target=target, fee_limit_msat=AMOUNT)
            for call in (
                lambda: scene.rail.appraise("token"),
                lambda: scene.rail.receive("token", key="receive-1"),
                lambda: scene.rail.reclaim(ref, key="reclaim-1"),
                lambda: scene.rail.ecash_request(AMOUNT, "kit"),
            ):
                with pytest.raises(NotSupported):
                    await call()

        self._run(world, scenario)

    def test_a_token_is_redeemed_once(self, world: WalletWorld) -> None:
        """The same key is the same deposit, and another key is refused; the balance rises by what the deposit says."""

        async def scenario(scene: Scene) -> None:
            rail, before = scene.rail, await scene.held()
            token = await scene.other.token(AMOUNT)
            said = await rail.appraise(token)
            assert await scene.held() == before, "appraising a token redeemed it"
            one = await rail.receive(token, key="receive-1")
            assert await rail.receive(token, key="receive-1") == one, "one key redeemed two deposits"
            with pytest.raises(BadRequest):
                await rail.receive(token, key="receive-2")
            rise = await scene.held() - before
            assert rise == one.amount_msat, f"the deposit is {one.amount_msat} msat, and the balance rose by {rise}"
            assert one.amount_msat + one.fee_msat == AMOUNT, f"{AMOUNT} msat are more than {one!r} accounts for"
            expected = (said.reference, said.amount_msat, said.fee_msat)
            assert (one.reference, one.amount_msat, one.fee_msat) == expected, f"appraised as {said!r}, became {one!r}"
            assert (one.kind, one.key) == (DepositKind.TOKEN, "receive-1"), f"whose is {one!r}?"

        self._with_ecash(world, scenario)

    def test_a_token_at_once_is_redeemed_once(self, world: WalletWorld) -> None:
        """Two keys at the same time: one has it, the other is refused."""

        async def scenario(scene: Scene) -> None:
            before, token = await scene.held(), await scene.other.token(AMOUNT)
            outcomes = await asyncio.gather(
                *(scene.rail.receive(token, key=f"receive-{at}") for at in range(3)), return_exceptions=True
            )
            refused = [each for each in outcomes if isinstance(each, BaseException)]
            assert len(refused) == 2, f"one token, three keys: {outcomes!r}"
            assert all(isinstance(each, BadRequest) for each in refused), f"refused otherwise: {refused!r}"
            assert await scene.held() - before <= AMOUNT, "one token was counted twice"

        self._with_ecash(world, scenario)

    def test_a_bad_token_is_refused(self, world: WalletWorld) -> None:
        """Cut short, nonsense, or of a mint that is not the rail's: BadRequest, from `appraise` and from `receive`."""

        async def scenario(scene: Scene) -> None:
            before = await scene.held()
            token, foreign = await scene.other.token(AMOUNT), await scene.other.foreign_token(AMOUNT)
            for bad in ("", "nonsense", token[:-1], token[: len(token) // 2], foreign):
                with pytest.raises(BadRequest):
                    await scene.rail.appraise(bad)
                with pytest.raises(BadRequest):
                    await scene.rail.receive(bad, key="receive-bad")
            assert await scene.held() == before, "a token was refused, and the balance changed"

        self._with_ecash(world, scenario)

    def test_a_redeemed_token_is_among_the_deposits(self, world: WalletWorld) -> None:
        """`deposits` has it too, with the same reference and key, so that a lost reply is no lost money."""

        async def scenario(scene: Scene) -> None:
            one = await scene.rail.receive(await scene.other.token(AMOUNT), key="receive-1")
            assert await next_deposits(scene.rail, "", 1) == [one], "redeemed, and deposits() says something else"

        self._with_ecash(world, scenario)

    def test_a_token_paid_out_is_worth_its_amount(self, world: WalletWorld) -> None:
        """Whoever has it claims exactly the amount, once; it is gone from the balance, with the fee; and on record."""

        async def scenario(scene: Scene) -> None:
            target, before = a_token(scene.rail, "out-1"), await scene.held()
            paid = await scene.pay(target, "pay-1")
            assert isinstance(paid, Paid), f"the token should be issued: {paid!r}"
            assert paid.token, "paid as a token, and there is none"
            assert await scene.pay(target, "pay-1") == paid, "the same key is another token"
            gone = before - await scene.held()
            assert gone == AMOUNT + paid.fee_msat, f"{gone} msat are gone for {AMOUNT} and a fee of {paid.fee_msat}"
            worth = await scene.other.claims(paid.token)
            assert worth == AMOUNT, f"the token is worth {worth} msat instead of {AMOUNT}"
            with pytest.raises(BadRequest):
                await scene.other.claims(paid.token)
            with pytest.raises(Conflict):
                await scene.rail.reclaim(_ref(target, paid), key="reclaim-1")
            found = [(each.reference, each.key) for each in await payments_since(scene.rail, "")]
            assert ("out-1", "pay-1") in found, f"issued, and not on record: {found!r}"

        self._with_ecash(world, scenario)

    def test_an_unclaimed_token_is_taken_back_once(self, world: WalletWorld) -> None:
        """The balance has it again, less the fee of that; nobody can claim it any more; it is among the deposits."""

        async def scenario(scene: Scene) -> None:
            target = a_token(scene.rail, "out-1")
            paid = await scene.pay(target, "pay-1")
            assert isinstance(paid, Paid), f"the token should be issued: {paid!r}"
            before = await scene.held()
            back = await scene.rail.reclaim(_ref(target, paid), key="reclaim-1")
            assert await scene.rail.reclaim(_ref(target, paid), key="reclaim-1") == back, "one key, two deposits"
            rise = await scene.held() - before
            assert rise == back.amount_msat, f"taken back as {back.amount_msat} msat, and the balance rose by {rise}"
            assert back.amount_msat + back.fee_msat == AMOUNT, f"{AMOUNT} msat are more than {back!r} accounts for"
            assert (back.kind, back.key) == (DepositKind.RECLAIMED, "reclaim-1"), f"whose is {back!r}?"
            with pytest.raises(BadRequest):
                await scene.other.claims(paid.token)
            assert await next_deposits(scene.rail, "", 1) == [back], "taken back, and deposits() says something else"

        self._with_ecash(world, scenario)

    def test_tokens_outlive_a_restart(self, world: WalletWorld) -> None:
        """A token issued and one redeemed are known to a new object on the same store."""

        async def main() -> None:
            async with world.other(Ending.PAID) as other:
                store = MemoryStore()
                async with self._living(world, other, store) as scene:
                    if RailCapability.ECASH not in scene.rail.capabilities:
                        return
                    target, token = a_token(scene.rail, "out-1"), await other.token(AMOUNT)
                    paid = await scene.pay(target, "pay-1")
                    took = await scene.rail.receive(token, key="receive-1")
                    after = await scene.held()
                async with self._living(world, other, store) as scene:
                    assert await scene.end(target, "pay-1") == paid, "after a restart the token is another"
                    assert await scene.rail.receive(token, key="receive-1") == took, "redeemed, and forgotten"
                    assert await scene.held() == after, "after a restart the same keys moved money again"

        asyncio.run(main())

    def _with_ecash(self, world: WalletWorld, scenario: Callable[[Scene], Awaitable[None]]) -> None:
        async def guarded(scene: Scene) -> None:
            if RailCapability.ECASH in scene.rail.capabilities:
                await scenario(scene)

        self._run(world, guarded)


def _ref(target: object, paid: Paid) -> PaymentRef:
    return PaymentRef(key="pay-1", target=target, fee_limit_msat=paid.fee_msat, sent_ms=1)  # type: ignore[arg-type]
