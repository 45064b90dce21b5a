"""LND's messages as we write them down: made from the .proto file, with LND's numbers, in a package of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from arbstr_wallet_lnd import _calls as calls
from arbstr_wallet_lnd import _lnd_pb2 as pb
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from lightning import PERMISSIONS

PLUGIN = Path(__file__).parents[1]
PACKAGE = PLUGIN / "arbstr_wallet_lnd"
KINDS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_MESSAGE: "message",
    FieldDescriptor.TYPE_ENUM: "enum",
}

# By LND 0.21's own files, written down a second time: what is under each number, and of which type.
LND = """
GetStateRequest
GetStateResponse           state=1:enum
GetInfoRequest
GetInfoResponse            identity_pubkey=1:string block_height=6:uint32 synced_to_chain=9:bool version=14:string
GetInfoResponse            chains=16:message*
Chain                      network=2:string
ChannelBalanceRequest
ChannelBalanceResponse     local_balance=3:message unsettled_local_balance=5:message
ChannelBalanceResponse     unsettled_remote_balance=6:message
Amount                     msat=2:uint64
PendingChannelsRequest
PendingChannelsResponse    total_limbo_balance=1:int64
PayReqString               pay_req=1:string
PayReq                     destination=1:string payment_hash=2:string timestamp=4:int64 expiry=5:int64 num_msat=12:int64
Invoice                    memo=1:string r_preimage=3:bytes r_hash=4:bytes creation_date=7:int64 settle_date=8:int64
Invoice                    payment_request=9:string expiry=11:int64 private=15:bool settle_index=17:uint64
Invoice                    amt_paid_msat=20:int64 state=21:enum value_msat=23:int64 is_amp=27:bool
AddInvoiceResponse         r_hash=1:bytes payment_request=2:string
PaymentHash                r_hash=2:bytes
InvoiceSubscription        settle_index=2:uint64
Payment                    payment_hash=1:string payment_preimage=6:string value_msat=8:int64 status=10:enum
Payment                    fee_msat=12:int64 creation_time_ns=13:int64 htlcs=14:message* payment_index=15:uint64
Payment                    failure_reason=16:enum
HTLCAttempt                attempt_id=7:uint64
ListPaymentsRequest        include_incomplete=1:bool index_offset=2:uint64 max_payments=3:uint64 reversed=4:bool
ListPaymentsRequest        omit_hops=8:bool
ListPaymentsResponse       payments=1:message* last_index_offset=3:uint64
CancelInvoiceMsg           payment_hash=1:bytes
CancelInvoiceResp
SendPaymentRequest         payment_request=5:string timeout_seconds=6:int32 cltv_limit=9:int32 fee_limit_msat=13:int64
SendPaymentRequest         allow_self_payment=15:bool max_parts=17:uint32 no_inflight_updates=18:bool cancelable=24:bool
TrackPaymentRequest        payment_hash=1:bytes no_inflight_updates=2:bool
MacaroonId                 nonce=1:bytes storageId=2:bytes ops=3:message*
Op                         entity=1:string actions=2:string*
"""
ENUMS = {
    "WalletState": [0, 1, 2, 3, 4, 255],
    "State": [0, 1, 2, 3],
    "Status": [0, 1, 2, 3, 4],
    "FailureReason": [0, 1, 2, 3, 4, 5, 6],
}
RENAMED = {"HtlcAttempt": "HTLCAttempt", "total_limbo_balance_sat": "total_limbo_balance", "storage_id": "storageId"}


def ours() -> dict[str, set[str]]:
    found = {}
    for message in pb.DESCRIPTOR.message_types_by_name.values():
        found[RENAMED.get(message.name, message.name)] = {
            f"{RENAMED.get(each.name, each.name)}={each.number}:{KINDS[each.type]}{'*' * each.is_repeated}"
            for each in message.fields
        }
    return found


def enums() -> list[EnumDescriptor]:
    inner = [each for one in pb.DESCRIPTOR.message_types_by_name.values() for each in one.enum_types]
    return [*pb.DESCRIPTOR.enum_types_by_name.values(), *inner]


def test_generating_them_again_changes_nothing(tmp_path: Path) -> None:
    made = ["--python_out", str(tmp_path), "--pyi_out", str(tmp_path), "arbstr_wallet_lnd/_lnd.proto"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", str(PLUGIN), *made], check=True)
    for name in ("_lnd_pb2.py", "_lnd_pb2.pyi"):
        again = (tmp_path / "arbstr_wallet_lnd" / name).read_text()
        assert again == (PACKAGE / name).read_text(), f"{name} is not what _lnd.proto says: run `make stubs`"


def test_every_field_is_lnd_s() -> None:
    said: dict[str, set[str]] = {}
    for line in LND.strip().splitlines():
        name, *fields = line.split()
        said.setdefault(name, set()).update(fields)
    assert ours() == said
    assert {each.name: [value.number for value in each.values] for each in enums()} == ENUMS


def test_paths_are_lnd_s_and_no_permission_is_guessed() -> None:
    every = {each.path: each.permission for each in calls.NEEDED}
    assert every == dict(PERMISSIONS)
    assert (calls.GET_STATE.path, calls.GET_STATE.permission) == ("/lnrpc.State/GetState", None)


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_another_copy_of_lnd_s_messages_lives_beside_ours(first: str) -> None:
    """Some wallet's own lightning.proto, in LND's own package, with other fields: in one process, either first."""
    theirs = """
from google.protobuf import descriptor_pb2, descriptor_pool
file = descriptor_pb2.FileDescriptorProto(name="lightning.proto", package="lnrpc", syntax="proto3")
for name in ("Invoice", "Payment", "PayReq", "GetInfoRequest", "Amount", "Op"):
    file.message_type.add(name=name).field.add(name="other", number=1, type=9, label=1)
descriptor_pool.Default().Add(file)
assert descriptor_pool.Default().FindMessageTypeByName("lnrpc.Invoice").fields_by_name["other"]
"""
    ours = "from arbstr_wallet_lnd import _lnd_pb2 as pb; assert pb.Invoice(value_msat=1).SerializeToString()\n"
    program = ours + theirs if first == "ours" else theirs + ours
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_the_ranges_of_our_dependencies_fit_the_generated_code() -> None:
    """Generated code refuses a protobuf older than itself; what pyproject.toml allows must not be."""
    generated = next(
        line.rpartition(" ")[2]
        for line in (PACKAGE / "_lnd_pb2.py").read_text().splitlines()
        if line.startswith("# Protobuf Python Version:")
    )
    assert f'"protobuf>={generated},<8"' in (PLUGIN / "pyproject.toml").read_text()
