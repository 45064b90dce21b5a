"""TOML tables into structs, key by key, so that everything wrong is reported at once and no secret is repeated.

msgspec decodes the leaves; it reports only the first error of a struct and loses the keys of dictionaries, hence this.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from arbstr_core.config._words import (
    did_you_mean,
    in_words,
    join,
    kind_of,
    problem,
    quotable,
    scrub,
    sensitive,
    type_words,
)
from arbstr_core.types import Problem, SecretRef

S = TypeVar("S", bound=msgspec.Struct)


class _Wrong:
    """Stands for a value that could not be read; its problems are written down already."""


_WRONG: Final = _Wrong()


def decode(path: str, table: Mapping[str, Any], schema: type[S], problems: list[Problem]) -> S | None:
    """Read `table`, found at `path`, as a `schema`; None where anything is wrong, with every reason in `problems`.

    A type with a classmethod `from_config(value)` reads its own values and raises ValueError where it cannot.
    """
    before = len(problems)
    values = _values(path, table, schema, problems)
    if len(problems) > before:
        return None
    try:
        return schema(**values)
    except ValueError as bad:  # a check across keys, in the schema's __post_init__
        problems.append(problem(path, None, scrub(str(bad), table, path)))
        return None


def salvage(path: str, table: Mapping[str, Any], schema: type[S], problems: list[Problem]) -> S | None:
    """As decode, but what is wrong falls back to its default, so that checks across tables see the rest.

    None only where a required key has no value. For the kernel's own tables, whose structs check nothing themselves.
    """
    values = _values(path, table, schema, problems)
    for field in msgspec.structs.fields(schema):
        if field.name not in values and isinstance(inner := table.get(field.encode_name), Mapping):
            values |= _salvaged(join(path, field.encode_name), inner, field)
    required = {field.name for field in msgspec.structs.fields(schema) if field.required}
    return schema(**values) if required <= values.keys() else None


def _salvaged(path: str, table: Mapping[str, Any], field: Any) -> dict[str, Any]:
    """What is well of a table in a table, by its name; its problems are told."""
    schema = field.type
    if not (isinstance(schema, type) and issubclass(schema, msgspec.Struct)):
        return {}
    found = salvage(path, table, schema, [])
    return {} if found is None else {field.name: found}


def _values(path: str, table: Mapping[str, Any], schema: type[S], problems: list[Problem]) -> dict[str, Any]:
    """What can be read of `table`, by the struct's own names; the rest is in `problems`."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(schema)}
    problems += [_unknown(path, key, table[key], fields) for key in table if key not in fields]
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key in table:
            values[field.name] = _value(path, key, table[key], field.type, problems)
        elif field.required:
            problems.append(problem(path, key, f"is missing; add it: it wants {type_words(field.type)}"))
    return {name: value for name, value in values.items() if value is not _WRONG}


def _unknown(path: str, key: str, value: Any, known: Mapping[str, Any]) -> Problem:
    what = "unknown table" if isinstance(value, Mapping) else "unknown key"
    return problem(path, key, f"{what}; {did_you_mean(key, known)}")


def _value(path: str, key: str, value: Any, wanted: Any, problems: list[Problem]) -> Any:
    """`value` as `wanted`, or _WRONG; `key` is in the table `path`."""
    bare = _bare(wanted)
    origin = get_origin(bare)
    if bare is Any:
        return value
    if origin in (Union, types.UnionType):
        return _union(path, key, value, get_args(bare), problems)
    if hasattr(bare, "from_config"):
        return _from_config(path, key, value, bare, problems)
    if isinstance(bare, type) and origin is None and issubclass(bare, msgspec.Struct):
        return _struct(path, key, value, bare, problems)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(path, key, value, get_args(bare)[1], problems)
    item = _item_type(origin, get_args(bare))
    if item is not None:
        return _items(path, key, value, wanted, item, problems)
    return _leaf(path, key, value, wanted, problems)


