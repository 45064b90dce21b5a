"""Static sites of plugins, on the operator's listener: read once, served from memory, under a strict policy.

The policy (CSP) lets a page load from arbstr alone, run no inline script and no inline style, and be framed by nobody:
what a page shows of a stranger's text can do nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from arbstr_core.api import Site
from arbstr_core.types import PluginError
from arbstr_core.web._asgi import Message, Send, respond

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_TAKEN = frozenset({"admin", "wallet", "internal", "v1", "models", "providers", "health", "metrics", "readyz"})
_INDEX = "index.html"
_MOST_BYTES = 32 * 1024 * 1024
_WORTH_PACKING = 1024
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
_PACKED = frozenset({".html", ".js", ".mjs", ".css", ".json", ".svg", ".txt", ".webmanifest"})
_POLICY = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "font-src 'self'"),
        *("connect-src 'self'", "manifest-src 'self'", "base-uri 'none'", "form-action 'none'"),
        "frame-ancestors 'none'",
    )
)
_GUARDS = (
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


class _File(msgspec.Struct, frozen=True):
    kind: str
    tag: str
    body: bytes
    packed: bytes | None
    """with gzip, where that is worth it"""


class Sites:
    """All sites by path. Raises PluginError for a site that cannot be served."""

    def __init__(self, sites: Iterable[Site]) -> None:
        self._files: dict[str, _File] = {}
        self._names: list[str] = []
        for site in sites:
            if not _NAME.fullmatch(site.name) or site.name in _TAKEN:
                raise PluginError(f"the site {site.name!r} cannot be called that: use another lower-case word")
            self._files.update(_read(site))
            self._names.append(site.name)

    def renew(self, others: Sites) -> None:
        """Serve what `others` would, from now on."""
        self._files, self._names = others._files, others._names

    @property
    def first(self) -> str | None:
        """Where a browser is sent that asks for nothing; None where there is no site."""
        return f"/{self._names[0]}/" if self._names else None

    def has(self, path: str) -> bool:
        """Whether the path is one of a site."""
        name = path[1:].partition("/")[0]
        return name in self._names

    async def __call__(self, scope: Message, send: Send) -> None:
        """Answer a request of a site."""
        path, method = scope["path"], scope["method"]
        if method not in ("GET", "HEAD"):
            await respond(send, 405, [("allow", "GET, HEAD"), *_GUARDS], b"")
            return
        if path.count("/") == 1:
            to = f"{path}/" if self.has(path) else self.first or "/"
            await respond(send, 302, [("location", to), *_GUARDS], b"")
            return
        found = self._files.get(path + _INDEX if path.endswith("/") else path)
        if found is None:
            headers = [("content-type", _KINDS[".txt"]), *_GUARDS]
            await respond(send, 404, headers, b"There is no such page.\n", head=method == "HEAD")
            return
        # A page asks each time whether a file is still the same: what an upgrade brings is seen at once.
        headers = [("content-type", found.kind), ("etag", found.tag), ("cache-control", "no-cache"), *_GUARDS]
        headers.append(("vary", "accept-encoding"))
        asked = {name: value for name, value in scope["headers"] if name in (b"if-none-match", b"accept-encoding")}
        if found.tag.encode() in asked.get(b"if-none-match", b""):
            await send({"type": "http.response.start", "status": 304, "headers": _bytes(headers)})
            await send({"type": "http.response.body", "body": b""})
            return
        body = found.body
        if found.packed is not None and b"gzip" in asked.get(b"accept-encoding", b""):
            body = found.packed
            headers.append(("content-encoding", "gzip"))
        await respond(send, 200, headers, body, head=method == "HEAD")


def _bytes(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]


def _read(site: Site) -> Iterator[tuple[str, _File]]:
    folder = site.folder.resolve()
    if not (folder / _INDEX).is_file():
        raise PluginError(f"the site {site.name!r} has no {_INDEX} in {folder}: install its plugin again")
    left = _MOST_BYTES
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if not path.is_file() or any(part.startswith(".") for part in inside.parts):
            continue
        kind = _KINDS.get(path.suffix)
        if kind is None:
            raise PluginError(f"the site {site.name!r} has {inside}, and nothing of that kind is served; leave it out")
        if not path.resolve().is_relative_to(folder):
            raise PluginError(f"the site {site.name!r} has {inside}, which leads out of its folder; leave it out")
        body = path.read_bytes()
        left -= len(body)
        if left < 0:
            raise PluginError(f"the site {site.name!r} is larger than {_MOST_BYTES} bytes; leave something out")
        yield f"/{site.name}/{inside.as_posix()}", _file(path, kind, body)


def _file(path: Path, kind: str, body: bytes) -> _File:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    packed = None
    if path.suffix in _PACKED and len(body) >= _WORTH_PACKING:
        packed = gzip.compress(body, mtime=0)
    return _File(kind, tag, body, packed)
