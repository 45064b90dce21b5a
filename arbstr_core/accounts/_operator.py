"""The operator's token: the one in `admin.token`, compared in constant time."""

from __future__ import annotations

import hmac

from arbstr_core.types import Secret, Unauthorized


class Operator:
    """Knows the operator."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    def require(self, authorization: str) -> None:
        """Raise Unauthorized unless the header carries the operator's token."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token.reveal().encode()):
            raise Unauthorized("The operator's token is needed: `Authorization: Bearer` and what admin.token holds")
