"""The table `[plugins.providers_local]`: its keys, their defaults, and the price they amount to."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec

from arbstr_core.api import Free, MsatPrice, Price, Rate, UsdPrice

STEM = "providers_local"
MODEL = "smollm2-135m-instruct"
MOST_THREADS = 4


class LocalConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator may set; every key has a default, and the defaults run the bundled model for free."""

    model: Annotated[str, msgspec.Meta(min_length=1)] = MODEL
    """the name the model is offered under"""
    path: str | None = None
    """a GGUF file to run instead of the bundled model"""
    context: Annotated[int, msgspec.Meta(ge=256, le=1_048_576)] = 4096
    """tokens one call may use, prompt and answer together"""
    parallel: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """calls answered at the same time; arbstr lets the others wait"""
    threads: Annotated[int, msgspec.Meta(ge=1, le=512)] | None = None
    input: Rate | None = None
    cached_input: Rate | None = None
    output: Rate | None = None
    request: Rate | None = None
    warm: bool = True
    """start the model with arbstr rather than with the first call"""
    start_seconds: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """how long the model server may take to load"""
    idle_stop_seconds: Annotated[int, msgspec.Meta(ge=0)] = 0
    """unload the model after so long without a call; 0 keeps it"""

    def __post_init__(self) -> None:
        rates = [rate for rate in (self.input, self.cached_input, self.output, self.request) if rate is not None]
        if rates and (self.input is None or self.output is None):
            raise ValueError("a priced model needs both `input` and `output`; leave all four rates out for a free one")
        if len({rate.usd for rate in rates}) > 1:
            raise ValueError("`input`, `cached_input`, `output` and `request` mix sat and usd: use one of them")
        if self.path is not None and not Path(self.path).expanduser().is_absolute():
            raise ValueError("`path` is relative: write the whole path of the GGUF file, or one below ~")

    def price(self) -> Price:
        """What a call costs: free where no rate is set; `cached_input` is `input` unless said otherwise."""
        if self.input is None or self.output is None:
            return Free()
        cached = self.cached_input or self.input
        request = self.request.value if self.request else Decimal(0)
        if self.input.usd:
            return UsdPrice(
                input=self.input.value, cached_input=cached.value, output=self.output.value, request=request
            )
        return MsatPrice(
            input=int(self.input.value),
            cached_input=int(cached.value),
            output=int(self.output.value),
            request=int(request),
        )

    def thread_count(self) -> int:
        """Threads for the model server: as set, else one for each CPU that this process may use but one, at most four.

        All of them wait for the slowest after each layer, so with a CPU too many for what is free they crawl."""
        if self.threads is not None:
            return self.threads
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(usable - 1, MOST_THREADS))
