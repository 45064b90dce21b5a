"""A Lightning node of our own, that speaks LND's gRPC: TLS, macaroons, and what LND answers, in the codes LND gives it.

Real sockets and a real server; no channels and no chain behind it. It can be told to misbehave: how payments end, and
what goes wrong with which call.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from arbstr_wallet_lnd import _lnd_pb2 as pb

from arbstr_core.api import Clock, read_bolt11
from lightning import book as records
from lightning.book import Book
from lightning.certificates import self_signed
from lightning.macaroons import PERMISSIONS, Refused, bake, check

Code = grpc.StatusCode
PUBKEY = "02" + "a1" * 32
OTHER_PUBKEY = "03" + "b2" * 32
PAYEE = "03" + "c3" * 32
_STATE = "/lnrpc.State/GetState"


@dataclass(frozen=True)
class Way:
    """How the next payment ends: paid, failed for a reason, or held until `resolve`. `fee_msat` beyond the limit is
    NO_ROUTE, unless the node `overcharges`."""

    end: str = "paid"
    reason: int = pb.NO_ROUTE
    fee_msat: int = 1_000
    overcharges: bool = False


@dataclass(frozen=True)
class Fault:
    """What goes wrong with the next call of `path`: it is answered with `code` before it is carried out; after, and
    nothing else is told of it; or, of a stream, after its first message. `silent` answers nothing at all, ever; `eof`
    ends it as if that were all."""

    path: str
    when: str = "before"
    code: grpc.StatusCode = Code.UNAVAILABLE
    text: str = "Socket closed"
    silent: bool = False
    eof: bool = False


class Answer(Exception):
    """A call that is answered with a code and a text."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


Hook = Callable[[str, str, int], Awaitable[None]]
"""Called with a method's path, "before" it is carried out or "after", when nothing is told yet, and its number."""


