"""Failed attempts have a budget where the agent's limits say so: beyond it nobody else is asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from exchanges import PRICE, Cheapest, bench, good
from exchanges import Bench as Made
from selling import market

from arbstr_core.api import Msat, Network, Offer, Outbound, Provider, Reply
from arbstr_core.dispatch import Dispatch, DispatchRules
from arbstr_core.flow import CallFlow
from arbstr_core.flow._spare import Spare
from arbstr_core.journal import Journal
from arbstr_core.metering import Meter
from arbstr_core.routing import Router
from arbstr_core.testing import a_call, a_quote, an_offer
from arbstr_core.types import ConnectFailed, Outcome, ReplyCut, UpstreamFailed
from arbstr_core.vault import Limits, ProviderCost


class Named(Provider):
    def __init__(self, name, fails):
        self.name = name
        self.asked = 0
        self._fails = fails

    async def offers(self) -> list[Offer]:
        return [an_offer(provider=self.name, price=PRICE)]

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        self.asked += 1
        if self._fails is not None:
            raise self._fails
        return await good(call)


async def called(made: Made, providers, *, attempts_msat):
    """One call past these providers; how it ended."""
    limits = Limits(max_charge_msat=10**9, daily_msat=10**9, attempts_msat=attempts_msat)
    await made.vault.set_limits("ag_a", limits)
    clock = made.rooms.clock
    sold = market(*providers, clock=clock)
    await sold.refresh()
    by_name = {each.name: each for each in providers}
    rooms = replace(
        made.rooms,
        market=sold,
        router=Router([], {"cheapest": Cheapest()}, strategy="cheapest", output_tokens=100, keep=len(providers)),
        dispatch=Dispatch(by_name, clock, DispatchRules(first_byte_seconds=5, idle_seconds=5)),
    )
    made.flow = CallFlow(rooms, None, Journal(None, clock))
    exchange = made.begin(stream=False)
    try:
        await exchange.open()
        await exchange.body()
    finally:
        await exchange.close()


@pytest.mark.parametrize(
    ("fails", "attempts_msat", "asked"),
    [
        # Whoever was not reached bills nothing.
        (ConnectFailed("down"), 0, [1, 1, 1]),
        # The input of this call costs 10 msat, counted: one attempt may fail, or two.
        (ReplyCut("cut"), None, [1, 1, 1]),
        (ReplyCut("cut"), 0, [1, 0, 0]),
        (ReplyCut("cut"), 10, [1, 1, 0]),
        (ReplyCut("cut"), 1_000, [1, 1, 1]),
    ],
)
def test_falling_back_ends_with_the_budget(tmp_path, fails, attempts_msat, asked):
    providers = [Named(f"p{n}", fails) for n in range(3)]

    async def story():
        async with bench(tmp_path, good) as made:
            with pytest.raises(UpstreamFailed):
                await called(made, providers, attempts_msat=attempts_msat)
            costs = made.rows(
                "SELECT coalesce(sum(amount_msat), 0) FROM entry WHERE side = 'credit'"
                " AND account_id IN (SELECT id FROM account WHERE kind = 'payable')"
            )
            used = made.rows("SELECT coalesce(sum(used), 0) FROM bucket WHERE kind = 'attempts'")
            limited = attempts_msat is not None and not isinstance(fails, ConnectFailed)
            assert costs == used == [(10 * sum(asked) if limited else 0,)]
            assert (await made.vault.agent("ag_a")).available_msat == 10**8

    asyncio.run(story())
    assert [each.asked for each in providers] == asked


def test_what_is_prepaid_is_taken_from_its_node():
    """As far as something is there; and a failed attempt is not guessed at: the node says what it took."""
    offer = an_offer(provider="p", node="n:1", prepaid=Network.SIM, price=PRICE)
    spare = Spare(Meter(a_call()))
    spare.left = 1_000
    assert spare.goes_on(a_quote(offer), Outcome.CUT)
    assert spare.left < 1_000
    [cost] = spare.with_served(a_quote(offer), Msat(7))
    assert cost == ProviderCost(provider="p", node="p/n:1", cost_msat=7, served=True)


def test_what_failed_before_somebody_served_is_booked_apart(tmp_path):
    providers = [Named("p0", ReplyCut("cut")), Named("p1", None)]

    async def story():
        async with bench(tmp_path, good) as made:
            await called(made, providers, attempts_msat=1_000)
            assert made.end()[0] == "settled"
            rows = made.rows(
                "SELECT a.name, e.amount_msat FROM entry e JOIN account a ON a.id = e.account_id"
                " WHERE a.kind = 'payable' ORDER BY 1"
            )
            assert [name for name, _ in rows] == ["payable:p0", "payable:p1"]
            assert rows[0][1] == 10

    asyncio.run(story())
