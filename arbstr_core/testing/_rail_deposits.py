"""Owns what every wallet rail promises of money that comes in: invoices, and deposits once each."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from arbstr_core.api import BadRequest, Conflict, DepositKind, Msat, NotSupported, RailCapability, RailState
from arbstr_core.testing import _other_side
from arbstr_core.testing._other_side import AMOUNT, Ending, RailScenes, Scene, WalletWorld, next_deposits
from arbstr_core.testing._store import MemoryStore

_NOTICES = 20
"""Tenths of a second in which a rail notices that its connection is gone."""


class DepositTests(RailScenes):
    """Part of `WalletSuite`."""

    def test_an_invoice_asks_for_its_amount_once(self, world: WalletWorld) -> None:
        """The same key is the same invoice; another key another; without `invoice`, NotSupported."""

        async def scenario(scene: Scene) -> None:
            rail = scene.rail
            if RailCapability.INVOICE not in rail.capabilities:
                with pytest.raises(NotSupported):
                    await rail.invoice(AMOUNT, "kit", key="invoice-1")
                return
            one = await rail.invoice(AMOUNT, "kit", key="invoice-1")
            again = await rail.invoice(AMOUNT, "kit", key="invoice-1")
            other = await rail.invoice(AMOUNT, "kit", key="invoice-2")
            assert one == again, "one key made two invoices"
            assert one.reference != other.reference, "two keys made one invoice"
            assert one.amount_msat == AMOUNT, f"asked for {AMOUNT} msat, and the invoice says {one.amount_msat}"
            for amount in (Msat(0), Msat(-1000)):
                with pytest.raises(BadRequest):
                    await rail.invoice(amount, "kit", key=f"invoice-{amount}")

        self._run(world, scenario)

    def test_an_amount_finer_than_the_unit_is_refused(self, world: WalletWorld) -> None:
        """A rail of whole sats rounds nothing: it refuses."""

        async def scenario(scene: Scene) -> None:
            rail = scene.rail
            if rail.unit.step_msat > 1 and RailCapability.INVOICE in rail.capabilities:
                with pytest.raises(BadRequest):
                    await rail.invoice(Msat(AMOUNT + 1), "kit", key="invoice-1")

        self._run(world, scenario)

    def test_deposits_come_once_and_resume(self, world: WalletWorld) -> None:
        """Every invoice paid is one deposit with its key; after a restart the rest comes after the cursor."""

        async def main() -> None:
            async with world.other(Ending.PAID) as other:
                store = MemoryStore()
                async with self._living(world, other, store) as scene:
                    if RailCapability.INVOICE not in scene.rail.capabilities:
                        return
                    before = await scene.held()
                    invoices = [await scene.rail.invoice(AMOUNT, "kit", key=f"invoice-{at}") for at in range(3)]
                    await other.pays(invoices[1])
                    await other.pays(invoices[0])
                    first = await next_deposits(scene.rail, "", 2)
                    came = {each.key: each.reference for each in first}
                    assert came == {f"invoice-{at}": invoices[at].reference for at in (0, 1)}, f"{first!r}"
                    assert all(each.amount_msat == AMOUNT for each in first), f"other amounts than asked: {first!r}"
                    assert all(each.kind is DepositKind.INVOICE for each in first), f"{first!r}"
                    assert await scene.held() == before + 2 * AMOUNT, "the balance did not rise by the deposits"
                async with self._living(world, other, store) as scene:
                    await other.pays(invoices[2])
                    rest = await next_deposits(scene.rail, first[0].cursor, 2)
                    expected = [first[1].reference, invoices[2].reference]
                    assert [each.reference for each in rest] == expected, f"after the cursor came {rest!r}"
                    assert await next_deposits(scene.rail, "", 3) == [*first, rest[1]], (
                        "from the beginning another story"
                    )

        asyncio.run(main())

    def test_deposits_wait_for_what_comes(self, world: WalletWorld) -> None:
        """The stream does not end at the last deposit: it yields the next one when it comes in."""

        async def scenario(scene: Scene) -> None:
            if RailCapability.INVOICE not in scene.rail.capabilities:
                return
            waiting = asyncio.ensure_future(next_deposits(scene.rail, "", 1))
            await asyncio.sleep(0)
            invoice = await scene.rail.invoice(AMOUNT, "kit", key="invoice-1")
            await scene.other.pays(invoice)
            assert [each.reference for each in await waiting] == [invoice.reference], "another deposit came"

        self._run(world, scenario)

    def test_deposits_outlive_a_broken_connection(self, world: WalletWorld) -> None:
        """What is paid while the connection is gone comes once it is back; meanwhile the rail is not ready."""

        async def scenario(scene: Scene) -> None:
            if RailCapability.INVOICE not in scene.rail.capabilities:
                return
            invoices = [await scene.rail.invoice(AMOUNT, "kit", key=f"invoice-{at}") for at in range(2)]
            came: asyncio.Queue[str] = asyncio.Queue()
            waiting = asyncio.ensure_future(_watch(scene, came))
            try:
                await scene.other.pays(invoices[0])
                assert await _next(came) == invoices[0].reference, "another deposit came"
                broken = await scene.other.cut()
                if broken:
                    state = (await scene.rail.status()).state
                    assert state is not RailState.READY, "the connection is gone, and the rail calls itself ready"
                await scene.other.pays(invoices[1])
                for _ in range(_NOTICES):
                    await scene.clock.sleep(0.1)
                await scene.other.mend()
                assert await _next(came) == invoices[1].reference, "after a broken connection another deposit came"
            finally:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)

        self._run(world, scenario)

    def test_a_cancelled_invoice_takes_no_money(self, world: WalletWorld) -> None:
        """With `cancel` an invoice is dead afterwards, cancelled twice or not; without it, NotSupported."""

        async def scenario(scene: Scene) -> None:
            rail = scene.rail
            if RailCapability.CANCEL not in rail.capabilities:
                with pytest.raises(NotSupported):
                    await rail.cancel("0" * 64)
                return
            invoice, before = await rail.invoice(AMOUNT, "kit", key="invoice-1"), await scene.held()
            await rail.cancel(invoice.reference)
            await rail.cancel(invoice.reference)
            with pytest.raises(BadRequest):
                await scene.other.pays(invoice)
            assert await scene.held() == before, "a cancelled invoice was paid"

        self._run(world, scenario)

    def test_a_paid_invoice_is_not_cancelled(self, world: WalletWorld) -> None:
        """`cancel` of an invoice that was paid is a Conflict: that it returned is evidence that nobody paid."""

        async def scenario(scene: Scene) -> None:
            if RailCapability.CANCEL not in scene.rail.capabilities:
                return
            invoice = await scene.rail.invoice(AMOUNT, "kit", key="invoice-1")
            await scene.other.pays(invoice)
            await next_deposits(scene.rail, "", 1)
            with pytest.raises(Conflict):
                await scene.rail.cancel(invoice.reference)

        self._run(world, scenario)


async def _watch(scene: Scene, came: asyncio.Queue[str]) -> None:
    async with aclosing(scene.rail.deposits("")) as deposits:  # type: ignore[type-var]
        async for deposit in deposits:
            came.put_nowait(deposit.reference)


async def _next(came: asyncio.Queue[str]) -> str:
    try:
        return await asyncio.wait_for(came.get(), _other_side.DEADLINE)
    except TimeoutError:
        raise AssertionError("an invoice was paid, and no deposit came") from None
