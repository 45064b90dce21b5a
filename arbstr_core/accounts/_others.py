"""Callers who are known by something else than a token of arbstr's own: plugins' authenticators are asked.

A request has one credential. With two, one may open the door and the other be billed, so it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arbstr_core.api import Authenticator, NotMine, PaidByToken
from arbstr_core.types import AgentDisabled, BadRequest, Caller, Unauthorized


class Others:
    """See the module. Authenticators are asked in order, those whose header is there."""

    def __init__(self, authenticators: Sequence[Authenticator] = ()) -> None:
        self._authenticators = tuple(authenticators)
        self.headers = frozenset(each.header for each in authenticators)
        self.raw = frozenset(name.encode() for name in self.headers)

    def asked(self, headers: Mapping[str, str]) -> bool:
        """Whether a request has a header of theirs."""
        return not self.headers.isdisjoint(headers)

    async def identify(self, authorization: str, headers: Mapping[str, str]) -> Caller | PaidByToken | None:
        """The caller, None where no header of an authenticator is there. Raises Unauthorized where nobody knows what is
        in one, BadRequest for two credentials."""
        given = sorted(self.headers & headers.keys())
        if not given:
            return None
        if authorization or len(given) > 1:
            both = " and ".join([*(["Authorization"] if authorization else []), *given])
            raise BadRequest(f"The request carries two credentials ({both}); send one")
        for each in self._authenticators:
            if each.header == given[0]:
                found = await each.identify(headers)
                if isinstance(found, Caller) and not found.enabled:
                    raise AgentDisabled(f"The agent {found.name!r} is disabled; its operator can enable it")
                if not isinstance(found, NotMine):
                    return found
        raise Unauthorized(f"What is in {given[0]} is nothing that is taken here")
