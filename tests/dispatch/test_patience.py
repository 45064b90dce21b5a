"""How long a reply may keep us waiting: whose a cancellation is, and that nothing is left behind."""

from __future__ import annotations

import asyncio

import pytest

from arbstr_core.dispatch._patience import Patiences
from arbstr_core.testing import in_virtual_time


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


def test_it_ends_a_wait_that_is_too_long() -> None:
    async def story() -> None:
        patience = Patiences(tick_seconds=0.001).begin(0.01)
        with pytest.raises(asyncio.CancelledError):
            await wait_for_ever()
        assert patience.forgive()
        await asyncio.sleep(0.02)

    in_virtual_time(story())


def test_extended_it_waits_for_longer_and_then_for_less() -> None:
    async def story() -> None:
        patience = Patiences(tick_seconds=0.001).begin(0.02)
        patience.extend(0.2)
        await asyncio.sleep(0.05)
        patience.extend(0.01)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(1)
        assert patience.forgive()

    in_virtual_time(story())


def test_stopped_it_waits_for_nobody_until_it_is_extended() -> None:
    async def story() -> None:
        patience = Patiences(tick_seconds=0.001).begin(0.01)
        patience.stop()
        await asyncio.sleep(0.05)
        patience.extend(0.01)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(1)
        assert patience.forgive()

    in_virtual_time(story())


def test_stopped_and_forgotten_it_keeps_no_timer() -> None:
    async def story() -> None:
        patience = Patiences(tick_seconds=0.001).begin(0.01)
        patience.stop()
        await asyncio.sleep(0.05)
        assert not [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]

    in_virtual_time(story())


def test_stopped_it_never_interrupts() -> None:
    async def story() -> None:
        Patiences(tick_seconds=0.001).begin(0.01).stop()
        await asyncio.sleep(0.03)

    in_virtual_time(story())


def test_a_cancellation_by_somebody_else_is_not_its_own() -> None:
    async def story() -> bool:
        patience = Patiences(tick_seconds=0.001).begin(10)
        try:
            await wait_for_ever()
        except asyncio.CancelledError:
            return patience.forgive()
        finally:
            patience.stop()
        return True

    async def outside() -> None:
        task = asyncio.create_task(story())
        await asyncio.sleep(0)
        task.cancel()
        assert await task is False

    in_virtual_time(outside())


def test_where_both_cancel_the_other_one_counts() -> None:
    async def story() -> bool:
        patience = Patiences(tick_seconds=0.001).begin(0)
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(0, task.cancel)
        try:
            await wait_for_ever()
        except asyncio.CancelledError:
            return patience.forgive()
        return True

    async def outside() -> None:
        assert await asyncio.create_task(story()) is False

    in_virtual_time(outside())


def test_little_hope_cuts_the_wait_for_one_offer_short_and_for_no_other() -> None:
    key, other = ("acme", "", "m"), ("other", "", "m")

    async def wait(of: tuple[str, str, str] | None, seconds: float, all_of_them: Patiences) -> tuple[float, bool]:
        patience = all_of_them.begin(seconds, of)
        try:
            await wait_for_ever()
        except asyncio.CancelledError:
            assert patience.forgive()
        return asyncio.get_running_loop().time(), patience.lost

    async def story() -> None:
        all_of_them = Patiences()
        waiting = [(key, 60), (key, 3), (other, 60), (None, 60)]
        tasks = [asyncio.create_task(wait(of, seconds, all_of_them)) for of, seconds in waiting]
        await asyncio.sleep(2)
        all_of_them.lose(key, 5)
        ended = await asyncio.gather(*tasks)
        assert [(round(at), lost) for at, lost in ended] == [(5, True), (3, False), (60, False), (60, False)]

    in_virtual_time(story())
