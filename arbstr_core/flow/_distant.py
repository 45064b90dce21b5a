"""Rails that another process drives: what is known of them here is what the treasury wrote of how each realm stands.

With these, a process that has no wallet can ask for invoices: it writes the request down, and the treasury, which has
the rail, answers it. Tokens it takes none: to read one takes the wallet.
"""

from __future__ import annotations

import msgspec

from arbstr_core.api import RailLimits, RailState, RailStatus, Unit
from arbstr_core.vault import Treasury


class _Row(msgspec.Struct):
    name: str
    state: str


class _Seen(msgspec.Struct):
    rails: tuple[_Row, ...] = ()


_SEEN = msgspec.json.Decoder(_Seen)


class DistantRail:
    """A rail by its name. It is asked for whole sats, which every rail moves; what else it can, its process knows."""

    unit = Unit.SAT

    def __init__(self, name: str, state: str) -> None:
        self.name = name
        self._ready = state == RailState.READY

    async def limits(self) -> RailLimits:
        """None that are known."""
        return RailLimits()

    async def status(self) -> RailStatus:
        """As it was seen last."""
        return RailStatus(state=RailState.READY if self._ready else RailState.DOWN)


async def distant_rails(treasury: Treasury, realm: str) -> tuple[DistantRail, ...]:
    """Those of a realm, as the treasury found them last; none where it never looked."""
    for record in await treasury.solvency():
        if record.realm == realm:
            return tuple(DistantRail(row.name, row.state) for row in _SEEN.decode(record.body).rails)
    return ()
