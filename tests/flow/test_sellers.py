"""Sellers are paid all that they have, once, from the threshold on, and at most so often."""

from __future__ import annotations

import asyncio

import pytest
from payout_house import FUND, Shop, open_database
from sending import UNKNOWN, Double, StillClock

from arbstr_core.api import Failed, Msat, Paid
from arbstr_core.storage import Cipher
from arbstr_core.types import BadRequest, Conflict, NotFound
from arbstr_core.vault import Limits

DAY = 86_400
PLENTY = Limits(max_charge_msat=10**12, daily_msat=10**15)


def told(folder, story, *rails):
    async def whole():
        clock = StillClock()
        async with open_database(folder, clock) as database:
            shop = Shop(database, clock, list(rails) or [Double()], Cipher(bytes(32)))
            await shop.agent(fund=FUND, limits=PLENTY)
            await story(shop)
            assert (await shop.vault.verify()).first_bad is None

    asyncio.run(whole())


def token(ref):
    return Paid(fee_msat=Msat(3), evidence="issued", token=f"simA{ref.key}")


def test_a_seller_is_paid_once_at_the_threshold(tmp_path):
    rail = Double()

    async def story(shop):
        rail.pays.extend([token] * 9)
        await shop.put()
        for _ in range(4):
            await shop.sold(24_500)
            assert await shop.go(3_600) == 0, "below the threshold he waits"
        await shop.sold(24_500)
        assert [await shop.go(3_600) for _ in range(3)] == [1, 0, 0]
        # 122,500 msat less the fee of at most 10, in whole sats; what is left, and of the fee, stays his own.
        assert await shop.paid() == [(122_000, "succeeded")]
        assert await shop.balance() == 122_500 - 122_000 - 3
        assert len(rail.paid) == 1
        (paid,) = await shop.requests.payments()
        assert (await shop.sellers.token(paid.id))["token"] == f"simA{paid.id}:1"

    told(tmp_path, story, rail)


def test_and_not_again_before_his_time(tmp_path):
    async def story(shop):
        await shop.put("ecash")
        await shop.sold(200_000)
        assert await shop.go() == 1
        await shop.sold(300_000)
        assert await shop.go(DAY - 1) == 0
        assert await shop.go(1) == 1
        assert [amount for amount, _ in await shop.paid()] == [300_000, 199_000]

    rail = Double()
    rail.pays.extend([token] * 2)
    told(tmp_path, story, rail)


def test_while_a_payment_to_him_is_unknown_there_is_no_other(tmp_path):
    rail = Double()

    async def story(shop):
        rail.pays.append(UNKNOWN)
        await shop.put(every_seconds=1)
        await shop.sold(500_000)
        await shop.go()
        await shop.sold(500_000)
        for _ in range(10):
            assert await shop.go(3_600) == 0
        with pytest.raises(Conflict, match="is under way to bob"):
            await shop.sellers.pay("bob", None)
        assert await shop.paid() == [(499_000, "unknown")]

    told(tmp_path, story, rail)


def test_what_failed_is_his_still_and_tried_again_in_time(tmp_path):
    rail = Double()

    async def story(shop):
        rail.pays.extend([Failed(reason="no", evidence="the mint says so"), token])
        await shop.put()
        await shop.sold(500_000)
        await shop.go()
        assert await shop.balance() == 500_000
        assert [await shop.go(DAY / 2) for _ in range(2)] == [0, 1]
        assert [state for _, state in await shop.paid()] == ["succeeded", "failed"]

    told(tmp_path, story, rail)


def test_who_is_switched_off_is_paid_by_hand_alone(tmp_path):
    rail = Double()

    async def story(shop):
        rail.pays.append(token)
        await shop.put(enabled=False)
        await shop.sold(50_000)
        assert await shop.go(DAY) == 0
        assert (await shop.sellers.pay("bob", "sim"))["amount_msat"] == 49_000
        await shop.round()
        assert await shop.paid() == [(49_000, "succeeded")]
        with pytest.raises(Conflict, match="do not cover"):
            await shop.sellers.pay("bob", None)

    told(tmp_path, story, rail)


def test_who_earns_and_was_never_added_is_seen(tmp_path):
    """A row may name whom nobody knows: what he has earned is shown, and paid once somebody says how."""
    rail = Double()

    async def story(shop):
        rail.pays.append(token)
        await shop.sold(500_000)
        (bob,) = (await shop.sellers.sellers())["data"]
        assert (bob["name"], bob["realm"], bob["balance_msat"], bob["destination"]) == ("bob", "sim", 500_000, "")
        assert await shop.go(DAY) == 0
        with pytest.raises(Conflict, match="nobody has said how 'bob' is paid: `arbstr seller add` does"):
            await shop.sellers.pay("bob", None)
        await shop.put()
        assert await shop.go() == 1
        assert await shop.paid() == [(499_000, "succeeded")]

    told(tmp_path, story, rail)


@pytest.mark.parametrize(
    ("to", "kept"),
    [
        ("bob@example.org", "bob@example.org"),
        ("ecash of https://mint.example for 02" + "ab" * 32, None),
        ("ecash", None),
    ],
)
def test_where_a_seller_may_be_paid(tmp_path, to, kept):
    async def story(shop):
        assert (await shop.put(to))["destination"] == (kept or to)

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"to": "lnbc1"}, "again and again"),
        ({"to": "ecash for me"}, "again and again"),
        ({"name": "a/b"}, "is no seller's name"),
        ({"realm": "mainnet"}, "No enabled rail moves money of realm"),
        ({"threshold_msat": 0}, "no threshold"),
    ],
)
def test_what_is_no_way_to_pay_a_seller_is_refused(tmp_path, said, words):
    async def story(shop):
        with pytest.raises(BadRequest, match=words):
            await shop.put(**said)
        with pytest.raises(NotFound, match="no seller 'bob'"):
            await shop.sellers.pay("bob", None)

    told(tmp_path, story)
