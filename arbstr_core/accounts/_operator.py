"""The operator's token: the one in `admin.token`, compared in constant time."""

from __future__ import annotations

import hmac

from arbstr_core.types import Secret, Unauthorized


class Operator:
    """Knows the operator."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    def knows(self, authorization: str) -> bool:
        """True where the header carries the operator's token."""
        scheme, _, token = authorization.partition(" ")
        given, own = token.strip().encode(), self._token.reveal().encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(given, own)

    def require(self, authorization: str) -> None:
        """Raise Unauthorized unless the header carries the operator's token."""
        if not self.knows(authorization):
            raise Unauthorized("The operator's token is needed: `Authorization: Bearer` and what admin.token holds")
