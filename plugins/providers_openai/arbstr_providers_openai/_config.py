"""Owns the shape of `[plugins.providers_openai]`, and what its types alone cannot say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from arbstr_core.api import (
    ALL_FEATURES,
    Endpoint,
    Feature,
    FieldRule,
    KeyHeader,
    LimitField,
    Passthrough,
    Ppm,
    Rate,
    SecretRef,
    Tier,
    UsdPrice,
    price_of,
)

_INSTANCE_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}\Z")


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model of an instance; what is left out is the instance's."""

    upstream: str | None = None
    endpoints: frozenset[Endpoint] | None = None
    free: bool = False
    input: Rate | None = None
    cached_input: Rate | None = None
    output: Rate | None = None
    request: Rate | None = None
    tier: Tier | None = None
    features: frozenset[Feature] | None = None
    context: int | None = None
    max_output_tokens: int | None = None
    input_factor: float | None = None
    input_overhead: int | None = None
    attachment_tokens: int | None = None
    limit_field: LimitField | None = None
    max_choices: int | None = None
    fields: dict[str, FieldRule] = {}
    passthrough: Passthrough | None = None
    hidden_reasoning: bool | None = None
    cancel_free: bool | None = None
    canonical: str | None = None
    list_prices: bool | None = None

    def __post_init__(self) -> None:
        _check_sizes(self)


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint: where it is, and the defaults of its models."""

    url: str
    key: SecretRef | None = None
    discover: bool = False
    models: dict[str, ModelRow] = {}
    key_header: KeyHeader | None = None
    endpoints: frozenset[Endpoint] | None = None
    free: bool = False
    input: Rate | None = None
    cached_input: Rate | None = None
    output: Rate | None = None
    request: Rate | None = None
    tier: Tier = Tier.STANDARD
    features: frozenset[Feature] = ALL_FEATURES
    context: int | None = None
    max_output_tokens: int | None = None
    input_factor: float = 1.0
    input_overhead: int = 256
    attachment_tokens: int = 2048
    limit_field: LimitField | None = None
    max_choices: int | None = None
    fields: dict[str, FieldRule] = {}
    passthrough: Passthrough = Passthrough.KNOWN
    hidden_reasoning: bool = False
    cancel_free: bool = False
    max_concurrent: int | None = None
    list_prices: bool = False
    rail_fee: Ppm = Ppm(0)
    seller: str | None = None

    def __post_init__(self) -> None:
        _check_url(self.url)
        _check_sizes(self)
        _check_seller(self.seller)
        problems = list(_price_problems(self))
        if problems:
            raise ValueError("; ".join(problems))


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The plugin's table: instances by name."""

    instances: dict[str, Instance] = {}

    def __post_init__(self) -> None:
        for name in self.instances:
            if not _INSTANCE_NAME.match(name):
                raise ValueError(f"instances: {name[:60]!r} is no name; use letters, digits, - and _")


def _check_seller(name: str | None) -> None:
    if name is not None and not re.fullmatch(r"(?!\s)[^/]{1,100}(?<!\s)", name):
        raise ValueError(f"seller is {name[:60]!r}; it is a name of 1 to 100 characters, without / or blanks around it")


def _check_url(url: str) -> None:
    """The message never repeats the url: one with a password in it must not be printed."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError('url is not an http or https address; write one such as "https://api.example.com/v1"')
    if parts.username is not None or parts.password is not None:
        raise ValueError('url has a user or password in it; take it out and give the secret as key = "env:NAME"')
    if parts.query or parts.fragment:
        raise ValueError("url has a query or fragment; leave only what stands before /chat/completions")


def _check_sizes(row: ModelRow | Instance) -> None:
    for key, least in (("context", 1), ("max_output_tokens", 1), ("input_overhead", 0), ("attachment_tokens", 0)):
        size = getattr(row, key)
        if size is not None and size < least:
            raise ValueError(f"{key} is {size}; it is a number of tokens, at least {least}")
    if row.max_choices is not None and row.max_choices < 1:
        raise ValueError(f"max_choices is {row.max_choices}; it is the most `n` may be, at least 1")
    if isinstance(row, Instance) and row.max_concurrent is not None and row.max_concurrent < 1:
        raise ValueError(f"max_concurrent is {row.max_concurrent}; it is calls at one time, at least 1")
    if row.endpoints is not None and not row.endpoints:
        raise ValueError(f"endpoints is empty; name what is spoken, of {', '.join(sorted(Endpoint))}")
    for name in row.fields:
        if name != name.casefold():
            raise ValueError(f"fields has {name[:60]!r}; write it in lower case, it counts for every spelling")
    if row.input_factor is not None and not 0 < row.input_factor <= 100:
        raise ValueError(f"input_factor is {row.input_factor}; it is tokens a byte of body, above 0 and at most 100")


def _price_problems(instance: Instance) -> Iterator[str]:
    yield from _problems_of("the default price", None, instance)
    for name, row in instance.models.items():
        if not name.strip():
            yield "models has a row with an empty name; name the model"
        yield from _problems_of(f"model {name!r}", row, instance)


def _problems_of(what: str, row: ModelRow | None, instance: Instance) -> Iterator[str]:
    try:
        price = price_of(row, instance)
    except ValueError as bad:
        yield f"{what}: {bad}"
        return
    rules = instance.fields if row is None else {**instance.fields, **row.fields}
    for name, rule in rules.items():
        if price is not None and rule.most is not None and rule.most.usd and not isinstance(price, UsdPrice):
            yield f"{what}: fields.{name} is in usd and its price is not; write both in one unit"
