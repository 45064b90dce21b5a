"""A request for a response put into the words of a chat, for providers that speak no other.

What has no word there keeps such a provider out. Source: OpenAI API reference, "Create a model response" and "Create
chat completion".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from arbstr_core.wire._translation import LISTED, RAWS, Json, Untranslatable, text_of

_AS_IT_IS = {
    **{name: name for name in ("model", "temperature", "top_p", "parallel_tool_calls", "user", "metadata")},
    **{name: name for name in ("safety_identifier", "prompt_cache_key", "prompt_cache_retention")},
    "max_output_tokens": "max_tokens",
}
_LEFT_OUT = frozenset({"store", "truncation", "max_tool_calls", "stream_options", "provider"})
"""They say what becomes of the response at the provider, or bound what a chat does not do by itself."""
_HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "background": (False,),
    "service_tier": ("auto", "default", "flex"),
    "include": ([], ["reasoning.encrypted_content"]),
    "top_logprobs": (0,),
}
_NONE = "speaks chat/completions alone, which has no"


def response_to_chat(body: bytes) -> bytes:
    """The body of a chat that asks for the same. Raises Untranslatable."""
    try:
        return msgspec.json.encode(_chat(RAWS.decode(body)))
    except (msgspec.MsgspecError, RecursionError) as bad:
        raise Untranslatable(f"cannot be put into the words of a chat: {bad}", "input") from None


def _chat(asked: Mapping[str, msgspec.Raw]) -> Json:
    chat: Json = {"messages": list(_messages(asked))}
    for name, raw in asked.items():
        if name in ("input", "instructions") or name in _LEFT_OUT or bytes(raw) == b"null":
            continue
        if name in _AS_IT_IS:
            chat[_AS_IT_IS[name]] = raw
        elif name in _FIELDS:
            kind, translate = _FIELDS[name]
            try:
                chat |= translate(msgspec.json.decode(raw, type=kind))
            except msgspec.MsgspecError as bad:
                raise Untranslatable(f"cannot be put into the words of a chat: {name}: {bad}", name) from None
        elif name not in _HARMLESS or msgspec.json.decode(raw) not in _HARMLESS[name]:
            raise Untranslatable(f"{_NONE} {name}", name)
    return chat


def _stream(asked: bool) -> Json:
    return {"stream": True, "stream_options": {"include_usage": True}} if asked else {}


def _tools(asked: list[dict[str, msgspec.Raw]]) -> Json:
    return {"tools": [_tool(tool) for tool in asked]} if asked else {}


def _tool(tool: dict[str, msgspec.Raw]) -> Json:
    kind = text_of(tool.get("type"))
    if kind != "function":
        raise Untranslatable(f"{_NONE} tools of type {kind}", "tools")
    names = ("name", "description", "parameters", "strict")
    function = {name: tool[name] for name in names if name in tool and bytes(tool[name]) != b"null"}
    return {"type": "function", "function": function}


def _choice(asked: Any) -> Json:
    match asked:
        case "auto" | "none" | "required":
            return {"tool_choice": asked}
        case {"type": "function", "name": str(name)}:
            return {"tool_choice": {"type": "function", "function": {"name": name}}}
        case _:
            raise Untranslatable(f"{_NONE} such tool_choice", "tool_choice")


def _form(asked: Json) -> Json:
    verbosity = {"verbosity": asked["verbosity"]} if asked.get("verbosity") else {}
    match asked.get("format"):
        case None | {"type": "text"}:
            return verbosity
        case {"type": "json_object"}:
            return {"response_format": {"type": "json_object"}} | verbosity
        case {"type": "json_schema", **schema}:
            return {"response_format": {"type": "json_schema", "json_schema": schema}} | verbosity
        case _:
            raise Untranslatable(f"{_NONE} such format", "text")


def _reasoning(asked: Json) -> Json:
    return {"reasoning_effort": asked["effort"]} if asked.get("effort") else {}


_FIELDS: dict[str, tuple[Any, Any]] = {
    "stream": (bool, _stream),
    "tools": (list[dict[str, msgspec.Raw]], _tools),
    "tool_choice": (Any, _choice),
    "text": (Json, _form),
    "reasoning": (Json, _reasoning),
}


def _messages(asked: Mapping[str, msgspec.Raw]) -> Iterator[Json]:
    instructions = asked.get("instructions")
    if instructions is not None and bytes(instructions) != b"null":
        yield {"role": "system", "content": instructions}
    given = asked.get("input", msgspec.Raw(b'""'))
    if bytes(given)[:1] == b'"':
        yield {"role": "user", "content": given}
        return
    said: Json = {}
    for number, item in enumerate(LISTED.decode(given)):
        place = f"input[{number}]"
        kind = text_of(item.get("type")) or "message"
        if kind == "function_call":
            # What the model said, and what it calls with it, is one message of a chat.
            said = said or {"role": "assistant", "content": None}
            said.setdefault("tool_calls", []).append(_call(item))
            continue
        if kind == "reasoning":
            continue
        if said:
            yield said
            said = {}
        if kind == "function_call_output":
            content = _content(item.get("output", msgspec.Raw(b'""')), f"{place}.output")
            yield {"role": "tool", "tool_call_id": text_of(item.get("call_id")), "content": _flat(content, place)}
        elif kind != "message":
            raise Untranslatable(f"{_NONE} {kind}", place)
        else:
            role = text_of(item.get("role")) or "user"
            content = _content(item.get("content", msgspec.Raw(b'""')), f"{place}.content")
            message = {"role": "system" if role == "developer" else role, "content": content}
            if role == "assistant":
                said = {**message, "content": _flat(content, place)}
            else:
                yield message
    if said:
        yield said


def _call(item: dict[str, msgspec.Raw]) -> Json:
    function = {"name": item.get("name"), "arguments": item.get("arguments", msgspec.Raw(b'"{}"'))}
    return {"id": item.get("call_id"), "type": "function", "function": function}


def _content(raw: msgspec.Raw, place: str) -> Any:
    if bytes(raw)[:1] == b'"':
        return raw
    return [_part(part, f"{place}[{number}]") for number, part in enumerate(LISTED.decode(raw))]


def _flat(content: Any, place: str) -> Any:
    """Text alone: what a model said, or a tool."""
    if not isinstance(content, list):
        return content
    if any(part["type"] != "text" for part in content):
        raise Untranslatable(f"{_NONE} such content here", place)
    return "".join(text_of(part["text"]) for part in content)


def _part(part: dict[str, msgspec.Raw], place: str) -> Json:
    kind = text_of(part.get("type"))
    match kind:
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": part.get("text", msgspec.Raw(b'""'))}
        case "refusal":
            return {"type": "text", "text": part.get("refusal", msgspec.Raw(b'""'))}
        case "input_image" if bytes(part.get("image_url", b"null")) != b"null":
            more = {"detail": part["detail"]} if "detail" in part else {}
            return {"type": "image_url", "image_url": {"url": part["image_url"], **more}}
        case "input_audio":
            return {"type": "input_audio", "input_audio": part.get("input_audio")}
        case "input_file" if "file_data" in part:
            return {"type": "file", "file": {name: part[name] for name in ("filename", "file_data") if name in part}}
        case _:
            raise Untranslatable(f"{_NONE} such {kind or 'content'}", place)
