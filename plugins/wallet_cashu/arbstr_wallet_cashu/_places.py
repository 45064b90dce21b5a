"""Owns the mints of the configuration as places for money: their keysets, checked and kept, and how they are."""

from __future__ import annotations

import enum
import logging
from collections.abc import Mapping, Sequence

import msgspec

from arbstr_core.api import Clock, RailUnavailable, Store
from arbstr_wallet_cashu._keysets import SAT, BadKeyset, Keyset, checked, full_id
from arbstr_wallet_cashu._mint import Info, KeysetRow, Mint, MintRefused, MintSilent
from arbstr_wallet_cashu._tokens import same_mint

_KEYSET = msgspec.json.Decoder(Keyset)
_FRESH_SECONDS = 300.0


class Health(enum.StrEnum):
    """How a mint is."""

    UNKNOWN = "unknown"
    READY = "ready"
    DOWN = "down"
    OTHER = "other"
    """another mint answers where ours was"""
    AHEAD = "ahead"
    """the mint has signed outputs that the purse has not made yet: its records are older than what was done"""


class Place:
    """One mint. `keysets` are all it ever had for sats, by id."""

    def __init__(self, name: str, mint: Mint, store: Store, clock: Clock, log: logging.Logger) -> None:
        self.name = name
        self.mint = mint
        self.keysets: dict[str, Keyset] = {}
        self.info = Info()
        self.health = Health.UNKNOWN
        self.why = ""
        self.spoiled: dict[str, str] = {}
        """keysets that are not taken, and why"""
        self._store = store
        self._clock = clock
        self._log = log
        self._read_at: float | None = None

    @property
    def url(self) -> str:
        """Where it answers, as it stands in tokens."""
        return self.mint.url

    async def ready(self) -> None:
        """Its keysets and what it can do are known, and fresh. Raises RailUnavailable where it does not answer."""
        if self._read_at is not None and self._clock.monotonic() - self._read_at < _FRESH_SECONDS:
            return
        try:
            await self.refresh()
        except MintSilent as silent:
            self.down(silent)
            raise RailUnavailable(f"the mint {self.name} cannot be asked now: {silent}") from None
        if self.health is Health.OTHER:
            raise RailUnavailable(f"the mint {self.name} is another one than before: {self.why}")

    async def refresh(self) -> None:
        """Read its keysets again. Raises MintSilent."""
        await self._remember()
        try:
            rows = [row for row in await self.mint.keysets() if row.unit == SAT]
            info = await self.mint.info()
        except MintRefused as refused:
            raise MintSilent(f"{self.url} does not say what it is: {refused}") from None
        if self.keysets and not any(row.id in self.keysets for row in rows):
            self.health, self.why = Health.OTHER, f"{self.url} has none of the keysets that it had"
            return
        for row in rows:
            await self._learn(row)
        self.info = info
        self._read_at = self._clock.monotonic()
        if self.health is not Health.AHEAD:
            self.health, self.why = Health.READY, ""

    def down(self, why: MintSilent) -> None:
        """It did not answer."""
        if self.health in (Health.UNKNOWN, Health.READY):
            self.health, self.why = Health.DOWN, str(why)
        self._read_at = None

    def ahead(self) -> None:
        """It has signed what the purse has not made yet."""
        self.health = Health.AHEAD
        self.why = f"{self.url} has signed outputs that this purse has yet to make: older records were put back"

    def settled(self) -> None:
        """The purse is as new as the mint again."""
        if self.health is Health.AHEAD:
            self.health, self.why = Health.READY, ""

    def active(self) -> Keyset:
        """The keyset for new coins: of those in use, that which costs least. Raises RailUnavailable where none is."""
        usable = [keyset for keyset in self.keysets.values() if keyset.active]
        if not usable:
            raise RailUnavailable(f"the mint {self.name} has no keyset in use for sats")
        return min(usable, key=lambda keyset: (keyset.ppk, keyset.id))

    def ppk(self, keyset: str) -> int:
        """What a coin of a keyset costs to spend; nothing where the mint forgot the keyset."""
        known = self.keysets.get(keyset)
        return 0 if known is None else known.ppk

    async def find(self, keyset: str) -> Keyset | None:
        """The keyset that an id of a token stands for; the mint is asked again for one that is new. Raises BadKeyset,
        RailUnavailable."""
        found = full_id(keyset, self.keysets)
        if found is None:
            try:
                await self.refresh()
            except MintSilent as silent:
                self.down(silent)
                raise RailUnavailable(f"the mint {self.name} cannot be asked now: {silent}") from None
            found = full_id(keyset, self.keysets)
        return None if found is None else self.keysets[found]

    async def _remember(self) -> None:
        if not self.keysets:
            for raw in (await self._store.scan("keyset/")).values():
                keyset = _KEYSET.decode(raw)
                if keyset.mint == self.name:
                    self.keysets[keyset.id] = keyset

    async def _learn(self, row: KeysetRow) -> None:
        """Take over what the mint says of a keyset, if it can be true."""
        ppk, expires = row.input_fee_ppk or 0, row.final_expiry
        known = self.keysets.get(row.id)
        try:
            if known is None:
                keys = await self.mint.keys(row.id)
                known = checked(
                    Keyset(id=row.id, mint=self.name, keys=keys, ppk=ppk, active=row.active, expires=expires)
                )
            elif (known.active, known.ppk) == (row.active, ppk):
                return
            else:
                known = checked(msgspec.structs.replace(known, active=row.active, ppk=ppk))
            await self._keep(known)
        except (BadKeyset, MintRefused) as bad:
            if row.id not in self.spoiled:
                self._log.warning("the mint %s: %s", self.name, bad)
            self.spoiled[row.id] = str(bad)
            return
        self.keysets[row.id] = known

    async def _keep(self, keyset: Keyset) -> None:
        key = f"keyset/{keyset.id}"
        before = await self._store.get(key)
        if before is not None and (other := _KEYSET.decode(before).mint) != self.name:
            raise BadKeyset(f"the keyset {keyset.id} is that of the mint {other}; two mints never have the same")
        await self._store.compare_and_set(key, before, msgspec.json.encode(keyset))


class Places:
    """All mints of the configuration, the preferred one first."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.all = tuple(places)
        self._by_name: Mapping[str, Place] = {place.name: place for place in places}

    def named(self, name: str) -> Place:
        """The mint called `name`. Raises RailUnavailable where the configuration has it no more."""
        if name not in self._by_name:
            raise RailUnavailable(f"the mint {name} is in the purse, and no more in [plugins.wallet_cashu.mints]")
        return self._by_name[name]

    def knows(self, name: str) -> bool:
        """Whether the configuration has a mint called `name`."""
        return name in self._by_name

    def at(self, url: str) -> Place | None:
        """The mint that answers at `url`, None where it is none of ours: then nobody asks it anything."""
        wanted = same_mint(url)
        return next((place for place in self.all if same_mint(place.url) == wanted), None)
