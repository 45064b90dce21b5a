from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WalletState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WALLET_NON_EXISTING: _ClassVar[WalletState]
    WALLET_LOCKED: _ClassVar[WalletState]
    WALLET_UNLOCKED: _ClassVar[WalletState]
    WALLET_RPC_ACTIVE: _ClassVar[WalletState]
    WALLET_SERVER_ACTIVE: _ClassVar[WalletState]
    WALLET_WAITING_TO_START: _ClassVar[WalletState]

class FailureReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NONE: _ClassVar[FailureReason]
    TIMEOUT: _ClassVar[FailureReason]
    NO_ROUTE: _ClassVar[FailureReason]
    ERROR: _ClassVar[FailureReason]
    INCORRECT_PAYMENT_DETAILS: _ClassVar[FailureReason]
    INSUFFICIENT_BALANCE: _ClassVar[FailureReason]
    CANCELED_BY_NODE: _ClassVar[FailureReason]
WALLET_NON_EXISTING: WalletState
WALLET_LOCKED: WalletState
WALLET_UNLOCKED: WalletState
WALLET_RPC_ACTIVE: WalletState
WALLET_SERVER_ACTIVE: WalletState
WALLET_WAITING_TO_START: WalletState
NONE: FailureReason
TIMEOUT: FailureReason
NO_ROUTE: FailureReason
ERROR: FailureReason
INCORRECT_PAYMENT_DETAILS: FailureReason
INSUFFICIENT_BALANCE: FailureReason
CANCELED_BY_NODE: FailureReason

class GetStateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStateResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: WalletState
    def __init__(self, state: _Optional[_Union[WalletState, str]] = ...) -> None: ...

class GetInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetInfoResponse(_message.Message):
    __slots__ = ("identity_pubkey", "block_height", "synced_to_chain", "version", "chains")
    IDENTITY_PUBKEY_FIELD_NUMBER: _ClassVar[int]
    BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SYNCED_TO_CHAIN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHAINS_FIELD_NUMBER: _ClassVar[int]
    identity_pubkey: str
    block_height: int
    synced_to_chain: bool
    version: str
    chains: _containers.RepeatedCompositeFieldContainer[Chain]
    def __init__(self, identity_pubkey: _Optional[str] = ..., block_height: _Optional[int] = ..., synced_to_chain: bool = ..., version: _Optional[str] = ..., chains: _Optional[_Iterable[_Union[Chain, _Mapping]]] = ...) -> None: ...

class Chain(_message.Message):
    __slots__ = ("network",)
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    network: str
    def __init__(self, network: _Optional[str] = ...) -> None: ...

class ChannelBalanceRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ChannelBalanceResponse(_message.Message):
    __slots__ = ("local_balance", "unsettled_local_balance", "unsettled_remote_balance")
    LOCAL_BALANCE_FIELD_NUMBER: _ClassVar[int]
    UNSETTLED_LOCAL_BALANCE_FIELD_NUMBER: _ClassVar[int]
    UNSETTLED_REMOTE_BALANCE_FIELD_NUMBER: _ClassVar[int]
    local_balance: Amount
    unsettled_local_balance: Amount
    unsettled_remote_balance: Amount
    def __init__(self, local_balance: _Optional[_Union[Amount, _Mapping]] = ..., unsettled_local_balance: _Optional[_Union[Amount, _Mapping]] = ..., unsettled_remote_balance: _Optional[_Union[Amount, _Mapping]] = ...) -> None: ...

class Amount(_message.Message):
    __slots__ = ("msat",)
    MSAT_FIELD_NUMBER: _ClassVar[int]
    msat: int
    def __init__(self, msat: _Optional[int] = ...) -> None: ...

class PendingChannelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PendingChannelsResponse(_message.Message):
    __slots__ = ("total_limbo_balance_sat",)
    TOTAL_LIMBO_BALANCE_SAT_FIELD_NUMBER: _ClassVar[int]
    total_limbo_balance_sat: int
    def __init__(self, total_limbo_balance_sat: _Optional[int] = ...) -> None: ...

class PayReqString(_message.Message):
    __slots__ = ("pay_req",)
    PAY_REQ_FIELD_NUMBER: _ClassVar[int]
    pay_req: str
    def __init__(self, pay_req: _Optional[str] = ...) -> None: ...

class PayReq(_message.Message):
    __slots__ = ("destination", "payment_hash", "timestamp", "expiry", "num_msat")
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_HASH_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_FIELD_NUMBER: _ClassVar[int]
    NUM_MSAT_FIELD_NUMBER: _ClassVar[int]
    destination: str
    payment_hash: str
    timestamp: int
    expiry: int
    num_msat: int
    def __init__(self, destination: _Optional[str] = ..., payment_hash: _Optional[str] = ..., timestamp: _Optional[int] = ..., expiry: _Optional[int] = ..., num_msat: _Optional[int] = ...) -> None: ...

