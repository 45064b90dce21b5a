"""The test vectors of the NUTs (github.com/cashubtc/nuts, tests/), as facts."""

from __future__ import annotations

import json
from pathlib import Path

import cbor2
import pytest
from arbstr_wallet_cashu._curve import (
    NotOnCurve,
    blind,
    hash_e,
    hash_to_curve,
    is_honest,
    is_signed,
    public_of,
    read_point,
    reblind,
    sign,
    unblind,
    y_of,
)
from arbstr_wallet_cashu._keysets import BadKeyset, Keyset, checked, id_v1, id_v2
from arbstr_wallet_cashu._seed import BadWords, Lock, Seed, Space, locked_secret, new_words
from coincurve import PrivateKey, PublicKey

KEYS = {
    name: {int(amount): key for amount, key in keys.items()}
    for name, keys in json.loads((Path(__file__).parent / "vectors" / "nut02_keys.json").read_text()).items()
}
WORDS = "half depart obvious quality work element tank gorilla view sugar picture humble"
G = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
B = "02a9acc1e48c25eeeb9289b5031cc57da9fe72f3fe2861d264bdc074209b107ba2"


@pytest.mark.parametrize(
    ("last", "point"),
    [
        ("00", "024cce997d3b518f739663b757deaec95bcd9473c30a14ac2fd04023a739d1a725"),
        ("01", "022e7158e11c9506f1aa4248bf531298daa7febd6194f003edcd9b93ade6253acf"),
        ("02", "026cdbe15362df59cd1dd3c9c11de8aedac2106eca69236ecd9fbe117af897be4f"),
    ],
)
def test_nut00_hash_to_curve(last: str, point: str) -> None:
    assert hash_to_curve(bytes.fromhex("00" * 31 + last)).format().hex() == point


@pytest.mark.parametrize(
    ("x", "r", "blinded"),
    [
        (
            "d341ee4871f1f889041e63cf0d3823c713eea6aff01e80f1719f08f9e5be98f6",
            "99fce58439fc37412ab3468b73db0569322588f62fb3a49182d67e23d877824a",
            "033b1a9737a40cc3fd9b6af4b723632b76a67a36782596304612a6c2bfb5197e6d",
        ),
        (
            "f1aaf16c2239746f369572c0784d9dd3d032d952c2d992175873fb58fae31a60",
            "f78476ea7cc9ade20f9e05e58a804cf19533f03ea805ece5fee88c8e2874ba50",
            "029bdf2d716ee366eddf599ba252786c1033f47e230248a4612a5670ab931f1763",
        ),
    ],
)
def test_nut00_blinded_messages(x: str, r: str, blinded: str) -> None:
    # The vector's secret is bytes, ours are text: only the point differs, so it is put together here.
    point = PublicKey.combine_keys([hash_to_curve(bytes.fromhex(x)), PrivateKey(bytes.fromhex(r)).public_key])
    assert point.format().hex() == blinded


@pytest.mark.parametrize(
    ("k", "signed"),
    [("00" * 31 + "01", B), ("7f" * 32, "0398bc70ce8184d27ba89834d19f5199c84443c31131e48d3c1214db24247d005d")],
)
def test_nut00_blinded_signatures(k: str, signed: str) -> None:
    assert read_point(B).multiply(bytes.fromhex(k)).format().hex() == signed


def test_nut00_what_is_unblinded_is_the_mints_signature() -> None:
    k, r, secret = bytes(31) + b"\x07", bytes(31) + b"\x09", "a secret"
    mint_key = public_of(k)
    blinded = blind(secret, r)
    signed = read_point(blinded).multiply(k).format().hex()
    assert unblind(signed, r, mint_key) == read_point(y_of(secret)).multiply(k).format().hex()
    assert reblind(unblind(signed, r, mint_key), r, mint_key) == signed


@pytest.mark.parametrize("amount", [1, 2])
def test_nut01_keys_that_are_none(amount: int) -> None:
    bad = {
        1: "03a40f20667ed53513075dc51e715ff2046cad64eb68960632269ba7f0210e38",
        2: "04fd4ce5a16b65576145949e6f99f445f8249fee17c606b688b504a849cdc452de3625246cb2c27dac965cb7200a5986467eee92eb7"
        "d496bbf1453b074e223e481",
    }
    keys = KEYS["four"] | {amount: bad[amount]}
    with pytest.raises(BadKeyset, match=f"key {amount}"):
        checked(Keyset(id="00456a94ab4e1c46", mint="m", keys=keys))


