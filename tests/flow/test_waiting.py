"""Waiting that ends by itself: one timer looks after all who wait for as long."""

from __future__ import annotations

import asyncio

from arbstr_core.flow import Alarm
from arbstr_core.flow._waiting import wake, woken


def test_an_alarm_wakes_who_still_waits_and_nobody_else() -> None:
    async def story() -> None:
        loop, alarm = asyncio.get_running_loop(), Alarm(0.01)
        waiters: list[asyncio.Future[None]] = []
        early = woken(waiters, loop, alarm)
        wake(waiters[0])
        await early
        late = [woken(waiters, loop, alarm) for _ in range(3)]
        patient = woken(waiters, loop)
        await asyncio.gather(*late)
        assert not patient.done()
        # It rings again for those that come when nobody waited.
        await woken(waiters, loop, alarm)
        wake(waiters[4])
        await patient

    asyncio.run(story())


def test_who_is_cancelled_leaves_the_others_waiting() -> None:
    async def story() -> None:
        loop, alarm = asyncio.get_running_loop(), Alarm(0.01)
        waiters: list[asyncio.Future[None]] = []
        gone, stays = (woken(waiters, loop, alarm) for _ in range(2))
        gone.cancel()
        await stays
        assert gone.cancelled()

    asyncio.run(story())
