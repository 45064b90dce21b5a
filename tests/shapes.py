"""What providers answer at the endpoints beside chat: whole, and as the events of a stream.

Sources: OpenAI API reference, "Completions", "Embeddings", "The response object" and "Streaming events"; Anthropic API
reference, "Messages" and "Streaming Messages". Every answer has used 11 tokens of input and 5 of output.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from upstream import Act

Json = dict[str, Any]
Call = tuple[str, str, str]
"""(id, name, arguments)"""

GIVEN, OUTPUT = 11, 5


def whole(document: Json) -> Act:
    """A reply that comes at once."""
    return Act(how="status", status=200, body=json.dumps(document).encode())


def streamed(events: Iterable[tuple[str, Json | str]], *, pause: float = 0.0) -> Act:
    """A reply that comes event by event, each with its name where it has one."""
    chunks = []
    for name, document in events:
        data = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
        chunks.append(f"{f'event: {name}' + chr(10) if name else ''}data: {data}\n\n".encode())
    return Act(how="raw", headers=(("content-type", "text/event-stream"),), chunks=tuple(chunks), pause=pause)


def named(documents: Iterable[Json]) -> Iterable[tuple[str, Json]]:
    """Events whose name is the type of their document."""
    return ((document["type"], document) for document in documents)


def pieces(text: str, size: int = 4) -> list[str]:
    return [text[place : place + size] for place in range(0, len(text), size)]


# -- tools in a chat -------------------------------------------------------------------------------------------------

CALL = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
OTHER = {"name": "get_weather", "arguments": '{"city": "Rome"}'}
CALLS = [
    {"id": f"call_{number}", "type": "function", "function": call} for number, call in enumerate((CALL, OTHER), start=1)
]
TOOLS = Act(message={"role": "assistant", "content": None, "tool_calls": CALLS}, finish="tool_calls")


def _fragments() -> Iterator[dict[str, Any]]:
    for index, call in enumerate(CALLS):
        function = call["function"]
        assert isinstance(function, dict)
        yield {"tool_calls": [{**call, "index": index, "function": {"name": function["name"], "arguments": ""}}]}
        for place in range(0, len(function["arguments"]), 5):
            piece = function["arguments"][place : place + 5]
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


TOOLS_STREAMED = Act(deltas=tuple(_fragments()), finish="tool_calls")


# -- completions and embeddings --------------------------------------------------------------------------------------


def completion(text: str) -> Json:
    choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": GIVEN, "completion_tokens": OUTPUT, "total_tokens": GIVEN + OUTPUT}
    return {
        "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice], "usage": usage
    }  # fmt: skip


def completion_events(text: str, *, usage: bool) -> list[tuple[str, Json | str]]:
    """`usage`: in a chunk of its own, as OpenAI sends it to who asks for it."""
    last = completion("")
    spoken = [{**completion(piece), "usage": None} for piece in pieces(text)]
    for each in spoken:
        each["choices"][0]["finish_reason"] = None
    finish = {**last, "usage": None}
    said: list[Json | str] = [*spoken, finish, *([{**last, "choices": []}] if usage else []), "[DONE]"]
    return [("", document) for document in said]


def embedding(*vectors: Sequence[float], base64_encoded: bool = False) -> Json:
    def shown(vector: Sequence[float]) -> Any:
        if not base64_encoded:
            return list(vector)
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()

    rows = [{"object": "embedding", "index": index, "embedding": shown(each)} for index, each in enumerate(vectors)]
    return {
        "object": "list", "data": rows, "model": "m", "usage": {"prompt_tokens": GIVEN, "total_tokens": GIVEN}
    }  # fmt: skip


# -- responses -------------------------------------------------------------------------------------------------------


def response(output: list[Json], status: str = "completed") -> Json:
    used = {
        "input_tokens": GIVEN,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": OUTPUT,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": GIVEN + OUTPUT,
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "m",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": used if status == "completed" else None,
    }


def said_item(text: str) -> Json:
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}


def call_item(call: Call) -> Json:
    id, name, arguments = call
    return {
        "type": "function_call", "id": f"fc_{id}", "call_id": id, "name": name, "arguments": arguments,
        "status": "completed",
    }  # fmt: skip


def response_events(text: str | None, *calls: Call) -> list[tuple[str, Json]]:
    items = [*([said_item(text)] if text is not None else []), *map(call_item, calls)]
    begun = response([], "in_progress")
    said: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(items):
        said += _item_events(index, item)
    said.append({"type": "response.completed", "response": response(items)})
    return list(named({**each, "sequence_number": number} for number, each in enumerate(said)))


def _item_events(index: int, item: Json) -> list[Json]:
    where = {"item_id": item["id"], "output_index": index}
    opened = {**item, "status": "in_progress"} | ({"content": []} if "content" in item else {"arguments": ""})
    said: list[Json] = [{"type": "response.output_item.added", "output_index": index, "item": opened}]
    if "content" in item:
        part, where = item["content"][0], {**where, "content_index": 0}
        said.append({"type": "response.content_part.added", **where, "part": {**part, "text": ""}})
        for piece in pieces(part["text"]):
            said.append({"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []})
        said.append({"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []})
        said.append({"type": "response.content_part.done", **where, "part": part})
    else:
        for piece in pieces(item["arguments"]):
            said.append({"type": "response.function_call_arguments.delta", **where, "delta": piece})
        done = {"name": item["name"], "arguments": item["arguments"]}
        said.append({"type": "response.function_call_arguments.done", **where, **done})
    return [*said, {"type": "response.output_item.done", "output_index": index, "item": item}]


# -- messages --------------------------------------------------------------------------------------------------------


def message(content: list[Json], stop: str | None = "end_turn", output: int = OUTPUT) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": GIVEN, "output_tokens": output},
    }


def text_block(text: str) -> Json:
    return {"type": "text", "text": text}


def tool_block(call: Call) -> Json:
    id, name, arguments = call
    return {"type": "tool_use", "id": id, "name": name, "input": json.loads(arguments)}


def message_events(content: list[Json], stop: str = "end_turn") -> list[tuple[str, Json]]:
    said: list[Json] = [{"type": "message_start", "message": message([], None, output=1)}]
    for index, block in enumerate(content):
        empty = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
        said.append({"type": "content_block_start", "index": index, "content_block": empty})
        said.append({"type": "ping"})
        spoken = block["text"] if block["type"] == "text" else json.dumps(block["input"])
        for piece in pieces(spoken):
            if block["type"] == "text":
                delta = {"type": "text_delta", "text": piece}
            else:
                delta = {"type": "input_json_delta", "partial_json": piece}
            said.append({"type": "content_block_delta", "index": index, "delta": delta})
        said.append({"type": "content_block_stop", "index": index})
    why = {"stop_reason": stop, "stop_sequence": None}
    said.append({"type": "message_delta", "delta": why, "usage": {"output_tokens": OUTPUT}})
    said.append({"type": "message_stop"})
    return list(named(said))
