"""Whether what came of many operations at once could have come of them one after the other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """An operation on one account, from its start to its answer: what it changed, or what it said that there is.

    `held`, `posted` and `used` are added (msat); `left` and `open` is what was free and held where it was refused,
    `daily_left` what was left of the day.
    """

    start: int
    end: int
    held: int = 0
    posted: int = 0
    used: int = 0
    refused: bool = False
    left: int | None = None
    open: int | None = None
    daily_left: int | None = None

    @property
    def effect(self) -> tuple[int, int, int]:
        """Operations of one effect are alike."""
        return self.held, self.posted, self.used


def serial(seen: list[Seen], *, posted: int, daily: int) -> bool:
    """True where some order explains every answer: one in which what had ended came before what began later.

    What has been done says what there is, so each set is looked at once; of operations that are alike, the one that
    ended first goes first.
    """
    looked_at: set[int] = set()
    stack = [0]
    everything = (1 << len(seen)) - 1
    while stack:
        done = _told(seen, stack.pop(), posted, daily)
        if done == everything:
            return True
        if done in looked_at:
            continue
        looked_at.add(done)
        state = _state(seen, done, posted)
        next_ones: dict[tuple[int, int, int], int] = {}
        for n in sorted(_possible(seen, done), key=lambda n: seen[n].end):
            if not seen[n].refused and _allowed(seen[n], state, daily):
                next_ones.setdefault(seen[n].effect, n)
        # The last is looked at first.
        stack += [done | 1 << n for n in reversed(next_ones.values())]
    return False


def _possible(seen: list[Seen], done: int) -> list[int]:
    left = [n for n in range(len(seen)) if not done >> n & 1]
    first_end = min((seen[n].end for n in left), default=0)
    return [n for n in left if seen[n].start <= first_end]


def _told(seen: list[Seen], done: int, posted: int, daily: int) -> int:
    """With all refusals that say what there is now: they change nothing."""
    while True:
        held, there, used = _state(seen, done, posted)
        said = [
            n
            for n in _possible(seen, done)
            if seen[n].refused
            and seen[n].left in (None, there - held)
            and seen[n].open in (None, held)
            and seen[n].daily_left in (None, max(0, daily - used))
        ]
        if not said:
            return done
        for n in said:
            done |= 1 << n


def _state(seen: list[Seen], done: int, posted: int) -> tuple[int, int, int]:
    held = used = 0
    for n, each in enumerate(seen):
        if done >> n & 1:
            held, posted, used = held + each.held, posted + each.posted, used + each.used
    return held, posted, used


def _allowed(each: Seen, state: tuple[int, int, int], daily: int) -> bool:
    held, posted, used = (now + more for now, more in zip(state, (each.held, each.posted, each.used), strict=True))
    return posted >= held >= 0 and (each.used <= 0 or used <= daily)
