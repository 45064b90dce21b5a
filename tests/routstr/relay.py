"""A Nostr relay, on the websocket server of `websockets`: it has events, and can misbehave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from coincurve import PrivateKey
from websockets.asyncio.server import ServerConnection, serve

MADE_S = 1_750_000_000


class Announcer:
    """A node's key, with which it announces itself."""

    def __init__(self, number: int = 1) -> None:
        self._key = PrivateKey(number.to_bytes(32, "big"))
        self.pubkey = self._key.public_key.format()[1:].hex()

    def event(self, *urls: str, name: str = "n", at: int = MADE_S, kind: int = 38421, **more: Any) -> dict[str, Any]:
        """An announcement, signed; `more` takes the place of what was signed."""
        tags = [["d", name], *(["u", url] for url in urls), ["mint", "https://mint.example"], ["version", "0.4.5"]]
        content = json.dumps({"name": "Nöde\n", "about": "a node"}, ensure_ascii=False)
        whole = [0, self.pubkey, at, kind, tags, content]
        digest = hashlib.sha256(json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()).digest()
        said = {"id": digest.hex(), "pubkey": self.pubkey, "created_at": at, "kind": kind, "tags": tags}
        return {**said, "content": content, "sig": self._key.sign_schnorr(digest).hex(), **more}


class Relay:
    """See the module. `mode`: ``, `silent` (never says that this is all), `rubbish`, `closes`."""

    def __init__(self, *events: Any, mode: str = "") -> None:
        self.events = list(events)
        self.mode = mode
        self.asked: list[Any] = []
        self.url = ""

    async def talk(self, connection: ServerConnection) -> None:
        """One connection."""
        async for text in connection:
            self.asked.append(json.loads(text))
            if self.mode == "closes":
                return
            if self.mode == "rubbish":
                await connection.send("this is no JSON [")
                await connection.send(json.dumps({"not": "a list"}))
                await connection.send(json.dumps(["NOTICE"]))
            for at, event in enumerate(self.events):
                whole = json.dumps(["EVENT", "arbstr", event])
                # Some in pieces, as relays may.
                await connection.send(whole if at % 2 else [whole[:20], whole[20:]])
            if self.mode != "silent":
                await connection.send(json.dumps(["EOSE", "arbstr"]))


@asynccontextmanager
async def serving_relays(*relays: Relay) -> AsyncIterator[None]:
    """Relays that answer until the end."""
    servers = []
    try:
        for relay in relays:
            server = await serve(relay.talk, "127.0.0.1", 0)
            servers.append(server)
            relay.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()
