"""Owns a node that is paid with a token for each call (`X-Cashu`), so that no two calls have a key in common: what is
kept for it lies here, as tokens, and none of it there.

It is dear, and it can lose a whole token: see the plugin's manual. A token is written down as sent before it is; the
change is written down before the reply is read, and goes back to the wallet. Where none came the node is asked for it;
in the end the token itself is tried: unspent it comes back, and if the node has redeemed it, it is a claim.
"""

from __future__ import annotations

from arbstr_core.api import Msat, NodeFunds, NotFunded, ProviderError
from arbstr_providers_routstr._config import SAT
from arbstr_providers_routstr._node import Node
from arbstr_providers_routstr._node_api import NodeRefused
from arbstr_providers_routstr._records import Coin

_FEES = 3 * SAT
"""what a node's mint may take of a token, about, on top of what a call needs"""
_TOKENS_AHEAD = 2
_NONE = (404, 410)
"""The node knows of no such token, or has no change of it any more; whatever else it says may be otherwise later"""
_GIVEN_UP_MS = 24 * 3600 * 1000


class PrivateNode(Node):
    """See the module. `record.pocket` has the tokens to come, `out` those that were sent, `change` what goes back."""

    spending: frozenset[str] = frozenset()
    """those that open calls have"""

    @property
    def usable(self) -> dict[str, Coin]:
        """Tokens that the kernel has booked."""
        return {id: coin for id, coin in self.record.pocket.items() if id != self.funding}

    @property
    def available(self) -> int:
        """What a call may need at most."""
        return max((coin.msat for coin in self.usable.values()), default=0) - _FEES

    def take(self, need: int) -> str:
        """The smallest token that is enough: it is out from now on."""
        self._high = max(need, self._high)
        self.record.used_ms = self._tools.clock.now_ms()
        enough = sorted((coin.msat, id) for id, coin in self.usable.items() if coin.msat >= need + _FEES)
        if len(self.usable) < _TOKENS_AHEAD or not enough:
            self.thirsty = True
        if not enough:
            raise NotFunded(f"{self.name}: the call may need {need} msat, and there is no token for so much")
        _, id = enough[0]
        coin = self.record.pocket.pop(id)
        coin.began_ms = self._tools.clock.now_ms()
        self.record.out[id] = coin
        self.spending |= {id}
        return id

    def over(self, id: str, cost: int | None) -> None:
        """The call with this token has ended; its change is worth what it did not take, where that is known."""
        self.spending -= {id}
        if cost is not None and id in self.record.change:
            coin = self.record.change[id]
            coin.msat = max(0, coin.msat - cost)
        self.recount()

    def came_back(self, id: str, token: str) -> None:
        """The node gave change for a token; or the token itself, unspent."""
        coin = self.record.out.pop(id, None)
        if coin is None:
            return  # somebody else has asked meanwhile
        if token == coin.token:
            self.record.pocket[id] = coin
        else:
            self.record.change[id] = Coin(token=token, msat=coin.msat)
        self.recount()

    def recount(self) -> None:
        """What there is in all."""
        record = self.record
        coins = [*record.pocket.values(), *record.out.values(), *record.change.values()]
        record.balance_msat = sum(coin.msat for coin in coins)
        self.unsaved = True

    def next_back(self, now_ms: int) -> tuple[str, Coin] | None:
        """What is to go back to the wallet next: change; and of a node that is not used, its tokens."""
        if self.record.change:
            return next(iter(self.record.change.items()))
        if self.forsaken(now_ms, False) and self.usable:
            return next(iter(self.usable.items()))
        return None

    def let_go(self, token: str) -> dict[str, Coin]:
        """It is on its way to the wallet; where it was."""
        record = self.record
        place = record.change if any(coin.token == token for coin in record.change.values()) else record.pocket
        for id in [id for id, coin in place.items() if coin.token == token]:
            del place[id]
        self.recount()
        return place

    async def chase(self) -> None:
        """Ask for the change of tokens whose reply was lost."""
        now_ms = self._tools.clock.now_ms()
        for id, coin in tuple(self.record.out.items()):
            if id in self.spending:
                continue
            try:
                token, _ = await self.api.change(coin.token)
            except ProviderError as failed:
                none = isinstance(failed, NodeRefused) and failed.status in _NONE
                if not none and now_ms - coin.began_ms < _GIVEN_UP_MS:
                    continue
                # It is tried as it is: the wallet, or its mint, says whose it is.
                if id in self.record.out:
                    self.record.change[id] = self.record.out.pop(id)
                    self.recount()
                continue
            self.came_back(id, token)

    def funds(self, now_ms: int, left_msat: int, *, overpriced: bool) -> NodeFunds:
        """What lies here for it, and what should."""
        resting = not (self.record.out or self.pending or self.unbooked or self.sweeping or self.spending)
        if resting and not self.record.balance_msat:
            self.wish_sweep = False  # there is nothing to come back
        forsaken = self.forsaken(now_ms, overpriced)
        return NodeFunds(
            node=self.name,
            balance_msat=Msat(self.record.balance_msat),
            reserved_msat=Msat(0 if resting else 1),
            wanted_msat=Msat(0 if forsaken or self.sweeping or self.failing else self._wanted(left_msat)),
            drain=not self.pending and self.next_back(now_ms) is not None,
            reason=forsaken or "change",
            mints=self.catalogue.mints if self.catalogue else (),
            claims=tuple(self.record.claims),
            funding=self.funding,
            sweeping=self.sweeping,
        )

    def _wanted(self, left_msat: int) -> int:
        balance = self.record.balance_msat
        wish = self.wish_msat - balance
        if not self.thirsty and wish <= 0:
            return 0
        size = max(self._config.topup.msat, int(self._high) + 2 * _FEES, wish)
        amount = min(size + -size % SAT, self._config.cap.msat - balance, left_msat) // SAT * SAT
        return balance + amount if amount > 0 else 0
