"""What the operator asks for of rails and the ledger: how each realm stands, what is frozen, capital on rails, and what
is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from arbstr_core.flow._keys import switched_on
from arbstr_core.flow._solvency import Cover, Solvency
from arbstr_core.flow.reconcile import Reconcile
from arbstr_core.rails import Rails
from arbstr_core.types import BadRequest, Conflict
from arbstr_core.vault import Capital, Freeze, SolvencyRecord, Treasury, Vault

Json = dict[str, Any]

_BODY = msgspec.json.Decoder(Solvency)


class SolvencyFlow:
    """See the module. `reconcile` asks the rails; None where nothing is served, so that no rail is started."""

    def __init__(
        self,
        vault: Vault | None,
        treasury: Treasury | None,
        rails: Rails,
        reconcile: Reconcile | None,
        ids: Callable[[str], str],
    ) -> None:
        self._vault = vault
        self._maybe_treasury = treasury
        self._rails = rails
        self._reconcile = reconcile
        self._ids = ids

    @property
    def _treasury(self) -> Treasury:
        return switched_on(self._maybe_treasury)

    async def solvency(self, *, now: bool = False) -> Json:
        """Each realm as its last check found it, or as it is now; and what is frozen."""
        frozen = await self._treasury.frozen()
        records = {record.realm: record for record in await self._treasury.solvency()}
        if now:
            looked = await self._serving().look()
            rows = [_row(found, records.get(realm), frozen) for realm, found in looked.items()]
        else:
            rows = [_row(found, record, frozen) for record in records.values() if (found := _body(record)) is not None]
        return {"realms": rows, "frozen": [msgspec.to_builtins(each) for each in frozen]}

    async def freeze(self, *, realm: str | None, rail: str | None, reason: str, actor: str, frozen: bool) -> Json:
        """Let nothing leave a realm, or a rail, any more; or let it again."""
        scope = await self._scope(realm, rail)
        changed = await self._treasury.set_frozen(scope, frozen=frozen, reason=reason, actor=actor)
        return {"scope": scope, "frozen": frozen, "changed": changed}

    async def capital(self, rail: str, amount_msat: int | None) -> Json:
        """Book money of the operator's own that a rail holds beyond what the ledger has there: what this check and the
        last one found, or less. Raises BadRequest, or Conflict where that is not known."""
        found = self._rails.named(rail)
        realm = found.network.value
        now = _surplus((await self._serving().look())[realm], rail)
        last = next((record for record in await self._treasury.solvency() if record.realm == realm), None)
        before = None if last is None else _surplus(_body(last), rail)
        if now is None or before is None:
            raise Conflict(
                f"{rail} has not been compared with the ledger yet, or does not answer: try again in a minute"
            )
        free = min(now, before)
        msat = free if amount_msat is None else amount_msat
        if not 0 < msat <= free:
            raise BadRequest(
                f"{rail} holds {max(0, free)} msat beyond what the ledger has there; no more can be booked",
                param="amount_msat",
            )
        event = Capital(rail=rail, msat=msat)
        seq = await switched_on(self._vault).post(event, realm=realm, key=self._ids("found:"))
        return {"rail": rail, "realm": realm, "amount_msat": msat, "transfer": seq}

    async def loss(self, asset: str, amount_msat: int, *, realm: str, reason: str, key: str | None, actor: str) -> Json:
        """Write off what will not come back, once for each `key`. Raises NotFound, BadRequest, or Conflict where agents
        would lose by it."""
        seq = await self._treasury.write_off(
            asset, amount_msat, realm=realm, key=key or self._ids(""), reason=reason, actor=actor
        )
        return {"realm": realm, "asset": asset, "amount_msat": amount_msat, "reason": reason, "transfer": seq}

    async def _scope(self, realm: str | None, rail: str | None) -> str:
        if (realm is None) == (rail is None):
            raise BadRequest("Name a realm, or a rail, and not both", param="realm")
        frozen = {each.scope for each in await self._treasury.frozen()}
        known = {f"rail:{each.name}" for each in self._rails.all} | {f"realm:{name}" for name in self._rails.realms()}
        known |= {f"realm:{name}" for name in await self._treasury.owed()} | frozen
        scope = f"realm:{realm}" if rail is None else f"rail:{rail}"
        if scope not in known:
            kind, _, name = scope.partition(":")
            there = [f"{what}s: {_names(known, what)}" for what in ("realm", "rail")]
            raise BadRequest(f"There is no {kind} {name!r}; {'; '.join(there)}", param=kind)
        return scope

    def _serving(self) -> Reconcile:
        switched_on(self._maybe_treasury)
        if self._reconcile is None:
            raise Conflict("Rails are asked by the running server: `arbstr serve` first")
        return self._reconcile


def _names(scopes: Iterable[str], kind: str) -> str:
    """The names of one kind, as they are given."""
    return ", ".join(sorted(each.removeprefix(f"{kind}:") for each in scopes if each.startswith(f"{kind}:"))) or "none"


async def rails_of_treasury(treasury: Treasury) -> Sequence[tuple[str, str, str]]:
    """(name, realm, unit) of each rail that could ask for money when the treasury looked last: for whoever serves calls
    elsewhere."""
    found = [_body(record) for record in await treasury.solvency()]
    return [(row.name, each.realm, row.unit) for each in found if each for row in each.rails if row.invoices]


def _body(record: SolvencyRecord) -> Solvency | None:
    """What a check found; None of one that another version of arbstr made."""
    try:
        return _BODY.decode(record.body)
    except msgspec.ValidationError:
        return None


def _surplus(found: Solvency | None, rail: str) -> int | None:
    rows = () if found is None else found.rails
    return next((row.surplus_msat for row in rows if row.name == rail), None)


def _row(found: Solvency, record: SolvencyRecord | None, frozen: Sequence[Freeze]) -> Json:
    """`suspect` from the first check below on, `frozen` where nothing leaves."""
    scope = f"realm:{found.realm}"
    below = 0 if record is None else record.below
    is_frozen = any(each.scope == scope for each in frozen)
    suspect = below or found.cover is Cover.BELOW
    state = "frozen" if is_frozen else "suspect" if suspect else found.cover.value
    return {
        "state": state,
        "below": below,
        "checked_ms": None if record is None else record.at_ms,
        **msgspec.to_builtins(found),
    }
