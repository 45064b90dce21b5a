"""A call in the words of a chat, for offers that do not speak the endpoint it was made at."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from arbstr_core.routing._quote import Pricer, out_of
from arbstr_core.types import ChatCall, Endpoint, Excluded, Listing, Quote
from arbstr_core.wire import Untranslatable, translated


class Translated:
    """Translates once, when the first offer needs it. `pricer` makes what holds offers against a call."""

    def __init__(self, call: ChatCall, pricer: Callable[[ChatCall], Pricer]) -> None:
        self._call = call
        self._make = pricer
        self._chat: ChatCall | Untranslatable | None = None
        self._pricer: Pricer | None = None
        self._tried = False

    def quote(self, listing: Listing) -> Quote | Excluded:
        """The offer priced for the translated call, or why there is none."""
        pricer = self._translated(listing)
        if isinstance(pricer, Excluded):
            return pricer
        out = pricer.unfit(listing)
        return out if out is not None else msgspec.structs.replace(pricer.quote(listing), translated=self._chat)

    def _translated(self, listing: Listing) -> Pricer | Excluded:
        offer = listing.offer
        if not self._tried:
            self._tried = True
            try:
                self._chat = translated(self._call)
            except Untranslatable as wordless:
                self._chat = wordless
        if isinstance(self._chat, Untranslatable):
            reason, field = str(self._chat), self._chat.field
            return out_of(offer, reason, field)
        if self._chat is None or Endpoint.CHAT not in offer.endpoints:
            return out_of(offer, f"does not speak /v1/{self._call.endpoint}")
        if self._pricer is None:
            self._pricer = self._make(self._chat)
        return self._pricer
