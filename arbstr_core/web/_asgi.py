"""The few words of ASGI that the raw doors share. Source: ASGI specification 3, HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
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


def header_map(scope: Message, more: frozenset[bytes] = frozenset()) -> dict[str, str]:
    """The request headers that arbstr reads: a few, all named x-arbstr-*, and `more`, which say who asks; of several
    with one name the last.

    Raises BadRequest for two of those that say who asks: a proxy before us may have believed the other one.
    """
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in _READ or name.startswith(b"x-arbstr-") or name in more:
            key = name.decode("latin-1")
            if (key in _CREDENTIALS or name in more) and key in found:
                raise BadRequest(f"The request carries two {key} headers; send one")
            found[key] = value.decode("latin-1")
    return found


def credential(headers: dict[str, str]) -> str:
    """The `Authorization` of a request, or what says the same: Anthropic's clients send their key as `x-api-key`."""
    given = headers.get("authorization", "")
    key = headers.get("x-api-key")
    return f"Bearer {key}" if key and not given else given


class Head:
    """Headers as ASGI wants them, and as they go out: our own server writes `raw`, which needs no second look.

    `length` is the size of the body, None where nobody knows it.
    """

    __slots__ = ("length", "raw")

    def __init__(self, raw: bytes, length: int | None) -> None:
        self.raw = raw
        self.length = length

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        for line in self.raw.split(b"\r\n")[:-1]:
            name, _, value = line.partition(b": ")
            yield name, value


def encoded(headers: Headers, length: int | None = None) -> Head:
    """Our headers, with the body's `length`; a value that is not printable ASCII (a model's name may be anything) as in
    a URL."""
    lines = [f"{name}: {value}" for name, value in headers]
    text = "".join(lines)
    if not (text.isascii() and text.isprintable()):
        lines = [line if line.isascii() and line.isprintable() else quote(line, safe=_PRINTABLE) for line in lines]
    if length is not None:
        lines.append(f"content-length: {length}")
    lines.append("")
    return Head("\r\n".join(lines).encode(), length)


_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


async def respond(send: Send, status: int, headers: Headers, body: bytes, *, head: bool = False) -> None:
    """Send a whole response; `head` sends its headers alone."""
    await send({"type": "http.response.start", "status": status, "headers": encoded(headers, len(body))})
    await send({"type": "http.response.body", "body": b"" if head else body})
