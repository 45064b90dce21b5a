"""A second real LND, as the other side of the rail: it pays and is paid, and holds payments with hold invoices.

Where both nodes are stands in the environment: ARBSTR_LND_ADDRESS, _CERT, _MACAROON and _NETWORK for the rail's, and
ARBSTR_LND_PEER_ADDRESS, _CERT and _MACAROON for this one (the paths of files; its macaroon pays and makes invoices).
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from arbstr_wallet_lnd import _calls as calls
from arbstr_wallet_lnd import _lnd_pb2 as pb
from arbstr_wallet_lnd._calls import Call
from arbstr_wallet_lnd._channel import Channel
from arbstr_wallet_lnd._credentials import Credentials
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from arbstr_core.api import BadRequest, Invoice, Msat, PaymentTarget, SecretRef
from arbstr_core.testing import Ending, KitTools, LoopClock, OtherSide, kit_tools

ENDINGS = (Ending.PAID, Ending.FAILED, Ending.UNKNOWN_THEN_PAID, Ending.UNKNOWN_THEN_FAILED)


def live_table() -> dict[str, Any]:
    """`[plugins.wallet_lnd]` for the rail's node."""
    return {
        "address": _said("ARBSTR_LND_ADDRESS"),
        "cert": f"file:{_said('ARBSTR_LND_CERT')}",
        "macaroon": f"file:{_said('ARBSTR_LND_MACAROON')}",
        "network": _said("ARBSTR_LND_NETWORK"),
        "wait_seconds": 5.0,
    }


def live_secrets(prefix: str = "ARBSTR_LND") -> dict[str, str | bytes]:
    """What the references point to."""
    paths = [_said(f"{prefix}_{what}") for what in ("CERT", "MACAROON")]
    return {f"file:{path}": Path(path).read_bytes() for path in paths}


class Peer(OtherSide):
    """The second node, where what it is asked for ends in one way."""

    def __init__(self, channel: Channel, ending: Ending) -> None:
        self._channel = channel
        self._ending = ending
        self._held: list[bytes] = []

    async def asks(self, amount: Msat) -> str:
        """An invoice; cancelled at once where payments fail, and a hold invoice where they are unknown first."""
        preimage = secrets.token_bytes(32)
        payment_hash = hashlib.sha256(preimage).digest()
        if self._ending in (Ending.UNKNOWN_THEN_PAID, Ending.UNKNOWN_THEN_FAILED):
            self._held.append(preimage)
            request = ADD_HOLD.request(memo="kit", hash=payment_hash, value_msat=amount, expiry=3600)
            return (await self._channel.call(ADD_HOLD, request)).payment_request
        request = pb.Invoice(memo="kit", r_preimage=preimage, value_msat=amount)
        made = await self._channel.call(calls.ADD_INVOICE, request)
        if self._ending is Ending.FAILED:
            await self._channel.call(calls.CANCEL_INVOICE, pb.CancelInvoiceMsg(payment_hash=payment_hash))
        return made.payment_request

    async def arrived(self, target: PaymentTarget) -> Msat:
        """What it has."""
        request = pb.PaymentHash(r_hash=bytes.fromhex(target.reference))
        found = await self._channel.call(calls.LOOKUP_INVOICE, request)
        return Msat(found.amt_paid_msat if found.state == pb.Invoice.SETTLED else 0)

    async def pays(self, invoice: Invoice) -> None:
        """Pay the rail's invoice."""
        request = pb.SendPaymentRequest(payment_request=invoice.text, timeout_seconds=20, fee_limit_msat=10_000)
        last = pb.Payment()
        async for update in self._channel.stream(calls.SEND_PAYMENT, request, seconds=60):
            last = update
        if last.status != pb.Payment.SUCCEEDED:
            raise BadRequest(f"the payment failed: {pb.FailureReason.Name(last.failure_reason)}")

    async def resolve(self) -> None:
        """Settle what is held, or give it back."""
        held, self._held = self._held, []
        for preimage in held:
            if self._ending is Ending.UNKNOWN_THEN_PAID:
                await self._channel.call(SETTLE, SETTLE.request(preimage=preimage))
            else:
                payment_hash = hashlib.sha256(preimage).digest()
                await self._channel.call(calls.CANCEL_INVOICE, pb.CancelInvoiceMsg(payment_hash=payment_hash))


@asynccontextmanager
async def peer(ending: Ending) -> AsyncIterator[Peer]:
    """The second node, for one test."""
    tools: KitTools = kit_tools(clock=LoopClock(), secrets=live_secrets("ARBSTR_LND_PEER"))
    credentials = Credentials(
        tools,
        certificate=SecretRef(f"file:{_said('ARBSTR_LND_PEER_CERT')}"),
        macaroon=SecretRef(f"file:{_said('ARBSTR_LND_PEER_MACAROON')}"),
    )
    channel = Channel(_said("ARBSTR_LND_PEER_ADDRESS"), credentials, server_name=None, seconds=20)
    made = Peer(channel, ending)
    try:
        yield made
    finally:
        await made.resolve()
        await channel.aclose()
        await tools.aclose()


def _said(name: str) -> str:
    value = os.environ.get(name)
    assert value, f"the live tests need two nodes: set {name}, as the plugin's README says"
    return value


def _messages() -> Callable[[str], Any]:
    """What the rail itself never sends: hold invoices. Field numbers are LND's."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="lightning/hold.proto", package="lightning", syntax="proto3")
    for name, fields in {
        "AddHoldInvoiceRequest": [
            ("memo", 1, types.TYPE_STRING),
            ("hash", 2, types.TYPE_BYTES),
            ("expiry", 5, types.TYPE_INT64),
            ("value_msat", 10, types.TYPE_INT64),
        ],
        "AddHoldInvoiceResp": [("payment_request", 1, types.TYPE_STRING)],
        "SettleInvoiceMsg": [("preimage", 1, types.TYPE_BYTES)],
        "SettleInvoiceResp": [],
    }.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            message.field.add(name=field, number=number, type=kind, label=types.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"lightning.{name}"))


_message = _messages()
ADD_HOLD: Call[Any, Any] = Call(
    "/invoicesrpc.Invoices/AddHoldInvoice", _message("AddHoldInvoiceRequest"), _message("AddHoldInvoiceResp")
)
SETTLE: Call[Any, Any] = Call(
    "/invoicesrpc.Invoices/SettleInvoice", _message("SettleInvoiceMsg"), _message("SettleInvoiceResp")
)
