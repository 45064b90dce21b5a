"""Owns the talk with a relay: one question, and what it has. Source: NIP-01 over RFC 6455.

The handshake is a request of `tools.http`, so that the guard sees where it goes; what follows on that connection is put
into frames and out of them by `websockets`, which is handed bytes and opens nothing itself.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
from typing import Any

import httpx
from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from arbstr_core.api import ArbstrError, ProviderError, Tools
from arbstr_providers_routstr._nostr import KIND

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SECONDS = 8.0
_MOST_EVENTS = 1000
_MOST_BYTES = 4 * 1024 * 1024
_MOST_FRAME = 256 * 1024
_QUESTION = ["REQ", "arbstr", {"kinds": [KIND], "limit": _MOST_EVENTS}]


class RelaySilent(ProviderError):
    """A relay did not say what it has; why."""


async def announcements(tools: Tools, url: str) -> list[Any]:
    """The events that a relay has of nodes, as they are. Raises RelaySilent."""
    try:
        async with asyncio.timeout(_SECONDS):
            return await _asked(tools, url)
    except TimeoutError:
        raise RelaySilent(f"no answer within {_SECONDS:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ProtocolError) as failed:
        raise RelaySilent(str(failed) or type(failed).__name__) from None
    except ArbstrError as refused:
        raise RelaySilent(str(refused)) from None
    except Exception as broken:
        # The stream is httpcore's, whose errors nobody but httpx maps.
        if type(broken).__module__.split(".")[0] != "httpcore":
            raise
        raise RelaySilent(f"it broke off ({type(broken).__name__})") from None


async def _asked(tools: Tools, url: str) -> list[Any]:
    nonce = base64.b64encode(secrets.token_bytes(16)).decode()
    headers = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": nonce,
    }
    async with tools.http.stream("GET", f"http{url.removeprefix('ws')}", headers=headers) as answer:
        accept = base64.b64encode(hashlib.sha1((nonce + _GUID).encode()).digest()).decode()
        if answer.status_code != 101 or answer.headers.get("sec-websocket-accept") != accept:
            raise RelaySilent(f"it answered {answer.status_code}, and is no relay")
        return await _Talk(answer.extensions["network_stream"]).events()


class _Talk:
    """One question over an open connection."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._protocol = Protocol(Side.CLIENT, max_size=_MOST_FRAME)
        self._parts: list[bytes] = []

    async def events(self) -> list[Any]:
        """What comes until the relay says that this is all."""
        self._protocol.send_text(json.dumps(_QUESTION).encode())
        await self._send()
        found: list[Any] = []
        size = 0
        while len(found) < _MOST_EVENTS:
            data = await self._stream.read(65_536)
            size += len(data)
            if not data or size > _MOST_BYTES:
                raise RelaySilent("it broke off" if not data else f"it says more than {_MOST_BYTES} bytes")
            self._protocol.receive_data(data)
            ended = [self._heard(text, found) for text in self._texts()]
            await self._send()
            if any(ended):
                break
        self._protocol.send_close(1000)
        await self._send()
        return found

    def _texts(self) -> list[bytes]:
        """Whole messages, of one frame or several. Pings are answered by the protocol."""
        whole = []
        for frame in self._protocol.events_received():
            if not isinstance(frame, Frame):
                continue
            if frame.opcode in (Opcode.TEXT, Opcode.CONT):
                self._parts.append(bytes(frame.data))
                if frame.fin:
                    whole.append(b"".join(self._parts))
                    self._parts = []
            elif frame.opcode is Opcode.CLOSE:
                raise RelaySilent("it closed the connection")
        if self._protocol.parser_exc is not None:
            raise RelaySilent(f"it does not speak as a relay: {self._protocol.parser_exc}")
        return whole

    def _heard(self, text: bytes, found: list[Any]) -> bool:
        """Note an event; True where there are no more."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return False
        if not isinstance(said, list) or len(said) < 2:
            return False
        if said[0] == "EVENT" and len(said) > 2:
            found.append(said[2])
        return said[0] in ("EOSE", "CLOSED")

    async def _send(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                await self._stream.write(data)
