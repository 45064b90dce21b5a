"""Watches invoices being paid: the node's own order of them, resumed where it was left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import grpc

from arbstr_core.api import Clock, Deposit, DepositKind, Msat, RailUnavailable, Store
from arbstr_wallet_lnd import _calls as calls
from arbstr_wallet_lnd import _lnd_pb2 as pb
from arbstr_wallet_lnd._channel import Channel
from arbstr_wallet_lnd._errors import NodeError
from arbstr_wallet_lnd._invoices import Invoices
from arbstr_wallet_lnd._node import Node, unavailable
from arbstr_wallet_lnd._pin import Pin

_ROUND_SECONDS = 60.0
_FIRST_ROUND_SECONDS = 2.0
_QUIET_SECONDS = 2.0
_LEAST_BACKOFF, _MOST_BACKOFF = 0.5, 10.0


class Deposits:
    """The deposits of one node, by the index that it gives to each invoice that is paid."""

    def __init__(
        self, channel: Channel, node: Node, invoices: Invoices, store: Store, clock: Clock, log: logging.Logger
    ) -> None:
        self._channel = channel
        self._node = node
        self._invoices = invoices
        self._store = store
        self._clock = clock
        self._log = log
        self._closed = False

    def close(self) -> None:
        """End the streams."""
        self._closed = True

    async def after(self, cursor: str) -> AsyncGenerator[Deposit]:
        """Every invoice paid after `cursor`, then each that is paid from now on, until closed.

        It works in rounds: each asks after the open invoices, then listens. So a stream that ended, however it did, a
        node that restarted and a macaroon that was replaced are all the next round's.
        """
        backoff = 0.0
        while not self._closed:
            try:
                async with aclosing(self._round(cursor)) as round_:
                    async for deposit in round_:
                        yield deposit
                        cursor = deposit.cursor
                backoff = 0.0
            except RailUnavailable as unasked:
                if not self._closed:
                    self._log.log(logging.INFO if backoff else logging.WARNING, "deposits wait for LND: %s", unasked)
                    backoff = min(max(_LEAST_BACKOFF, backoff * 2), _MOST_BACKOFF)
                    await self._clock.sleep(backoff)

    async def _round(self, cursor: str) -> AsyncGenerator[Deposit]:
        pin = await self._node.ours()
        index = pin.index(cursor)
        if index == 0:
            async with aclosing(self._the_first(pin)) as first:
                async for deposit in first:
                    yield deposit
            if await self._store.get(_first(pin)) is None:
                return
            index = 1
        for shown in await self._invoices.settled_unnoted():
            if shown.settle_index <= index:
                # The node will not bring it any more: it counts again from where a backup of it was.
                yield await self._deposit(shown, pin.cursor(index))
                await self._invoices.note_settled(shown.r_hash.hex())
        async with aclosing(self._in_order(index)) as settled:
            async for shown in settled:
                if await self._counts(shown, pin):
                    await self._invoices.note_settled(shown.r_hash.hex())
                    yield await self._deposit(shown, pin.cursor(shown.settle_index))

    async def _the_first(self, pin: Pin) -> AsyncGenerator[Deposit]:
        """The invoice that the node settled first of all. It sends that one only to whoever listens at that moment:
        after 0 it repeats nothing, after 1 those from 2 on. So ours are asked after until something is paid."""
        first = await self._store.get(_first(pin))
        if first is None:
            first = await self._find_first()
            if first is None:
                return
            await self._store.put({_first(pin): first})
        shown = await self._invoices.shown(first.decode()) if first else None
        if shown is not None and await self._counts(shown, pin):
            await self._invoices.note_settled(shown.r_hash.hex())
            yield await self._deposit(shown, pin.cursor(1))

    async def _find_first(self) -> bytes | None:
        """Its hash; empty where it was none of ours and nobody listened; None where nothing is paid yet."""
        paid = await self._invoices.settled_unnoted()
        if not paid:
            async with aclosing(self._listen(0, _FIRST_ROUND_SECONDS)) as settled:
                async for shown in settled:
                    # Ours may have been the first just before.
                    paid = [shown, *await self._invoices.settled_unnoted()]
                    break
        if not paid:
            return None
        return next((each.r_hash.hex().encode() for each in paid if each.settle_index == 1), b"")

    async def _in_order(self, index: int) -> AsyncGenerator[pb.Invoice]:
        """Invoices paid after `index`, by theirs. LND on SQL repeats them in the order in which they were made: a
        cursor taken from the first would skip the second. What has no gaps is the index, but for what is not shown."""
        due, early = index + 1, dict[int, pb.Invoice]()
        async with aclosing(self._listen(index, _ROUND_SECONDS)) as settled:
            with suppress(TimeoutError):
                while True:
                    async with asyncio.timeout(_QUIET_SECONDS if early else None):
                        shown = await anext(settled, None)
                    if shown is None:
                        break
                    early[shown.settle_index] = shown
                    for at in sorted(at for at in early if at < due):
                        yield early.pop(at)
                    while due in early:
                        yield early.pop(due)
                        due += 1
        for at in sorted(early):
            yield early[at]

    async def _listen(self, index: int, seconds: float) -> AsyncGenerator[pb.Invoice]:
        """Invoices paid after `index`, for `seconds`. Raises RailUnavailable where the stream ends before, however."""
        request = pb.InvoiceSubscription(settle_index=index)
        try:
            async with aclosing(self._channel.stream(calls.SUBSCRIBE_INVOICES, request, seconds=seconds)) as shown:
                async for each in shown:
                    if each.state == pb.Invoice.SETTLED:
                        yield each
        except NodeError as failed:
            if failed.code is grpc.StatusCode.DEADLINE_EXCEEDED:
                return
            raise unavailable(failed) from None
        raise RailUnavailable("LND ended the stream of invoices")

    async def _counts(self, shown: pb.Invoice, pin: Pin) -> bool:
        """False of what the node took before it was arbstr's, and of what no invoice of one payment is."""
        if shown.state != pb.Invoice.SETTLED or shown.is_amp:
            return False
        return shown.settle_date * 1000 >= pin.since_ms or await self._invoices.made(shown.r_hash.hex()) is not None

    async def _deposit(self, shown: pb.Invoice, cursor: str) -> Deposit:
        made = await self._invoices.made(shown.r_hash.hex())
        assert shown.amt_paid_msat > 0, "LND settled an invoice for nothing"
        return Deposit(
            reference=shown.r_hash.hex(),
            amount_msat=Msat(shown.amt_paid_msat),
            kind=DepositKind.INVOICE,
            cursor=cursor,
            key="" if made is None else made.key,
        )


def _first(pin: Pin) -> str:
    return f"first/{pin.epoch}"
