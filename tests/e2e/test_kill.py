"""A power cut at a random moment under load, again and again: nothing that was acknowledged is lost or paid twice."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from house import ARBSTR, NotServing, Process, instance, run, write
from killing import LOST, Acknowledged, Load, after, check, moment, payer
from unsynced import Unsynced
from upstream import Act, Upstream

KILLS = 20
MUTANT = """
import sys
from arbstr_core.storage import _sqlite
told = _sqlite._PRAGMAS
_sqlite._PRAGMAS = tuple(each.replace("synchronous=FULL", "synchronous={}") for each in told)
assert _sqlite._PRAGMAS != told
from arbstr_core.cli import main
main()
"""


def cut_after_cut(folder: Path, *, cuts: int, seed: int, program: Sequence[str] = (ARBSTR,)) -> None:
    """So many kills, and after each of them all that was not synced is lost, or a random part of it."""
    chance = random.Random(seed)
    said = Acknowledged()
    place = write(folder, "")
    (folder / "data").mkdir(mode=0o700)
    with Upstream() as upstream, Unsynced(folder / "data", pattern="*") as power:
        upstream.script("m", *[Act(pause=0.005 * (turn % 3)) for turn in range(10_000)])
        write(folder, instance("x", upstream.url), port=place.port)
        served = Process(place, env=power.environment(), program=program)
        try:
            agent = payer(place)
            for number in range(cuts):
                load = Load(place, agent, said, str(number), patient=False)
                run(load.until(partial(after, moment(chance), served.kill)))
                power.cut(seed=chance.choice((None, chance.getrandbits(32))))
                served = Process(place, env=power.environment(), program=program)
                check(place, agent, said, upstream.hits())
        finally:
            if served.running:
                served.kill()
    said.require(cuts)


def test_cut_after_cut(tmp_path: Path) -> None:
    cut_after_cut(tmp_path, cuts=KILLS, seed=20_260_101)


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_a_mutant_that_does_not_sync_is_caught(tmp_path: Path, synchronous: str) -> None:
    """Without the cut no kill would tell them apart."""
    program = (sys.executable, "-c", MUTANT.format(synchronous))
    with pytest.raises((AssertionError, NotServing), match=LOST):
        cut_after_cut(tmp_path, cuts=5, seed=7, program=program)