@pytest.mark.parametrize(
    ("keys", "ppk", "expires", "keyset"),
    [
        ("four", 100, 2059210353, "015ba18a8adcd02e715a58358eb618da4a4b3791151a4bee5e968bb88406ccf76a"),
        ("all", 0, 2059210353, "01ab6aa4ff30390da34986d84be5274b48ad7a74265d791095bfc39f4098d9764f"),
        ("all", 0, None, "012fbb01a4e200c76df911eeba3b8fe1831202914b24664f4bccbd25852a6708f8"),
    ],
)
def test_nut02_keyset_ids_v2(keys: str, ppk: int, expires: int | None, keyset: str) -> None:
    assert id_v2(KEYS[keys], "sat", ppk, expires) == keyset
    known = Keyset(id=keyset, mint="m", keys=KEYS[keys], ppk=ppk, expires=expires)
    assert checked(known) is known
    with pytest.raises(BadKeyset, match="not what its id says"):
        checked(Keyset(id=keyset, mint="m", keys=KEYS[keys], ppk=ppk + 1, expires=expires))


def test_an_expiry_of_0_may_stand_in_an_id() -> None:
    """As Nutshell 0.21 writes it when it rotates."""
    keyset = id_v2(KEYS["four"], "sat", 0, 0)
    assert keyset != id_v2(KEYS["four"], "sat", 0, None)
    checked(Keyset(id=keyset, mint="m", keys=KEYS["four"], expires=0))
    with pytest.raises(BadKeyset):
        checked(Keyset(id=keyset, mint="m", keys=KEYS["four"], expires=None))


@pytest.mark.parametrize(("keys", "keyset"), [("four", "00456a94ab4e1c46"), ("all", "000f01df73ea149a")])
def test_nut02_keyset_ids_v1(keys: str, keyset: str) -> None:
    assert id_v1(KEYS[keys]) == keyset
    checked(Keyset(id=keyset, mint="m", keys=KEYS[keys], ppk=100))


@pytest.mark.parametrize("keyset", ["00456a94ab4e1c47", "I2yN+iRYfkzT", "0a456a94ab4e1c46", ""])
def test_a_keyset_is_not_what_it_says(keyset: str) -> None:
    with pytest.raises(BadKeyset, match="not what its id says"):
        checked(Keyset(id=keyset, mint="m", keys=KEYS["four"]))


def test_nut12_hash_e() -> None:
    points = [read_point("02" + "00" * 31 + "01")] * 3 + [read_point(B)]
    assert hash_e(*points).hex() == "a4dc034b74338c28c6bc3ea49731f2a24440fc7c4affc08b31a93fc9fbe6401e"


def test_nut12_a_signature_is_proven() -> None:
    e = "9818e061ee51d5c8edc3342369a554998ff7b4381c8652d724cdf46429be73d9"
    s = "9818e061ee51d5c8edc3342369a554998ff7b4381c8652d724cdf46429be73da"
    assert is_honest(B, B, e, s, G)
    assert not is_honest(B, B, e, e, G)
    assert not is_honest(B, B, s, s, G)
    assert not is_honest(B, B, "zz", s, G)
    assert not is_honest(B, B, e, s, B)


def test_nut12_the_nonce_of_a_mint() -> None:
    mint_key = "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"
    signed = "0244eccfc7a348274458bb38044c7f3c389b3c2086c7ec18b5812d2877ab937787"
    e = "2a16ffee280aff3c429045607f9b8e0bf8b35910c44c1b20b9dfaf01b263d7b3"
    s = "9df27731238334718d120d4f74611a7c668233f988e687ac3fb188f0a34a2dab"
    assert is_honest(B, signed, e, s, mint_key)


