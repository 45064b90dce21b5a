"""Owns the shape of `[plugins.providers_mock]`: models, what they say, and how their calls end."""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from arbstr_core.api import Endpoint, FieldRule, Free, MsatPrice, Passthrough, Price, Rate, Tier, UsdPrice

OUTCOMES = (
    "ok",
    "connect_fail",
    "timeout",
    "cut",
    "cut_before",
    "error_event",
    "no_usage",
    "usage_every_chunk",
)
_STATUS = re.compile(r"status:([1-5]\d\d)\Z")
REPLY = "This is a scripted reply from arbstr."


class MockModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model; `reply`, `latency_ms` and `script` are the instance's where they are left out."""

    name: str
    upstream: str = ""
    endpoints: frozenset[Endpoint] = frozenset(Endpoint)
    tier: Tier = Tier.STANDARD
    free: bool = False
    input: Rate | None = None
    cached_input: Rate | None = None
    output: Rate | None = None
    request: Rate | None = None
    context: int | None = None
    max_output_tokens: int | None = None
    fields: dict[str, FieldRule] = {}
    passthrough: Passthrough = Passthrough.KNOWN
    reply: str | None = None
    latency_ms: int | None = None
    script: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name is empty; name the model")
        _check(self.latency_ms or 0, self.script or ())
        self.price()

    def price(self) -> Price:
        """What the model costs; ValueError where it has none, or a mixed one."""
        rates = [rate for rate in (self.input, self.cached_input, self.output, self.request) if rate is not None]
        if self.free and not rates:
            return Free()
        if self.free or self.input is None or self.output is None:
            raise ValueError("set input and output, or free = true, and not both")
        if len({rate.usd for rate in rates}) > 1:
            raise ValueError("rates in usd and in sat; write all rates of a model in one unit")
        cached, request = self.cached_input or self.input, self.request or Rate(Decimal(0), usd=self.input.usd)
        values = (self.input.value, cached.value, self.output.value, request.value)
        return _usd(*values) if self.input.usd else _msat(*map(int, values))


class Mock(msgspec.Struct, frozen=True, kw_only=True):
    """One provider: its models, and the defaults of what they do."""

    models: tuple[MockModel, ...] = ()
    reply: str = REPLY
    latency_ms: int = 0
    chunk_ms: int = 0
    script: tuple[str, ...] = ()
    cancel_free: bool = False
    max_concurrent: int | None = None

    def __post_init__(self) -> None:
        _check(self.latency_ms, self.script)
        if self.chunk_ms < 0:
            raise ValueError(f"chunk_ms is {self.chunk_ms}; it is milliseconds, at least 0")
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise ValueError(f"max_concurrent is {self.max_concurrent}; it is calls at one time, at least 1")
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise ValueError("two models have one name; take one out")


class Config(Mock, frozen=True, kw_only=True):
    """The plugin's table: one provider, and more of them as instances."""

    instances: dict[str, Mock] = {}


def status_of(outcome: str) -> int | None:
    """The status in `status:N`, None for another outcome."""
    found = _STATUS.match(outcome)
    return int(found[1]) if found else None


def _check(latency_ms: int, script: tuple[str, ...]) -> None:
    if latency_ms < 0:
        raise ValueError(f"latency_ms is {latency_ms}; it is milliseconds, at least 0")
    for outcome in script:
        if outcome not in OUTCOMES and status_of(outcome) is None:
            raise ValueError(
                f"script has {outcome[:40]!r}; known: {', '.join(OUTCOMES)}, and status:N such as status:500"
            )


def _msat(given: int, cached: int, output: int, request: int) -> MsatPrice:
    return MsatPrice(input=given, cached_input=cached, output=output, request=request)


def _usd(given: Decimal, cached: Decimal, output: Decimal, request: Decimal) -> UsdPrice:
    return UsdPrice(input=given, cached_input=cached, output=output, request=request)
