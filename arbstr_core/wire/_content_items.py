"""The same for requests of other shapes: the items of a response's input, and the blocks of Anthropic's messages.

Sources: OpenAI API reference, "Create a model response", `input`; Anthropic API reference, "Messages", `messages`.
"""

from __future__ import annotations

from typing import Any

from arbstr_core.wire._content import CACHE_MARK, MOST_OF_A_NAME, TOOL, Content, Finding, decoded, marked

_TEXTS = frozenset({"input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text"})
_CALLS = frozenset(
    {"function_call", "custom_tool_call", "local_shell_call", "local_shell_call_output", "apply_patch_call"}
    | {"apply_patch_call_output"}
)
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})
_BLOCKS = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
_CALLERS_TOOLS = ("custom", None)


def look_into_items(given: bytes) -> Content:
    """What is in the list of items `given`. Raises MalformedJson."""
    found = Finding()
    for place, item in enumerate(decoded(given)):
        if isinstance(item, dict):
            _item(found, f"input[{place}]", item)
    return found.content()


def look_into_blocks(messages: bytes, system: bytes | None) -> Content:
    """What is in Anthropic's `messages` and `system`. Raises MalformedJson."""
    found = Finding()
    if system is not None and system.startswith(b"["):
        _blocks(found, "system", decoded(system))
    for place, message in enumerate(decoded(messages)):
        if isinstance(message, dict):
            found.mark(message)
            _blocks(found, f"messages[{place}].content", message.get("content"))
    return found.content()


def client_tools(tools: bytes) -> frozenset[str]:
    """As `server_tools`, for Anthropic's: what has no type, or is `custom`, the caller runs itself.

    Raises MalformedJson.
    """
    named = set()
    for tool in decoded(tools):
        kind = tool.get("type") if isinstance(tool, dict) else "untyped"
        if isinstance(tool, dict) and marked(tool):
            named.add(CACHE_MARK)
        if kind not in _CALLERS_TOOLS:
            named.add(f"{TOOL}{str(kind)[:MOST_OF_A_NAME].casefold()}")
    return frozenset(named)


def _item(found: Finding, place: str, item: dict[str, Any]) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        _parts(found, f"{place}.content", item.get("content"))
    elif kind in _OUTPUTS:
        _parts(found, f"{place}.output", item.get("output"))
    elif kind == "reasoning":
        # By its id alone the provider would look it up.
        if not (item.get("encrypted_content") or item.get("content")):
            found.refers(place)
    elif kind not in _CALLS:
        found.refers(place)


def _parts(found: Finding, place: str, parts: Any) -> None:
    for number, part in enumerate(parts if isinstance(parts, list) else ()):
        if not isinstance(part, dict):
            continue
        where = f"{place}[{number}]"
        found.mark(part)
        match part.get("type"):
            case "input_image":
                found.kinds.add("image_url")
                image = None if part.get("file_id") else part.get("image_url")
                found.attach(f"{where}.image_url", image, "url", "data:image/")
            case "input_audio":
                found.kinds.add("input_audio")
                found.attach(f"{where}.input_audio", part.get("input_audio"), "data", "")
            case kind if kind in _TEXTS:
                continue
            case _:
                found.file(where, part.get("file_data"))


def _blocks(found: Finding, place: str, blocks: Any) -> None:
    for number, block in enumerate(blocks if isinstance(blocks, list) else ()):
        if isinstance(block, dict):
            found.mark(block)
            _block(found, f"{place}[{number}]", block)


def _block(found: Finding, place: str, block: dict[str, Any]) -> None:
    source = block.get("source")
    kind = source.get("type") if isinstance(source, dict) else None
    match block.get("type"):
        case "image":
            found.kinds.add("image_url")
            found.attach(f"{place}.source", source if kind == "base64" else None, "data", "")
        case "tool_result":
            _blocks(found, f"{place}.content", block.get("content"))
        case "document" if kind == "text":
            return
        case "document" if kind == "content" and isinstance(source, dict):
            _blocks(found, f"{place}.source.content", source.get("content"))
        case "document":
            found.file(place, source.get("data") if isinstance(source, dict) else None)
        case "search_result":
            _blocks(found, f"{place}.content", block.get("content"))
        case known if known not in _BLOCKS:
            found.refers(place)
