"""What a bitcoin costs in dollars: as the operator wrote it, or the median of what several sources say."""

from __future__ import annotations

import asyncio
import logging
import statistics
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from arbstr_core.api import Clock
from arbstr_core.market._pricing import NO_RATE
from arbstr_core.types import PPM, ArbstrError, FxRate

_log = logging.getLogger("arbstr.market")

_JSON = msgspec.json.Decoder(float_hook=Decimal)
_ASK_SECONDS = 10.0
_MOST_BYTES = 1_000_000
_RANGE = (Decimal(1), Decimal(10**12))
"""What a bitcoin can cost in dollars."""

Fetch = Callable[[str], Awaitable[bytes]]
"""What an address answers. Raises ArbstrError."""


class UsdSource(Protocol):
    """Where a rate comes from: an address that answers with JSON, and the place of the number in it (RFC 6901)."""

    @property
    def url(self) -> str: ...

    @property
    def pointer(self) -> str: ...


class Rates(Protocol):
    """Knows the rate."""

    renewed: bool
    """True where it is to be asked for again and again"""

    def now(self) -> FxRate | str:
        """The rate, or why there is none, in a sentence that goes on from "its price is in USD and"."""
        ...

    async def refresh(self) -> None:
        """Ask for it."""
        ...

    def failures(self) -> dict[str, str]:
        """Why a source gave none last time, by its name."""
        ...


class FixedRate:
    """The operator's own; it is of any age. `usd_per_btc` is None where there is none."""

    renewed = False

    def __init__(self, usd_per_btc: Decimal | None, *, spread_ppm: int, as_of_ms: int) -> None:
        self._rate: FxRate | str = NO_RATE
        if usd_per_btc is not None:
            self._rate = FxRate(
                usd_per_btc=usd_per_btc, spread_ppm=spread_ppm, source="configuration", as_of_ms=as_of_ms
            )

    def now(self) -> FxRate | str:
        """The rate, or why there is none."""
        return self._rate

    async def refresh(self) -> None:
        """Nothing: it stays as it was written."""

    def failures(self) -> dict[str, str]:
        """None."""
        return {}


class _Said(msgspec.Struct, frozen=True):
    at_ms: int
    usd_per_btc: Decimal


class MedianRate:
    """The median of what the sources say: of more than half of them, which are not further apart than `apart_ppm` from
    it. It is as old as the oldest of those, and no rate any more once it is older than `stale_seconds`."""

    renewed = True

    def __init__(
        self,
        sources: Sequence[UsdSource],
        fetch: Fetch,
        clock: Clock,
        *,
        spread_ppm: int,
        apart_ppm: int,
        stale_seconds: float,
    ) -> None:
        self._sources = tuple(zip(_names(sources), sources, strict=True))
        self._fetch = fetch
        self._clock = clock
        self._spread_ppm = spread_ppm
        self._apart_ppm = apart_ppm
        self._stale_ms = int(stale_seconds * 1000)
        self._said: dict[str, _Said] = {}
        self._failures: dict[str, str] = {}
        self._rate: FxRate | None = None
        self._why = "no source has been asked yet"

    def now(self) -> FxRate | str:
        """The rate while it is fresh, else why there is none."""
        rate = self._rate
        if rate is not None and self._clock.now_ms() - rate.as_of_ms <= self._stale_ms:
            return rate
        age = "" if rate is None else f"the last rate is older than {self._stale_ms // 1000} s: "
        return f"there is no rate: {age}{self._why}"

    def failures(self) -> dict[str, str]:
        """Why a source gave no rate last time it was asked."""
        return dict(self._failures)

    async def refresh(self) -> None:
        """Ask all sources at the same time. Where too few answer, or they do not agree, the last rate stands."""
        await asyncio.gather(*(self._ask(name, source) for name, source in self._sources))
        now = self._clock.now_ms()
        said = {name: self._said[name] for name, _ in self._sources if name in self._said}
        fresh = {name: each for name, each in said.items() if now - each.at_ms <= self._stale_ms}
        needed = len(self._sources) // 2 + 1
        if len(fresh) < needed:
            self._why = f"{len(fresh)} of {len(self._sources)} sources answer, and more than half must"
        else:
            self._agree(fresh, needed)

    def _agree(self, fresh: dict[str, _Said], needed: int) -> None:
        """Take the median of those near the median of all."""
        middle = statistics.median(said.usd_per_btc for said in fresh.values())
        apart = middle * self._apart_ppm / PPM
        near = {name: said for name, said in fresh.items() if abs(said.usd_per_btc - middle) <= apart}
        if len(near) < needed:
            lowest, highest = (pick(said.usd_per_btc for said in fresh.values()) for pick in (min, max))
            self._why = f"the sources do not agree, they say {lowest} to {highest} USD"
            _log.warning("no new price of a bitcoin: %s", self._why)
            return
        self._rate = FxRate(
            usd_per_btc=statistics.median(said.usd_per_btc for said in near.values()),
            spread_ppm=self._spread_ppm,
            source=f"median of {', '.join(near)}",
            as_of_ms=min(said.at_ms for said in near.values()),
        )

    async def _ask(self, name: str, source: UsdSource) -> None:
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                answer = await self._fetch(source.url)
            found = _Said(self._clock.now_ms(), rate_in(answer, source.pointer))
        except (ArbstrError, TimeoutError, ValueError) as failed:
            self._failures[name] = str(failed) or "no answer in time"
            _log.warning("%s does not say what a bitcoin costs: %s", name, self._failures[name])
            return
        self._failures.pop(name, None)
        self._said[name] = found


def rate_in(answer: bytes, pointer: str) -> Decimal:
    """The number at `pointer` (RFC 6901) in the JSON `answer`. Raises ValueError, which says what is there instead."""
    if len(answer) > _MOST_BYTES:
        raise ValueError(f"it answered with more than {_MOST_BYTES} bytes")
    try:
        found = _JSON.decode(answer)
    except (msgspec.MsgspecError, RecursionError):
        raise ValueError("it did not answer with JSON") from None
    except ArithmeticError:
        raise ValueError("it answered with a number that is none") from None
    for step in pointer.split("/")[1:]:
        found = _below(found, step.replace("~1", "/").replace("~0", "~"), pointer)
    try:
        rate = Decimal(found) if type(found) in (str, int, Decimal) else Decimal("NaN")
    except InvalidOperation:
        rate = Decimal("NaN")
    if not (rate.is_finite() and _RANGE[0] <= rate <= _RANGE[1]):
        raise ValueError(f"what stands at {pointer} is no price of a bitcoin")
    return rate


def _below(document: Any, step: str, pointer: str) -> Any:
    if isinstance(document, dict) and step in document:
        return document[step]
    if isinstance(document, list) and step.isascii() and step.isdigit() and int(step) < len(document):
        return document[int(step)]
    raise ValueError(f"its answer has nothing at {pointer}")


def _names(sources: Sequence[UsdSource]) -> list[str]:
    """Each source's host, with a number where several share one: the whole address may hold a key."""
    hosts = [urlsplit(source.url).hostname or "?" for source in sources]
    return [host if hosts.count(host) == 1 else f"{host} ({at + 1})" for at, host in enumerate(hosts)]
