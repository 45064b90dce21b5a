"""Owns what differs between servers: how each tells who it is, what its models can do, and how busy it is.

Everything here reads answers of others, so nothing is taken for granted: what has another shape is as if it were not
said. Sources: mesh-llm's `/v1/models`; Ollama's `/api/show` and `/api/ps`; llama.cpp's `/props` and `/slots`; vLLM's
`max_model_len` in `/v1/models` and its `/metrics`.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from arbstr_core.api import Endpoint, Feature

_MOST_TOKENS = 100_000_000
_GAUGE = re.compile(r"^vllm:num_requests_(running|waiting)(?:\{[^}\n]*\})? +(\S+)", re.MULTILINE)
_EMBEDS = re.compile(r"(?i)embed|(?<![a-z0-9])(?:bge|gte|e5)(?![a-z0-9])")


class Kind(enum.StrEnum):
    """What runs at a node."""

    MESH_LLM = "mesh-llm"
    OLLAMA = "ollama"
    LLAMA_CPP = "llama.cpp"
    VLLM = "vllm"
    OTHER = "other"


_OWNERS = {"mesh-llm": Kind.MESH_LLM, "library": Kind.OLLAMA, "llamacpp": Kind.LLAMA_CPP, "vllm": Kind.VLLM}


class Load(msgspec.Struct, frozen=True):
    """How busy a node says that it is: calls that it serves, calls that wait there, and the most that it serves at one
    time; None for what it does not say."""

    running: int | None = None
    waiting: int | None = None
    places: int | None = None


class Facts(msgspec.Struct, frozen=True):
    """What a node says of one model; None for what it does not say."""

    context: int | None = None
    features: frozenset[Feature] | None = None
    endpoints: frozenset[Endpoint] = frozenset({Endpoint.CHAT})


def kind_of(rows: Iterable[Mapping[str, Any]]) -> Kind:
    """What lists its models so: each of them names itself as their owner."""
    for row in rows:
        owner = row.get("owned_by")
        if isinstance(owner, str) and owner in _OWNERS:
            return _OWNERS[owner]
    return Kind.OTHER


def names(kind: Kind, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The models of a list, each once. What mesh-llm calls `auto` is a choice between them, and arbstr's own word."""
    found = dict.fromkeys(row["id"] for row in rows if row["id"].strip())
    return [name for name in found if not (kind is Kind.MESH_LLM and name == "auto")]


def listed_facts(kind: Kind, row: Mapping[str, Any]) -> Facts:
    """What a row of `/v1/models` says beside the name."""
    if _EMBEDS.search(row["id"]):
        return Facts(endpoints=frozenset({Endpoint.EMBEDDINGS}))
    if kind is Kind.VLLM:
        return Facts(context=tokens(row.get("max_model_len")))
    if kind is Kind.MESH_LLM and isinstance(said := row.get("capabilities"), list):
        # Tools and schemas are the model's own affair there, and not told of.
        seen = {Feature.VISION} if "vision" in said else set()
        return Facts(features=frozenset({Feature.TOOLS, Feature.JSON} | seen))
    return Facts()


def ollama_facts(shown: Any, loaded: int | None) -> Facts:
    """What `/api/show` says. Ollama silently cuts what is longer than the window that it loaded a model with, so only
    that one is believed, and none where the model is not loaded."""
    said = shown.get("capabilities") if isinstance(shown, dict) else None
    if not isinstance(said, list):
        return Facts(context=loaded)
    if "embedding" in said and "completion" not in said:
        return Facts(context=loaded, endpoints=frozenset({Endpoint.EMBEDDINGS}))
    able = {"tools": Feature.TOOLS, "vision": Feature.VISION}
    # Ollama keeps any model to a schema.
    found = {feature for name, feature in able.items() if name in said} | {Feature.JSON}
    return Facts(context=loaded, features=frozenset(found))


def ollama_windows(ps: Any) -> dict[str, int]:
    """The windows of the models that `/api/ps` lists as loaded, in tokens."""
    rows = ps.get("models") if isinstance(ps, dict) else None
    windows: dict[str, int] = {}
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and isinstance(row.get("name"), str):
            window = tokens(row.get("context_length"))
            if window is not None:
                windows[row["name"]] = window
    return windows


def llama_cpp_facts(props: Any) -> tuple[Facts, int | None]:
    """(what `/props` says of its one model, how many calls it serves at one time)."""
    if not isinstance(props, dict):
        return Facts(), None
    settings = props.get("default_generation_settings")
    window = tokens(settings.get("n_ctx")) if isinstance(settings, dict) else None
    slots = tokens(props.get("total_slots"))
    able = props.get("modalities")
    features = {Feature.TOOLS, Feature.JSON}
    for name, feature in (("vision", Feature.VISION), ("audio", Feature.AUDIO)):
        if isinstance(able, dict) and able.get(name) is True:
            features.add(feature)
    return Facts(context=window, features=frozenset(features)), slots


def llama_cpp_load(slots: Any, places: int | None) -> Load:
    """How many of its slots `/slots` says to be at work."""
    rows = slots if isinstance(slots, list) else []
    said = [
        row["is_processing"] for row in rows if isinstance(row, dict) and isinstance(row.get("is_processing"), bool)
    ]
    return Load(running=sum(said) if said else None, places=places or len(said) or None)


def vllm_load(metrics: str) -> Load:
    """The sums of its two gauges, over all engines."""
    sums: dict[str, int] = {}
    for name, text in _GAUGE.findall(metrics):
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value) and 0 <= value < 1e9:
            sums[name] = sums.get(name, 0) + int(value)
    return Load(running=sums.get("running"), waiting=sums.get("waiting"))


def tokens(value: Any) -> int | None:
    """A size that is one."""
    return value if type(value) is int and 0 < value <= _MOST_TOKENS else None