def _bare(wanted: Any) -> Any:
    """The type without its constraints (Annotated) and new names (NewType)."""
    if get_origin(wanted) is Annotated:
        return _bare(get_args(wanted)[0])
    return _bare(wanted.__supertype__) if hasattr(wanted, "__supertype__") else wanted


def _item_type(origin: Any, parts: tuple[Any, ...]) -> Any:
    """What a list holds, or None where `origin` is no list of one type."""
    if origin is tuple:
        return parts[0] if parts[1:] == (Ellipsis,) else None
    sequence = isinstance(origin, type) and issubclass(origin, (Sequence, set, frozenset))
    return parts[0] if sequence else None


def _union(path: str, key: str, value: Any, parts: Sequence[Any], problems: list[Problem]) -> Any:
    """The first of `parts` that fits. Where none does and only one could by its shape, that one's problems."""
    choices = [part for part in parts if part is not type(None)]
    tries = []
    for choice in choices:
        found: list[Problem] = []
        result = _value(path, key, value, choice, found)
        if not found:
            return result
        tries.append(found)
    likely = [found for choice, found in zip(choices, tries, strict=True) if _same_shape(value, choice)]
    if len(tries) == 1 or len(likely) == 1:
        problems += (likely or tries)[0]
    else:
        words = " or ".join(type_words(choice) for choice in choices)
        problems.append(problem(path, key, f"expected {words}, got {kind_of(value)}"))
    return _WRONG


def _same_shape(value: Any, wanted: Any) -> bool:
    """True where both are tables, or both are lists."""
    words = type_words(wanted)
    return words == "a table" if isinstance(value, Mapping) else words.startswith("a list") and isinstance(value, list)


def _from_config(path: str, key: str, value: Any, wanted: Any, problems: list[Problem]) -> Any:
    place = join(path, key)
    try:
        return wanted.from_config(value)
    except ValueError as bad:
        if wanted is SecretRef or quotable(place, value):
            what = str(bad)
        elif isinstance(value, str) and not sensitive(place):
            what = str(bad).replace(repr(value), "the value").replace(value, "***")
        else:
            what = f"{kind_of(value)} that is no {wanted.__name__}; see the description of this key"
        problems.append(problem(path, key, what))
        return _WRONG


def _struct(path: str, key: str, value: Any, wanted: type[S], problems: list[Problem]) -> S | _Wrong:
    if not isinstance(value, Mapping):
        return _ill_typed(path, key, value, "a table", problems)
    return decode(join(path, key), value, wanted, problems) or _WRONG


def _mapping(path: str, key: str, value: Any, wanted: Any, problems: list[Problem]) -> Any:
    if not isinstance(value, Mapping):
        return _ill_typed(path, key, value, "a table", problems)
    before = len(problems)
    read = {name: _value(join(path, key), name, item, wanted, problems) for name, item in value.items()}
    return read if len(problems) == before else _WRONG


def _items(path: str, key: str, value: Any, wanted: Any, item: Any, problems: list[Problem]) -> Any:
    if not isinstance(value, (list, tuple)):
        return _ill_typed(path, key, value, type_words(wanted), problems)
    before = len(problems)
    read = [_value(path, f"{key}[{index}]", entry, item, problems) for index, entry in enumerate(value)]
    if len(problems) > before:
        return _WRONG
    origin = get_origin(_bare(wanted))
    return read if origin is list else origin(read) if origin in (tuple, set, frozenset) else tuple(read)


def _leaf(path: str, key: str, value: Any, wanted: Any, problems: list[Problem]) -> Any:
    bare = _bare(wanted)
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as bad:
        if get_origin(bare) is Literal or (isinstance(bare, type) and issubclass(bare, Enum)):
            shown = f"{value!r} is not" if quotable(join(path, key), value) else "is not"
            what = f"{shown} {type_words(bare)}"
        else:
            what = in_words(str(bad))
        problems.append(problem(path, key, what))
        return _WRONG


def _ill_typed(path: str, key: str, value: Any, wanted: str, problems: list[Problem]) -> _Wrong:
    problems.append(problem(path, key, f"expected {wanted}, got {kind_of(value)}"))
    return _WRONG
