"""A reply that has begun, in the hands of whoever asked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from arbstr_core.api import Reply
from arbstr_core.dispatch._attempt import let_go
from arbstr_core.dispatch._slots import Slot
from arbstr_core.types import CallFacts, Quote, ReplyCut
from arbstr_core.wire import Glimpse


class OpenReply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply whose first byte is here, and the candidate that gave it.

    Where the call does not stream, `body` is all of it, and `shown` what it shows. Else `events` came so far, and
    `rest` brings the others. `began` is when it was asked for, on the monotonic clock; `slot` its place at a node that
    serves not more than so many.
    """

    quote: Quote
    reply: Reply
    body: bytes = b""
    shown: Glimpse = Glimpse()
    events: bytes = b""
    rest: AsyncIterator[bytes] | None = None
    began: float = 0.0
    slot: Slot | None = None

    def facts(self) -> CallFacts:
        """What the provider knows of the call beyond its bytes. Raises ReplyCut where its plugin fails at that."""
        try:
            return self.reply.facts()
        except Exception as bug:
            raise ReplyCut(f"the plugin of {self.quote.offer.provider} knows no facts: {type(bug).__name__}") from bug

    async def aclose(self) -> None:
        """Let go of the provider. Raises ReplyCut where its plugin fails at that."""
        try:
            await let_go(self.quote.offer.provider, self.reply)
        finally:
            if self.slot is not None:
                self.slot.give_back()
