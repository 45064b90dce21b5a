"""The few words of ASGI that the raw doors share. Source: ASGI specification 3, HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import quote

from arbstr_core.types import BadRequest

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[str, str]]

HANG_UP = "arbstr.hang_up"
"""the extension of a scope that closes the client's connection at once, with what it has not taken"""


_CREDENTIALS = frozenset({"authorization", "x-api-key"})
_READ = frozenset(
    {b"authorization", b"content-encoding", b"content-length", b"x-request-id"}
    | {b"idempotency-key", b"x-stainless-retry-count", b"prefer"}
    | {b"x-api-key", b"anthropic-version", b"anthropic-beta"}
)


def header_map(scope: Message) -> dict[str, str]:
    """The request headers that arbstr reads: a few, and all named x-arbstr-*; of several with one name the last.

    Raises BadRequest for two of those that say who asks: a proxy before us may have believed the other one.
    """
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in _READ or name.startswith(b"x-arbstr-"):
            key = name.decode("latin-1")
            if key in _CREDENTIALS and key in found:
                raise BadRequest(f"The request carries two {key} headers; send one")
            found[key] = value.decode("latin-1")
    return found


def credential(headers: dict[str, str]) -> str:
    """The `Authorization` of a request, or what says the same: Anthropic's clients send their key as `x-api-key`."""
    given = headers.get("authorization", "")
    key = headers.get("x-api-key")
    return f"Bearer {key}" if key and not given else given


def encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI wants them; a value that is not printable ASCII (a model's name may be anything) as in a URL."""
    return [
        (name.encode(), (value if value.isascii() and value.isprintable() else quote(value, safe=_PRINTABLE)).encode())
        for name, value in headers
    ]


_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


async def respond(send: Send, status: int, headers: Headers, body: bytes, *, head: bool = False) -> None:
    """Send a whole response; `head` sends its headers alone."""
    whole = [*headers, ("content-length", str(len(body)))]
    await send({"type": "http.response.start", "status": status, "headers": encoded(whole)})
    await send({"type": "http.response.body", "body": b"" if head else body})