def test_nut12_a_proof_is_proven() -> None:
    secret = "daf4dd00a2b68a0858a80450f52c8a7d2ccf87d375e43e216e0c571f089f63e9"
    c = "024369d2d22a80ecf78f3937da9d5f30c1b9f74f0c32684d583cca0fa6a61cdcfc"
    e = "b31e58ac6527f34975ffab13e70a48b6d2b0d35abc4b03f0151f09ee1a9763d4"
    s = "8fbae004c59e754d71df67e392b6ae4e29293113ddc2ec86592a0431d16306d8"
    r = bytes.fromhex("a6d13fcd7a18442e6076f5e1e7c887ad5de40a019824bdfa9fe740d302e8d861")
    assert is_honest(blind(secret, r), reblind(c, r, G), e, s, G)
    assert not is_honest(blind(secret + "0", r), reblind(c, r, G), e, s, G)


V1 = [
    (
        "485875df74771877439ac06339e284c3acfcd9be7abf3bc20b516faeadfe77ae",
        "ad00d431add9c673e843d4c2bf9a778a5f402b985b8da2d5550bf39cda41d679",
    ),
    (
        "8f2b39e8e594a4056eb1e6dbb4b0c38ef13b1b2c751f64f810ec04ee35b77270",
        "967d5232515e10b81ff226ecf5a9e2e2aff92d66ebc3edf0987eb56357fd6248",
    ),
    (
        "bc628c79accd2364fd31511216a0fab62afd4a18ff77a20deded7b858c9860c8",
        "b20f47bb6ae083659f3aa986bfa0435c55c6d93f687d51a01f26862d9b9a4899",
    ),
    (
        "59284fd1650ea9fa17db2b3acf59ecd0f2d52ec3261dd4152785813ff27a33bf",
        "fb5fca398eb0b1deb955a2988b5ac77d32956155f1c002a373535211a2dfdc29",
    ),
    (
        "576c23393a8b31cc8da6688d9c9a96394ec74b40fdaf1f693a6bb84284334ea0",
        "5f09bfbfe27c439a597719321e061e2e40aad4a36768bb2bcc3de547c9644bf9",
    ),
]
V2 = [
    (
        "db5561a07a6e6490f8dadeef5be4e92f7cebaecf2f245356b5b2a4ec40687298",
        "6d26181a3695e32e9f88b80f039ba1ae2ab5a200ad4ce9dbc72c6d3769f2b035",
    ),
    (
        "b70e7b10683da3bf1cdf0411206f8180c463faa16014663f39f2529b2fda922e",
        "bde4354cee75545bea1a2eee035a34f2d524cee2bb01613823636e998386952e",
    ),
    (
        "78a7ac32ccecc6b83311c6081b89d84bb4128f5a0d0c5e1af081f301c7a513f5",
        "f40cc1218f085b395c8e1e5aaa25dccc851be3c6c7526a0f4e57108f12d6dac4",
    ),
    (
        "094a2b6c63bfa7970bc09cda0e1cfc9cd3d7c619b8e98fabcfc60aea9e4963e5",
        "099ed70fc2f7ac769bc20b2a75cb662e80779827b7cc358981318643030577d0",
    ),
    (
        "5e89fc5d30d0bf307ddf0a3ac34aa7a8ee3702169dafa3d3fe1d0cae70ecd5ef",
        "5550337312d223ba62e3f75cfe2ab70477b046d98e3e71804eade3956c7b98cf",
    ),
]


@pytest.mark.parametrize(
    ("keyset", "expected"),
    [
        ("009a1f293253e41e", V1),
        ("015ba18a8adcd02e715a58358eb618da4a4b3791151a4bee5e968bb88406ccf76a", V2),
    ],
)
def test_nut13_secrets_and_blinding_factors(keyset: str, expected: list[tuple[str, str]]) -> None:
    seed = Seed(WORDS)
    made = [seed.derive(Space.PURSE, keyset, counter) for counter in range(5)]
    assert [(each.secret, each.r.hex()) for each in made] == expected


def test_what_is_given_away_is_derived_apart() -> None:
    seed, keyset = Seed(WORDS), "009a1f293253e41e"
    assert seed.derive(Space.ISSUED, keyset, 0).secret not in [secret for secret, _ in V1]
    assert seed.derive(Space.ISSUED, keyset, 0) == Seed(f"  {WORDS.upper()}\n").derive(Space.ISSUED, keyset, 0)
    assert seed.quote_key("a") != seed.quote_key("b")