class Invoice(_message.Message):
    __slots__ = ("memo", "r_preimage", "r_hash", "creation_date", "settle_date", "payment_request", "expiry", "private", "settle_index", "amt_paid_msat", "state", "value_msat", "is_amp")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OPEN: _ClassVar[Invoice.State]
        SETTLED: _ClassVar[Invoice.State]
        CANCELED: _ClassVar[Invoice.State]
        ACCEPTED: _ClassVar[Invoice.State]
    OPEN: Invoice.State
    SETTLED: Invoice.State
    CANCELED: Invoice.State
    ACCEPTED: Invoice.State
    MEMO_FIELD_NUMBER: _ClassVar[int]
    R_PREIMAGE_FIELD_NUMBER: _ClassVar[int]
    R_HASH_FIELD_NUMBER: _ClassVar[int]
    CREATION_DATE_FIELD_NUMBER: _ClassVar[int]
    SETTLE_DATE_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_REQUEST_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_FIELD_NUMBER: _ClassVar[int]
    SETTLE_INDEX_FIELD_NUMBER: _ClassVar[int]
    AMT_PAID_MSAT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VALUE_MSAT_FIELD_NUMBER: _ClassVar[int]
    IS_AMP_FIELD_NUMBER: _ClassVar[int]
    memo: str
    r_preimage: bytes
    r_hash: bytes
    creation_date: int
    settle_date: int
    payment_request: str
    expiry: int
    private: bool
    settle_index: int
    amt_paid_msat: int
    state: Invoice.State
    value_msat: int
    is_amp: bool
    def __init__(self, memo: _Optional[str] = ..., r_preimage: _Optional[bytes] = ..., r_hash: _Optional[bytes] = ..., creation_date: _Optional[int] = ..., settle_date: _Optional[int] = ..., payment_request: _Optional[str] = ..., expiry: _Optional[int] = ..., private: bool = ..., settle_index: _Optional[int] = ..., amt_paid_msat: _Optional[int] = ..., state: _Optional[_Union[Invoice.State, str]] = ..., value_msat: _Optional[int] = ..., is_amp: bool = ...) -> None: ...

class AddInvoiceResponse(_message.Message):
    __slots__ = ("r_hash", "payment_request")
    R_HASH_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_REQUEST_FIELD_NUMBER: _ClassVar[int]
    r_hash: bytes
    payment_request: str
    def __init__(self, r_hash: _Optional[bytes] = ..., payment_request: _Optional[str] = ...) -> None: ...

class PaymentHash(_message.Message):
    __slots__ = ("r_hash",)
    R_HASH_FIELD_NUMBER: _ClassVar[int]
    r_hash: bytes
    def __init__(self, r_hash: _Optional[bytes] = ...) -> None: ...

class InvoiceSubscription(_message.Message):
    __slots__ = ("settle_index",)
    SETTLE_INDEX_FIELD_NUMBER: _ClassVar[int]
    settle_index: int
    def __init__(self, settle_index: _Optional[int] = ...) -> None: ...

class Payment(_message.Message):
    __slots__ = ("payment_hash", "payment_preimage", "value_msat", "status", "fee_msat", "creation_time_ns", "htlcs", "payment_index", "failure_reason")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[Payment.Status]
        IN_FLIGHT: _ClassVar[Payment.Status]
        SUCCEEDED: _ClassVar[Payment.Status]
        FAILED: _ClassVar[Payment.Status]
        INITIATED: _ClassVar[Payment.Status]
    UNKNOWN: Payment.Status
    IN_FLIGHT: Payment.Status
    SUCCEEDED: Payment.Status
    FAILED: Payment.Status
    INITIATED: Payment.Status
    PAYMENT_HASH_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_PREIMAGE_FIELD_NUMBER: _ClassVar[int]
    VALUE_MSAT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FEE_MSAT_FIELD_NUMBER: _ClassVar[int]
    CREATION_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    HTLCS_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    payment_hash: str
    payment_preimage: str
    value_msat: int
    status: Payment.Status
    fee_msat: int
    creation_time_ns: int
    htlcs: _containers.RepeatedCompositeFieldContainer[HtlcAttempt]
    payment_index: int
    failure_reason: FailureReason
    def __init__(self, payment_hash: _Optional[str] = ..., payment_preimage: _Optional[str] = ..., value_msat: _Optional[int] = ..., status: _Optional[_Union[Payment.Status, str]] = ..., fee_msat: _Optional[int] = ..., creation_time_ns: _Optional[int] = ..., htlcs: _Optional[_Iterable[_Union[HtlcAttempt, _Mapping]]] = ..., payment_index: _Optional[int] = ..., failure_reason: _Optional[_Union[FailureReason, str]] = ...) -> None: ...

