"""The node as this rail sees it: whether it is the right one and ready, and what it warns of."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from arbstr_core.api import Clock, Network, RailState, RailStatus, RailUnavailable
from arbstr_wallet_lnd import _calls as calls
from arbstr_wallet_lnd import _lnd_pb2 as pb
from arbstr_wallet_lnd._channel import Channel
from arbstr_wallet_lnd._config import Config
from arbstr_wallet_lnd._credentials import Credentials
from arbstr_wallet_lnd._errors import NodeError
from arbstr_wallet_lnd._macaroon import Macaroon
from arbstr_wallet_lnd._pin import Pin, Pins

_NETWORKS = {each.value: each for each in Network}
_SOON_MS = 7 * 86_400_000
_BEFORE_ACTIVE = {
    pb.WALLET_NON_EXISTING: (RailState.LOCKED, "the node has no wallet yet: make one with `lncli create`"),
    pb.WALLET_LOCKED: (RailState.LOCKED, "the node's wallet is locked: `lncli unlock`"),
    pb.WALLET_UNLOCKED: (RailState.SYNCING, "the node is starting"),
    pb.WALLET_RPC_ACTIVE: (RailState.SYNCING, "the node is starting"),
    pb.WALLET_WAITING_TO_START: (RailState.SYNCING, "the node waits for its turn to start"),
}


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of the node: its status, and the pin where it is the right one."""

    status: RailStatus
    pin: Pin | None = None

    @property
    def says(self) -> str:
        """The state in a sentence."""
        return f"LND is {self.status.state}: {self.status.detail}"

    @property
    def whole(self) -> bool:
        """False where the node is known to have lost records: then what it does not show proves nothing."""
        return self.status.state is not RailState.ROLLED_BACK