@pytest.mark.parametrize("words", ["", "half depart", WORDS.replace("humble", "half"), WORDS + " humble"])
def test_words_that_are_no_seed(words: str) -> None:
    with pytest.raises(BadWords, match="BIP-39"):
        Seed(words)


def test_new_words_are_a_seed_and_never_the_same() -> None:
    assert Seed(new_words()).identity != Seed(new_words()).identity
    assert len(new_words().split()) == 12


def test_nut11_signatures() -> None:
    secret = (
        '["P2PK",{"nonce":"859d4935c4907062a6297cf4e663e2835d90d97ecdd510745d32f6816323a41f","data":"0249098aa8b9d2fbec49'
        'ff8598feb17b592b986e62319a4fa488a3dc36387157a7","tags":[["sigflag","SIG_INPUTS"]]}]'
    )
    key = "0249098aa8b9d2fbec49ff8598feb17b592b986e62319a4fa488a3dc36387157a7"
    good = (
        "60f3c9b766770b46caac1d27e1ae6b77c8866ebaeba0b9489fe6a15a837eaa6fcd6eaa825499c72ac342983983fd3ba3a8a41f56677cc99f"
        "fd73da68b59e1383"
    )
    other = (
        "83564aca48c668f50d022a426ce0ed19d3a9bdcffeeaee0dc1e7ea7e98e9eff1840fcc821724f623468c94f72a8b0a7280fa9ef5a54a1b13"
        "0ef3055217f467b3"
    )
    assert is_signed(key, secret, good)
    assert not is_signed(key, secret, other)
    nonce = "859d4935c4907062a6297cf4e663e2835d90d97ecdd510745d32f6816323a41f"
    assert locked_secret(Lock(key=key), nonce) == secret
    assert is_signed(public_of(b"\x05" * 32), secret, sign(b"\x05" * 32, secret))


def test_nut11_a_lock_that_ends_names_who_may_spend_then() -> None:
    made = json.loads(locked_secret(Lock(key=G, until=21, refund=B), "00"))
    assert made == [
        "P2PK",
        {"nonce": "00", "data": G, "tags": [["sigflag", "SIG_INPUTS"], ["locktime", "21"], ["refund", B]]},
    ]


def test_nut20_a_signed_mint_request() -> None:
    key = "03d56ce4e446a85bbdaa547b4ec2b073d40ff802831352b8272b7dd7a4de5a7cac"
    outputs = [
        "0342e5bcc77f5b2a3c2afb40bb591a1e27da83cddc968abdc0ec4904201a201834",
        "032fd3c4dc49a2844a89998d5e9d5b0f0b00dde9310063acb8a92e2fdafa4126d4",
        "033b6fde50b6a0dfe61ad148fff167ad9cf8308ded5f6f6b2fe000a036c464c311",
        "02be5a55f03e5c0aaea77595d574bce92c6d57a2a0fb2b5955c0b87e4520e06b53",
        "02209fc2873f28521cbdde7f7b3bb1521002463f5979686fd156f23fe6a8aa2b79",
    ]
    message = "9d745270-1405-46de-b5c5-e2762b4f5e00" + "".join(outputs)
    good = (
        "d4b386f21f7aa7172f0994ee6e4dd966539484247ea71c99b81b8e09b1bb2acbc0026a43c221fd773471dc30d6a32b04692e6837ddaccf08"
        "30a63128308e4ee0"
    )
    bad = (
        "cb2b8e7ea69362dfe2a07093f2bbc319226db33db2ef686c940b5ec976bcbfc78df0cd35b3e998adf437b09ee2c950bd66dfe9eb64abd706"
        "e43ebc7c669c36c3"
    )
    assert is_signed(key, message, good)
    assert not is_signed(key, message, bad)


@pytest.mark.parametrize("text", ["", "02", "zz" * 33, "04" + "11" * 32, "02" + "ff" * 32, "02" + "11" * 33])
def test_points_that_are_none(text: str) -> None:
    with pytest.raises(NotOnCurve):
        read_point(text)


def test_the_decoder_of_tokens_stops_at_a_depth() -> None:
    with pytest.raises(cbor2.CBORDecodeError):
        cbor2.loads(b"\x81" * 20 + b"\x01", max_depth=8)
