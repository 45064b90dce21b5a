"""What the caller hears of a reply: as it came, or put into the words that the call was made in."""

from __future__ import annotations

from arbstr_core.metering import Bill, Meter, Seen
from arbstr_core.types import CallFacts, ChatCall, Quote
from arbstr_core.wire import Glimpse, Interpreter, codec_of, interpreter

_RECEIPT = "x-arbstr-receipt"


class Voice:
    """Passes one reply on, all of which `meter` counts first."""

    __slots__ = ("_call", "_interpreter", "_meter", "_provider")

    def __init__(self, call: ChatCall, meter: Meter) -> None:
        self._call = call
        self._meter = meter
        self._interpreter: Interpreter | None = None
        self._provider = ""

    def begin(self, quote: Quote) -> None:
        """The reply is that of `quote`."""
        self._provider = quote.offer.provider
        if quote.translated is not None:
            self._meter.listen(quote.translated)
            self._interpreter = interpreter(self._call)

    def events(self, batch: bytes) -> tuple[bytes, Seen]:
        """Events that came together: what of them the caller gets, and what the last one looked at is."""
        kept, seen = self._meter.sift(batch)
        return (kept if self._interpreter is None else self._interpreter.events(kept)), seen

    def whole(self, body: bytes, shown: Glimpse) -> bytes:
        """A reply that came as one body."""
        self._meter.see_body(shown)
        return body if self._interpreter is None else self._interpreter.whole(body)

    def farewell(self, bill: Bill | None, *, complete: bool, stopped: bool) -> bytes:
        """What ends a stream; before it, for a caller that asks for one, what the call cost, as an event."""
        end = self.last(complete=complete, stopped=stopped)
        if self._call.hints.get(_RECEIPT) != "event":
            return end
        usage = self._meter.usage(CallFacts()) if bill is None else bill.usage
        said = {
            "request_id": self._call.id,
            "provider": self._provider,
            "cost_msat": None if bill is None else bill.charge_msat,
            "usage": usage,
        }
        return codec_of(self._call.endpoint).aside(self._call, said) + end

    def last(self, *, complete: bool = True, stopped: bool = False) -> bytes:
        """What ends a stream: the reply's own last event where it has one. `stopped` where arbstr may not pass it on
        any more; else what is not `complete` its provider did not end."""
        codec = codec_of(self._call.endpoint)
        if complete:
            return self._interpreter.last() if self._interpreter is not None else self._meter.last or codec.done
        if stopped:
            said = "The ledger cannot be reached, so the reply was cut; what came so far is charged."
            return codec.error_event(said, "api_error", "vault_unavailable")
        # What a provider says of its own failure is for the log: it may name what is ours.
        said = "The provider's reply broke off; what came so far was charged."
        return codec.error_event(said, "api_error", "upstream_cut")
