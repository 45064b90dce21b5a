"""A Lightning node of our own for the tests: LND's gRPC over TLS, with macaroons, and a will to misbehave."""

from lightning.macaroons import ADMIN, PERMISSIONS
from lightning.node import OTHER_PUBKEY, PAYEE, PUBKEY, FakeLnd, Fault, Way

__all__ = ["ADMIN", "OTHER_PUBKEY", "PAYEE", "PERMISSIONS", "PUBKEY", "FakeLnd", "Fault", "Way"]
