"""Events become transfers here: once a key, balanced, and never below what an account has."""

from __future__ import annotations

import msgspec

from arbstr_core.types import MAX_MSAT, Conflict, InsufficientFunds, NotFound
from arbstr_core.vault import _rows
from arbstr_core.vault._book import Book, Chart, Entry, VaultOperation, plain_text
from arbstr_core.vault._events import Event


class Post(VaultOperation[int]):
    """The transfer of an event; its number. The same key again gives the same number, or Conflict."""

    def __init__(self, chart: Chart, event: Event, *, realm: str, key: str) -> None:
        super().__init__(chart)
        legs = event.legs()
        if any(not 0 <= msat <= MAX_MSAT for _, _, msat in legs) or not any(msat for _, _, msat in legs):
            raise ValueError(f"{event} moves nothing, or what is no amount")
        self._memo = msgspec.json.encode(event).decode()
        plain_text("an event", realm, key, self._memo)
        self._event = event
        self._realm = realm
        self._key = key
        self.accounts = tuple(name for _, (name, _), _ in legs)

    def change(self, book: Book) -> int:
        """Post it."""
        before = book.posted(self._key)
        if before is not None:
            if before[2] != self._memo:
                raise Conflict(f"key {self._key!r} was used for something else: {before[2]}")
            return before[0]
        entries = [(self._account(book, *name), side, msat) for side, name, msat in self._event.legs() if msat]
        _suffices(book, entries, self._event)
        return book.post(
            self._event.kind, self._realm, self._event.amount_msat, entries, key=self._key, memo=self._memo
        )

    def _account(self, book: Book, name: str, kind: str) -> _rows.Account:
        if kind != "agent":
            return book.account(name, self._realm, kind)
        # An agent's account is made with the agent: a name that is none has been misspelt.
        found = book.find_account(name, self._realm)
        if found is None:
            raise NotFound(f"there is no {name.replace(':', ' ')} in realm {self._realm}")
        return found


def _suffices(book: Book, entries: list[Entry], event: Event) -> None:
    """Raises InsufficientFunds where an account would fall below nothing."""
    for account, side, msat in entries:
        shrinks = (side == "credit") == (account.kind == "asset")
        if account.constrained and shrinks and (left := book.available(account)) < msat:
            raise InsufficientFunds(
                f"{event.kind}: {msat} msat are needed and {left} are free on account {account.id}",
                needed_msat=msat,
                available_msat=left,
            )
