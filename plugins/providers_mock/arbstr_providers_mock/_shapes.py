"""Owns the same replies in the shapes of OpenAI's responses and of Anthropic's messages.

Sources: OpenAI API reference, "The response object" and "Streaming events"; Anthropic API reference, "Messages" and
"Streaming Messages".
"""

from __future__ import annotations

from typing import Any

from arbstr_core.api import Endpoint
from arbstr_providers_mock._answers import Answer, EmbeddingAnswer, Json, TextAnswer, encode, event


class ResponseAnswer(Answer):
    """The reply of `/v1/responses`."""

    def whole(self, *, usage: bool) -> bytes:
        """The whole response."""
        return encode(self._response(self._status, [self._item("completed", self.text)], usage=usage))

    def events(self, *, usage: bool, everywhere: bool) -> list[bytes]:
        """Created, one message word by word, and completed, which says all of it again."""
        part = {"item_id": self._message, "output_index": 0, "content_index": 0}
        said: list[tuple[str, Json]] = [
            ("response.created", {"response": self._response("in_progress", [], usage=False)}),
            ("response.in_progress", {"response": self._response("in_progress", [], usage=False)}),
            ("response.output_item.added", {"output_index": 0, "item": self._item("in_progress", None)}),
            ("response.content_part.added", {**part, "part": self._part("")}),
        ]
        said += [("response.output_text.delta", {**part, "delta": word, "logprobs": []}) for word in self.deltas()]
        done = self._item("completed", self.text)
        said += [
            ("response.output_text.done", {**part, "text": self.text, "logprobs": []}),
            ("response.content_part.done", {**part, "part": self._part(self.text)}),
            ("response.output_item.done", {"output_index": 0, "item": done}),
            (f"response.{self._status}", {"response": self._response(self._status, [done], usage=usage)}),
        ]
        return [
            event({"type": name, "sequence_number": number, **more}, name) for number, (name, more) in enumerate(said)
        ]

    @classmethod
    def error_event(cls, message: str) -> bytes:
        """An error in the middle of a stream."""
        said = {"type": "error", "code": "mock_error", "message": message, "param": None, "sequence_number": 0}
        return event(said, "error")

    @property
    def _status(self) -> str:
        return "incomplete" if self.cut else "completed"

    @property
    def _message(self) -> str:
        return f"msg_mock_{self.number}"

    def _response(self, status: str, output: list[Json], *, usage: bool) -> Json:
        return {
            "id": f"resp_mock_{self.number}",
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": None,
            "metadata": {},
            "model": self.model,
            "output": output,
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": self._counts() if usage else None,
        }

    def _counts(self) -> Json:
        return {
            "input_tokens": self.given,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": len(self.words),
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.given + len(self.words),
        }

    def _item(self, status: str, text: str | None) -> Json:
        content = [] if text is None else [self._part(text)]
        return {"type": "message", "id": self._message, "status": status, "role": "assistant", "content": content}

    def _part(self, text: str) -> Json:
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


class MessageAnswer(Answer):
    """The reply of Anthropic's `/v1/messages`."""

    def whole(self, *, usage: bool) -> bytes:
        """The whole message."""
        content = [{"type": "text", "text": self.text}]
        return encode(self._of(content, self._stop, self._counts(len(self.words)) if usage else None))

    def events(self, *, usage: bool, everywhere: bool) -> list[bytes]:
        """The message begins, one block comes word by word, and it says why it stops."""
        start = self._of([], None, self._counts(1) if usage else None)
        block = {"index": 0}
        said: list[Json] = [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", **block, "content_block": {"type": "text", "text": ""}},
            {"type": "ping"},
        ]
        for word in self.deltas():
            said.append({"type": "content_block_delta", **block, "delta": {"type": "text_delta", "text": word}})
        why = {"stop_reason": self._stop, "stop_sequence": None}
        spent = {"usage": {"output_tokens": len(self.words)}} if usage else {}
        said += [
            {"type": "content_block_stop", **block},
            {"type": "message_delta", "delta": why, **spent},
            {"type": "message_stop"},
        ]
        return [event(each, each["type"]) for each in said]

    @staticmethod
    def error(message: str) -> bytes:
        """An error, as Anthropic writes one."""
        return encode({"type": "error", "error": {"type": "api_error", "message": message}})

    @classmethod
    def error_event(cls, message: str) -> bytes:
        """An error in the middle of a stream."""
        return b"event: error\ndata: " + cls.error(message) + b"\n\n"

    @property
    def _stop(self) -> str:
        return "max_tokens" if self.cut else "end_turn"

    def _of(self, content: list[Json], stop: str | None, usage: Json | None) -> Json:
        said: Json = {
            "id": f"msg_mock_{self.number}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
        }
        return said if usage is None else {**said, "usage": usage}

    def _counts(self, output: int) -> Json:
        return {"input_tokens": self.given, "output_tokens": output}


ANSWERS: dict[Any, type[Answer]] = {
    Endpoint.CHAT: Answer,
    Endpoint.COMPLETIONS: TextAnswer,
    Endpoint.EMBEDDINGS: EmbeddingAnswer,
    Endpoint.RESPONSES: ResponseAnswer,
    Endpoint.MESSAGES: MessageAnswer,
}
