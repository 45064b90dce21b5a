"""What the audit says of holds and transfers: the digest of each, and which audit row says it, by their numbers.

24 bytes a row, in pages, so that numbers may have gaps.
"""

from __future__ import annotations

from array import array

import msgspec

from arbstr_core.vault._audit import DIGEST_BYTES, Run

PAGE = 4096
"""numbers in a page"""
_NOTHING = bytes(PAGE * 8)


class Page(msgspec.Struct, frozen=True):
    """Digests, and audit rows, by number; zeros where nothing is said."""

    digests: bytearray
    places: array[int]


def empty_page() -> Page:
    """Nothing is said yet."""
    return Page(bytearray(PAGE * DIGEST_BYTES), array("q", _NOTHING))


class Said:
    """See the module. `kind` is "hold" or "transfer"."""

    def __init__(self) -> None:
        self.pages: dict[str, dict[int, Page]] = {"hold": {}, "transfer": {}}
        self.counts = {"hold": 0, "transfer": 0}

    def add(self, place: int, run: Run) -> str | None:
        """Note what audit row `place` says; what is wrong with it, if it is no digests, or of what was said before."""
        kind, first, text = run
        try:
            digests = bytes.fromhex(text)
        except ValueError:
            digests = b""
        count = len(digests) // DIGEST_BYTES
        if kind not in self.pages or first < 1 or not count or len(digests) % DIGEST_BYTES:
            return f"audit row {place}: what it says of {kind} {first} cannot be read"
        self.counts[kind] += count
        at = 0
        while at < count:
            number, start = divmod(first + at, PAGE)
            much = min(PAGE - start, count - at)
            page = self.pages[kind].get(number) or self.pages[kind].setdefault(number, empty_page())
            if any(page.places[start : start + much]):
                return f"audit row {place}: it speaks of {kind} {first + at} or after, of which another spoke before"
            page.places[start : start + much] = array("q", [place]) * much
            page.digests[start * DIGEST_BYTES : (start + much) * DIGEST_BYTES] = digests[
                at * DIGEST_BYTES : (at + much) * DIGEST_BYTES
            ]
            at += much
        return None

    def place(self, kind: str, seq: int) -> int:
        """The audit row that speaks of this row; 0 for none."""
        number, start = divmod(seq, PAGE)
        page = self.pages[kind].get(number)
        return page.places[start] if page is not None else 0
