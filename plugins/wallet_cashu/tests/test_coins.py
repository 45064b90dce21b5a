"""The choice of coins: never too little, fees as the mint counts them, and no coin twice."""

from __future__ import annotations

import pytest
from arbstr_wallet_cashu._coins import Priced, choose, crowded, split, spread, worth
from arbstr_wallet_cashu._keysets import BadKeyset, fee, full_id
from hypothesis import given
from hypothesis import strategies as st

PPKS = st.sampled_from([0, 1, 100, 200, 999, 1000, 2500])


@st.composite
def purses(draw: st.DrawFn) -> list[Priced]:
    rows = draw(st.lists(st.tuples(st.integers(0, 14), PPKS, st.booleans()), max_size=40))
    return [Priced(y=str(at), amount=1 << place, ppk=ppk, stale=stale) for at, (place, ppk, stale) in enumerate(rows)]


@given(purses(), st.integers(1, 40_000))
def test_what_is_chosen_is_enough_and_nothing_of_it_is_superfluous(coins: list[Priced], want: int) -> None:
    chosen = choose(coins, want)
    if chosen is None:
        assert worth(coin for coin in coins if coin.amount * 1000 > coin.ppk) < want
        return
    assert worth(chosen) >= want
    assert len({coin.y for coin in chosen}) == len(chosen)
    assert all(coin in coins for coin in chosen)
    assert all(worth(other for other in chosen if other is not coin) < want for coin in chosen)


def test_every_amount_finds_its_coins_at_200_ppk() -> None:
    """Fees counted in fractions choose too little for 59 of 399 amounts here."""
    coins = [Priced(y=f"{place}-{copy}", amount=1 << place, ppk=200) for place in range(9) for copy in range(3)]
    for want in range(1, 400):
        chosen = choose(coins, want)
        assert chosen is not None
        assert sum(coin.amount for coin in chosen) - (len(chosen) * 200 + 999) // 1000 >= want


def test_stale_coins_go_first() -> None:
    coins = [Priced("old", 64, 0, stale=True), Priced("new", 64, 0), Priced("big", 1024, 0)]
    assert [coin.y for coin in choose(coins, 64) or []] == ["old"]


def test_an_exact_coin_is_taken_alone() -> None:
    coins = [Priced(str(amount), amount, 0) for amount in (1, 2, 4, 8, 16, 32)]
    assert [coin.y for coin in choose(coins, 16) or []] == ["16"]
    assert choose(coins, 64) is None


@given(st.integers(0, 1 << 60))
def test_a_split_is_the_amount_in_powers_of_two(amount: int) -> None:
    made = split(amount)
    assert sum(made) == amount
    assert made == sorted(set(made))
    assert all(each & (each - 1) == 0 for each in made)


@given(
    st.integers(0, 1 << 50),
    st.dictionaries(st.sampled_from([1 << n for n in range(20)]), st.integers(0, 5)),
    st.integers(0, 4),
)
def test_a_spread_is_the_amount_too(amount: int, have: dict[int, int], target: int) -> None:
    made = spread(amount, have, target)
    assert sum(made) == amount
    assert made == sorted(made)
    assert all(each & (each - 1) == 0 for each in made)
    small = [each for each in made if each < 1 << 40]
    assert len(small) <= 2 * 41 + target * 41


def test_a_spread_lets_payments_go_side_by_side() -> None:
    made = spread(10_000, {1: 2}, 3)
    assert made.count(1) >= 1
    assert all(made.count(1 << n) >= 3 for n in range(1, 10))
    assert max(made) >= 4096
    assert spread(10_000, {}, 0) == split(10_000)


def test_what_is_worth_a_swap() -> None:
    coins = [Priced(f"{n}", 1, 0) for n in range(30)] + [Priced("old", 64, 0, stale=True), Priced("big", 1024, 0)]
    assert [coin.y for coin in crowded(coins, 3, 100)] == ["old"]
    extra = crowded(coins, 3, 20)
    assert len(extra) == 28
    assert "big" not in {coin.y for coin in extra}
    assert crowded([Priced("dust", 1, 1000, stale=True)], 3, 0) == []


def test_fees_are_rounded_up_once_over_all() -> None:
    assert [fee([100] * count) for count in (0, 1, 10, 11, 20, 21)] == [0, 1, 1, 2, 2, 3]
    assert fee([100, 0, 900, 1]) == 2


def test_short_ids_of_keysets() -> None:
    one, other = "01" + "ab" * 7 + "00" * 25, "01" + "ab" * 7 + "11" * 25
    assert full_id(one, [one, other]) == one
    assert full_id(one[:16], [one]) == one
    assert full_id(one[:14], [one]) is None
    assert full_id("00" * 8, [one]) is None
    with pytest.raises(BadKeyset, match="more than one keyset"):
        full_id(one[:16], [one, other])
