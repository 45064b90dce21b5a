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
MOST_OF_A_NAME = 64


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
    found = Finding()
    for place, said in enumerate(decoded(messages)):
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
    for tool in decoded(tools):
        if not isinstance(tool, dict):
            named.add(f"{TOOL}untyped")
            continue
        if marked(tool):
            named.add(CACHE_MARK)
        # Every spelling of `type` counts: a server that ignores case would take the last one.
        for kind in [value for key, value in tool.items() if key.casefold() == "type"] or [_untyped(tool)]:
            if kind not in _CALLERS_TOOLS:
                named.add(f"{TOOL}{str(kind)[:MOST_OF_A_NAME].casefold()}")
    return frozenset(named)


def decoded(json: bytes) -> list[Any]:
    """A list as it is. Raises MalformedJson."""
    try:
        return msgspec.json.decode(json, type=list)
    except (msgspec.MsgspecError, RecursionError) as bad:
        raise MalformedJson(str(bad)) from None


def _untyped(tool: dict[str, Any]) -> str:
    return "function" if isinstance(tool.get("function"), dict) else "untyped"


class Finding:
    """What was found so far."""

    def __init__(self) -> None:
        self._attachments = 0
        self._bytes = 0
        self._elsewhere: str | None = None
        self._inside: set[str] = set()
        self.kinds: set[str] = set()
        """`image_url` and `input_audio`, where the model has to take in such"""

    def content(self) -> Content:
        """All of it."""
        return Content(
            attachments=self._attachments,
            attached_bytes=self._bytes,
            elsewhere=self._elsewhere,
            inside=frozenset(self._inside),
            vision="image_url" in self.kinds,
            audio="input_audio" in self.kinds,
        )

    def message(self, place: str, message: Any) -> None:
        """Look at one message of a chat."""
        if not isinstance(message, dict):
            return
        self.mark(message)
        for key, value in message.items():
            if key == "content":
                for number, part in enumerate(value if isinstance(value, list) else [value]):
                    self.part(f"{place}.content[{number}]", part)
            elif key not in _MESSAGE_KEYS and isinstance(value, dict | list):
                self.refers(place if len(key) > MOST_OF_A_NAME else f"{place}.{key}")

    def part(self, place: str, part: Any) -> None:
        """Look at one part of a chat's message."""
        if not isinstance(part, dict):
            return
        self.mark(part)
        keys = part.keys() - {CACHE_MARK}
        kind = part.get("type")
        self.kinds |= {"image_url", "input_audio"} & {*keys, str(kind)}
        if keys <= _TEXT_KEYS and all(isinstance(part[key], str) for key in keys) and kind in _TEXT_TYPES:
            return
        if keys == {"type", "image_url"}:
            self.attach(f"{place}.image_url", part["image_url"], "url", "data:image/")
        elif keys == {"type", "input_audio"}:
            self.attach(f"{place}.input_audio", part["input_audio"], "data", "")
        else:
            # How much text a file unfolds to, its bytes do not say.
            file = part.get("file")
            self.file(place, file.get("file_data") if isinstance(file, dict) else None)

    def attach(self, place: str, value: Any, name: str, start: str) -> None:
        """Count what is all there: `value`, or its member `name`, holds the bytes and begins with `start`."""
        known = isinstance(value, dict) and value.keys() <= {name, "detail", "format", "type", "media_type"}
        data = value[name] if known and name in value else value
        if isinstance(data, str) and data[: len(start)].casefold() == start and "://" not in data[:MOST_OF_A_NAME]:
            self._attachments += 1
            self._bytes += len(data)
        else:
            self.refers(place)

    def file(self, place: str, data: Any) -> None:
        """Note a file: its bytes, where they are here, are no text, and how much is in it nobody knows."""
        self._bytes += len(data) if isinstance(data, str) else 0
        self.refers(place)

    def refers(self, place: str) -> None:
        """Note a place that refers to what is not here."""
        if self._elsewhere is None:
            self._elsewhere = place

    def mark(self, value: dict[str, Any]) -> None:
        """Note that the provider is to keep a part of the input."""
        if marked(value):
            self._inside.add(CACHE_MARK)


def marked(value: dict[str, Any]) -> bool:
    """True where a part says that the provider is to keep it."""
    return any(key.casefold() == CACHE_MARK and mark is not None for key, mark in value.items())
