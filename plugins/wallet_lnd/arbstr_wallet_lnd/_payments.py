"""Pays invoices, once each: written down before they are sent, and ended only by what the node shows of them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from weakref import WeakValueDictionary

import grpc
from msgspec.structs import replace

from arbstr_core.api import (
    BadRequest,
    Clock,
    Failed,
    InvoiceTarget,
    Msat,
    Paid,
    Payment,
    PaymentRef,
    RailUnavailable,
    Unknown,
)
from arbstr_wallet_lnd import _calls as calls
from arbstr_wallet_lnd import _lnd_pb2 as pb
from arbstr_wallet_lnd._channel import Channel
from arbstr_wallet_lnd._config import Config
from arbstr_wallet_lnd._errors import NodeError
from arbstr_wallet_lnd._evidence import judge, may_send, standing
from arbstr_wallet_lnd._journal import Journal, Record, Send
from arbstr_wallet_lnd._node import Node, unavailable
from arbstr_wallet_lnd._pin import Pin, Pins

_ENDED = (pb.Payment.SUCCEEDED, pb.Payment.FAILED)
_ANSWERS = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INVALID_ARGUMENT)
"""How LND refuses what it was asked; other codes are its transport's, and say nothing about the question."""


class Payments:
    """The payments of one node."""

    def __init__(
        self,
        config: Config,
        channel: Channel,
        node: Node,
        journal: Journal,
        pins: Pins,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._config = config
        self._channel = channel
        self._node = node
        self._journal = journal
        self._pins = pins
        self._clock = clock
        self._log = log
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def pay(self, target: InvoiceTarget, fee_limit: Msat, key: str) -> Payment:
        """Pay, or go on with the payment of `key`. Raises RailUnavailable only where nothing was ever sent for it."""
        async with self._locks.setdefault(key, asyncio.Lock()):
            while (record := await self._journal.read(key)) is None:
                begun = await self._begin(target, fee_limit, key)
                if begun is not None and begun.sends:
                    return await self._send(begun)
            if record.payment_hash != target.reference:
                raise BadRequest(f"the key {key!r} paid another invoice before")
            return record.end or await self._again(record)

    async def lookup(self, ref: PaymentRef) -> Payment:
        """What became of it."""
        assert isinstance(ref.target, InvoiceTarget)
        record = await self._journal.read(ref.key)
        if record is not None and record.end is not None:
            return record.end
        try:
            if record is None:
                return await self._never_written(ref.target, ref.fee_limit_msat, ref.key)
            return (await self._look(record))[1]
        except RailUnavailable as unasked:
            return Unknown(reason=str(unasked))

    async def _begin(self, target: InvoiceTarget, fee_limit: Msat, key: str) -> Record | None:
        """A record of its own for `key`; None where another process wrote one meanwhile. Nothing is sent here."""
        pin = await self._node.ready()
        record = _record(target, fee_limit, key, pin)
        holder = await self._journal.holder(target.reference)
        refusal = await self._refusal(target, pin, holder)
        if refusal is not None:
            record = replace(record, end=refusal)
            return record if await self._journal.refuse(record) else None
        shown = await self._node.track(target.reference)
        if shown is None or shown.status == pb.Payment.FAILED:
            record = replace(record, sends=(self._a_send(shown),))
        # Else it was sent before, by an arbstr whose journal is lost: the payment is taken as it is found.
        return record if await self._journal.add(record, holder=holder) else None

    async def _refusal(self, target: InvoiceTarget, pin: Pin, holder: str | None) -> Failed | None:
        """Why this invoice is not sent, by the node that would send it; asked before anything is."""
        if target.expires_ms <= self._clock.now_ms():
            return Failed(reason="the invoice has expired; ask for a new one", evidence="journal: it was not sent")
        if holder is not None and await self._is_open(holder):
            return Failed(reason="the invoice is paid, or being paid, already", evidence=f"journal: by {holder}")
        try:
            read = await self._channel.call(calls.DECODE, pb.PayReqString(pay_req=target.text))
        except NodeError as failed:
            if failed.code not in _ANSWERS:
                raise unavailable(failed) from None
            await self._node.ready()  # a node that is locked or stopping also says UNKNOWN, whatever it is asked
            return Failed(reason=f"the node does not take the invoice: {failed.text}", evidence=f"LND: {failed}")
        if (read.payment_hash, read.num_msat) != (target.reference, target.amount_msat):
            said = f"{read.num_msat} msat for {read.payment_hash}"
            return Failed(reason="the node reads the invoice differently", evidence=f"LND: {said}")
        if read.destination == pin.node:
            return Failed(reason="the invoice is this node's own", evidence=f"LND: its destination is {pin.node}")
        return None

    async def _is_open(self, key: str) -> bool:
        """True where the payment of `key` succeeded, or may still."""
        record = await self._journal.read(key)
        return record is not None and not isinstance(record.end, Failed)

    async def _again(self, record: Record) -> Payment:
        """Go on with a payment that was sent before: its end where there is one; another request where none arrived."""
        try:
            record, found, shown = await self._look(record)
            if not may_send(record, shown, now_ms=self._clock.now_ms()):
                return found
            await self._node.ready()
        except RailUnavailable as unasked:
            return Unknown(reason=str(unasked))
        more = replace(record, sends=(*record.sends, self._a_send(shown)))
        return await self._send(more) if await self._journal.change(record, more) else found

    def _a_send(self, shown: pb.Payment | None) -> Send:
        return Send(at_ms=self._clock.now_ms(), after_ns=0 if shown is None else shown.creation_time_ns)

    async def _send(self, record: Record) -> Payment:
        """One request. It is written down: whatever happens from here on, nothing but the node's word ends it."""
        request = pb.SendPaymentRequest(
            payment_request=record.text,
            timeout_seconds=self._config.payment_seconds,
            cltv_limit=self._config.cltv_limit,
            fee_limit_msat=record.fee_limit_msat,
            max_parts=self._config.max_parts,
        )
        seconds = self._config.wait_seconds
        try:
            async with aclosing(self._channel.stream(calls.SEND_PAYMENT, request, seconds=seconds)) as updates:
                async for update in updates:
                    if update.status in _ENDED:
                        break
        except NodeError as failed:
            self._log.info("payment %s: %s; the node is asked what became of it", record.key, failed)
        try:
            return (await self._look(record))[1]
        except RailUnavailable as unasked:
            return Unknown(reason=str(unasked))

    async def _look(self, record: Record) -> tuple[Record, Payment, pb.Payment | None]:
        """What the node shows of a payment, and what that proves, written down. Raises RailUnavailable."""
        while True:
            sight = await self._node.look()
            if sight.pin is None:
                raise RailUnavailable(sight.says)
            node = sight.pin.node
            shown = await self._node.track(record.payment_hash)
            now_ms = self._clock.now_ms()
            judged = judge(record, shown, node=node, whole=sight.whole, now_ms=now_ms)
            if await self._journal.change(record, judged):
                await self._note(record, judged, shown)
                found = standing(judged, shown, node=node, now_ms=now_ms)
                if isinstance(found, Unknown) and shown is None and not sight.whole:
                    found = Unknown(reason=sight.says)
                return judged, found, shown
            changed = await self._journal.read(record.key)
            assert changed is not None, "a record of a payment was removed"
            record = changed

    async def _note(self, before: Record, after: Record, shown: pb.Payment | None) -> None:
        """What a payment tells about the node itself."""
        if isinstance(after.end, Paid) and shown is not None:
            index = shown.payment_index
            await self._pins.change(lambda pin: replace(pin, paid_index=max(pin.paid_index, index)))
            if after.end.fee_msat > after.fee_limit_msat:
                limit, fee = after.fee_limit_msat, after.end.fee_msat
                self._log.error("payment %s cost a fee of %d msat, and its limit was %d", after.key, fee, limit)
        if after.lost and not before.lost:
            trouble = (
                f"the node has shown the payment {after.payment_hash}, and knows nothing of it now: its records were "
                "rolled back. Once that is understood: `arbstr plugin run wallet_lnd accept-node`"
            )
            self._log.error("%s", trouble)
            await self._pins.change(lambda pin: replace(pin, trouble=trouble))

    async def _never_written(self, target: InvoiceTarget, fee_limit: Msat, key: str) -> Payment:
        """The journal knows no such key. What the node shows of the hash is taken, if no other key has it; if it shows
        nothing, the key is written down as failed, and so never pays."""
        sight = await self._node.look()
        if sight.pin is None:
            raise RailUnavailable(sight.says)
        holder = await self._journal.holder(target.reference)
        shown = await self._node.track(target.reference)
        record = _record(target, fee_limit, key, sight.pin)
        if shown is not None and holder is None:
            if await self._journal.add(record, holder=None):
                return (await self._look(record))[1]
        elif not sight.whole:
            return Unknown(reason=sight.status.detail)
        else:
            evidence = f"journal: no request was made; LND: {'NOT_FOUND' if shown is None else f'paid by {holder}'}"
            await self._journal.refuse(replace(record, end=Failed(reason="it was never sent", evidence=evidence)))
        written = await self._journal.read(key)
        return (written and written.end) or Unknown(reason="it is being sent")


def _record(target: InvoiceTarget, fee_limit: Msat, key: str, pin: Pin) -> Record:
    return Record(
        key=key,
        payment_hash=target.reference,
        text=target.text,
        amount_msat=target.amount_msat,
        fee_limit_msat=fee_limit,
        expires_ms=target.expires_ms,
        node=pin.node,
    )
