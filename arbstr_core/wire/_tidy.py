"""The chunks of a chat as OpenAI's helpers can put them together, where a provider's are not.

They add up what comes: a role, a call's id or a function's name that is said again is said twice; a choice or a call
whose index is not the next one is an error.
"""

from __future__ import annotations

from typing import Any

import msgspec

from arbstr_core.wire._sse import event_data

Json = dict[str, Any]


class Tidy:
    """Puts the chunks of one stream right, event by event; one that is right comes out byte for byte. `begun` where
    the role of choice 0 was said before."""

    __slots__ = ("_choices", "_roles", "_several")

    def __init__(self, choices: int, *, begun: bool = False) -> None:
        self._several = choices > 1
        self._roles: set[int] = {0} if begun else set()
        self._choices: dict[int, _Calls] = {0: _Calls()} if begun else {}

    def __call__(self, event: bytes) -> bytes:
        """`event`, put right."""
        if b'"role"' not in event and b'"tool_calls"' not in event and not self._several:
            return event
        try:
            chunk = msgspec.json.decode(event_data(event) or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return event
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        if not isinstance(choices, list):
            return event
        said: list[Any] = []
        changed = False
        for place, choice in enumerate(choices):
            if isinstance(choice, dict):
                changed |= self._choice(place, choice, said)
            said.append(choice)
        if not changed:
            return event
        return b"data: " + msgspec.json.encode({**chunk, "choices": said}) + b"\n\n"

    def _choice(self, place: int, choice: Json, said: list[Any]) -> bool:
        """Put one choice right; True where it was not. Those that have to come before it are said before it."""
        changed = False
        index = choice.get("index")
        if type(index) is not int:
            index = choice["index"] = place
            changed = True
        for missing in range(min(index, _MOST_CHOICES)):
            if missing not in self._choices:
                self._choices[missing] = _Calls()
                self._roles.add(missing)
                opening = {"role": "assistant", "content": ""}
                said.append({"index": missing, "delta": opening, "finish_reason": None})
                changed = True
        calls = self._choices.setdefault(index, _Calls())
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return changed
        if "role" in delta and index in self._roles:
            del delta["role"]
            changed = True
        elif delta.get("role"):
            self._roles.add(index)
        listed = delta.get("tool_calls")
        for call in listed if isinstance(listed, list) else ():
            if isinstance(call, dict):
                changed |= calls.put_right(call)
        return changed


_MOST_CHOICES = 128


class _Calls:
    """The tool calls of one choice so far."""

    __slots__ = ("_at", "_identified", "_ids", "_named")

    def __init__(self) -> None:
        self._at: dict[int | None, int] = {}
        self._ids: list[str | None] = []
        self._identified: set[int] = set()
        self._named: set[int] = set()

    def put_right(self, call: Json) -> bool:
        """Number it; say its id, type and name once. True where anything had to be changed."""
        number = call.get("index")
        said = number if type(number) is int else None
        id = call["id"] if isinstance(call.get("id"), str) and call["id"] else None
        known = self._at.get(said)
        if known is None or (id is not None and self._ids[known] not in (None, id)):
            # Some number all their calls alike, and tell them apart by their ids.
            known = self._at[said] = len(self._ids)
            self._ids.append(id)
        self._ids[known] = self._ids[known] or id
        call["index"] = known
        changed = said != known
        if "id" in call or "type" in call:
            changed |= _once(self._identified, known, call, "id", "type")
        function = call.get("function")
        if isinstance(function, dict) and "name" in function:
            changed |= _once(self._named, known, function, "name")
        return changed


def _once(told: set[int], call: int, part: Json, *keys: str) -> bool:
    """Take `keys` out of a part where they were told before; True where there was anything to take out."""
    if call in told:
        return bool([part.pop(key) for key in keys if key in part])
    if part.get(keys[0]):
        told.add(call)
    return False
