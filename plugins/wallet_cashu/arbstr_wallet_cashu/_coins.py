"""Owns the choice of coins: which to spend, and into which to split. Pure; amounts are sat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from arbstr_wallet_cashu._keysets import fee

_LARGEST = 1 << 40
"""No coin is made larger: more than 10,000 BTC."""


class Priced(msgspec.Struct, frozen=True):
    """A coin as the choice sees it. `stale` is one of a keyset that is no longer active, which should go first."""

    y: str
    amount: int
    ppk: int
    stale: bool = False


def worth(coins: Iterable[Priced]) -> int:
    """What coins are worth once spent together: their sum less the fee."""
    chosen = list(coins)
    return sum(coin.amount for coin in chosen) - fee(coin.ppk for coin in chosen)


def choose(coins: Sequence[Priced], want: int) -> list[Priced] | None:
    """Coins that are worth at least `want`, few and not much more; None where all together are not.

    The fee is counted as the mint does, rounded up over the sum. A coin that costs what it is worth is left out.
    """
    usable = sorted(
        (coin for coin in coins if coin.amount * 1000 > coin.ppk),
        key=lambda coin: (not coin.stale, -coin.amount, coin.y),
    )
    if worth(usable) < want:
        return None
    picked: list[Priced] = []
    for coin in usable:
        if worth([*picked, coin]) <= want:
            picked.append(coin)
    left = [coin for coin in usable if coin not in picked]
    while worth(picked) < want:
        enough = [coin for coin in left if worth([*picked, coin]) >= want]
        more = min(enough, key=lambda coin: coin.amount) if enough else max(left, key=lambda coin: coin.amount)
        picked.append(more)
        left.remove(more)
    return _pruned(picked, want)


def _pruned(picked: list[Priced], want: int) -> list[Priced]:
    """Without what became superfluous, the smallest first."""
    for coin in sorted(picked, key=lambda coin: coin.amount):
        rest = [other for other in picked if other is not coin]
        if worth(rest) >= want:
            picked = rest
    return picked


def split(amount: int) -> list[int]:
    """The fewest powers of two that sum to `amount`, ascending."""
    return [1 << place for place in range(amount.bit_length()) if amount >> place & 1]


def spread(amount: int, have: Mapping[int, int], target: int) -> list[int]:
    """Powers of two that sum to `amount`, ascending: each kind is filled up to `target` coins, the smallest first, as
    long as half of the amount stays whole; so that several payments find their coins side by side."""
    made: list[int] = []
    left, kind = amount, 1
    while kind <= _LARGEST:
        missing = max(0, target - have.get(kind, 0))
        for _ in range(missing):
            if left - kind < amount // 2:
                break
            made.append(kind)
            left -= kind
        if left - kind < amount // 2:
            break
        kind *= 2
    return sorted(made + _whole(left))


def _whole(amount: int) -> list[int]:
    large, rest = divmod(amount, _LARGEST)
    return [_LARGEST] * large + split(rest)


def crowded(coins: Sequence[Priced], target: int, most: int) -> list[Priced]:
    """Coins worth swapping into fewer: those beyond `target` of a kind, once there are more than `most` in all; and
    every stale one, however few. What would cost more than it is worth stays."""
    usable = [coin for coin in coins if coin.amount * 1000 > coin.ppk]
    stale = [coin for coin in usable if coin.stale]
    if len(coins) <= most:
        return stale
    seen: Counter[int] = Counter()
    extra = []
    for coin in sorted((coin for coin in usable if not coin.stale), key=lambda coin: (coin.amount, coin.y)):
        seen[coin.amount] += 1
        if seen[coin.amount] > target:
            extra.append(coin)
    return stale + extra
