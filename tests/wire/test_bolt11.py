"""Lightning invoices: BOLT 11's own examples, every damage to one, and every amount there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.types import MAX_MSAT, Network
from arbstr_core.wire import read_bech32, read_bolt11
from tests.bolt11 import bech32, invoice

COFFEE = (
    "lnbc2500u1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpuaztrnwngzn3kdzw5hydl"
    "zf03qdgm2hdq27cqv3agm2awhz5se903vruatfhq77w3ls4evs3ch9zw97j25emudupq63nyw24cg27h2rspfj9srp"
)
DONATION = (
    "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqy"
    "pqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafk"
    "q3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql"
)
HASH = "0001020304050607080900010203040506070809000102030405060708090102"


def test_the_cup_of_coffee():
    said = read_bolt11(COFFEE)
    assert (said.network, said.payment_hash, said.amount_msat) == (Network.MAINNET, HASH, 250_000_000)
    assert (said.description, said.made_ms, said.expires_ms - said.made_ms) == ("1 cup coffee", 1496314658000, 60_000)


def test_the_donation_of_any_amount():
    said = read_bolt11(DONATION)
    assert said.amount_msat is None
    assert said.description == "Please consider supporting this project"
    assert said.expires_ms - said.made_ms == 3_600_000


def test_upper_case_and_the_scheme_are_taken():
    assert read_bolt11(f" lightning:{COFFEE.upper()} ") == read_bolt11(COFFEE)


@pytest.mark.parametrize("at", range(len(COFFEE)))
def test_a_changed_letter_is_noticed(at: int):
    other = "q" if COFFEE[at] != "q" else "p"
    with pytest.raises(ValueError):
        read_bolt11(COFFEE[:at] + other + COFFEE[at + 1 :])


@pytest.mark.parametrize("length", range(len(COFFEE)))
def test_an_invoice_cut_short_is_noticed(length: int):
    with pytest.raises(ValueError):
        read_bolt11(COFFEE[:length])


@pytest.mark.parametrize(
    ("prefix", "network"),
    [
        ("lnbc", Network.MAINNET),
        ("lntb", Network.TESTNET),
        ("lntbs", Network.SIGNET),
        ("lnbcrt", Network.REGTEST),
    ],
)
def test_the_network_is_in_the_prefix(prefix: str, network: Network):
    assert read_bolt11(invoice(f"{prefix}10u")).network is network


@pytest.mark.parametrize(
    ("amount", "msat"),
    [("10p", 1), ("1n", 100), ("1u", 100_000), ("1m", 100_000_000), ("1", 10**11), ("21000000", MAX_MSAT)],
)
def test_amounts_are_read_exactly(amount: str, msat: int):
    assert read_bolt11(invoice(f"lnbc{amount}")).amount_msat == msat


@pytest.mark.parametrize(
    "amount", ["0", "0u", "01u", "1p", "15p", "-1u", "1e3", "1.5u", "21000001", "9" * 19, "9" * 20, "1x", "u", "1uu"]
)
def test_amounts_that_are_none_are_refused(amount: str):
    """Threat T6: nothing is rounded, wrapped round, or taken for no amount."""
    with pytest.raises(ValueError):
        read_bolt11(invoice(f"lnbc{amount}"))


@pytest.mark.parametrize("prefix", ["lnbx10u", "ln10u", "bc", "lnsb10u", "xlnbc10u"])
def test_other_prefixes_are_refused(prefix: str):
    with pytest.raises(ValueError, match="does not begin a Lightning invoice"):
        read_bolt11(invoice(prefix))


def test_fields_are_read_and_those_of_a_wrong_length_are_not():
    said = read_bolt11(
        invoice("lnbc10u", description=None, description_hash="ab" * 32, payee="02" * 33, expiry=7, extra=((19, 3),))
    )
    assert (said.description_hash, said.payee, said.description) == ("ab" * 32, "02" * 33, "")
    assert said.expires_ms - said.made_ms == 7000


def test_an_invoice_without_a_hash_is_refused():
    with pytest.raises(ValueError, match="no payment hash"):
        read_bolt11(invoice("lnbc10u", payment_hash=None))


def test_an_expiry_of_centuries_does_not_overflow():
    assert read_bolt11(invoice("lnbc10u", expiry=2**60)).expires_ms < 2**63


@given(st.text(max_size=200))
def test_nonsense_is_refused_with_a_sentence(text: str):
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        read_bolt11(text)


@given(st.binary(max_size=300))
def test_bech32_of_any_length_comes_back(data: bytes):
    assert read_bech32(bech32("lnurl", data)) == ("lnurl", data)
