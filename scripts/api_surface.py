"""Prints the public surface of arbstr_core.api: every name with its fields, members and signatures.

`make surface` keeps it in tests/api_surface.txt; a test compares. What is no longer there breaks plugins.
"""

from __future__ import annotations

import enum
import inspect
import typing
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from arbstr_core import api


def surface() -> str:
    """The whole surface, one name a paragraph."""
    return "\n\n".join("\n".join(_lines(name, getattr(api, name))) for name in api.__all__) + "\n"


def _lines(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, typing.NewType):
        yield f"{name} = NewType({value.__supertype__.__name__})"
    elif isinstance(value, type):
        yield f"class {name}{_bases(value)}"
        yield from (f"    {line}" for line in _members(value))
    elif inspect.isfunction(value):
        yield f"def {name}{_signature(value)}"
    elif isinstance(value, frozenset):
        yield f"{name} = {{{', '.join(sorted(map(str, value)))}}}"
    elif isinstance(value, tuple):
        yield f"{name} = {value!r}"
    else:
        yield f"{name}: {_type_name(value)}"


def _type_name(value: Any) -> str:
    """A union by its parts, anything else by its class."""
    parts = typing.get_args(value)
    return " | ".join(part.__name__ for part in parts) if parts else type(value).__name__


def _bases(cls: type) -> str:
    names = [base.__name__ for base in cls.__bases__ if base is not object]
    return f"({', '.join(names)})" if names else ""


def _members(cls: type) -> Iterator[str]:
    if issubclass(cls, enum.Enum):
        yield from (f"{member.name} = {member.value!r}" for member in cls)
    if issubclass(cls, msgspec.Struct):
        yield from (_field(field, cls) for field in msgspec.structs.fields(cls))
    else:
        yield from (f"{name}: {note}" for name, note in inspect.get_annotations(cls).items() if _public(name))
    for name, member in sorted(vars(cls).items()):
        if _public(name) or (name == "__init__" and _written(cls)):
            yield from _member(name, member)


def _written(cls: type) -> bool:
    """Whether `__init__` is the author's own."""
    return not (issubclass(cls, msgspec.Struct | enum.Enum) or Protocol in cls.__bases__)


def _public(name: str) -> bool:
    return not name.startswith("_")


def _field(field: msgspec.structs.FieldInfo, cls: type) -> str:
    note = next(notes[field.name] for base in cls.__mro__ if field.name in (notes := inspect.get_annotations(base)))
    if field.default is not msgspec.NODEFAULT:
        shown = sorted(map(str, field.default)) if isinstance(field.default, frozenset) else field.default
        return f"{field.name}: {note} = {shown!r}"
    return f"{field.name}: {note}" + ("" if field.default_factory is msgspec.NODEFAULT else " = ...")


def _member(name: str, member: Any) -> Iterator[str]:
    if isinstance(member, classmethod | staticmethod):
        yield f"{type(member).__name__} def {name}{_signature(member.__func__)}"
    elif isinstance(member, property) and member.fget:
        yield f"property {name} -> {inspect.signature(member.fget).return_annotation}"
    elif inspect.isfunction(member):
        mark = "abstract " if getattr(member, "__isabstractmethod__", False) else ""
        kind = "async " if inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member) else ""
        yield f"{mark}{kind}def {name}{_signature(member)}"


def _signature(function: Any) -> str:
    """As it is written: annotations without quotes."""
    return str(inspect.signature(function)).replace("'", "")


if __name__ == "__main__":
    print(surface(), end="")
