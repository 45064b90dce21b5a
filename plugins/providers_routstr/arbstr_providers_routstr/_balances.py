"""Owns asking nodes what is there of our money: what of it no call can have used, and who does not know us any more."""

from __future__ import annotations

from arbstr_core.api import ProviderError, Tools
from arbstr_providers_routstr._node import Node
from arbstr_providers_routstr._node_api import NodeRefused

_ALLOWED_LOSS_PPM = 10_000
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
"""seconds until a node that did not say is asked again"""
_UNKNOWN_AFTER = 3
_LOST_AFTER_MS = 24 * 3600 * 1000
_UNKNOWN = "it does not know the key of our balance any more"


class Balances:
    """See the module."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._waits: dict[str, tuple[float, float]] = {}
        self._unknown: dict[str, int] = {}

    def due(self, node: Node) -> bool:
        """True where a balance is not certain, and can be asked for now."""
        at_rest = not (node.open_calls or node.sweeping)
        waits = self._tools.clock.monotonic() < self._waits.get(node.name, (0.0, 0.0))[0]
        return bool(node.stale and node.record.key and at_rest and not waits)

    async def ask(self, node: Node) -> None:
        """Ask a node what is there. What it took that no call can have used breaks its word."""
        expected, unsure, taken = node.record.balance_msat, node.unsure, node.taken
        _, last = self._waits.get(node.name, (0.0, _FIRST_WAIT / 2))
        wait = min(2 * last, _LONGEST_WAIT)
        try:
            held = await node.api.held(node.record.key)
        except ProviderError as failed:
            self._waits[node.name] = (self._tools.clock.monotonic() + wait, wait)
            if isinstance(failed, NodeRefused) and failed.status == 401:
                self._not_known(node)
            return
        self._waits.pop(node.name, None)
        self._unknown.pop(node.name, None)
        if node.open_calls or node.pending or (node.record.balance_msat, node.taken) != (expected, taken):
            return  # it says something of a moment that is over
        if node.record.unknown_ms:
            node.record.unknown_ms, node.unsaved = 0, True
            node.record.word.broken = node.record.word.broken.replace(_UNKNOWN, "")
        missing = expected - unsure - held.balance - held.reserved if node.asked else 0
        node.asked = True
        node.note(held)
        if missing > expected * _ALLOWED_LOSS_PPM // 1_000_000 + 10 and not node.record.word.broken:
            node.record.word.broken = f"{missing} msat are gone there that no call used"

    def _not_known(self, node: Node) -> None:
        """Again and again it does not know our key: nothing is bought there; and if it does not for a day, it has lost
        our money, or kept it. Until then the key is all that we have of that, and may be good again."""
        record, now_ms = node.record, self._tools.clock.now_ms()
        times = self._unknown[node.name] = self._unknown.get(node.name, 0) + 1
        if not record.unknown_ms:
            record.unknown_ms, node.unsaved = now_ms, True
        if times >= _UNKNOWN_AFTER and not record.word.broken:
            record.word.broken, node.unsaved = _UNKNOWN, True
        if times >= _UNKNOWN_AFTER and now_ms - record.unknown_ms >= _LOST_AFTER_MS:
            node.lost(f"lost:{now_ms}", _UNKNOWN)
