"""A request of Anthropic's put into the words of a chat, for providers that speak no other.

What has no word there is not left out but said: such a call needs a provider that speaks `/v1/messages` itself.
Sources: Anthropic API reference, "Messages"; OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from arbstr_core.wire._translation import LISTED, RAWS, Json, Untranslatable, text_of

_THINKING = ((2048, "low"), (8192, "medium"))
"""Budgets up to so many tokens, as an effort; a larger one is `high`"""
_AS_IT_IS = {"model": "model", "max_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p"} | {
    "top_k": "top_k",
    "stop_sequences": "stop",
}
_LEFT_OUT = frozenset({"cache_control", "service_tier", "provider"})
"""They change neither the answer nor what it is made of: what providers of chats keep, they keep unasked."""
_TOOL_KEYS = frozenset({"name", "description", "input_schema", "strict", "type", "cache_control"})


def messages_to_chat(body: bytes) -> bytes:
    """The body of a chat that asks for the same. Raises Untranslatable."""
    try:
        return msgspec.json.encode(_chat(RAWS.decode(body)))
    except (msgspec.MsgspecError, RecursionError) as bad:
        raise Untranslatable(f"cannot be put into the words of a chat: {bad}", "messages") from None


def _chat(asked: Mapping[str, msgspec.Raw]) -> Json:
    chat: Json = {"messages": list(_messages(asked))}
    for name, raw in asked.items():
        if name in ("messages", "system") or name in _LEFT_OUT or bytes(raw) == b"null":
            continue
        if name in _AS_IT_IS:
            chat[_AS_IT_IS[name]] = raw
        elif name in _FIELDS:
            kind, translate = _FIELDS[name]
            try:
                chat |= translate(msgspec.json.decode(raw, type=kind))
            except msgspec.MsgspecError as bad:
                raise Untranslatable(f"cannot be put into the words of a chat: {name}: {bad}", name) from None
        else:
            raise Untranslatable(f"speaks chat/completions alone, which has no {name}", name)
    return chat


def _stream(asked: bool) -> Json:
    return {"stream": True, "stream_options": {"include_usage": True}} if asked else {}


def _thinking(asked: Json) -> Json:
    budget = asked.get("budget_tokens")
    if asked.get("type") != "enabled" or not isinstance(budget, int):
        return {}
    return {"reasoning_effort": next((effort for most, effort in _THINKING if budget <= most), "high")}


def _user(asked: Json) -> Json:
    return {"user": asked["user_id"]} if asked.get("user_id") else {}


def _choice(asked: Json) -> Json:
    kinds = {"auto": "auto", "any": "required", "none": "none"}
    kind = asked.get("type")
    if kind == "tool":
        chosen: Json = {"tool_choice": {"type": "function", "function": {"name": asked.get("name")}}}
    elif kind in kinds:
        chosen = {"tool_choice": kinds[kind]}
    else:
        raise Untranslatable(f"speaks chat/completions alone, which has no tool_choice {kind!r}", "tool_choice")
    return chosen | ({"parallel_tool_calls": False} if asked.get("disable_parallel_tool_use") else {})


def _tools(asked: list[dict[str, msgspec.Raw]]) -> Json:
    return {"tools": [_tool(tool) for tool in asked]} if asked else {}


def _tool(tool: dict[str, msgspec.Raw]) -> Json:
    kind = text_of(tool.get("type")) or "custom"
    unknown = sorted(name for name in tool.keys() - _TOOL_KEYS if bytes(tool[name]) not in (b"null", b"false"))
    if kind != "custom" or unknown:
        said = f"tools of type {kind}" if kind != "custom" else f"{unknown[0]} in a tool"
        raise Untranslatable(f"speaks chat/completions alone, which has no {said}", "tools")
    names = {"name": "name", "description": "description", "input_schema": "parameters", "strict": "strict"}
    return {"type": "function", "function": {new: tool[old] for old, new in names.items() if old in tool}}


def _format(asked: Any) -> Json:
    match asked:
        case {"type": "json_schema"}:
            schema = {"name": "output", "schema": asked.get("schema"), "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        case _:
            raise Untranslatable("speaks chat/completions alone, which has no such format", "output_format")


def _config(asked: Json) -> Json:
    unknown = asked.keys() - {"format", "effort"}
    if unknown:
        raise Untranslatable(f"speaks chat/completions alone, which has no {min(unknown)}", "output_config")
    effort = {"reasoning_effort": "high" if asked["effort"] == "max" else asked["effort"]} if "effort" in asked else {}
    return (_format(asked["format"]) if asked.get("format") else {}) | effort


_FIELDS: dict[str, tuple[Any, Callable[[Any], Json]]] = {
    "stream": (bool, _stream),
    "thinking": (Json, _thinking),
    "metadata": (Json, _user),
    "tool_choice": (Json, _choice),
    "tools": (list[dict[str, msgspec.Raw]], _tools),
    "output_format": (Json, _format),
    "output_config": (Json, _config),
}


def _messages(asked: Mapping[str, msgspec.Raw]) -> Iterator[Json]:
    system = asked.get("system")
    if system is not None and bytes(system) != b"null":
        yield {"role": "system", "content": _joined(system, "system")}
    for number, message in enumerate(LISTED.decode(asked["messages"])):
        content = message.get("content", msgspec.Raw(b'""'))
        place = f"messages[{number}].content"
        role = text_of(message.get("role"))
        if role == "assistant":
            yield _assistant(content, place)
        elif bytes(content)[:1] == b'"':
            yield {"role": role or "user", "content": content}
        else:
            yield from _turn(LISTED.decode(content), place)


def _turn(blocks: list[dict[str, msgspec.Raw]], place: str) -> Iterator[Json]:
    """A user's turn: what its tools gave, each as a message of its own, then what it says."""
    parts: list[Json] = []
    for number, block in enumerate(blocks):
        where = f"{place}[{number}]"
        if text_of(block.get("type")) == "tool_result":
            content = block.get("content", msgspec.Raw(b'""'))
            text, pictures = _result(content, where)
            yield {"role": "tool", "tool_call_id": text_of(block.get("tool_use_id")), "content": text}
            parts += pictures
        else:
            parts.append(_part(block, where))
    if parts:
        alone = len(parts) == 1 and parts[0]["type"] == "text"
        yield {"role": "user", "content": parts[0]["text"] if alone else parts}


