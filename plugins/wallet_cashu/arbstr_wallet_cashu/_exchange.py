"""Owns getting coins from a mint, so that a reply that is lost loses none: outputs are written down before they are
sent, and what the mint may have signed is asked for again before anything else is tried."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from arbstr_wallet_cashu._book import Draft
from arbstr_wallet_cashu._curve import NotOnCurve, blind, is_honest, sign, unblind, y_of
from arbstr_wallet_cashu._mint import ISSUED, SIGNED, SPENT, UNSPENT, Input, MintRefused, MintSilent, Output, Signature
from arbstr_wallet_cashu._places import Place
from arbstr_wallet_cashu._records import Made, Outputs
from arbstr_wallet_cashu._seed import Lock, Seed, Space
from arbstr_wallet_cashu._tokens import Coin, Dleq


class Exchange:
    """Makes outputs of the seed, and coins of what a mint signs."""

    def __init__(self, seed: Seed) -> None:
        self.seed = seed

    async def make(
        self,
        draft: Draft,
        place: Place,
        amounts: Sequence[int],
        *,
        space: Space = Space.PURSE,
        lock: Lock | None = None,
    ) -> Outputs:
        """Outputs of these amounts in the keyset in use; their counters are taken with `draft`."""
        keyset = place.active()
        first = await draft.count(space, keyset.id, len(amounts)) if amounts else 0
        return tuple(
            Made(keyset=keyset.id, counter=first + at, amount=amount, space=space, lock=lock)
            for at, amount in enumerate(amounts)
        )

    def blinded(self, outputs: Outputs) -> list[Output]:
        """What is sent of outputs; the mint fills in amounts of 0, and is sent a 1 there (NUT-08)."""
        made = []
        for output in outputs:
            derived = self.seed.derive(output.space, output.keyset, output.counter, output.lock)
            made.append(Output(amount=output.amount or 1, id=output.keyset, B_=blind(derived.secret, derived.r)))
        return made

    def ahead(self, space: Space, keyset: str, counters: Iterable[int]) -> list[Output]:
        """The outputs of counters, whatever they were or will be worth: to ask the mint for."""
        return self.blinded(tuple(Made(keyset=keyset, counter=counter, amount=0, space=space) for counter in counters))

    def y(self, output: Made) -> str:
        """What the coin of an output is known by once it is spent."""
        return y_of(self.seed.derive(output.space, output.keyset, output.counter, output.lock).secret)

    def coins(self, place: Place, outputs: Outputs, signatures: Sequence[Signature]) -> list[Coin]:
        """The coins that signatures of the first outputs make. Raises MintSilent where they are not what was asked for:
        then the mint keeps what it has signed, and may be asked for it again."""
        made = []
        for output, signed in zip(outputs, signatures, strict=False):
            if signed.id != output.keyset or (output.amount and signed.amount != output.amount):
                raise MintSilent(f"{place.url} signed {signed.amount} of {signed.id} for {output.amount}: not taken")
            made.append(self._coin(place, output, signed))
        return made

    async def mint(self, place: Place, quote: str, outputs: Outputs, key: bytes | None, *, again: bool) -> list[Coin]:
        """Coins for a quote that is paid. `again` where the mint may have been asked before.

        Raises MintRefused: it did not sign these outputs and will not; MintSilent: nobody knows.
        """
        if again and (found := await self._issued(place, quote, outputs)) is not None:
            return found
        sent = self.blinded(outputs)
        signature = "" if key is None else sign(key, quote + "".join(output.B_ for output in sent))
        try:
            return self._all(place, outputs, await place.mint.mint(quote, sent, signature))
        except MintRefused as refused:
            if refused.code in (SIGNED, ISSUED) and (found := await self._issued(place, quote, outputs)) is not None:
                return found
            raise
        except MintSilent:
            if (found := await self._issued(place, quote, outputs)) is not None:
                return found
            raise

    async def swap(self, place: Place, inputs: Sequence[Input], tries: Sequence[Outputs], *, again: bool) -> list[Coin]:
        """Coins for the last of `tries`, or for an earlier one if the mint did that after all. As `mint`."""
        if again and (found := await self._swapped(place, inputs, tries)) is not None:
            return found
        try:
            signatures = await place.mint.swap(inputs, self.blinded(tries[-1]))
            return self._all(place, tries[-1], signatures)
        except MintRefused as refused:
            if refused.code in (SPENT, SIGNED) and (found := await self._swapped(place, inputs, tries)) is not None:
                return found
            raise
        except MintSilent:
            if (found := await self._swapped(place, inputs, tries)) is not None:
                return found
            raise

    async def restored(self, place: Place, outputs: Outputs) -> list[Coin] | None:
        """The coins of outputs if the mint has signed all of them, each for its amount, and nobody has spent one; None
        where it has not. Outputs alone prove nothing: where old records were put back, another job may have used the
        same counters before."""
        sent = self.blinded(outputs)
        found = await place.mint.restore(sent)
        signatures = [found[output.B_] for output in sent if output.B_ in found]
        if [signed.amount for signed in signatures] != [output.amount for output in outputs]:
            return None
        coins = self.coins(place, outputs, signatures)
        states = await place.mint.states([coin.y() for coin in coins])
        return coins if all(state == UNSPENT for state in states.values()) else None

    async def change(self, place: Place, outputs: Outputs, signed: Sequence[Signature] | None) -> list[Coin]:
        """The coins of blank outputs: from the mint's reply, or asked for again where that is lost."""
        if signed is not None:
            return self.coins(place, outputs, signed)
        found = await place.mint.restore(self.blinded(outputs))
        return [
            self._coin(place, output, found[sent.B_])
            for output, sent in zip(outputs, self.blinded(outputs), strict=True)
            if sent.B_ in found
        ]

    async def _issued(self, place: Place, quote: str, outputs: Outputs) -> list[Coin] | None:
        """What came of a quote, if the mint has issued it, and for these outputs."""
        if (await place.mint.minted(quote)).state != "ISSUED":
            return None
        return await self.restored(place, outputs)

    async def _swapped(self, place: Place, inputs: Sequence[Input], tries: Sequence[Outputs]) -> list[Coin] | None:
        """What came of a swap, if it was done: its inputs are spent, and all outputs of one try signed."""
        states = await place.mint.states([y_of(each.secret) for each in inputs])
        if any(state != "SPENT" for state in states.values()):
            return None
        for outputs in reversed(tries):
            if (found := await self.restored(place, outputs)) is not None:
                return found
        return None

    def _all(self, place: Place, outputs: Outputs, signatures: Sequence[Signature]) -> list[Coin]:
        if len(signatures) != len(outputs):
            raise MintSilent(f"{place.url} signed {len(signatures)} of {len(outputs)} outputs")
        return self.coins(place, outputs, signatures)

    def _coin(self, place: Place, output: Made, signed: Signature) -> Coin:
        keyset = place.keysets.get(output.keyset)
        key = None if keyset is None else keyset.keys.get(signed.amount)
        if key is None:
            raise MintSilent(f"{place.url} signed {signed.amount} of {output.keyset}, for which it has no key")
        derived = self.seed.derive(output.space, output.keyset, output.counter, output.lock)
        said = signed.dleq
        if said is not None and not is_honest(blind(derived.secret, derived.r), signed.C_, said.e, said.s, key):
            raise MintSilent(f"{place.url} signed with another key than it published (NUT-12): not taken")
        try:
            signature = unblind(signed.C_, derived.r, key)
        except NotOnCurve as bad:
            raise MintSilent(f"{place.url} signed with what is no point: {bad}") from None
        proof = None if said is None else Dleq(e=said.e, s=said.s, r=derived.r.hex())
        return Coin(id=output.keyset, amount=signed.amount, secret=derived.secret, C=signature, dleq=proof)


def spending(coins: Iterable[Coin], witnesses: Sequence[str] = ()) -> list[Input]:
    """Coins as a mint takes them: without what would tell it which signature they came from."""
    given = list(coins)
    signed = list(witnesses) or [""] * len(given)
    return [
        Input(id=coin.id, amount=coin.amount, secret=coin.secret, C=coin.C, witness=witness)
        for coin, witness in zip(given, signed, strict=True)
    ]


def in_order(*parts: Outputs) -> Outputs:
    """Outputs by amount, so that their order does not tell what is paid and what is kept (NUT-03)."""
    return tuple(sorted((output for part in parts for output in part), key=lambda output: output.amount))


def without_proof(coin: Coin) -> Coin:
    """A coin as the purse keeps it, or as it goes into a short token."""
    return msgspec.structs.replace(coin, dleq=None)
