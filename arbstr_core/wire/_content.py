"""What stands inside the messages and tools of a request: pictures, content that is elsewhere, tools of the provider.

What is not known to be all there counts as elsewhere: the number of its bytes says nothing of what a provider reads.
Source: OpenAI API reference, "Create chat completion", `messages` and `tools`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from arbstr_core.wire._json import MalformedJson

CACHE_MARK = "cache_control"
TOOL = "tools."
_MOST_OF_A_NAME = 64


class Content(msgspec.Struct, frozen=True):
    """What messages have in them; the fields are those of ChatCall, and what the model must be able to take in."""

    attachments: int = 0
    attached_bytes: int = 0
    elsewhere: str | None = None
    inside: frozenset[str] = frozenset()
    vision: bool = False
    audio: bool = False


TEXT_ONLY = Content()


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    """A message of which nothing but `content` may hold more than text."""

    content: msgspec.Raw = msgspec.Raw(b"null")
    role: msgspec.Raw = msgspec.Raw(b"null")
    name: msgspec.Raw = msgspec.Raw(b"null")
    refusal: msgspec.Raw = msgspec.Raw(b"null")
    tool_calls: msgspec.Raw = msgspec.Raw(b"null")
    tool_call_id: msgspec.Raw = msgspec.Raw(b"null")
    function_call: msgspec.Raw = msgspec.Raw(b"null")
    reasoning: msgspec.Raw = msgspec.Raw(b"null")
    reasoning_content: msgspec.Raw = msgspec.Raw(b"null")
    reasoning_details: msgspec.Raw = msgspec.Raw(b"null")
    annotations: msgspec.Raw = msgspec.Raw(b"null")
    audio: None = None


class _TextPart(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["text", "input_text", "output_text"]
    text: str


class _Tool(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    function: msgspec.Raw = msgspec.Raw(b"null")
    custom: msgspec.Raw = msgspec.Raw(b"null")


_MESSAGES = msgspec.json.Decoder(list[_Message])
_TEXTS = msgspec.json.Decoder(list[_TextPart])
_TOOLS = msgspec.json.Decoder(list[_Tool])
_TEXT_TYPES = frozenset({"text", "input_text", "output_text", "refusal", "thinking", "reasoning"})
_TEXT_KEYS = frozenset({"type", "text", "refusal", "thinking", "signature", CACHE_MARK})
_MESSAGE_KEYS = frozenset(_Message.__struct_fields__) - {"audio"} | {CACHE_MARK}
_CALLERS_TOOLS = frozenset({"function", "custom"})
_QUOTE, _NULL = ord('"'), ord("n")


def look_into(messages: bytes) -> Content:
    """What is in `messages`, the JSON of a request's list of them. Raises MalformedJson."""
    try:
        for message in _MESSAGES.decode(messages):
            if memoryview(message.content)[0] not in (_QUOTE, _NULL):
                _TEXTS.decode(message.content)
        return TEXT_ONLY
    except msgspec.MsgspecError:
        pass
    found = _Finding()
    for place, said in enumerate(_decoded(messages)):
        found.message(f"messages[{place}]", said)
    return found.content()


def server_tools(tools: bytes) -> frozenset[str]:
    """The rules that `tools`, the JSON of a request's list of them, asks for: `tools.TYPE`, and `cache_control`.

    Raises MalformedJson.
    """
    try:
        types = {tool.type for tool in _TOOLS.decode(tools)}
        if types <= _CALLERS_TOOLS:
            return frozenset()
    except msgspec.MsgspecError:
        pass
    named = set()
    for tool in _decoded(tools):
        if not isinstance(tool, dict):
            named.add(f"{TOOL}untyped")
            continue
        if _marked(tool):
            named.add(CACHE_MARK)
        # Every spelling of `type` counts: a server that ignores case would take the last one.
        for kind in [value for key, value in tool.items() if key.casefold() == "type"] or [_untyped(tool)]:
            if kind not in _CALLERS_TOOLS:
                named.add(f"{TOOL}{str(kind)[:_MOST_OF_A_NAME].casefold()}")
    return frozenset(named)


def _decoded(json: bytes) -> list[Any]:
    try:
        return msgspec.json.decode(json, type=list)
    except (msgspec.MsgspecError, RecursionError) as bad:
        raise MalformedJson(str(bad)) from None


def _untyped(tool: dict[str, Any]) -> str:
    return "function" if isinstance(tool.get("function"), dict) else "untyped"


class _Finding:
    """What was found so far."""

    def __init__(self) -> None:
        self._attachments = 0
        self._bytes = 0
        self._elsewhere: str | None = None
        self._inside: set[str] = set()
        self._kinds: set[str] = set()

    def content(self) -> Content:
        """All of it."""
        return Content(
            attachments=self._attachments,
            attached_bytes=self._bytes,
            elsewhere=self._elsewhere,
            inside=frozenset(self._inside),
            vision="image_url" in self._kinds,
            audio="input_audio" in self._kinds,
        )

    def message(self, place: str, message: Any) -> None:
        """Look at one message."""
        if not isinstance(message, dict):
            return
        self._mark(message)
        for key, value in message.items():
            if key == "content":
                for number, part in enumerate(value if isinstance(value, list) else [value]):
                    self._part(f"{place}.content[{number}]", part)
            elif key not in _MESSAGE_KEYS and isinstance(value, dict | list):
                self._refers(place if len(key) > _MOST_OF_A_NAME else f"{place}.{key}")

    def _part(self, place: str, part: Any) -> None:
        if not isinstance(part, dict):
            return
        self._mark(part)
        keys = part.keys() - {CACHE_MARK}
        kind = part.get("type")
        self._kinds |= {"image_url", "input_audio"} & {*keys, str(kind)}
        if keys <= _TEXT_KEYS and all(isinstance(part[key], str) for key in keys) and kind in _TEXT_TYPES:
            return
        if keys == {"type", "image_url"}:
            self._attach(f"{place}.image_url", part["image_url"], "url", "data:image/")
        elif keys == {"type", "input_audio"}:
            self._attach(f"{place}.input_audio", part["input_audio"], "data", "")
        else:
            # How much text a file unfolds to, its bytes do not say.
            file = part.get("file")
            data = file.get("file_data") if isinstance(file, dict) else None
            self._bytes += len(data) if isinstance(data, str) else 0
            self._refers(place)

    def _attach(self, place: str, value: Any, name: str, start: str) -> None:
        """Count what is all there: `value`, or its member `name`, holds the bytes and begins with `start`."""
        known = isinstance(value, dict) and value.keys() <= {name, "detail", "format"}
        data = value[name] if known and name in value else value
        if isinstance(data, str) and data[: len(start)].casefold() == start and "://" not in data[:_MOST_OF_A_NAME]:
            self._attachments += 1
            self._bytes += len(data)
        else:
            self._refers(place)

    def _refers(self, place: str) -> None:
        if self._elsewhere is None:
            self._elsewhere = place

    def _mark(self, value: dict[str, Any]) -> None:
        if _marked(value):
            self._inside.add(CACHE_MARK)


def _marked(value: dict[str, Any]) -> bool:
    return any(key.casefold() == CACHE_MARK and mark is not None for key, mark in value.items())
