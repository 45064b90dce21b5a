"""The methods of LND that this rail calls: their paths, their messages, and what LND asks of a macaroon for each."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from google.protobuf.message import Message

from arbstr_wallet_lnd import _lnd_pb2 as pb

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


class Call(msgspec.Struct, Generic[Q, A], frozen=True):
    """One method. `permission` is (entity, action) as LND's own macaroons name it; none where LND asks for none."""

    path: str
    request: type[Q]
    answer: type[A]
    permission: tuple[str, str] | None = None


# Answers without a macaroon, and while the wallet is locked.
GET_STATE = Call("/lnrpc.State/GetState", pb.GetStateRequest, pb.GetStateResponse)
GET_INFO = Call("/lnrpc.Lightning/GetInfo", pb.GetInfoRequest, pb.GetInfoResponse, ("info", "read"))
CHANNEL_BALANCE = Call(
    "/lnrpc.Lightning/ChannelBalance", pb.ChannelBalanceRequest, pb.ChannelBalanceResponse, ("offchain", "read")
)
PENDING_CHANNELS = Call(
    "/lnrpc.Lightning/PendingChannels", pb.PendingChannelsRequest, pb.PendingChannelsResponse, ("offchain", "read")
)
DECODE = Call("/lnrpc.Lightning/DecodePayReq", pb.PayReqString, pb.PayReq, ("offchain", "read"))
ADD_INVOICE = Call("/lnrpc.Lightning/AddInvoice", pb.Invoice, pb.AddInvoiceResponse, ("invoices", "write"))
LOOKUP_INVOICE = Call("/lnrpc.Lightning/LookupInvoice", pb.PaymentHash, pb.Invoice, ("invoices", "read"))
SUBSCRIBE_INVOICES = Call(
    "/lnrpc.Lightning/SubscribeInvoices", pb.InvoiceSubscription, pb.Invoice, ("invoices", "read")
)
CANCEL_INVOICE = Call(
    "/invoicesrpc.Invoices/CancelInvoice", pb.CancelInvoiceMsg, pb.CancelInvoiceResp, ("invoices", "write")
)
LIST_PAYMENTS = Call(
    "/lnrpc.Lightning/ListPayments", pb.ListPaymentsRequest, pb.ListPaymentsResponse, ("offchain", "read")
)
SEND_PAYMENT = Call("/routerrpc.Router/SendPaymentV2", pb.SendPaymentRequest, pb.Payment, ("offchain", "write"))
TRACK_PAYMENT = Call("/routerrpc.Router/TrackPaymentV2", pb.TrackPaymentRequest, pb.Payment, ("offchain", "read"))

NEEDED = (
    GET_INFO,
    CHANNEL_BALANCE,
    PENDING_CHANNELS,
    DECODE,
    ADD_INVOICE,
    LOOKUP_INVOICE,
    SUBSCRIBE_INVOICES,
    CANCEL_INVOICE,
    LIST_PAYMENTS,
    SEND_PAYMENT,
    TRACK_PAYMENT,
)
"""What a macaroon must allow, and all it should."""
