"""Owns the judgement of tokens that come in: whose they are, what they are worth to us, whether they are forged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from arbstr_core.api import BadRequest
from arbstr_wallet_cashu._curve import NotOnCurve, blind, is_honest, read_scalar, reblind, sign
from arbstr_wallet_cashu._keysets import SAT, BadKeyset, fee
from arbstr_wallet_cashu._places import Place
from arbstr_wallet_cashu._purse import Purse
from arbstr_wallet_cashu._tokens import Coin, Token, read, reference


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A token of a mint of ours: its coins with whole keyset ids, what redeeming them adds and costs, in sat."""

    mint: str
    reference: str
    coins: tuple[Coin, ...]
    witnesses: tuple[str, ...]
    amount: int
    fee: int
    locked: bool


class Judging:
    """Reads tokens for one purse."""

    def __init__(self, purse: Purse) -> None:
        self._purse = purse

    async def judge(self, text: str) -> Judged:
        """What a token is worth to us. Asks nobody but its mint, and that only where it is one of ours, for keysets.

        Raises BadRequest, RailUnavailable.
        """
        token = read(text)
        place = self._place(token)
        await place.ready()
        coins = await self.whole(place, token.coins)
        await asyncio.to_thread(_proven, place, coins)
        witnesses = tuple(self.witness(coin) for coin in coins)
        cost = fee(place.ppk(coin.id) for coin in coins)
        total = sum(coin.amount for coin in coins)
        if total <= cost:
            raise BadRequest(f"the token is worth {total} sat, and redeeming it costs {cost}; send more at once")
        most = self._purse.config.largest
        if total > most:
            raise BadRequest(
                f"the token is worth {total} sat, and at most {most} are taken at a time; send less at once"
            )
        return Judged(
            mint=place.name,
            reference=reference(coins),
            coins=coins,
            witnesses=witnesses,
            amount=total - cost,
            fee=cost,
            locked=any(witnesses),
        )

    def _place(self, token: Token) -> Place:
        if token.unit != SAT:
            raise BadRequest(f"the token is in {token.unit!r}, and only sat are taken")
        place = self._purse.places.at(token.mint)
        if place is None:
            ours = ", ".join(each.url for each in self._purse.places.all)
            raise BadRequest(f"the token is of the mint {token.mint[:200]!r}; taken are those of {ours}")
        return place

    async def whole(self, place: Place, coins: Sequence[Coin]) -> tuple[Coin, ...]:
        """The coins with the ids of keysets the mint has, each for an amount that one of its keys signs."""
        found = {}
        for given in {coin.id for coin in coins}:
            try:
                keyset = await place.find(given)
            except BadKeyset as bad:
                raise BadRequest(f"the token: {bad}") from None
            if keyset is None:
                raise BadRequest(
                    f"the token has the keyset {given[:80]}, which the mint {place.url} does not have for sats"
                )
            found[given] = keyset
        for coin in coins:
            if coin.amount not in found[coin.id].keys:
                raise BadRequest(f"the token has a coin of {coin.amount} sat, for which its keyset has no key")
        return tuple(replace(coin, id=found[coin.id].id) for coin in coins)

    def witness(self, coin: Coin) -> str:
        """What the mint wants beside a locked coin; empty for a plain one. Raises BadRequest where it is not ours."""
        lock = _lock_of(coin.secret)
        if lock is None:
            return ""
        kind, data, tags = lock
        seed, now = self._purse.exchange.seed, self._purse.clock.now_ms() // 1000
        ended = 0 < _number(tags.get("locktime", [""])[0]) < now
        if kind == "P2PK" and tags.get("sigflag", ["SIG_INPUTS"])[0] == "SIG_INPUTS":
            if ended and not tags.get("refund"):
                return ""
            ours = [data, *tags.get("refund", [])] if ended else [data, *tags.get("pubkeys", [])]
            if seed.identity in ours and _number(tags.get("n_sigs", ["1"])[0]) <= 1:
                return json.dumps({"signatures": [sign(seed.key, coin.secret)]}, separators=(",", ":"))
        remedy = f"have it locked to {seed.identity}, or send one without a lock"
        raise BadRequest(f"the token is locked ({kind}) to somebody else; {remedy}")


def _proven(place: Place, coins: Sequence[Coin]) -> None:
    """Check the proofs that came with coins (NUT-12). Raises BadRequest."""
    for coin in coins:
        if coin.dleq is None:
            continue
        key = place.keysets[coin.id].keys[coin.amount]
        try:
            r = read_scalar(coin.dleq.r)
            honest = is_honest(blind(coin.secret, r), reblind(coin.C, r, key), coin.dleq.e, coin.dleq.s, key)
        except NotOnCurve:
            honest = False
        if not honest:
            raise BadRequest(f"the token is forged: {place.url} did not sign its coin of {coin.amount} sat (NUT-12)")


def _lock_of(secret: str) -> tuple[str, str, dict[str, list[str]]] | None:
    """(kind, data, tags) of a secret with a condition (NUT-10), None for a plain one."""
    if not secret.startswith("["):
        return None
    try:
        kind, body = json.loads(secret)
        tags = {str(tag[0]): [str(value) for value in tag[1:]] for tag in body.get("tags") or []}
        return str(kind), str(body["data"]), tags
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
