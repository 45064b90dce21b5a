"""The mints of these tests, each a real Nutshell: one that takes no fees, one that does, and those that fail."""

from __future__ import annotations

import pytest
from arbstr_wallet_cashu._nutshell import Nutshell, Options
from mints import Mints

FREE = Options()
DEAR = Options(fee_ppk=100)


@pytest.fixture(scope="session")
def both(mints: Mints) -> tuple[Nutshell, Nutshell]:
    """A mint without fees, and one with 100 ppk; their invoices are paid by themselves."""
    free, dear = mints.start(free=FREE, dear=DEAR)
    return free, dear


@pytest.fixture(scope="session")
def free(both: tuple[Nutshell, Nutshell]) -> Nutshell:
    """The mint without fees."""
    return both[0]


@pytest.fixture(scope="session")
def dear(both: tuple[Nutshell, Nutshell]) -> Nutshell:
    """The mint that takes 100 ppk for each coin spent."""
    return both[1]
