"""What a request is recognised by: a digest of its body that says nothing to whoever reads the database."""

from __future__ import annotations

import hmac

BODY_DIGEST_KEY = "request bodies"
"""What the key for `body_digest` is derived for; all processes on one database have the same."""


def body_digest(key: bytes, endpoint: str, body: bytes) -> bytes:
    """HMAC-SHA256 of an endpoint and a body (or a key of the caller's own in its place)."""
    return hmac.digest(key, b"%b\0%b" % (endpoint.encode(), body), "sha256")
