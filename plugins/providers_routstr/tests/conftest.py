"""The mint of these tests, a real Nutshell that takes 100 ppk for each coin spent."""

from __future__ import annotations

import pytest
from arbstr_wallet_cashu._nutshell import Nutshell, Options
from mints import Mints


@pytest.fixture(scope="session")
def mint(mints: Mints) -> Nutshell:
    """The mint."""
    return mints.start(dear=Options(fee_ppk=100))[0]
