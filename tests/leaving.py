"""A client that closes after so many bytes."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

from house import Served, chat


async def leave_after(served: Served, ask: bytes, size: int, *, abruptly: bool) -> bytes:
    """Ask, take `size` bytes of the answer and close, with a reset where `abruptly`; what was taken."""
    loop = asyncio.get_running_loop()
    with socket.socket() as raw:
        raw.setblocking(False)
        await loop.sock_connect(raw, ("127.0.0.1", served.setup.port))
        await loop.sock_sendall(raw, ask)
        got = b""
        while len(got) < size and (part := await loop.sock_recv(raw, min(size - len(got), 65536))):
            got += part
        if abruptly:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return got


def asking(served: Served, agent: dict[str, Any], *, stream: bool) -> bytes:
    body = json.dumps(chat(stream=stream, max_tokens=20)).encode()
    return (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
        f"authorization: Bearer {agent['token']}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
