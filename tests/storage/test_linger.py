"""How long a batch lingers: turns of a loop as lists of (seconds since the last one, how many are here)."""

from __future__ import annotations

import pytest

from arbstr_core.storage._linger import Linger

MS, US = 1e-3, 1e-6


def turns_until_over(turns: list[tuple[float, int]], *, expected: int = 8, most: int = 256) -> int | None:
    now = 1000.0
    linger = Linger(now, expected=expected, most=most)
    for at, (seconds, size) in enumerate(turns, 1):
        now += seconds
        if linger.over(size, now):
            return at
    return None


@pytest.mark.parametrize(
    ("turns", "over"),
    [
        # An idle loop: nobody can come but from outside. What one short turn reads, the next one works on.
        ([(10 * US, 4), (10 * US, 4)], 2),
        ([(10 * US, 4), (900 * US, 4), (10 * US, 4), (10 * US, 4)], 4),
        ([(10 * US, 4), (900 * US, 5), (10 * US, 5), (900 * US, 6), (10 * US, 6)], None),
        ([(60 * US, 4)] * 10, None),
        # A loop at work brings them one by one, more than the last time.
        ([(1 * MS, n) for n in range(2, 20)], None),
        # As many as last time, and two turns bring nobody.
        ([(1 * MS, 7), (1 * MS, 8), (900 * US, 8), (900 * US, 8)], 4),
        ([(1 * MS, 8), (900 * US, 8), (900 * US, 9), (900 * US, 9), (900 * US, 9)], 5),
        ([(1 * MS, 7), (900 * US, 7), (900 * US, 7)], None),
        # Fewer than last time: nobody for 3 ms.
        ([(1 * MS, 7), (1 * MS, 7), (1.9 * MS, 7), (0.2 * MS, 7)], 4),
        ([(2.9 * MS, 2), (2.9 * MS, 3), (2.9 * MS, 4), (2.9 * MS, 5)], None),
        # For no longer than 20 ms, whoever comes.
        ([(2.1 * MS, n) for n in range(2, 20)], 10),
    ],
)
def test_how_long_a_batch_lingers(turns: list[tuple[float, int]], over: int | None) -> None:
    assert turns_until_over(turns) == over


def test_a_full_batch_waits_for_nothing() -> None:
    assert turns_until_over([(1 * MS, 2), (1 * MS, 15), (1 * MS, 16)], expected=300, most=16) == 3
