"""The token by which another program may reserve and settle, compared in constant time."""

from __future__ import annotations

import hmac

from arbstr_core.types import NotFound, Secret, Unauthorized


class Internal:
    """Knows that program; nobody where no token is configured."""

    def __init__(self, token: Secret | None) -> None:
        self._token = token

    def require(self, token: str) -> None:
        """Raise Unauthorized unless it is the token, and NotFound where there is none."""
        if self._token is None:
            raise NotFound("Billing for other routers is off: name a token in [server] internal_token")
        if not hmac.compare_digest(token.strip().encode(), self._token.reveal().encode()):
            raise Unauthorized("The internal token is needed: send it as X-Internal-Token")
