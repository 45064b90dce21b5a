"""Other ways to be a caller than an agent's token."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import msgspec

from arbstr_core.api._providers import Living
from arbstr_core.types import Caller, Secret


class NotMine(msgspec.Struct, frozen=True):
    """The headers hold no credential of this authenticator; the next one is asked."""


class PaidByToken(msgspec.Struct, frozen=True, kw_only=True):
    """The call comes without an account, and with the ecash that pays for it; `header` is where the change goes."""

    token: Secret
    header: str


class Authenticator(Living, ABC):
    """Knows a caller by something else than a token of arbstr's own. "Not mine" and "mine, but bad" are two answers.

    `name` is unique. `header` is the request header, in lower case, that makes a call this authenticator's: it is asked
    only where that is there. A call with two credentials is refused before anybody is asked.
    """

    name: str
    header: str

    @abstractmethod
    async def identify(self, headers: Mapping[str, str]) -> Caller | PaidByToken | NotMine:
        """Who is calling, by the request's headers (names in lower case). No money moves.

        Raises Unauthorized where the credential is this authenticator's and no good.
        """


class EcashHeader(Authenticator):
    """A call paid with a token in the header `X-Cashu` (NUT-24): one that begins with one of `prefixes`."""

    header = "x-cashu"

    def __init__(self, name: str, *prefixes: str) -> None:
        self.name = name
        self._prefixes = prefixes

    async def identify(self, headers: Mapping[str, str]) -> PaidByToken | NotMine:
        """The token, unread; NotMine where it begins otherwise."""
        token = headers.get(self.header, "").strip()
        return PaidByToken(token=Secret(token), header=self.header) if token.startswith(self._prefixes) else NotMine()
