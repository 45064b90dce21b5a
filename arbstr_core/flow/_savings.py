"""What routing has saved: what calls cost, held against what the others would have cost, by their receipts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from arbstr_core.types import BadRequest
from arbstr_core.vault import History, ServedRow

Json = dict[str, Any]

_A_PAGE = 500


class _Other(msgspec.Struct):
    provider: str
    cost_msat: int
    model: str | None = None


class _Offers(msgspec.Struct):
    """All who sold the model, where there are too many to name."""

    count: int
    mean_msat: int
    median_msat: int


class _Said(msgspec.Struct):
    """What is read of a receipt."""

    model: str = ""
    provider: str | None = None
    alternatives: tuple[_Other, ...] = ()
    offers: _Offers | None = None


class Prices(msgspec.Struct, frozen=True):
    """What a call would have cost, and did, in msat: at each offer that is named, `sold`, and at each provider,
    `named`, which is its cheapest node. `all` are more than are named."""

    sold: Sequence[int]
    named: Mapping[str, int]
    all: _Offers | None = None


Baseline = Callable[[Prices], float | None]


_RECEIPT = msgspec.json.Decoder(_Said)


def baseline_of(text: str) -> Baseline:
    """`mean` or `median` of all who would have served the call, or `list:PROVIDER`, who might have served all. Raises
    BadRequest."""
    kind, _, provider = text.partition(":")
    if text == "mean":
        return lambda prices: prices.all.mean_msat if prices.all else statistics.fmean(prices.sold)
    if text == "median":
        return lambda prices: prices.all.median_msat if prices.all else statistics.median(prices.sold)
    if kind == "list" and provider:
        return lambda prices: prices.named.get(provider)
    raise BadRequest(f"baseline is {text[:60]!r}; it is mean, median or list:PROVIDER", param="baseline")


class _Sum:
    """What some calls cost, and would have cost."""

    def __init__(self) -> None:
        self.calls = 0
        self.charged = 0
        self.baseline = 0.0

    def add(self, charged: int, baseline: float) -> None:
        self.calls += 1
        self.charged += charged
        self.baseline += baseline

    def document(self) -> Json:
        """As every door shows it; `saved_share` is of the baseline, null where that is 0."""
        baseline = round(self.baseline)
        return {
            "calls": self.calls,
            "charged_msat": self.charged,
            "baseline_msat": baseline,
            "saved_msat": baseline - self.charged,
            "saved_share": round(1 - self.charged / self.baseline, 4) if self.baseline else None,
        }


class Tally:
    """Takes calls one by one."""

    def __init__(self, baseline: str) -> None:
        self._name = baseline
        self._baseline = baseline_of(baseline)
        self._all = _Sum()
        self._models: dict[str, _Sum] = {}
        self._days: dict[str, _Sum] = {}
        self._agents: dict[str, _Sum] = {}
        self._providers: dict[str, _Sum] = {}
        self._seen: set[str] = set()
        self._alone = 0
        self._left_out = 0

    def add(self, row: ServedRow) -> None:
        """Count a call, if anybody served it."""
        said = _RECEIPT.decode(row.body)
        if said.provider is None:
            return
        others = [other for other in said.alternatives if other.model is None]
        self._seen |= {said.provider, *(other.provider for other in others)}
        if not others:
            self._alone += 1
            return
        found = self._baseline(_prices(others, said.provider, row.charged_msat, said.offers))
        if found is None:
            self._left_out += 1
            return
        day = f"{datetime.fromtimestamp(row.created_ms / 1000, UTC):%Y-%m-%d}"
        groups = (_of(self._models, said.model or row.model), _of(self._days, day))
        for total in (self._all, *groups, _of(self._agents, row.agent), _of(self._providers, said.provider)):
            total.add(row.charged_msat, found)

    def require_known(self) -> None:
        """Raise BadRequest where the baseline is a provider that no call which was counted names."""
        kind, _, provider = self._name.partition(":")
        if kind == "list" and self._seen and provider not in self._seen:
            known = ", ".join(f"list:{name}" for name in sorted(self._seen))
            raise BadRequest(
                f"no call of that time has a price of {provider[:60]!r}; there is {known}", param="baseline"
            )

    def document(self) -> Json:
        """All of it. `alone` are calls that nobody else would have served, `left_out` those that the baseline has no
        price for."""
        return {
            "baseline": self._name,
            **self._all.document(),
            "alone": self._alone,
            "left_out": self._left_out,
            "models": _most_saved("model", self._models),
            "agents": _most_saved("agent", self._agents),
            "providers": _most_saved("provider", self._providers),
            "days": [{"day": day, **total.document()} for day, total in sorted(self._days.items())],
        }


def _prices(others: Sequence[_Other], served_by: str, charged: int, offers: _Offers | None) -> Prices:
    named: dict[str, int] = {}
    for other in others:
        named[other.provider] = min(other.cost_msat, named.get(other.provider, other.cost_msat))
    return Prices([charged, *(other.cost_msat for other in others)], {**named, served_by: charged}, offers)


def _most_saved(what: str, totals: dict[str, _Sum]) -> list[Json]:
    """Each of them, those first by which most was saved."""
    found = sorted(totals.items(), key=lambda each: each[1].charged - each[1].baseline)
    return [{what: name, **total.document()} for name, total in found]


def _of(totals: dict[str, _Sum], name: str) -> _Sum:
    return totals.setdefault(name, _Sum())


async def savings(history: History, baseline: str, *, since_ms: int | None, until_ms: int | None) -> Json:
    """What the calls of that time have saved. Raises BadRequest."""
    tally, before = Tally(baseline), None
    while True:
        part = await history.served(since_ms=since_ms, until_ms=until_ms, before=before, most=_A_PAGE)
        for row in part.rows:
            tally.add(row)
        before = part.following
        if before is None:
            tally.require_known()
            return tally.document()