class FakeLnd:
    """The node. `book` is its database: a copy put back is a backup restored."""

    def __init__(self, clock: Clock, *, network: str = "regtest", pubkey: str = PUBKEY) -> None:
        self.clock = clock
        self.network = network
        self.pubkey = pubkey
        self.book = Book()
        self.state = pb.WALLET_SERVER_ACTIVE
        self.synced = True
        self.limbo_sat = 0
        self.root_key = secrets.token_bytes(32)
        self.key, self.certificate = self_signed()
        self.default = Way()
        self.ways: deque[Way] = deque()
        self.faults: list[Fault] = []
        self.hook: Hook | None = None
        self.calls: list[tuple[str, Any]] = []
        self.preimages: dict[str, str] = {}
        self.port = 0
        self._server: grpc.aio.Server | None = None
        self._left: list[grpc.aio.Server] = []
        self._changed = asyncio.Condition()
        self._stopping = False

    # --- its life ---

    async def start(self) -> None:
        """Listen; on the same port again after a stop."""
        self._stopping = False
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers(self._handlers())
        tls = grpc.ssl_server_credentials([(self.key, self.certificate)])
        self.port = server.add_secure_port(f"127.0.0.1:{self.port}", tls)
        await server.start()
        self._server = server

    async def shut_down(self) -> None:
        """As LND does: its streams of invoices end as if that were all."""
        self._stopping = True
        await self.wake()
        await self._stop(1.0)

    async def die(self) -> None:
        """As in a power cut: every connection is gone."""
        await self._stop(None)

    async def move(self) -> None:
        """As behind a name that is given to another machine: a new address and certificate; calls that are open at the
        old one go on there."""
        if self._server is not None:
            self._left.append(self._server)
        self.port = 0
        self.key, self.certificate = self_signed()
        await self.start()

    async def _stop(self, grace: float | None) -> None:
        servers, self._server, self._left = [*self._left, *filter(None, [self._server])], None, []
        for server in servers:
            await server.stop(grace)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def macaroon(self, *permissions: tuple[str, str], caveats: tuple[str, ...] = ()) -> bytes:
        """A macaroon for exactly what the rail calls, or for `permissions`."""
        return bake(self.root_key, permissions or [("uri", path) for path in PERMISSIONS], caveats)

    # --- the rest of the world ---

    def asks(self, amount_msat: int, *, expiry: int = 3600, payee: str = PAYEE, memo: str = "kit") -> str:
        """An invoice of somebody else."""
        preimage = secrets.token_bytes(32)
        payment_hash = hashlib.sha256(preimage).hexdigest()
        self.preimages[payment_hash] = preimage.hex()
        made_s = self.clock.now_ms() // 1000
        return records.text_of(self.network, amount_msat, payment_hash, payee, made_s, expiry, memo)

    async def pays(self, payment_hash: str, amount_msat: int | None = None) -> None:
        """Somebody pays an invoice of this node's."""
        self.book.settle(payment_hash, self.clock, amount_msat)
        await self.wake()
        # The channel follows a moment after the invoice.
        asyncio.get_running_loop().call_later(0.02, self.book.take_in)

    async def resolve(self, payment_hash: str, *, reason: int | None = None) -> None:
        """A payment that was held ends: paid, or failed for `reason`."""
        self.book.end(payment_hash, None if reason is not None else self.preimages[payment_hash], reason or 0)
        await self.wake()

    async def roll_back(self, book: Book) -> None:
        """The database is replaced by an older copy of it."""
        self.book = book.copy()
        await self.wake()

    async def wake(self) -> None:
        """Let the streams see what changed."""
        async with self._changed:
            self._changed.notify_all()

    def sent(self, path: str) -> list[Any]:
        """The requests of one method that came in."""
        return [request for name, request in self.calls if name == path]

    # --- every call ---

    def _handlers(self) -> list[grpc.GenericRpcHandler]:
        unary = {
            _STATE: (pb.GetStateRequest, self._get_state),
            "/lnrpc.Lightning/GetInfo": (pb.GetInfoRequest, self._get_info),
            "/lnrpc.Lightning/ChannelBalance": (pb.ChannelBalanceRequest, self._channel_balance),
            "/lnrpc.Lightning/PendingChannels": (pb.PendingChannelsRequest, self._pending_channels),
            "/lnrpc.Lightning/DecodePayReq": (pb.PayReqString, self._decode),
            "/lnrpc.Lightning/AddInvoice": (pb.Invoice, self._add_invoice),
            "/lnrpc.Lightning/LookupInvoice": (pb.PaymentHash, self._lookup_invoice),
            "/lnrpc.Lightning/ListPayments": (pb.ListPaymentsRequest, self._list_payments),
            "/invoicesrpc.Invoices/CancelInvoice": (pb.CancelInvoiceMsg, self._cancel_invoice),
        }
        streams = {
            "/lnrpc.Lightning/SubscribeInvoices": (pb.InvoiceSubscription, self._subscribe_invoices),
            "/routerrpc.Router/SendPaymentV2": (pb.SendPaymentRequest, self._send_payment),
            "/routerrpc.Router/TrackPaymentV2": (pb.TrackPaymentRequest, self._track_payment),
        }
        every = {
            **{path: self._unary(path, *each) for path, each in unary.items()},
            **{path: self._stream(path, *each) for path, each in streams.items()},
        }
        services = itertools.groupby(sorted(every), key=lambda path: path.split("/")[1])
        return [
            grpc.method_handlers_generic_handler(name, {path.split("/")[2]: every[path] for path in paths})
            for name, paths in services
        ]

    def _unary(self, path: str, request_type: Any, answer: Any) -> grpc.RpcMethodHandler:
        async def handle(request: Any, context: Any) -> Any:
            fault, number = await self._enter(path, request, context)
            said: Any = None
            try:
                said = await answer(request)
            except Answer as refusal:
                said = refusal
            await self._leave(path, number, fault, context)
            return await self._said(said, context)

        return grpc.unary_unary_rpc_method_handler(handle, request_type.FromString, _bytes)

    def _stream(self, path: str, request_type: Any, answer: Any) -> grpc.RpcMethodHandler:
        async def handle(request: Any, context: Any) -> AsyncIterator[Any]:
            fault, number = await self._enter(path, request, context)
            messages = _until_the_deadline(answer(request), context)
            said: Any = None
            try:
                said = await anext(messages, None)
            except Answer as refusal:
                said = refusal
            await self._leave(path, number, fault, context)
            if said is None or isinstance(said, Answer):
                await self._said(said, context)
                return
            yield said
            if fault is not None and fault.when == "first":
                if fault.eof:
                    return
                await self._broken(fault, context)
            try:
                async for each in messages:
                    yield each
            except Answer as refusal:
                await self._said(refusal, context)

        return grpc.unary_stream_rpc_method_handler(handle, request_type.FromString, _bytes)

    async def _enter(self, path: str, request: Any, context: Any) -> tuple[Fault | None, int]:
        """What comes before any call: the wallet's state, the macaroon, and what the test wants to go wrong."""
        self.calls.append((path, request))
        number = len(self.calls)
        if self.hook is not None:
            await self.hook(path, "before", number)
        if path != _STATE:
            if self.state != pb.WALLET_SERVER_ACTIVE:
                await context.abort(Code.UNKNOWN, "wallet locked, unlock it to enable full RPC access")
            await self._authorised(path, context)
        fault = next((each for each in self.faults if each.path == path), None)
        if fault is not None:
            self.faults.remove(fault)
            if fault.when == "before":
                await self._broken(fault, context)
        return fault, number

    async def _leave(self, path: str, number: int, fault: Fault | None, context: Any) -> None:
        if self.hook is not None:
            await self.hook(path, "after", number)
        if fault is not None and fault.when == "after":
            await self._broken(fault, context)

    async def _said(self, said: Any, context: Any) -> Any:
        if isinstance(said, Answer):
            await context.abort(said.code, said.text)
        return said

    async def _broken(self, fault: Fault, context: Any) -> None:
        if fault.silent:
            await asyncio.Event().wait()
        await context.abort(fault.code, fault.text)

    async def _authorised(self, path: str, context: Any) -> None:
        shown = [value for key, value in context.invocation_metadata() if key == "macaroon"]
        if len(shown) != 1:
            await context.abort(Code.UNKNOWN, f"expected 1 macaroon, got {len(shown)}")
        try:
            check(bytes.fromhex(shown[0]), self.root_key, path, self.clock.now_ms())
        except Refused as refused:
            await context.abort(Code.UNKNOWN, str(refused))

    # --- what it answers ---

    async def _get_state(self, request: Any) -> Any:
        return pb.GetStateResponse(state=self.state)

    async def _get_info(self, request: Any) -> Any:
        chain = pb.Chain(network=self.network)
        return pb.GetInfoResponse(
            identity_pubkey=self.pubkey,
            block_height=840_000,
            synced_to_chain=self.synced,
            version="0.20.0-beta commit=v0.20.0-beta",
            chains=[chain],
        )

    async def _channel_balance(self, request: Any) -> Any:
        held = self.book.in_flight_msat
        return pb.ChannelBalanceResponse(
            local_balance=pb.Amount(msat=self.book.balance_msat - held),
            unsettled_remote_balance=pb.Amount(msat=held),
            unsettled_local_balance=pb.Amount(msat=self.book.incoming_msat),
        )

    async def _pending_channels(self, request: Any) -> Any:
        return pb.PendingChannelsResponse(total_limbo_balance_sat=self.limbo_sat)

    async def _decode(self, request: pb.PayReqString) -> Any:
        try:
            said = read_bolt11(request.pay_req)
        except ValueError as bad:
            raise Answer(Code.UNKNOWN, f"invalid bolt11: {bad}")
        return pb.PayReq(
            destination=said.payee or PAYEE,
            payment_hash=said.payment_hash,
            timestamp=said.made_ms // 1000,
            expiry=(said.expires_ms - said.made_ms) // 1000,
            num_msat=said.amount_msat or 0,
        )

    async def _add_invoice(self, request: pb.Invoice) -> Any:
        payment_hash = hashlib.sha256(request.r_preimage).hexdigest()
        if payment_hash in self.book.invoices:
            raise Answer(Code.UNKNOWN, "invoice with payment hash already exists")
        made = pb.Invoice()
        made.CopyFrom(request)
        made.r_hash, made.creation_date = bytes.fromhex(payment_hash), self.clock.now_ms() // 1000
        made.payment_request = records.text_of(
            self.network,
            request.value_msat,
            payment_hash,
            self.pubkey,
            made.creation_date,
            request.expiry,
            request.memo,
        )
        self.book.invoices[payment_hash] = made
        return pb.AddInvoiceResponse(r_hash=made.r_hash, payment_request=made.payment_request)

    async def _lookup_invoice(self, request: pb.PaymentHash) -> Any:
        found = self.book.invoices.get(request.r_hash.hex())
        if found is None:
            raise Answer(Code.NOT_FOUND, "unable to locate invoice")
        return found

    async def _cancel_invoice(self, request: pb.CancelInvoiceMsg) -> Any:
        found = self.book.invoices.get(request.payment_hash.hex())
        if found is None:
            raise Answer(Code.UNKNOWN, "unable to locate invoice")
        if found.state == records.SETTLED:
            raise Answer(Code.UNKNOWN, "invoice already settled")
        found.state = records.CANCELED
        return pb.CancelInvoiceResp()

    async def _list_payments(self, request: pb.ListPaymentsRequest) -> Any:
        page = self.book.listed(request)
        return pb.ListPaymentsResponse(payments=page, last_index_offset=page[-1].payment_index if page else 0)

    async def _subscribe_invoices(self, request: pb.InvoiceSubscription) -> AsyncIterator[Any]:
        """After 0 only what is paid from now on; else first what was paid after that index, in the order in which it
        was made, as LND on SQL does."""
        seen = self.book.settle_index
        for each in [*self.book.invoices.values()] if request.settle_index else []:
            if request.settle_index < each.settle_index <= seen:
                yield each
        while not self._stopping:
            paid = [each for each in self.book.invoices.values() if each.settle_index > seen]
            for each in sorted(paid, key=lambda each: each.settle_index):
                seen = each.settle_index
                yield each
            async with self._changed:
                if not self._stopping and self.book.settle_index <= seen:
                    await self._changed.wait()

    async def _send_payment(self, request: pb.SendPaymentRequest) -> AsyncIterator[Any]:
        try:
            said = read_bolt11(request.payment_request)
        except ValueError as bad:
            raise Answer(Code.UNKNOWN, f"invalid bolt11: {bad}")
        if said.expires_ms <= self.clock.now_ms():
            raise Answer(Code.UNKNOWN, "invoice expired")
        if said.payee == self.pubkey:
            raise Answer(Code.UNKNOWN, "self-payments not allowed")
        known = self.book.payments.get(said.payment_hash)
        if known is not None and known.status != records.FAILED:
            ended = known.status == records.SUCCEEDED
            text = "invoice is already paid" if ended else "payment is in transition"
            raise Answer(Code.ALREADY_EXISTS, text)
        self._carry_out(said.payment_hash, said.amount_msat or 0, request.fee_limit_msat)
        async for each in self._watched(said.payment_hash):
            yield each

    def _carry_out(self, payment_hash: str, amount_msat: int, fee_limit: int) -> None:
        way = self.ways.popleft() if self.ways else self.default
        self.book.begin(payment_hash, amount_msat, way.fee_msat, self.clock)
        if way.fee_msat > fee_limit and not way.overcharges:
            self.book.end(payment_hash, None, pb.NO_ROUTE)
        elif amount_msat + way.fee_msat > self.book.balance_msat:
            self.book.end(payment_hash, None, pb.INSUFFICIENT_BALANCE)
        elif way.end == "paid":
            self.book.end(payment_hash, self.preimages[payment_hash])
        elif way.end == "failed":
            self.book.end(payment_hash, None, way.reason)

    async def _track_payment(self, request: pb.TrackPaymentRequest) -> AsyncIterator[Any]:
        payment_hash = request.payment_hash.hex()
        if payment_hash not in self.book.payments:
            raise Answer(Code.NOT_FOUND, "payment isn't initiated")
        async for each in self._watched(payment_hash):
            yield each

    async def _watched(self, payment_hash: str) -> AsyncIterator[Any]:
        """What a payment is now, and then its end."""
        shown = pb.Payment()
        while True:
            known = self.book.payments.get(payment_hash)
            if known is None:
                return
            if known != shown:
                shown.CopyFrom(known)
                yield known
            if known.status in (records.SUCCEEDED, records.FAILED):
                return
            async with self._changed:
                if self.book.payments.get(payment_hash) == shown:
                    await self._changed.wait()


async def _until_the_deadline(messages: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
    """LND ends a stream itself when the caller's time is up, a moment before the caller does."""
    while True:
        left = context.time_remaining()
        try:
            message = await asyncio.wait_for(anext(messages), None if left is None else left - 0.05)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Answer(
                Code.CANCELLED, "Stream removed (RST_STREAM (Received RST_STREAM with error code 8))"
            ) from None
        yield message


def _bytes(message: Any) -> bytes:
    return message.SerializeToString()
