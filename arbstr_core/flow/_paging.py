"""Pages: a bounded number of rows, and a cursor that asks for those after them. What a cursor says is nobody's matter;
one that was made up leads to nothing that its bearer may not see."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from arbstr_core.types import BadRequest
from arbstr_core.vault import Part

Json = dict[str, Any]
R = TypeVar("R")

MOST = 100
"""rows on one page"""
_USUAL = 50
_MOST_PLACE = 2**63 - 1


def rows_of(limit: int | None) -> int:
    """How many rows a page has. Raises BadRequest."""
    if limit is None:
        return _USUAL
    if not 1 <= limit <= MOST:
        raise BadRequest(f"limit must be from 1 to {MOST}, not {limit}", param="limit")
    return limit


def page(part: Part[R, Any], kind: str, shown: Callable[[R], Json]) -> Json:
    """A part of what there is, as every door shows it; `kind` says of what."""
    return {
        "data": [shown(row) for row in part.rows],
        "next_cursor": None if part.following is None else _cursor(kind, str(part.following)),
        "has_more": part.following is not None,
    }


def whole_page(rows: Iterable[Json]) -> Json:
    """Everything there is, on one page."""
    return {"data": list(rows), "next_cursor": None, "has_more": False}


def place(kind: str, cursor: str | None) -> int | None:
    """The number that a cursor of this kind stands for. Raises BadRequest."""
    found = name(kind, cursor)
    if found is None:
        return None
    if not re.fullmatch(r"[0-9]{1,19}", found) or not 0 < int(found) <= _MOST_PLACE:
        raise _unknown()
    return int(found)


def name(kind: str, cursor: str | None) -> str | None:
    """The id that a cursor of this kind stands for. Raises BadRequest."""
    if cursor is None:
        return None
    try:
        said, _, where = base64.urlsafe_b64decode(cursor.encode("ascii") + b"==").decode("ascii").partition(":")
    except (ValueError, binascii.Error):
        raise _unknown() from None
    if said != kind or not re.fullmatch(r"[\w.-]{1,100}", where, re.ASCII) or _cursor(kind, where) != cursor:
        raise _unknown()
    return where


def _cursor(kind: str, where: str) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{where}".encode()).decode().rstrip("=")


def _unknown() -> BadRequest:
    return BadRequest("cursor is not one that this list gave: take next_cursor of the page before", param="cursor")
