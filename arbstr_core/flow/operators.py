"""Who operates: operators with names and tokens of their own."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from arbstr_core.accounts import new_operator_token
from arbstr_core.flow import _paging as paging
from arbstr_core.flow._records import Asked
from arbstr_core.types import BadRequest
from arbstr_core.vault import OperatorRecord, Operators, Part

Json = dict[str, Any]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


class OperatorsFlow:
    """Adds and revokes them. They are there without accounts, too."""

    def __init__(self, known: Operators) -> None:
        self._known = known

    async def add(self, name: str, *, actor: str) -> Json:
        """A new operator. Nobody sees its token again. Raises BadRequest, or Conflict."""
        if not _NAME.fullmatch(name):
            raise BadRequest(
                f"{name!r} cannot be an operator's name: 1 to 64 letters, digits and _ . @ -, a letter or digit first",
                param="name",
            )
        token = new_operator_token()
        made = await self._known.add(name, hashlib.sha256(token.encode()).digest(), actor=actor)
        return {**msgspec.structs.asdict(made), "token": token}

    async def revoke(self, name: str, *, actor: str) -> Json:
        """End an operator's token and sessions. Raises NotFound."""
        return msgspec.structs.asdict(await self._known.revoke(name, actor=actor))

    async def list(self, asked: Asked) -> Json:
        """All of them, those that were revoked too, the oldest first."""
        most, first = paging.rows_of(asked.limit), paging.place("operator", asked.cursor) or 0
        rows = tuple(await self._known.all())
        following = first + most if len(rows) > first + most else None
        return paging.page(Part(rows=rows[first : first + most], following=following), "operator", _document)


def _document(record: OperatorRecord) -> Json:
    return msgspec.structs.asdict(record)
