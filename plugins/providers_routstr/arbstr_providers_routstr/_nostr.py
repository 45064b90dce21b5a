"""Owns what an announcement of a node is, and whether it is what it claims to be. Source: NIP-01 (ids and signatures),
BIP-340, RIP-02 (kind 38421)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import msgspec
from coincurve import PublicKeyXOnly

KIND = 38421
_AHEAD_SECONDS = 600
_MOST_TAGS = 100


class Forged(Exception):
    """An event is not what it claims to be; the message says why."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """As it comes."""

    id: str
    pubkey: str
    created_at: int
    kind: int
    tags: list[list[str]]
    content: str
    sig: str


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """What one node says of itself: its key and its own name for the node make it replaceable."""

    pubkey: str
    name: str
    created_at: int
    urls: tuple[str, ...]

    @property
    def of(self) -> tuple[str, str]:
        """What a newer one takes the place of."""
        return self.pubkey, self.name


def read_event(said: Any, now_s: int) -> Announcement | None:
    """An announcement, its id and signature checked; None where it is of another kind. Raises Forged."""
    try:
        event = msgspec.convert(said, Event)
        if event.kind != KIND:
            return None
        whole = [0, event.pubkey, event.created_at, event.kind, event.tags, event.content]
        digest = hashlib.sha256(json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()).digest()
        key, signature = bytes.fromhex(event.pubkey), bytes.fromhex(event.sig)
    except (msgspec.ValidationError, ValueError):
        raise Forged("it is no event") from None
    if event.id != digest.hex():
        raise Forged("its id is not what it says")
    try:
        signed = PublicKeyXOnly(key).verify(signature, digest)
    except ValueError:
        signed = False
    if not signed:
        raise Forged("its signature is none")
    if event.created_at > now_s + _AHEAD_SECONDS:
        raise Forged("it was made in the future")
    tags = [tag for tag in event.tags[:_MOST_TAGS] if len(tag) > 1]
    names = [tag[1] for tag in tags if tag[0] == "d"]
    return Announcement(
        pubkey=event.pubkey,
        name=names[0] if names else "",
        created_at=event.created_at,
        urls=tuple(tag[1] for tag in tags if tag[0] == "u"),
    )


def newest(found: Iterable[Announcement]) -> list[Announcement]:
    """The newest of each node, in the order of their keys, whatever the order in which relays have them."""
    kept: dict[tuple[str, str], Announcement] = {}
    for each in found:
        if each.of not in kept or each.created_at > kept[each.of].created_at:
            kept[each.of] = each
    return [kept[of] for of in sorted(kept)]
