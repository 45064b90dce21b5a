"""Owns what the plugin writes down, in its store, whose values are sealed: nodes with their keys, and what is under
way.

A step is written down before the node, or the kernel, is told of it: what a crash leaves is gone on with.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

from arbstr_core.api import NodeClaim, Store
from arbstr_providers_routstr._word import Word

NODE, FUND, SWEEP, WISH = "node:", "fund:", "sweep:", "wish:"
DIRECTORY = "directory"
T = TypeVar("T", bound=msgspec.Struct)


class Coin(msgspec.Struct, kw_only=True):
    """A token that pays single calls. `msat` is what it is thought to be worth."""

    token: str
    msat: int
    began_ms: int = 0


class NodeRecord(msgspec.Struct, kw_only=True):
    """What is kept of a node. `key` is whose money it is there; empty before it was funded.

    `balance_msat` is what it is thought to have, `swept` the digest of the token that it gave back last, `claims` what
    it owes us and does not give; `unknown_ms` is since when it does not know the key, Unix time, and `lost` has those
    whose money was claimed because of that. `giving_up` says that the operator does not expect it back any more.
    """

    url: str
    key: str = ""
    balance_msat: int = 0
    swept: str = ""
    used_ms: int = 0
    claims: list[NodeClaim] = []
    unknown_ms: int = 0
    lost: list[str] = []
    giving_up: bool = False
    pocket: dict[str, Coin] = {}
    out: dict[str, Coin] = {}
    change: dict[str, Coin] = {}
    word: Word = msgspec.field(default_factory=Word)


class FundRecord(msgspec.Struct, kw_only=True):
    """Money on its way to a node, by the kernel's key. `ever` is what the node said it ever had of us just before it
    was handed the token, None where it was asked to open a balance with it. `handed_ms` is when it was first told
    that it has the money."""

    node: str
    amount_msat: int
    began_ms: int
    invoice_id: str = ""
    bolt11: str = ""
    handed_ms: int = 0
    token: str = ""
    ever: int | None = None
    credited_msat: int | None = None
    denied: str = ""

    @property
    def over(self) -> bool:
        """True where the node has said what became of it."""
        return self.credited_msat is not None or bool(self.denied)


class SweepRecord(msgspec.Struct, kw_only=True):
    """Money on its way back, by the kernel's key. `balance_msat` is what was there; with a `token` it is out."""

    node: str
    balance_msat: int
    began_ms: int
    token: str = ""
    token_msat: int = 0


class Wish(msgspec.Struct, kw_only=True):
    """What an operator wants of a node: so much there, everything back, or nothing any more. `forget` has the ids of
    claims that are not to be told of again."""

    fund_msat: int = 0
    sweep: bool = False
    forgive: bool = False
    give_up: bool = False
    forget: tuple[str, ...] = ()


async def read(store: Store, key: str, kind: type[T]) -> T | None:
    """One record."""
    found = await store.get(key)
    return None if found is None else msgspec.json.decode(found, type=kind)


async def scan(store: Store, prefix: str, kind: type[T]) -> dict[str, T]:
    """Records by the rest of their key."""
    found = await store.scan(prefix)
    return {key.removeprefix(prefix): msgspec.json.decode(value, type=kind) for key, value in found.items()}


async def write(store: Store, key: str, record: msgspec.Struct) -> None:
    """Write one; durable when it returns."""
    await store.put({key: msgspec.json.encode(record)})


async def wish(store: Store, node: str, **more: Any) -> None:
    """Add to what an operator wants of a node; what was wanted of it beside that, and not seen to yet, stays."""
    while True:
        kept = await store.get(WISH + node)
        wanted = Wish() if kept is None else msgspec.json.decode(kept, type=Wish)
        after = msgspec.json.encode(msgspec.structs.replace(wanted, **more))
        if await store.put({WISH + node: after}, where={WISH + node: kept}):
            return


def digest(token: str) -> str:
    """What a token is known by that is not to be spent."""
    return hashlib.sha256(token.encode()).hexdigest()
