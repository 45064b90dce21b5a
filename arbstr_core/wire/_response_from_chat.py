"""The reply of a chat put into the words of a response, whole or event by event.

Source: OpenAI API reference, "The response object", "Streaming events" and "The chat completion chunk object".
"""

from __future__ import annotations

from typing import Any

import msgspec

from arbstr_core.types import ChatCall
from arbstr_core.wire._sse import event_data, events_in
from arbstr_core.wire._translation import Json, dicts, document
from arbstr_core.wire._usage import salvaged

_WHY = {"length": "max_output_tokens", "content_filter": "content_filter"}
_TEXTS = ((("reasoning_content", "reasoning"), "reasoning"), (("content",), "text"), (("refusal",), "refusal"))
"""where a delta has text, and what it is"""
_NAMES = {"text": "output_text", "refusal": "refusal", "reasoning": "reasoning_text"}
_ECHOED = (
    *("instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "reasoning", "store", "temperature"),
    *("text", "tool_choice", "tools", "top_p", "truncation", "user", "previous_response_id"),
)
_USUAL: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
    "previous_response_id": None,
    "reasoning": None,
}


class ResponseFromChat:
    """Puts one reply to `call` into the words of a response. A stream is `events` as they come, then `last`."""

    def __init__(self, call: ChatCall) -> None:
        self._said = {name: msgspec.Raw(call.raw(name) or b"null") for name in _ECHOED if name in call.members}
        self._created = call.arrived_ms // 1000
        self._id = call.id
        self._model = call.model
        self._number = 0
        self._begun = False
        self._output: list[Json] = []
        self._part: str | None = None
        self._calls: dict[int, int] = {}
        self._why: str | None = None
        self._usage: Json | None = None

    # -- whole ----------------------------------------------------------------------------------------------------

    def whole(self, body: bytes) -> bytes:
        """The response that the body of a chat stands for."""
        said = document(body)
        choice = next(iter(dicts(said.get("choices"))), {})
        message = choice.get("message")
        self._note(choice, said)
        nowhere: list[bytes] = []
        if isinstance(message, dict):
            self._delta(message, nowhere)
        self._close(nowhere)
        return msgspec.json.encode(self._response(self._status))

    # -- streamed -------------------------------------------------------------------------------------------------

    def events(self, batch: bytes) -> bytes:
        """What whole events of a chat are in the words of a response; empty where they say nothing new."""
        out: list[bytes] = []
        for event in events_in(batch):
            data = event_data(event)
            if data is None:
                continue
            said = document(data)
            choices = dicts(said.get("choices"))
            self._note({}, said)
            if choices or said.get("usage"):
                self._begin(out)
            for choice in choices:
                # Nobody asks for several here; what comes unasked is not mixed in.
                if choice.get("index", 0) == 0:
                    delta = choice.get("delta")
                    if isinstance(delta, dict):
                        self._delta(delta, out)
                    self._note(choice, said)
        return b"".join(out)

    def last(self) -> bytes:
        """The end of what is open, and the whole of it once more."""
        out: list[bytes] = []
        self._begin(out)
        self._close(out)
        self._say(out, f"response.{self._status}", response=self._response(self._status))
        return b"".join(out)

    @property
    def _status(self) -> str:
        return "completed" if self._why is None else "incomplete"

    def _begin(self, out: list[bytes]) -> None:
        if not self._begun:
            self._begun = True
            for event in ("created", "in_progress"):
                self._say(out, f"response.{event}", response=self._response("in_progress"))

    def _delta(self, delta: Json, out: list[bytes]) -> None:
        for names, kind in _TEXTS:
            text = next((delta[name] for name in names if isinstance(delta.get(name), str) and delta[name]), None)
            if text is not None:
                self._text(kind, text, out)
        for place, call in enumerate(dicts(delta.get("tool_calls"))):
            self._call(call, place, out)

    def _text(self, kind: str, text: str, out: list[bytes]) -> None:
        self._open(kind, out)
        item = self._output[-1]
        part = item["content"][-1]
        part["refusal" if kind == "refusal" else "text"] += text
        more: Json = {"logprobs": []} if kind == "text" else {}
        self._say(out, f"response.{_NAMES[kind]}.delta", **self._where(), delta=text, **more)

    def _call(self, call: Json, place: int, out: list[bytes]) -> None:
        said = call.get("function")
        function: Json = said if isinstance(said, dict) else {}
        index = call.get("index")
        number = index if type(index) is int else place
        if number not in self._calls:
            self._close(out)
            name = str(function.get("name") or "")
            self._calls[number] = len(self._output)
            item = {"type": "function_call", "call_id": str(call.get("id") or f"call_{number}"), "name": name}
            self._add({**item, "arguments": ""}, "fc", out)
        item = self._output[self._calls[number]]
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments:
            item["arguments"] += arguments
            where = {"item_id": item["id"], "output_index": self._calls[number]}
            self._say(out, "response.function_call_arguments.delta", **where, delta=arguments)

    def _open(self, kind: str, out: list[bytes]) -> None:
        """Have a part of that kind open: a message has text and refusals, reasoning is an item of its own."""
        if self._part == kind:
            return
        shape = "reasoning" if kind == "reasoning" else "message"
        item = self._output[-1] if self._output else {}
        if self._part is None or item.get("type") != shape:
            self._close(out)
            fresh: Json = {"type": shape, "content": []}
            self._add(fresh | _more(shape), shape[:3], out)
            item = self._output[-1]
        else:
            self._end_part(out)
        self._part = kind
        part: Json = {"type": _NAMES[kind], "refusal" if kind == "refusal" else "text": ""}
        if kind == "text":
            part |= {"annotations": [], "logprobs": []}
        item["content"].append(part)
        self._say(out, "response.content_part.added", **self._where(), part=part)

    def _add(self, item: Json, prefix: str, out: list[bytes]) -> None:
        item = {"id": f"{prefix}_{self._id}_{len(self._output)}", "status": "in_progress", **item}
        self._output.append(item)
        self._say(out, "response.output_item.added", output_index=len(self._output) - 1, item=item)

    def _end_part(self, out: list[bytes]) -> None:
        if self._part is not None:
            part = self._output[-1]["content"][-1]
            key = "refusal" if self._part == "refusal" else "text"
            more: Json = {"logprobs": []} if self._part == "text" else {}
            self._say(out, f"response.{_NAMES[self._part]}.done", **self._where(), **{key: part[key]}, **more)
            self._say(out, "response.content_part.done", **self._where(), part=part)
            self._part = None

    def _close(self, out: list[bytes]) -> None:
        """End the items that are open."""
        self._end_part(out)
        for place, item in enumerate(self._output):
            if item["status"] != "in_progress":
                continue
            item["status"] = self._status
            if item["type"] == "function_call":
                where = {"item_id": item["id"], "output_index": place}
                done = {"name": item["name"], "arguments": item["arguments"]}
                self._say(out, "response.function_call_arguments.done", **where, **done)
            self._say(out, "response.output_item.done", output_index=place, item=item)

    def _where(self) -> Json:
        place = len(self._output) - 1
        item = self._output[place]
        return {"item_id": item["id"], "output_index": place, "content_index": max(len(item["content"]) - 1, 0)}

    def _say(self, out: list[bytes], kind: str, **more: Any) -> None:
        said = {"type": kind, "sequence_number": self._number, **more}
        self._number += 1
        out.append(f"event: {kind}\ndata: ".encode() + msgspec.json.encode(said) + b"\n\n")

    def _note(self, choice: Json, said: Json) -> None:
        """Remember who speaks, why it stops, and what it used so far."""
        if isinstance(said.get("model"), str):
            self._model = said["model"]
        self._why = _WHY.get(str(choice.get("finish_reason")), self._why)
        usage = salvaged(said.get("usage"))
        if usage is not None:
            details = said["usage"].get("completion_tokens_details")
            reasoning = details.get("reasoning_tokens") if isinstance(details, dict) else None
            self._usage = {
                "input_tokens": usage.input_tokens,
                "input_tokens_details": {"cached_tokens": usage.cached_input_tokens},
                "output_tokens": usage.output_tokens,
                "output_tokens_details": {"reasoning_tokens": reasoning if isinstance(reasoning, int) else 0},
                "total_tokens": usage.input_tokens + usage.output_tokens,
            }

    def _response(self, status: str) -> Json:
        running = status == "in_progress"
        return {
            "id": f"resp_{self._id}",
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": self._why} if status == "incomplete" else None,
            "model": self._model,
            "output": [] if running else self._output,
            "usage": None if running else self._usage,
            **_USUAL,
            **self._said,
        }


def _more(shape: str) -> Json:
    return {"summary": []} if shape == "reasoning" else {"role": "assistant"}
