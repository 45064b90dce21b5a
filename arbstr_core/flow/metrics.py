"""What Prometheus reads: what calls added up to, and how the house stands at this moment."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from arbstr_core.api import Clock, RailState
from arbstr_core.dispatch import BreakerState
from arbstr_core.flow._solvency import Cover, Solvency
from arbstr_core.flow.call import CallFlow
from arbstr_core.flow.reconcile import Reconcile
from arbstr_core.journal import COUNTER, Counts, Family, Journal, Sample, exposition, gauge
from arbstr_core.rails import Rails
from arbstr_core.storage import Database
from arbstr_core.types import Offer, StorageError
from arbstr_core.vault import Gauges, History

_RAIL_SECONDS = 3.0
"""How long a rail may take to say how it is: whoever scrapes waits."""
_MOST_SHUT = 200


class MetricsFlow:
    """Looks only when it is asked. `history` is None where the vault is switched off, `reconcile` where this process
    moves no money."""

    def __init__(
        self,
        calls: CallFlow,
        counts: Counts,
        journal: Journal,
        database: Database,
        history: History | None,
        rails: Rails,
        clock: Clock,
        *,
        version: str,
        reconcile: Reconcile | None = None,
    ) -> None:
        self._calls = calls
        self._counts = counts
        self._journal = journal
        self._database = database
        self._history = history
        self._rails = rails
        self._started = clock.now_ms() / 1000
        self._version = version
        self._reconcile = reconcile

    async def page(self) -> str:
        """All of it, in Prometheus' text format."""
        states = await self._rails.status(seconds=_RAIL_SECONDS)
        found, stored = await self._stored()
        families = [
            *self._counts.families(),
            *self._now(),
            *self._market(),
            gauge(
                "arbstr_rail_state",
                "1 for the state that a wallet rail is in.",
                [
                    ({"rail": name, "state": each.value}, status.state is each)
                    for name, status in states.items()
                    for each in RailState
                ],
            ),
            gauge("arbstr_database_up", "1 where the database answers.", [({}, stored)]),
            *_money(found),
            *_solvency({} if self._reconcile is None else self._reconcile.last),
            *_process(self._started, self._version),
        ]
        return exposition(families)

    async def _stored(self) -> tuple[Gauges, bool]:
        """What the ledger says, and whether it can be asked."""
        if self._history is None:
            return Gauges(), True
        try:
            return await self._history.gauges(payments=self._reconcile is not None), True
        except StorageError:
            return Gauges(), False

    def _now(self) -> Iterator[Family]:
        yield gauge("arbstr_calls_open", "Calls that have not ended.", [({}, len(self._calls.open_calls()))])
        yield gauge("arbstr_stopping", "1 while no new calls are taken.", [({}, self._calls.stopping)])
        waiting = self._database.waiting
        yield gauge("arbstr_writer_queue", "Writes that wait for the batch that is at work.", [({}, waiting)])
        dropped: Sequence[Sample] = [("", {}, self._journal.dropped)]
        yield Family("arbstr_request_log_dropped", COUNTER, "Rows of the request log that were lost.", dropped)

    def _market(self) -> Iterator[Family]:
        market, offers = self._calls.market, self._offers()
        failing = market.failures
        states = [(offer, self._calls.state(offer).breaker) for offer in offers]
        count = Counter((offer.provider, state) for offer, state in states)
        names = sorted({offer.provider for offer in offers} | failing.keys())
        sold = Counter(offer.provider for offer in offers)
        yield gauge("arbstr_offers", "Offers that may be bought.", [({"provider": name}, sold[name]) for name in names])
        yield gauge(
            "arbstr_provider_up",
            "0 where a provider did not say what it offers when it was asked last.",
            [({"provider": name}, name not in failing) for name in names],
        )
        yield gauge(
            "arbstr_breakers",
            "Offers whose breaker is in a state.",
            [({"provider": who, "state": each.value}, count[who, each]) for who in names for each in BreakerState],
        )
        shut = [({"provider": o.provider, "node": o.node, "model": o.model}, 1.0) for o, s in states if s is _OPEN]
        yield gauge("arbstr_breaker_open", "The offers whose breaker is open.", shut[:_MOST_SHUT])

    def _offers(self) -> list[Offer]:
        """What can be bought; under its canonical name it is no other offer."""
        return [
            listing.offer
            for row in self._calls.snapshot.models.values()
            for listing in row.listings
            if listing.offer.model == row.model
        ]


_OPEN = BreakerState.OPEN


def _money(found: Gauges) -> Iterator[Family]:
    yield gauge(
        "arbstr_holds_open", "Holds that have not ended.", [({"realm": each.realm}, each.count) for each in found.open]
    )
    yield gauge(
        "arbstr_held_msat", "What they hold.", [({"realm": each.realm}, each.amount_msat) for each in found.open]
    )
    yield gauge(
        "arbstr_balance_msat",
        "What is in the accounts of each kind that keep a balance: agents', sellers', rails', nodes'.",
        [({"realm": each.realm, "kind": each.kind}, each.posted_msat) for each in found.balances],
    )

    yield gauge(
        "arbstr_payments_open",
        "Payments that are not over.",
        [({"state": each.state}, each.count) for each in found.payments],
    )
    yield gauge("arbstr_frozen", "1 for what nothing leaves any more.", [({"scope": each}, 1) for each in found.frozen])


def _solvency(last: Mapping[str, Solvency]) -> Iterator[Family]:
    found = last.values()
    yield gauge(
        "arbstr_solvency_needed_msat",
        "What the rails of a realm have to hold, as the last check found it.",
        [({"realm": each.realm}, each.needed_msat) for each in found],
    )
    yield gauge(
        "arbstr_solvency_assets_msat",
        "What they hold: at least what can be spent now, at most that and what may come back.",
        [
            ({"realm": each.realm, "bound": bound}, value)
            for each in found
            for bound, value in (("least", each.least_msat), ("most", each.most_msat))
        ],
    )
    yield gauge(
        "arbstr_solvency_gap_msat",
        "What is missing, whatever comes back; 0 where nothing is.",
        [({"realm": each.realm}, max(0, each.needed_msat - each.most_msat)) for each in found],
    )
    yield gauge(
        "arbstr_solvency_cover",
        "1 for how a realm stands.",
        [({"realm": each.realm, "cover": cover.value}, each.cover is cover) for each in found for cover in Cover],
    )


def _process(started: float, version: str) -> Iterator[Family]:
    yield gauge("arbstr_build_info", "1; which version runs.", [({"version": version}, 1)])
    yield gauge("process_start_time_seconds", "When this process began, Unix time.", [({}, started)])
    spent: Sequence[Sample] = [("", {}, time.process_time())]
    yield Family("process_cpu_seconds", COUNTER, "Processor time of this process.", spent)
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        files = len(os.listdir("/proc/self/fd"))
    except OSError:
        return  # not on Linux
    size = pages * os.sysconf("SC_PAGE_SIZE")
    yield gauge("process_resident_memory_bytes", "Memory of this process.", [({}, size)])
    yield gauge("process_open_fds", "Open files and sockets of this process.", [({}, files)])
