"""Tokens as text: the NUTs' examples, and what strangers may send instead."""

from __future__ import annotations

import base64
import json
from typing import Any

import cbor2
import pytest
from arbstr_wallet_cashu._tokens import MAX_COINS, Coin, Dleq, Token, read, reference, request, same_mint, write

from arbstr_core.api import BadRequest

V3 = (
    "cashuAeyJ0b2tlbiI6W3sibWludCI6Imh0dHBzOi8vODMzMy5zcGFjZTozMzM4IiwicHJvb2ZzIjpbeyJhbW91bnQiOjIsImlkIjoiMDA5YTFmMjkzM"
    "jUzZTQxZSIsInNlY3JldCI6IjQwNzkxNWJjMjEyYmU2MWE3N2UzZTZkMmFlYjRjNzI3OTgwYmRhNTFjZDA2YTZhZmMyOWUyODYxNzY4YTc4MzciLCJD"
    "IjoiMDJiYzkwOTc5OTdkODFhZmIyY2M3MzQ2YjVlNDM0NWE5MzQ2YmQyYTUwNmViNzk1ODU5OGE3MmYwY2Y4NTE2M2VhIn0seyJhbW91bnQiOjgsIml"
    "kIjoiMDA5YTFmMjkzMjUzZTQxZSIsInNlY3JldCI6ImZlMTUxMDkzMTRlNjFkNzc1NmIwZjhlZTBmMjNhNjI0YWNhYTNmNGUwNDJmNjE0MzNjNzI4Yz"
    "cwNTdiOTMxYmUiLCJDIjoiMDI5ZThlNTA1MGI4OTBhN2Q2YzA5NjhkYjE2YmMxZDVkNWZhMDQwZWExZGUyODRmNmVjNjlkNjEyOTlmNjcxMDU5In1dfV"
    "0sInVuaXQiOiJzYXQiLCJtZW1vIjoiVGhhbmsgeW91LiJ9"
)
V4 = (
    "cashuBpGF0gaJhaUgArSaMTR9YJmFwgaNhYQFhc3hAOWE2ZGJiODQ3YmQyMzJiYTc2ZGIwZGYxOTcyMTZiMjlkM2I4Y2MxNDU1M2NkMjc4MjdmYzFjYz"
    "k0MmZlZGI0ZWFjWCEDhhhUP_trhpXfStS6vN6So0qWvc2X3O4NfM-Y1HISZ5JhZGlUaGFuayB5b3VhbXVodHRwOi8vbG9jYWxob3N0OjMzMzhhdWNzYXQ="
)
V4_TWO = (
    "cashuBo2F0gqJhaUgA_9SLj17PgGFwgaNhYQFhc3hAYWNjMTI0MzVlN2I4NDg0YzNjZjE4NTAxNDkyMThhZjkwZjcxNmE1MmJmNGE1ZWQzNDdlNDhlY2"
    "MxM2Y3NzM4OGFjWCECRFODGd5IXVW-07KaZCvuWHk3WrnnpiDhHki6SCQh88-iYWlIAK0mjE0fWCZhcIKjYWECYXN4QDEzMjNkM2Q0NzA3YTU4YWQyZT"
    "IzYWRhNGU5ZjFmNDlmNWE1YjRhYzdiNzA4ZWIwZDYxZjczOGY0ODMwN2U4ZWVhY1ghAjRWqhENhLSsdHrr2Cw7AFrKUL9Ffr1XN6RBT6w659lNo2FhAW"
    "FzeEA1NmJjYmNiYjdjYzY0MDZiM2ZhNWQ1N2QyMTc0ZjRlZmY4YjQ0MDJiMTc2OTI2ZDNhNTdkM2MzZGNiYjU5ZDU3YWNYIQJzEpxXGeWZN5qXSmJjY8"
    "MzxWyvwObQGr5G1YCCgHicY2FtdWh0dHA6Ly9sb2NhbGhvc3Q6MzMzOGF1Y3NhdA"
)
C = "038618543ffb6b8695df4ad4babcde92a34a96bdcd97dcee0d7ccf98d472126792"
COIN = {"a": 1, "s": "9a6dbb847bd232ba76db0df197216b29d3b8cc14553cd27827fc1cc942fedb4e", "c": bytes.fromhex(C)}
BODY = {"t": [{"i": bytes.fromhex("00ad268c4d1f5826"), "p": [COIN]}], "m": "http://localhost:3338", "u": "sat"}


def v4(**changes: Any) -> str:
    return "cashuB" + base64.urlsafe_b64encode(cbor2.dumps(BODY | changes)).decode().rstrip("=")


def v4_coins(*coins: Any) -> str:
    return v4(t=[{"i": bytes(8), "p": list(coins)}])


def v3(body: Any) -> str:
    return "cashuA" + base64.urlsafe_b64encode(json.dumps(body).encode()).decode()


def test_nut00_a_token_v3() -> None:
    token = read(V3)
    assert (token.mint, token.unit, token.memo) == ("https://8333.space:3338", "sat", "Thank you.")
    assert [(coin.amount, coin.id) for coin in token.coins] == [(2, "009a1f293253e41e"), (8, "009a1f293253e41e")]
    assert token.coins[1].C == "029e8e5050b890a7d6c0968db16bc1d5d5fa040ea1de284f6ec69d61299f671059"
    assert read(V3 + "==") == read("cashu:" + V3) == read(f" cashu://{V3}\n") == token