class Node:
    """Asks the node how it is."""

    def __init__(self, config: Config, channel: Channel, credentials: Credentials, pins: Pins, clock: Clock) -> None:
        self._config = config
        self._channel = channel
        self._credentials = credentials
        self._pins = pins
        self._clock = clock

    async def status(self) -> RailStatus:
        """How it is; never raises for what the node does."""
        return (await self.look()).status

    async def ready(self) -> Pin:
        """The pin of a node that can send. Raises RailUnavailable."""
        sight = await self.look()
        if sight.pin is None or sight.status.state is not RailState.READY:
            raise RailUnavailable(sight.says)
        return sight.pin

    async def ours(self) -> Pin:
        """The pin of the right node, whether it can send or not. Raises RailUnavailable."""
        sight = await self.look()
        if sight.pin is None:
            raise RailUnavailable(sight.says)
        return sight.pin

    async def look(self) -> Sight:
        """How it is, and whether it is the right one."""
        try:
            macaroon = self._credentials.macaroon()
            state = (await self._channel.call(calls.GET_STATE, pb.GetStateRequest())).state
            if state != pb.WALLET_SERVER_ACTIVE:
                known = _BEFORE_ACTIVE.get(state, (RailState.SYNCING, f"the node is in a state unknown here ({state})"))
                return Sight(status=RailStatus(state=known[0], detail=known[1]))
            return await self._active(macaroon)
        except NodeError as failed:
            return Sight(status=RailStatus(state=RailState.DOWN, detail=f"{self._config.address}: {failed}"))

    async def track(self, payment_hash: str) -> pb.Payment | None:
        """What the node shows of a payment now; None where it knows none of this hash. Raises RailUnavailable."""
        request = pb.TrackPaymentRequest(payment_hash=bytes.fromhex(payment_hash))
        try:
            shown = await self._channel.first(calls.TRACK_PAYMENT, request)
        except NodeError as failed:
            if failed.not_found:
                return None
            raise unavailable(failed) from None
        if shown is None:
            raise RailUnavailable("LND ended its answer before it gave one; ask again")
        return shown

    async def payments_after(self, index: int, *, at_most: int) -> pb.ListPaymentsResponse:
        """The node's payments after its number `index`, oldest first. Raises RailUnavailable."""
        request = pb.ListPaymentsRequest(
            include_incomplete=True, index_offset=index, max_payments=at_most, omit_hops=True
        )
        try:
            return await self._channel.call(calls.LIST_PAYMENTS, request)
        except NodeError as failed:
            raise unavailable(failed) from None

    async def newest_paid(self) -> int:
        """The number of the last payment that succeeded by the node's records; 0 where none did. Raises NodeError."""
        request = pb.ListPaymentsRequest(include_incomplete=False, max_payments=1, reversed=True, omit_hops=True)
        listed = await self._channel.call(calls.LIST_PAYMENTS, request)
        return max((each.payment_index for each in listed.payments), default=0)

    async def _active(self, macaroon: Macaroon) -> Sight:
        warnings = tuple(_warnings(macaroon, self._clock.now_ms()))
        lacking = ", ".join(path.rpartition("/")[2] for path in macaroon.lacking())
        if lacking:
            detail = f"the macaroon does not allow {lacking}: bake one as the plugin's README says"
            return Sight(status=RailStatus(state=RailState.DOWN, detail=detail, warnings=warnings))
        info = await self._channel.call(calls.GET_INFO, pb.GetInfoRequest())
        status = RailStatus(
            state=RailState.READY,
            detail=f"LND {info.version.partition(' ')[0]} at block {info.block_height}",
            identity=info.identity_pubkey,
            warnings=warnings,
        )
        wrong = self._wrong_network(info)
        pin = None if wrong else await self._pinned(info)
        wrong = wrong or self._wrong_node(info, pin)
        if wrong or pin is None:
            return Sight(status=replace(status, state=RailState.WRONG_NODE, detail=wrong))
        lost = pin.trouble or _lost(pin, await self.newest_paid())
        if lost:
            return Sight(status=replace(status, state=RailState.ROLLED_BACK, detail=lost), pin=pin)
        if not info.synced_to_chain:
            detail = f"the node is not synced to the chain, at block {info.block_height}"
            return Sight(status=replace(status, state=RailState.SYNCING, detail=detail), pin=pin)
        return Sight(status=status, pin=pin)

    async def _pinned(self, info: pb.GetInfoResponse) -> Pin:
        """The pin; taken now, where it is the first node, and the one the configuration names if it names one."""
        pin = await self._pins.read()
        if pin is None and self._config.node_pubkey in (None, info.identity_pubkey):
            pin = await self._pins.take(Pin(node=info.identity_pubkey, since_ms=self._clock.now_ms()))
        return pin or Pin(node="", since_ms=0)

    def _wrong_network(self, info: pb.GetInfoResponse) -> str:
        names = [chain.network for chain in info.chains] or ["unknown"]
        if all(_NETWORKS.get(name) is self._config.network for name in names):
            return ""
        return f"the node is on {', '.join(names)}, and `network` is {self._config.network}: correct the configuration"

    def _wrong_node(self, info: pb.GetInfoResponse, pin: Pin | None) -> str:
        seen, said = info.identity_pubkey, self._config.node_pubkey
        if said is not None and said != seen:
            return f"the node is {seen}, and `node_pubkey` names {said}: nothing is sent from another node"
        if pin is not None and pin.node != seen:
            return (
                f"the node is {seen}, and the money is booked at {pin.node}. If that is meant: "
                "`arbstr plugin run wallet_lnd accept-node`"
            )
        return ""


def unavailable(failed: NodeError) -> RailUnavailable:
    """What to raise for a call that got no answer."""
    return RailUnavailable(f"LND cannot be asked: {failed}")


def _lost(pin: Pin, newest: int) -> str:
    if newest >= pin.paid_index:
        return ""
    return (
        f"the node's last successful payment is its number {newest}, and number {pin.paid_index} was seen: its records "
        "were rolled back or deleted. Once that is understood: `arbstr plugin run wallet_lnd accept-node`"
    )


def _warnings(macaroon: Macaroon, now_ms: int) -> list[str]:
    warnings = []
    if excess := macaroon.excess():
        shown = ", ".join(excess[:8]) + (", ..." if len(excess) > 8 else "")
        warnings.append(
            f"the macaroon may do more than this rail needs ({shown}): bake one as the plugin's README says"
        )
    expires_ms = macaroon.expires_ms()
    if expires_ms is not None and expires_ms < now_ms + _SOON_MS:
        hours = (expires_ms - now_ms) // 3_600_000
        warnings.append("the macaroon has expired" if hours < 0 else f"the macaroon expires in {hours} hours")
    return warnings
