"""Owns tokens as text: V3 and V4 read, V4 written (NUT-00), and the text that asks for one (NUT-18).

What is read here comes from strangers: every field is checked, and a refusal says what is wrong with which of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import cbor2
import msgspec

from arbstr_core.api import BadRequest
from arbstr_wallet_cashu._curve import NotOnCurve, read_point, y_of
from arbstr_wallet_cashu._keysets import SAT

MAX_TEXT = 200_000
"""Characters of a token."""
MAX_COINS = 500
"""Coins in a token: a mint takes a second to spend so many."""
MAX_SAT = 2_100_000_000_000_000
"""All there will ever be."""
_MAX_SECRET = 1024
_MAX_DEPTH = 8

T = TypeVar("T")

Amount = Annotated[int, msgspec.Meta(ge=1, le=MAX_SAT)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=_MAX_SECRET)]


class Dleq(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The mint's proof that it signed with its published key (NUT-12), hex; `r` only where it goes to somebody else."""

    e: str
    s: str
    r: str = ""


class Coin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A proof of NUT-00: ecash worth `amount` sat to whoever knows `secret` and `C`. `id` is its keyset's."""

    id: str
    amount: Amount
    secret: Text
    C: str
    dleq: Dleq | None = None

    def y(self) -> str:
        """What the mint knows it by once it is spent."""
        return y_of(self.secret)


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """Coins of one mint. Keyset ids are as they were written: maybe short."""

    mint: str
    coins: tuple[Coin, ...]
    unit: str = SAT
    memo: str = ""


class _EntryV3(msgspec.Struct, frozen=True):
    mint: str
    proofs: list[Coin]


class _TokenV3(msgspec.Struct, frozen=True):
    token: list[_EntryV3]
    unit: str | None = None
    memo: str | None = None


class _DleqV4(msgspec.Struct, frozen=True):
    e: bytes
    s: bytes
    r: bytes = b""


class _CoinV4(msgspec.Struct, frozen=True):
    a: Amount
    s: Text
    c: bytes
    d: _DleqV4 | None = None


class _GroupV4(msgspec.Struct, frozen=True):
    i: bytes
    p: list[_CoinV4]


class _TokenV4(msgspec.Struct, frozen=True):
    t: list[_GroupV4]
    m: str
    u: str
    d: str | None = None


def read(text: str) -> Token:
    """The token in `text`. Raises BadRequest, which says what is wrong with it."""
    said = text.strip().removeprefix("cashu:").removeprefix("//")
    if len(said) > MAX_TEXT:
        raise BadRequest(f"the token has {len(said)} characters, and at most {MAX_TEXT} are read; send it in parts")
    if said.startswith("cashuA"):
        token = _from_v3(_bytes(said[6:]))
    elif said.startswith("cashuB"):
        token = _from_v4(_bytes(said[6:]))
    else:
        raise BadRequest(f"{said[:12]!r}... is no Cashu token: those begin with cashuA or cashuB")
    _check(token)
    return token


def write(token: Token) -> str:
    """V4, with short keyset ids: what every wallet reads."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for coin in token.coins:
        said: dict[str, Any] = {"a": coin.amount, "s": coin.secret, "c": bytes.fromhex(coin.C)}
        if coin.dleq is not None:
            parts = {"e": coin.dleq.e, "s": coin.dleq.s, "r": coin.dleq.r}
            said["d"] = {name: bytes.fromhex(part) for name, part in parts.items()}
        groups.setdefault(coin.id[:16], []).append(said)
    body: dict[str, Any] = {"t": [{"i": bytes.fromhex(i), "p": coins} for i, coins in groups.items()]}
    if token.memo:
        body["d"] = token.memo
    return "cashuB" + _text(cbor2.dumps({**body, "m": token.mint, "u": token.unit}))


def request(*, amount: int, mints: Sequence[str], memo: str) -> str:
    """A payment request (NUT-18) for a token of `amount` sat, once, of one of `mints`; the answer goes in a header."""
    body: dict[str, Any] = {"a": amount, "u": SAT, "s": True, "m": list(mints)}
    if memo:
        body["d"] = memo
    return "creqA" + _text(cbor2.dumps(body))


def reference(coins: Iterable[Coin]) -> str:
    """What a token is known by: the same for the same coins, however they are written down. Hex."""
    return hashlib.sha256("".join(sorted(coin.y() for coin in coins)).encode()).hexdigest()


def same_mint(url: str) -> str:
    """A mint's URL as it is compared: scheme and host in small letters, no default port, no slash at the end."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return url
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    where = host if port in (None, usual) else f"{host}:{port}"
    return f"{parts.scheme}://{where}{parts.path.rstrip('/')}"


def _from_v3(raw: bytes) -> Token:
    try:
        said = msgspec.json.decode(raw, type=_TokenV3)
    except msgspec.MsgspecError as bad:
        raise BadRequest(f"the token does not say what a cashuA token says: {bad}") from None
    mints = {same_mint(entry.mint) for entry in said.token}
    if len(mints) > 1:
        raise BadRequest(f"the token has coins of {len(mints)} mints; send one token for each mint")
    coins = tuple(coin for entry in said.token for coin in entry.proofs)
    return Token(
        mint=said.token[0].mint if said.token else "", coins=coins, unit=said.unit or SAT, memo=said.memo or ""
    )


def _from_v4(raw: bytes) -> Token:
    try:
        loaded = cbor2.loads(raw, max_depth=_MAX_DEPTH)
        said = msgspec.convert(loaded, type=_TokenV4, strict=True)
    except (cbor2.CBORDecodeError, msgspec.MsgspecError, ValueError, TypeError) as bad:
        raise BadRequest(f"the token does not say what a cashuB token says: {bad}") from None
    coins = tuple(
        Coin(id=group.i.hex(), amount=coin.a, secret=coin.s, C=coin.c.hex(), dleq=_dleq(coin.d))
        for group in said.t
        for coin in group.p
    )
    return Token(mint=said.m, coins=coins, unit=said.u, memo=said.d or "")


def _dleq(said: _DleqV4 | None) -> Dleq | None:
    return None if said is None else Dleq(e=said.e.hex(), s=said.s.hex(), r=said.r.hex())


def _check(token: Token) -> None:
    if not token.coins:
        raise BadRequest("the token has no coins")
    if len(token.coins) > MAX_COINS:
        raise BadRequest(
            f"the token has {len(token.coins)} coins, and at most {MAX_COINS} are taken; swap it into fewer first"
        )
    if len({coin.secret for coin in token.coins}) != len(token.coins):
        raise BadRequest("the token has a coin twice; leave it out once")
    total = sum(coin.amount for coin in token.coins)
    if total > MAX_SAT:
        raise BadRequest(f"the token says {total} sat, which is more than there are")
    for coin in token.coins:
        try:
            read_point(coin.C)
        except NotOnCurve as bad:
            raise BadRequest(f"the token has a coin whose signature is none: {bad}") from None


def _bytes(text: str) -> bytes:
    body = text.rstrip("=")
    try:
        if not body.isascii() or set(body) & set("+/ \n\t"):
            raise ValueError("characters outside of base64url")
        return base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as bad:
        raise BadRequest(f"the token is cut off or damaged: {bad}; copy all of it") from None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
