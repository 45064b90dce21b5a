"""Rails against the ledger, every minute and on start: what each holds against what is owed, and what its own records
say that the ledger does not know. Too little in three checks freezes what goes out; calls are served all the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import msgspec

from arbstr_core.api import Clock, RailCapability, RailState, RailStatus, WalletRail
from arbstr_core.flow._office import Office
from arbstr_core.flow._solvency import Cover, RailSeen, Solvency, judge
from arbstr_core.flow._walk import WALKED, Walk
from arbstr_core.rails import Rails, Raised, answered, status_of
from arbstr_core.types import RailBalance, StorageError, VaultUnavailable
from arbstr_core.vault import LostTurn, Owed, Requests, Treasury, Vault

_log = logging.getLogger("arbstr.flow")

_BALANCE_SECONDS = 20.0
_NOT_TRUSTED = (RailState.WRONG_NODE, RailState.ROLLED_BACK)


class Reconcile:
    """Compares the enabled rails with the ledger, where this process is the one that moves money."""

    def __init__(
        self,
        vault: Vault,
        treasury: Treasury,
        requests: Requests,
        rails: Rails,
        office: Office,
        clock: Clock,
        *,
        working_ppm: int = 0,
        every_seconds: float = 60,
    ) -> None:
        self._vault = vault
        self._treasury = treasury
        self._requests = requests
        self._rails = rails
        self._office = office
        self._clock = clock
        self._working_ppm = working_ppm
        self._every = every_seconds
        self.last: Mapping[str, Solvency] = {}
        """what the last check of this process found, by realm"""

    async def run(self) -> None:
        """Check now, and ever again."""
        while True:
            try:
                await self.check()
            except LostTurn as lost:
                self._office.lost()
                _log.info("rails are compared by another process: %s", lost)
            except (StorageError, VaultUnavailable) as broken:
                _log.error("rails could not be compared with the ledger: %s", broken)
            await self._clock.sleep(self._every)

    async def check(self) -> Mapping[str, Solvency] | None:
        """Read every rail's records into the ledger, compare, write down what was found, and freeze what is wrong; by
        realm. None where another process does it. Raises StorageError, VaultUnavailable or LostTurn."""
        if await self._office.turn() is None:
            return None
        restored = await self._vault.restored_ms()
        before = await self._treasury.owed()
        seen = {rail.name: await self._walk(rail, restored, before) for rail in self._rails.all}
        found = self._judged(await self._treasury.owed(), seen)
        for solvency in found.values():
            await self._note(solvency)
        self.last = found
        return found

    async def look(self) -> Mapping[str, Solvency]:
        """The same comparison now, of which nothing is written down."""
        restored = await self._vault.restored_ms()
        seen = await asyncio.gather(*(self._seen(rail, restored) for rail in self._rails.all))
        return self._judged(await self._treasury.owed(), {rail.name: rail for rail in seen})

    def _judged(self, owed: Mapping[str, Owed], seen: Mapping[str, RailSeen]) -> dict[str, Solvency]:
        realms = dict.fromkeys([*self._rails.realms(), *owed])
        return {
            realm: judge(owed.get(realm) or _nothing(realm), self._of(realm, seen), working_ppm=self._working_ppm)
            for realm in realms
        }

    def _of(self, realm: str, seen: Mapping[str, RailSeen]) -> Sequence[RailSeen]:
        return [seen[rail.name] for rail in self._rails.all if rail.network.value == realm]

    async def _seen(self, rail: WalletRail, restored: int | None) -> RailSeen:
        """What a rail says of itself, and what it holds."""
        status: RailStatus = await status_of(rail)
        said = await answered(rail.balance(), seconds=_BALANCE_SECONDS)
        balance = said if isinstance(said, RailBalance) else None
        silent = said.what if isinstance(said, Raised) else ""
        return RailSeen(
            name=rail.name,
            state=status.state,
            detail=status.detail or silent,
            balance=balance,
            unit=rail.unit,
            invoices=RailCapability.INVOICE in rail.capabilities,
            walked=await self._walked(rail, restored),
        )

    async def _walked(self, rail: WalletRail, restored: int | None) -> bool:
        """True where its records were compared with the ledger since that was last restored."""
        if restored is None:
            return True
        cursor = await self._treasury.place(rail.name, WALKED)
        return cursor.isdecimal() and int(cursor) >= restored

    async def _walk(self, rail: WalletRail, restored: int | None, owed: Mapping[str, Owed]) -> RailSeen:
        """Read a rail's records; freeze one that is not to be trusted."""
        seen = await self._seen(rail, restored)
        if seen.state in _NOT_TRUSTED:
            await self._treasury.freeze_rail(
                await self._office.sure(), rail.name, f"{rail.name} is {seen.state.value}: {seen.detail}"
            )
            return seen
        walk = Walk(self._treasury, self._requests, self._office, rail)
        problem = await walk.costs() or await walk.payments(
            short=_short(rail, seen, owed, self._working_ppm), restored=not seen.walked
        )
        if problem:
            _log.warning("%s: %s", rail.name, problem)
        elif not seen.walked and restored is not None and seen.state is RailState.READY:
            await self._treasury.walked(await self._office.sure(), rail.name, restored)
            _log.warning("%s has been compared with the ledger that was restored", rail.name)
            seen = msgspec.structs.replace(seen, walked=True)
        return msgspec.structs.replace(seen, problem=problem)

    async def _note(self, solvency: Solvency) -> None:
        told = {Cover.BELOW: True, Cover.UNKNOWN: None}
        below = await self._treasury.note_solvency(
            await self._office.sure(),
            solvency.realm,
            below=told.get(solvency.cover, False),
            reason=solvency.reason,
            body=msgspec.json.encode(solvency),
        )
        if solvency.cover is Cover.BELOW:
            _log.critical("realm %s, check %d in a row: %s", solvency.realm, below, solvency.reason)
        elif solvency.cover is Cover.UNKNOWN:
            _log.warning("realm %s: %s", solvency.realm, solvency.reason)
        if solvency.nodes_msat > solvency.nodes_most_msat:
            _log.warning(
                "realm %s: %d msat are out of reach at nodes, and %d may be",
                *(solvency.realm, solvency.nodes_msat, solvency.nodes_most_msat),
            )


def _short(rail: WalletRail, seen: RailSeen, owed: Mapping[str, Owed], working_ppm: int) -> bool:
    """True where the rail holds less than the ledger has there. What does not say what it holds may."""
    judged = judge(owed.get(rail.network.value) or _nothing(rail.network.value), [seen], working_ppm=working_ppm)
    surplus = judged.rails[0].surplus_msat
    return surplus is None or surplus < 0


def _nothing(realm: str) -> Owed:
    return Owed(realm=realm, agents_msat=0, sellers_msat=0, calls_msat=0, suspense_msat=0, equity_msat=0, assets={})
