"""Makes invoices, one a key, and takes them back. Their preimages are ours, so that a lost answer loses no invoice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from arbstr_core.api import BadRequest, Clock, Conflict, Invoice, Msat, Store, read_bolt11
from arbstr_wallet_lnd import _calls as calls
from arbstr_wallet_lnd import _lnd_pb2 as pb
from arbstr_wallet_lnd._channel import Channel
from arbstr_wallet_lnd._config import Config
from arbstr_wallet_lnd._errors import NodeError
from arbstr_wallet_lnd._node import Node, unavailable

_KEY, _MADE, _OPEN = "invoice/", "in/", "open/"
_MOST_MEMO = 639
_MOST_SECONDS = 31_536_000
_GONE_MS = 86_400_000


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice of ours. `text` is empty until the node has answered; the preimage is a secret until it is paid."""

    key: str
    payment_hash: str
    preimage: str
    amount_msat: Msat
    memo: str
    made_ms: int
    seconds: int
    text: str = ""

    @property
    def gone_ms(self) -> int:
        """From when on the node need not be asked about it any more."""
        return self.made_ms + self.seconds * 1000 + _GONE_MS


class Invoices:
    """The invoices of this rail, in the plugin's store."""

    def __init__(
        self, config: Config, channel: Channel, node: Node, store: Store, clock: Clock, random: Callable[[int], bytes]
    ) -> None:
        self._config = config
        self._channel = channel
        self._node = node
        self._store = store
        self._clock = clock
        self._random = random

    async def invoice(self, amount: Msat, memo: str, *, key: str, seconds: int) -> Invoice:
        """The invoice of `key`, made now where there is none. Raises BadRequest, RailUnavailable."""
        made = await self._of_key(key) or await self._new(amount, memo, key=key, seconds=seconds)
        if made.amount_msat != amount:
            raise BadRequest(f"the key {key!r} asked for {made.amount_msat} msat before, and now for {amount}")
        if not made.text:
            made = await self._asked(made)
        said = read_bolt11(made.text)
        assert said.payment_hash == made.payment_hash, "LND wrote an invoice for another payment hash"
        assert said.amount_msat == amount, "LND wrote an invoice for another amount"
        return Invoice(text=made.text, reference=made.payment_hash, amount_msat=amount, expires_ms=said.expires_ms)

    async def cancel(self, reference: str) -> None:
        """Take it back. Raises BadRequest, Conflict where it is paid, RailUnavailable."""
        if await self.made(reference) is None:
            raise BadRequest(f"this rail made no invoice {reference!r}")
        await self._node.ours()
        try:
            await self._channel.call(calls.CANCEL_INVOICE, pb.CancelInvoiceMsg(payment_hash=bytes.fromhex(reference)))
        except NodeError as failed:
            shown = await self.shown(reference)
            if shown is not None and shown.state in (pb.Invoice.SETTLED, pb.Invoice.ACCEPTED):
                raise Conflict(f"the invoice {reference} is paid, and cannot be cancelled") from None
            if shown is None or shown.state != pb.Invoice.CANCELED:
                raise unavailable(failed) from None
        await self._store.put({_OPEN + reference: None})

    async def made(self, payment_hash: str) -> Made | None:
        """Our invoice with this hash."""
        raw = await self._store.get(_MADE + payment_hash)
        return None if raw is None else msgspec.json.decode(raw, type=Made)

    async def shown(self, payment_hash: str) -> pb.Invoice | None:
        """What the node says of an invoice; None where it knows none. Raises RailUnavailable."""
        try:
            return await self._channel.call(calls.LOOKUP_INVOICE, pb.PaymentHash(r_hash=bytes.fromhex(payment_hash)))
        except NodeError as failed:
            if failed.not_found:
                return None
            raise unavailable(failed) from None

    async def settled_unnoted(self) -> list[pb.Invoice]:
        """Those of our open invoices that are paid by the node's word, in the order in which they were.

        Forgets on the way those that can be paid no more. Raises RailUnavailable.
        """
        found = []
        for name in await self._store.scan(_OPEN):
            payment_hash = name.removeprefix(_OPEN)
            shown, made = await self.shown(payment_hash), await self.made(payment_hash)
            if shown is not None and shown.state == pb.Invoice.SETTLED:
                found.append(shown)
            elif made is None or self._clock.now_ms() > made.gone_ms or (shown and shown.state == pb.Invoice.CANCELED):
                await self._store.put({name: None})
        return sorted(found, key=lambda each: each.settle_index)

    async def note_settled(self, payment_hash: str) -> None:
        """It need not be looked after any more."""
        await self._store.put({_OPEN + payment_hash: None})

    async def _of_key(self, key: str) -> Made | None:
        raw = await self._store.get(_KEY + key)
        return None if raw is None else await self.made(raw.decode())

    async def _new(self, amount: Msat, memo: str, *, key: str, seconds: int) -> Made:
        """Written down before the node is asked, so that the same key goes on with the same preimage."""
        if amount <= 0:
            raise BadRequest(f"{amount} msat is no amount to ask for; ask for 1 or more", param="amount_msat")
        if len(memo.encode()) > _MOST_MEMO:
            raise BadRequest(f"the memo has more than {_MOST_MEMO} bytes, which no invoice can carry; shorten it")
        if not 1 <= seconds <= _MOST_SECONDS:
            raise BadRequest(f"an invoice is payable for 1 to {_MOST_SECONDS} seconds, not {seconds}")
        preimage = self._random(32)
        made = Made(
            key=key,
            payment_hash=hashlib.sha256(preimage).hexdigest(),
            preimage=preimage.hex(),
            amount_msat=amount,
            memo=memo,
            made_ms=self._clock.now_ms(),
            seconds=seconds,
        )
        name = _KEY + key
        items = {name: made.payment_hash.encode(), _MADE + made.payment_hash: msgspec.json.encode(made)}
        if await self._store.put({**items, _OPEN + made.payment_hash: b""}, where={name: None}):
            return made
        other = await self._of_key(key)
        assert other is not None, "an invoice was removed"
        return other

    async def _asked(self, made: Made) -> Made:
        """`made` with the node's text. One that it has already, from a request whose answer was lost, is that."""
        await self._node.ready()
        request = pb.Invoice(
            memo=made.memo,
            r_preimage=bytes.fromhex(made.preimage),
            value_msat=made.amount_msat,
            expiry=made.seconds,
            private=self._config.route_hints,
        )
        try:
            text = (await self._channel.call(calls.ADD_INVOICE, request)).payment_request
        except NodeError as failed:
            shown = await self.shown(made.payment_hash)
            if shown is None:
                raise unavailable(failed) from None
            text = shown.payment_request
        whole = replace(made, text=text)
        await self._store.put({_MADE + made.payment_hash: msgspec.json.encode(whole)})
        return whole
