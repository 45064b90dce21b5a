"""The labelled prompts as calls.

The weights were set by those of `tuning`. Those of `held_out` were not used for that, but were known when the lists of
words were made; those of `unseen` came after everything else.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import msgspec

from arbstr_core.api import ChatCall, Tier
from arbstr_core.testing import a_call

FIRST, SECOND, UNSEEN = (Path(__file__).with_name(f"prompts{which}.jsonl") for which in ("", "_second", "_unseen"))

_DOCUMENTS = json.loads(Path(__file__).with_name("documents.json").read_text())
"""what is repeated to make a document of any length"""


def rows(file: Path) -> list[dict[str, Any]]:
    """Those of a file, as they stand there."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def labelled(file: Path) -> list[tuple[Tier, ChatCall]]:
    """Those of a file: the tier that a person would want, and the call."""
    return [(Tier(row["label"]), _call(row)) for row in rows(file)]


def tuning() -> list[tuple[Tier, ChatCall]]:
    """Every other one of the first file, and the second file."""
    return labelled(FIRST)[::2] + labelled(SECOND)


def held_out() -> list[tuple[Tier, ChatCall]]:
    """The others of the first file."""
    return labelled(FIRST)[1::2]


def unseen() -> list[tuple[Tier, ChatCall]]:
    """Those that were written when words and weights stood, and that changed nothing."""
    return labelled(UNSEEN)


def _call(row: dict[str, Any]) -> ChatCall:
    messages = row.get("messages") or [{"role": "user", "content": row["text"]}]
    if "document" in row:
        kind, size = row["document"]
        last = messages[-1]
        text = "".join(itertools.islice(itertools.cycle(_DOCUMENTS[kind]), size))
        messages = [*messages[:-1], {**last, "content": f"{last['content']}\n\n{text}"}]
    fields: dict[str, Any] = {}
    if "tools" in row:
        fields["tools"] = [{"type": "function", "function": {"name": name}} for name in row["tools"]]
    if "schema" in row:
        properties = {name: {"type": "string"} for name in row["schema"]}
        schema = {"name": "answer", "schema": {"type": "object", "properties": properties}}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    return msgspec.structs.replace(a_call(messages=messages, fields=fields, model="auto"), model="auto")
