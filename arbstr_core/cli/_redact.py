"""What is taken out of every line that is logged: secrets that this process was given, and what looks like one."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from arbstr_core.config import Settings, resolve_bytes
from arbstr_core.types import SecretRef

GONE = "[redacted]"
_SHORTEST = 8
"""What is shorter would take words out of every line."""
_MOST = 1_000

_SHAPES = re.compile(
    r"""
    (?P<keep>
        \b(?:bearer|basic)\s+
      | \b(?:authorization|x-api-key|x-internal-token|cookie|password|macaroon|preimage|secret|token)\b
        ["']?\s*[:=]\s*["']?(?!env:|file:)
      | ://(?=[^\s/@]*@)
    )
    (?P<after>(?:(?:bearer|basic)\s+)?[^\s"',;}\])@]{6,})
  | \b(?:arb|adm|opr)_[A-Za-z0-9_-]{16,}                  # tokens of our own
  | \bsk-[A-Za-z0-9_-]{8,}                                 # providers' keys
  | \bcashu[AB][A-Za-z0-9_=+/-]{16,}                       # ecash
  | \bnsec1[a-z0-9]{20,}                                   # Nostr keys
  | \b0201036c6e64[0-9a-f]{16,} | \bAgEDbG5k[A-Za-z0-9+/=_-]{16,}   # LND's macaroons, in hex and base64
    """,
    re.VERBOSE | re.IGNORECASE,
)


class Redactor:
    """Knows secrets only to take them out; nothing gives them back."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None

    def learn(self, secret: bytes) -> None:
        """Take this out from now on, as it is, in hex and in base64."""
        new = {form for form in _forms(secret) if form not in self._known}
        if not new:
            return
        self._known.update(dict.fromkeys(new))
        while len(self._known) > _MOST:
            self._known.pop(next(iter(self._known)))
        longest_first = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, text: str) -> str:
        """`text` without secrets."""
        if self._pattern is not None:
            text = self._pattern.sub(GONE, text)
        return _SHAPES.sub(_without, text)


def learn_settings(settings: Settings, learn: Callable[[bytes], None]) -> None:
    """Teach what the kernel's own tables refer to, and the keys and the token beside the database."""
    found = [resolve_bytes(ref, settings.base) for ref in _refs(settings)]
    files = [settings.data_dir / name for name in ("admin.token", "master.key", "audit.key")]
    found += [file.read_bytes() for file in files if file.exists()]
    for secret in found:
        learn(secret or b"")


def _refs(value: Any) -> Iterator[SecretRef]:
    if isinstance(value, SecretRef):
        yield value
    elif isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from _refs(getattr(value, field))


def _without(found: re.Match[str]) -> str:
    return (found["keep"] or "") + GONE


def _forms(secret: bytes) -> Iterator[str]:
    text = secret.strip()
    if len(text) < _SHORTEST:
        return
    for each in {text, *_lines(text)}:
        if len(each) >= _SHORTEST:
            if each.isascii() and each.decode("ascii").isprintable():
                yield each.decode("ascii")
            yield each.hex()
            yield each.hex().upper()
            yield base64.b64encode(each).decode().rstrip("=")
            yield base64.urlsafe_b64encode(each).decode().rstrip("=")


def _lines(text: bytes) -> Iterable[bytes]:
    """The lines of a text that is short enough to be one secret on each."""
    return text.split(b"\n") if len(text) < 4_096 else ()