def _result(content: msgspec.Raw, place: str) -> tuple[Any, list[Json]]:
    """What a tool gave: its text, and the pictures, which no message of a tool can have."""
    if bytes(content)[:1] != b"[":
        return content, []
    parts = [_part(block, f"{place}.content[{number}]") for number, block in enumerate(LISTED.decode(content))]
    texts = [text_of(part["text"]) for part in parts if part["type"] == "text"]
    return "\n".join(texts), [part for part in parts if part["type"] != "text"]


def _assistant(content: msgspec.Raw, place: str) -> Json:
    """What the model said before. What it thought is not said again: no provider reads another's."""
    if bytes(content)[:1] == b'"':
        return {"role": "assistant", "content": content}
    texts, calls = [], []
    for number, block in enumerate(LISTED.decode(content)):
        kind = text_of(block.get("type"))
        if kind == "text":
            texts.append(text_of(block.get("text")))
        elif kind == "tool_use":
            function = {"name": block.get("name"), "arguments": bytes(block.get("input", b"{}")).decode()}
            calls.append({"id": text_of(block.get("id")), "type": "function", "function": function})
        elif kind not in ("thinking", "redacted_thinking"):
            raise Untranslatable(f"speaks chat/completions alone, which has no {kind} of a model", f"{place}[{number}]")
    said: Json = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    return said | ({"tool_calls": calls} if calls else {})


def _joined(raw: msgspec.Raw, place: str) -> Any:
    if bytes(raw)[:1] == b'"':
        return raw
    parts = [_part(block, f"{place}[{number}]") for number, block in enumerate(LISTED.decode(raw))]
    return "\n\n".join(text_of(part["text"]) for part in parts)


def _part(block: dict[str, msgspec.Raw], place: str) -> Json:
    match text_of(block.get("type")):
        case "text":
            return {"type": "text", "text": block.get("text", msgspec.Raw(b'""'))}
        case "image":
            return {"type": "image_url", "image_url": {"url": _url(block, place)}}
        case "document":
            return _document(msgspec.json.decode(block.get("source", b"{}")), text_of(block.get("title")), place)
        case kind:
            raise Untranslatable(f"speaks chat/completions alone, which has no {kind}", place)


def _url(block: dict[str, msgspec.Raw], place: str) -> str:
    source = msgspec.json.decode(block.get("source", b"{}"))
    match source:
        case {"type": "base64", "media_type": str(kind), "data": str(data)}:
            return f"data:{kind};base64,{data}"
        case {"type": "url", "url": str(url)}:
            return url
        case _:
            raise Untranslatable("speaks chat/completions alone, which has no such image", place)


def _document(source: Any, title: str, place: str) -> Json:
    match source:
        case {"type": "text", "data": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "base64", "media_type": str(kind), "data": str(data)}:
            file = {"filename": title or "document.pdf", "file_data": f"data:{kind};base64,{data}"}
            return {"type": "file", "file": file}
        case _:
            raise Untranslatable("speaks chat/completions alone, which has no such document", place)
