"""What a reply showed: counted event by event as it passes, without holding it."""

from __future__ import annotations

import enum

from arbstr_core.types import CallFacts, ChatCall, Usage, UsageSource, ceil_div
from arbstr_core.wire import Glimpse, Tidy, codec_of, event_data, events_in, sendable

BYTES_PER_TOKEN = 4
"""How many bytes count as a token where nobody counted: in the agent's favour for text in most languages."""
_MOST_TOKENS = 1_000_000_000
"""No call has more; a provider that says so has made a mistake, or wants the ledger to overflow."""


class Seen(enum.Enum):
    """What an event is to the caller."""

    PASS = "pass"
    DROP = "drop"
    DONE = "done"
    ERROR = "error"


class Meter:
    """Counts one reply to `call`, in the words of its endpoint."""

    __slots__ = (
        *("_begun", "_call", "_codec", "_first", "_keeps_usage", "_look", "_plain", "_text_at_usage", "_tidy"),
        *("_usage", "last", "stops", "text_bytes"),
    )

    def __init__(self, call: ChatCall) -> None:
        self.listen(call)
        self._usage: Usage | None = None
        self._text_at_usage = 0
        self.text_bytes = 0
        self.stops = 0
        """choices that said why they ended; each may have cost one token that shows no text"""
        self.last = b""
        """the reply's own last event, where it has come and is more than a mark"""

    def listen(self, call: ChatCall) -> None:
        """The reply is to `call`, and nothing of it was counted yet."""
        codec = codec_of(call.endpoint)
        self._call = call
        self._codec = codec
        self._plain = codec.plain_text
        self._look = codec.glimpses()
        self._keeps_usage = call.include_usage or not codec.asks_usage
        self._first = True
        self._begun = False
        self._tidy: Tidy | None = None

    def sift(self, batch: bytes) -> tuple[bytes, Seen]:
        """Count events that came together: what of them goes to the caller, and whether the last one looked at passed,
        ended the stream, or is an error."""
        end, text_bytes = self._plain(batch, self._first)
        self.text_bytes += text_bytes
        if self._first:
            self._first = False
            self._begun = end > 0 and b'"role"' in batch[: batch.find(b"\n\n")]
        if end == len(batch):
            return batch, Seen.PASS
        more, seen = self._each(batch[end:])
        return batch[:end] + more if end else more, seen

    def _each(self, batch: bytes) -> tuple[bytes, Seen]:
        """The same, event by event."""
        kept: list[bytes] = []
        for event in events_in(batch):
            seen = self.see_event(event)
            if seen is Seen.PASS:
                kept.append(self._right(sendable(event)))
            elif seen is not Seen.DROP:
                return b"".join(kept), seen
        return kept[0] if len(kept) == 1 else b"".join(kept), Seen.PASS

    def _right(self, event: bytes) -> bytes:
        """An event as it goes to the caller."""
        if not self._codec.tidied:
            return event
        if self._tidy is None:
            self._tidy = Tidy(self._call.choices, begun=self._begun)
        return self._tidy(event)

    def see_event(self, event: bytes) -> Seen:
        """Count one event of a stream and say what to do with it."""
        data = event_data(event)
        if not data or data.startswith(b":"):
            return Seen.DROP
        if data.startswith(b"[DONE]"):
            return Seen.DONE if self._codec.done_mark else Seen.DROP
        seen = self._see(self._look(data))
        if seen is Seen.DONE:
            self.last = sendable(event)
        return seen

    def _see(self, shown: Glimpse) -> Seen:
        if shown.error:
            if shown.usage is not None and self.text_bytes:
                self._note(shown.usage)
            return Seen.ERROR
        self.text_bytes = max(self.text_bytes + shown.text_bytes, shown.all_bytes)
        self.stops += shown.finished
        if shown.usage is not None:
            self._note(shown.usage)
            if not (shown.choices or self._keeps_usage):
                return Seen.DROP
        return Seen.DONE if shown.done else Seen.PASS

    def _note(self, usage: Usage) -> None:
        """The last report counts; but one of nothing at all says nothing after one of something."""
        if self._usage is None or usage.input_tokens or usage.output_tokens:
            self._usage = usage
            self._text_at_usage = self.text_bytes

    def see_body(self, shown: Glimpse) -> None:
        """Count a reply that came as one body, by what it shows."""
        self.text_bytes += shown.text_bytes
        self.stops += shown.finished
        self._usage = shown.usage
        self._text_at_usage = self.text_bytes

    @property
    def output_seen(self) -> bool:
        """True once the reply showed text, ended, or said what it used: from then on it is charged."""
        return bool(self.text_bytes or self.stops or self._usage is not None)

    def usage(self, facts: CallFacts) -> Usage:
        """What was used: as the provider says, else counted from the bytes."""
        if facts.usage is not None:
            return _possible(facts.usage)
        if self._usage is not None:
            return _possible(self._completed(_possible(self._usage)))
        if not self.output_seen:
            return Usage(source=UsageSource.NONE)
        return Usage(
            input_tokens=self.counted_input(), output_tokens=_tokens(self.text_bytes), source=UsageSource.COUNTED
        )

    def _completed(self, reported: Usage) -> Usage:
        """A report that came before the end says nothing of what came after it."""
        after = self.text_bytes - self._text_at_usage
        if self.stops and (reported.output_tokens or not self.text_bytes):
            return reported
        missing = _tokens(after) if reported.output_tokens or not self.stops else _tokens(self.text_bytes)
        if not missing:
            return reported
        return Usage(
            input_tokens=reported.input_tokens,
            cached_input_tokens=reported.cached_input_tokens,
            output_tokens=reported.output_tokens + missing,
            source=UsageSource.COUNTED,
        )

    def counted_input(self) -> int:
        """The tokens of the input where nobody says them.

        Pictures and sounds count nothing: they are far fewer tokens than their bytes, and nobody said how many."""
        call = self._call
        size, members = -call.attached_bytes, call.members
        for name in self._codec.prompt:
            if name in members:
                start, end = members[name]
                size += end - start
        return _tokens(size)


def _tokens(size: int) -> int:
    return ceil_div(size, BYTES_PER_TOKEN)


def _possible(usage: Usage) -> Usage:
    """The usage with each count in the range that a count can have: a provider's word is not to be trusted."""
    if (
        0 <= usage.cached_input_tokens <= usage.input_tokens <= _MOST_TOKENS
        and 0 <= usage.output_tokens <= _MOST_TOKENS
    ):
        return usage
    given = min(max(usage.input_tokens, 0), _MOST_TOKENS)
    cached = min(max(usage.cached_input_tokens, 0), given)
    output = min(max(usage.output_tokens, 0), _MOST_TOKENS)
    return Usage(input_tokens=given, cached_input_tokens=cached, output_tokens=output, source=usage.source)
