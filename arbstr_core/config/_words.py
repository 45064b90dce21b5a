"""How problems with the configuration are worded: places, types, and what may be repeated of a value."""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from arbstr_core.types import Problem

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}(\[\d+\])*\Z")  # an index (`rules[0]`) stays as it is
_SENSITIVE = re.compile(r"key|token|secret|passw|passphrase|macaroon|credential|seed|mnemonic|auth", re.IGNORECASE)
_MSGSPEC_TYPE = re.compile(r"`([a-z| ]+)`")
_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "str": "text",
    "object": "a table",
    "array": "a list",
    "null": "nothing",
    "date": "a date",
    "time": "a time",
    "datetime": "a date and time",
}
_COUNTED = ("a table", "a number", "a whole number")
QUOTABLE = 24
"""Text longer than this is never repeated: it may be a key pasted into the wrong place."""


def join(path: str, key: str) -> str:
    """`key` below `path`, quoted where TOML would want it quoted."""
    name = key if _BARE_KEY.match(key) else json.dumps(key if len(key) <= 60 else key[:57] + "...")
    return f"{path}.{name}" if path else name


def problem(path: str, key: str | None, what: str) -> Problem:
    """A sentence about `key` in the table `path`, or about the table itself."""
    place = f"[{path}] " if path else ""
    return Problem(f"{place}{join('', key)}: {what}" if key is not None else f"{place.rstrip()}: {what}")


def sensitive(path: str) -> bool:
    """True where a value at `path` may be a secret, going by its names; a plugin's own says nothing of its values."""
    return _SENSITIVE.search(re.sub(r"\Aplugins\.\w+", "", path)) is not None


def quotable(path: str, value: Any) -> bool:
    """True where a problem may repeat `value`."""
    if isinstance(value, str):
        return len(value) <= QUOTABLE and not sensitive(path)
    number = isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**QUOTABLE)
    return number and not sensitive(path)


def scrub(message: str, table: Mapping[str, Any], path: str) -> str:
    """`message` without the texts in `table` that may be secrets."""
    for key, value in table.items():
        if isinstance(value, str) and value and not quotable(join(path, key), value):
            message = message.replace(repr(value), "the value").replace(value, "***")
        elif isinstance(value, Mapping):
            message = scrub(message, value, join(path, key))
    return message


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The remedy for an unknown word: its nearest neighbour, or all there are."""
    names = sorted(known)
    near = difflib.get_close_matches(word[:60], names, n=1)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"known: {', '.join(names)}" if names else "there are none here, so take it out"


def kind_of(value: Any) -> str:
    """What a TOML value is, in a word or two."""
    for python, word in ((bool, "true or false"), (int, "a whole number"), (float, "a number"), (str, "text")):
        if isinstance(value, python):
            return word
    if isinstance(value, Mapping):
        return "a table"
    return "a list" if isinstance(value, (list, tuple)) else "a date or time"


def type_words(wanted: Any) -> str:
    """What a type wants, in words: `text`, `a list of text`, `one of local, standard`."""
    origin, parts = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return type_words(parts[0])
    if origin in (Union, types.UnionType):
        return " or ".join(type_words(part) for part in parts if part is not type(None))
    if origin is Literal:
        return f"one of {', '.join(str(part) for part in parts)}"
    if origin is not None:
        return _container_words(origin, parts)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return f"one of {', '.join(str(member.value) for member in wanted)}"
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct) and not hasattr(wanted, "from_config"):
        return "a table"
    name = str(getattr(wanted, "__name__", wanted)).lower()
    return {"dict": "a table", "list": "a list", "tuple": "a list"}.get(name) or _NAMES.get(name, f"a value ({name})")


def _container_words(origin: Any, parts: tuple[Any, ...]) -> str:
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a table"
    items = [part for part in parts if part is not Ellipsis]
    if len(set(items)) != 1:
        return "a list"
    word = type_words(items[0])
    return f"a list of {word.removeprefix('a ') + 's' if word in _COUNTED else word}"


def in_words(message: str) -> str:
    """msgspec's sentence about a value, in the words of this room."""
    words = _MSGSPEC_TYPE.sub(lambda found: " or ".join(_NAMES.get(n, n) for n in found[1].split(" | ")), message)
    return words[:1].lower() + words[1:]
