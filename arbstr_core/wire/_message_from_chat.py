"""The reply of a chat put into Anthropic's words, whole or event by event.

Sources: OpenAI API reference, "The chat completion object" and "The chat completion chunk object"; Anthropic API
reference, "Messages" and "Streaming Messages".
"""

from __future__ import annotations

from typing import Any

import msgspec

from arbstr_core.wire._sse import event_data, events_in
from arbstr_core.wire._translation import Json, dicts, document
from arbstr_core.wire._usage import salvaged

_STOPS = {"length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use", "content_filter": "refusal"}


class MessageFromChat:
    """Puts one reply into Anthropic's words. A stream is `events` as they come, and `last` at its end."""

    def __init__(self) -> None:
        self._begun = False
        self._blocks = 0
        self._open: str | None = None
        self._tools: dict[int, int] = {}
        self._stop = "end_turn"
        self._usage: Json = {"input_tokens": 0, "output_tokens": 0}

    # -- whole ----------------------------------------------------------------------------------------------------

    def whole(self, body: bytes) -> bytes:
        """The message that the body of a chat stands for."""
        said = document(body)
        choice = next(iter(dicts(said.get("choices"))), {})
        message = choice.get("message")
        content = _content(message if isinstance(message, dict) else {})
        self._note(choice, said)
        if isinstance(message, dict) and message.get("refusal"):
            self._stop = "refusal"
        elif self._stop != "max_tokens" and any(block["type"] == "tool_use" for block in content):
            self._stop = "tool_use"
        return msgspec.json.encode({**_head(said), "content": content, **self._end(), "usage": self._usage})

    # -- streamed -------------------------------------------------------------------------------------------------

    def events(self, batch: bytes) -> bytes:
        """What whole events of a chat are in Anthropic's words; empty where they say nothing new."""
        out: list[bytes] = []
        for event in events_in(batch):
            data = event_data(event)
            if data is not None:
                self._chunk(document(data), out)
        return b"".join(out)

    def last(self) -> bytes:
        """The end of the message: why it stopped, and what it used."""
        out: list[bytes] = []
        self._begin({}, out)
        self._close(out)
        _say(out, "message_delta", delta=self._end(), usage=self._usage)
        _say(out, "message_stop")
        return b"".join(out)

    def _chunk(self, said: Json, out: list[bytes]) -> None:
        choices = dicts(said.get("choices"))
        self._note({}, said)
        if choices or said.get("usage"):
            self._begin(said, out)
        for choice in choices:
            # Nobody asks for several here; what comes unasked is not mixed in.
            if choice.get("index", 0) == 0:
                delta = choice.get("delta")
                if isinstance(delta, dict):
                    self._delta(delta, out)
                self._note(choice, said)

    def _delta(self, delta: Json, out: list[bytes]) -> None:
        for names, kind, key in _TEXTS:
            text = next((delta[name] for name in names if isinstance(delta.get(name), str) and delta[name]), None)
            if text is not None:
                if kind == "refusal":
                    self._stop, kind = "refusal", "text"
                self._block(kind, {"type": kind, key: ""} | ({"signature": ""} if kind == "thinking" else {}), out)
                self._say_delta(self._blocks - 1, {"type": f"{kind}_delta", key: text}, out)
        for place, call in enumerate(dicts(delta.get("tool_calls"))):
            self._tool(call, place, out)

    def _tool(self, call: Json, place: int, out: list[bytes]) -> None:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        number = call.get("index") if isinstance(call.get("index"), int) else place
        assert isinstance(number, int), "an index is a number"
        if number not in self._tools:
            self._stop = "tool_use"
            name = str(function.get("name") or "")
            block = {"type": "tool_use", "id": str(call.get("id") or f"toolu_{number}"), "name": name, "input": {}}
            self._close(out)
            self._block(f"tool {number}", block, out)
            self._tools[number] = self._blocks - 1
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments:
            self._say_delta(self._tools[number], {"type": "input_json_delta", "partial_json": arguments}, out)

    def _say_delta(self, index: int, delta: Json, out: list[bytes]) -> None:
        _say(out, "content_block_delta", index=index, delta=delta)

    def _begin(self, said: Json, out: list[bytes]) -> None:
        if not self._begun:
            self._begun = True
            start = {**_head(said), "content": [], "stop_reason": None, "stop_sequence": None, "usage": self._usage}
            _say(out, "message_start", message=start)

    def _block(self, kind: str, block: Json, out: list[bytes]) -> None:
        """Have a block of that kind open."""
        if self._open != kind:
            self._close(out)
            self._open = kind
            _say(out, "content_block_start", index=self._blocks, content_block=block)
            self._blocks += 1

    def _close(self, out: list[bytes]) -> None:
        if self._open is not None:
            self._open = None
            _say(out, "content_block_stop", index=self._blocks - 1)

    def _note(self, choice: Json, said: Json) -> None:
        """Remember why it stops, and what it used so far."""
        finish = choice.get("finish_reason")
        if finish == "length" or (isinstance(finish, str) and self._stop not in ("refusal", "tool_use")):
            self._stop = _STOPS.get(finish, "end_turn")
        usage = salvaged(said.get("usage"))
        if usage is not None:
            self._usage = {
                "input_tokens": usage.input_tokens - usage.cached_input_tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": usage.cached_input_tokens,
                "output_tokens": usage.output_tokens,
            }

    def _end(self) -> Json:
        return {"stop_reason": self._stop, "stop_sequence": None}


_TEXTS = (
    (("reasoning_content", "reasoning"), "thinking", "thinking"),
    (("content",), "text", "text"),
    (("refusal",), "refusal", "text"),
)
"""where a delta has text, what block it goes into, and under which name"""


def _content(message: Json) -> list[Json]:
    blocks: list[Json] = []
    thought = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(thought, str):
        blocks.append({"type": "thinking", "thinking": thought, "signature": ""})
    for text in (message.get("content"), message.get("refusal")):
        if isinstance(text, str) and text:
            blocks.append({"type": "text", "text": text})
    for number, call in enumerate(dicts(message.get("tool_calls"))):
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        name, given = str(function.get("name") or ""), _arguments(function.get("arguments"))
        blocks.append(
            {"type": "tool_use", "id": str(call.get("id") or f"toolu_{number}"), "name": name, "input": given}
        )
    return blocks


def _arguments(text: Any) -> Any:
    """The arguments of a call as an object, its bytes as they are; what is none is put into one."""
    if isinstance(text, str):
        try:
            if isinstance(msgspec.json.decode(text), dict):
                return msgspec.Raw(text.encode())
        except (msgspec.MsgspecError, RecursionError):
            pass
    return {"arguments": text} if text else {}


def _head(said: Json) -> Json:
    id = said.get("id")
    return {
        "id": f"msg_{id}" if isinstance(id, str) else "msg_0",
        "type": "message",
        "role": "assistant",
        "model": said.get("model") if isinstance(said.get("model"), str) else "",
    }


def _say(out: list[bytes], kind: str, **more: Any) -> None:
    out.append(f"event: {kind}\ndata: ".encode() + msgspec.json.encode({"type": kind, **more}) + b"\n\n")