def test_nut00_tokens_v4() -> None:
    token = read(V4)
    assert (token.mint, token.unit, token.memo) == ("http://localhost:3338", "sat", "Thank you")
    assert token.coins == (Coin(id="00ad268c4d1f5826", amount=1, secret=str(COIN["s"]), C=C),)
    two = read(V4_TWO)
    assert [(coin.id, coin.amount) for coin in two.coins] == [
        ("00ffd48b8f5ecf80", 1),
        ("00ad268c4d1f5826", 2),
        ("00ad268c4d1f5826", 1),
    ]
    # Written by us, in the same order of keys, it is the same text.
    assert write(two) == V4_TWO


def test_a_token_written_is_read_as_it_was() -> None:
    dleq = Dleq(e="11" * 32, s="22" * 32, r="33" * 32)
    keyset = "015ba18a8adcd02e715a58358eb618da4a4b3791151a4bee5e968bb88406ccf76a"
    coins = (Coin(id=keyset, amount=64, secret="a", C=C, dleq=dleq), Coin(id=keyset, amount=1, secret="b", C=C))
    again = read(write(Token(mint="https://mint.example", coins=coins, memo="hi")))
    assert [coin.id for coin in again.coins] == [keyset[:16]] * 2
    assert (again.memo, again.coins[0].dleq, again.coins[1].dleq) == ("hi", dleq, None)


def test_a_token_is_known_by_its_coins() -> None:
    coins = read(V4_TWO).coins
    assert reference(coins) == reference(coins[::-1])
    assert reference(coins) != reference(coins[1:])
    assert len(reference(coins)) == 64


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "begin with cashuA or cashuB"),
        ("casshu" + V3[5:], "begin with cashuA or cashuB"),
        (V3[6:], "begin with cashuA or cashuB"),
        ("cashuC" + V4[6:], "begin with cashuA or cashuB"),
        (V4[:-40], "does not say what a cashuB token says"),
        (V4[:60] + "!" + V4[61:], "cut off or damaged"),
        (V4[:60] + "+" + V4[61:], "cut off or damaged"),
        ("cashuA" + "x" * 200_001, "at most 200000 are read"),
        (v3({"token": []}), "no coins"),
        (v3({"token": [{"mint": "m"}]}), "does not say what a cashuA token says"),
        (v3([]), "does not say what a cashuA token says"),
        (v3({"token": [{"mint": f"https://{n}", "proofs": []} for n in "ab"]}), "coins of 2 mints"),
        (v4(t=[]), "no coins"),
        (v4(t=7), "does not say what a cashuB token says"),
        (v4(t=[{"i": bytes(8), "p": [COIN]}] * 2), "a coin twice"),
        (v4(m=7), "does not say what a cashuB token says"),
        (v4_coins(COIN | {"a": 0}), "does not say"),
        (v4_coins(COIN | {"a": -1}), "does not say"),
        (v4_coins(COIN | {"a": 1.0}), "does not say"),
        (v4_coins(COIN | {"a": True}), "does not say"),
        (v4_coins(COIN | {"a": 1 << 70}), "does not say"),
        (v4_coins(COIN | {"a": 1 << 63}), "does not say"),
        (v4_coins(COIN | {"a": 2_100_000_000_000_000}, COIN | {"s": "b"}), "more than there are"),
        (v4_coins(COIN | {"s": ""}), "does not say"),
        (v4_coins(COIN | {"s": "x" * 1025}), "does not say"),
        (v4_coins(COIN | {"c": b"\x02" + b"\xff" * 32}), "signature is none"),
        (v4_coins(COIN | {"c": b""}), "signature is none"),
        (v4_coins(*(COIN | {"s": str(n)} for n in range(MAX_COINS + 1))), "swap it into fewer"),
        ("cashuB" + base64.urlsafe_b64encode(b"\x81" * 500 + b"\x01").decode(), "does not say"),
        ("cashuB" + base64.urlsafe_b64encode(b"\xc1\x1a\x5f\x00\x00\x00").decode(), "does not say"),
        ("cashuB" + base64.urlsafe_b64encode(b"\xbb" + b"\xff" * 8).decode(), "does not say"),
    ],
)
def test_what_is_no_token(text: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        read(text)


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ("https://Mint.Example/", "https://mint.example"),
        ("https://mint.example:443/Bitcoin/", "https://mint.example/Bitcoin"),
        ("http://127.0.0.1:3338", "http://127.0.0.1:3338"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://mint:x", "http://mint:x"),
    ],
)
def test_how_mints_are_compared(given: str, same: str) -> None:
    assert same_mint(given) == same


def test_nut18_a_request_says_what_is_wanted() -> None:
    text = request(amount=21, mints=["https://mint.example"], memo="a call")
    body = cbor2.loads(base64.urlsafe_b64decode(text[5:] + "=" * (-len(text[5:]) % 4)))
    assert text.startswith("creqA")
    assert body == {"a": 21, "u": "sat", "s": True, "m": ["https://mint.example"], "d": "a call"}