class HtlcAttempt(_message.Message):
    __slots__ = ("attempt_id",)
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    attempt_id: int
    def __init__(self, attempt_id: _Optional[int] = ...) -> None: ...

class ListPaymentsRequest(_message.Message):
    __slots__ = ("include_incomplete", "index_offset", "max_payments", "reversed", "omit_hops")
    INCLUDE_INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    INDEX_OFFSET_FIELD_NUMBER: _ClassVar[int]
    MAX_PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    REVERSED_FIELD_NUMBER: _ClassVar[int]
    OMIT_HOPS_FIELD_NUMBER: _ClassVar[int]
    include_incomplete: bool
    index_offset: int
    max_payments: int
    reversed: bool
    omit_hops: bool
    def __init__(self, include_incomplete: bool = ..., index_offset: _Optional[int] = ..., max_payments: _Optional[int] = ..., reversed: bool = ..., omit_hops: bool = ...) -> None: ...

class ListPaymentsResponse(_message.Message):
    __slots__ = ("payments", "last_index_offset")
    PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    LAST_INDEX_OFFSET_FIELD_NUMBER: _ClassVar[int]
    payments: _containers.RepeatedCompositeFieldContainer[Payment]
    last_index_offset: int
    def __init__(self, payments: _Optional[_Iterable[_Union[Payment, _Mapping]]] = ..., last_index_offset: _Optional[int] = ...) -> None: ...

class CancelInvoiceMsg(_message.Message):
    __slots__ = ("payment_hash",)
    PAYMENT_HASH_FIELD_NUMBER: _ClassVar[int]
    payment_hash: bytes
    def __init__(self, payment_hash: _Optional[bytes] = ...) -> None: ...

class CancelInvoiceResp(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SendPaymentRequest(_message.Message):
    __slots__ = ("payment_request", "timeout_seconds", "cltv_limit", "fee_limit_msat", "allow_self_payment", "max_parts", "no_inflight_updates", "cancelable")
    PAYMENT_REQUEST_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CLTV_LIMIT_FIELD_NUMBER: _ClassVar[int]
    FEE_LIMIT_MSAT_FIELD_NUMBER: _ClassVar[int]
    ALLOW_SELF_PAYMENT_FIELD_NUMBER: _ClassVar[int]
    MAX_PARTS_FIELD_NUMBER: _ClassVar[int]
    NO_INFLIGHT_UPDATES_FIELD_NUMBER: _ClassVar[int]
    CANCELABLE_FIELD_NUMBER: _ClassVar[int]
    payment_request: str
    timeout_seconds: int
    cltv_limit: int
    fee_limit_msat: int
    allow_self_payment: bool
    max_parts: int
    no_inflight_updates: bool
    cancelable: bool
    def __init__(self, payment_request: _Optional[str] = ..., timeout_seconds: _Optional[int] = ..., cltv_limit: _Optional[int] = ..., fee_limit_msat: _Optional[int] = ..., allow_self_payment: bool = ..., max_parts: _Optional[int] = ..., no_inflight_updates: bool = ..., cancelable: bool = ...) -> None: ...

class TrackPaymentRequest(_message.Message):
    __slots__ = ("payment_hash", "no_inflight_updates")
    PAYMENT_HASH_FIELD_NUMBER: _ClassVar[int]
    NO_INFLIGHT_UPDATES_FIELD_NUMBER: _ClassVar[int]
    payment_hash: bytes
    no_inflight_updates: bool
    def __init__(self, payment_hash: _Optional[bytes] = ..., no_inflight_updates: bool = ...) -> None: ...

class MacaroonId(_message.Message):
    __slots__ = ("nonce", "storage_id", "ops")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    STORAGE_ID_FIELD_NUMBER: _ClassVar[int]
    OPS_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    storage_id: bytes
    ops: _containers.RepeatedCompositeFieldContainer[Op]
    def __init__(self, nonce: _Optional[bytes] = ..., storage_id: _Optional[bytes] = ..., ops: _Optional[_Iterable[_Union[Op, _Mapping]]] = ...) -> None: ...

class Op(_message.Message):
    __slots__ = ("entity", "actions")
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    entity: str
    actions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, entity: _Optional[str] = ..., actions: _Optional[_Iterable[str]] = ...) -> None: ...
