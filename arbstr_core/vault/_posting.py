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
        checked(event)
        plain_text("an event", realm, key, memo_of(event))
        self._event = event
        self._realm = realm
        self._key = key
        self.accounts = accounts_of(event)

    def change(self, book: Book) -> int:
        """Post it."""
        return post_event(book, self._event, realm=self._realm, key=self._key)


def checked(event: Event) -> None:
    """Raises ValueError for what moves nothing, or what is no amount."""
    legs = event.legs()
    if any(not 0 <= msat <= MAX_MSAT for _, _, msat in legs) or not any(msat for _, _, msat in legs):
        raise ValueError(f"{event} moves nothing, or what is no amount")


def accounts_of(event: Event) -> tuple[str, ...]:
    """The accounts that an event moves, by name."""
    return tuple(name for _, (name, _), _ in event.legs())


def memo_of(event: Event) -> str:
    """What a transfer says of the event that made it."""
    return msgspec.json.encode(event).decode()


def post_event(book: Book, event: Event, *, realm: str, key: str) -> int:
    """See `Post`."""
    memo = memo_of(event)
    before = book.posted(key)
    if before is not None:
        if before[2] != memo:
            raise Conflict(f"key {key!r} was used for something else: {before[2]}")
        return before[0]
    entries = [(_account(book, realm, *name), side, msat) for side, name, msat in event.legs() if msat]
    _suffices(book, entries, event)
    return book.post(event.kind, realm, event.amount_msat, entries, key=key, memo=memo)


def _account(book: Book, realm: str, name: str, kind: str) -> _rows.Account:
    if kind != "agent":
        return book.account(name, realm, kind)
    # An agent's account is made with the agent: a name that is none has been misspelt.
    found = book.find_account(name, realm)
    if found is None:
        raise NotFound(f"there is no {name.replace(':', ' ')} in realm {realm}")
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
