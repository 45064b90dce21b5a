"""Owns how money comes to a node and back: each step written down before it is done, and gone on with by its key."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from arbstr_core.api import (
    Bolt11Request,
    Credited,
    EcashRequest,
    FundingDenied,
    Msat,
    ProviderError,
    RailUnavailable,
    Store,
    Swept,
    Tools,
)
from arbstr_providers_routstr._config import SAT, Config, Way
from arbstr_providers_routstr._node import GIVEN_UP, WORTH_SWEEPING, Node
from arbstr_providers_routstr._node_api import Held, InvoiceStatus, NodeRefused, NodeSilent
from arbstr_providers_routstr._private import PrivateNode
from arbstr_providers_routstr._records import (
    FUND,
    NODE,
    SWEEP,
    Coin,
    FundRecord,
    SweepRecord,
    digest,
    read,
    scan,
    write,
)

_DENIED_AFTER_MS = 24 * 3600 * 1000
_FOR_GOOD = frozenset({400, 401, 402, 403, 404, 409, 410, 413, 422})


class Moving:
    """See the module."""

    def __init__(self, config: Config, tools: Tools) -> None:
        self._config = config
        self._tools = tools

    @property
    def _store(self) -> Store:
        return self._tools.store

    async def load(self, nodes: Mapping[str, Node]) -> None:
        """What is under way since before a restart."""
        for key, fund in (await scan(self._store, FUND, FundRecord)).items():
            if fund.node in nodes:
                nodes[fund.node].funding = key
                nodes[fund.node].pending = 0 if fund.over else fund.amount_msat
                nodes[fund.node].unbooked = fund.credited_msat or 0
        for key, sweep in (await scan(self._store, SWEEP, SweepRecord)).items():
            if sweep.node in nodes:
                nodes[sweep.node].sweeping = key

    async def done(self, node: Node, key: str) -> None:
        """The kernel is done with it."""
        await self._store.put({FUND + key: None, SWEEP + key: None})
        if node.funding == key:
            node.funding, node.pending, node.unbooked = "", 0, 0
        if node.sweeping == key:
            node.sweeping = ""
        node.changed()

    async def ask(
        self, node: Node, amount: Msat, key: str, *, bolt11: bool, mints: tuple[str, ...]
    ) -> Bolt11Request | EcashRequest:
        """In the first of the configured ways that we and the node have."""
        known = await read(self._store, FUND + key, FundRecord)
        if known is None:
            if node.funding or node.sweeping:
                raise RailUnavailable(f"{node.name}: {node.funding or node.sweeping} is under way")
            known = await self._first_way(node, amount, bolt11=bolt11, mints=mints)
            # With the node: whoever lists it no more has money on its way there all the same.
            encode = msgspec.json.encode
            await self._store.put({FUND + key: encode(known), NODE + node.name: encode(node.record)})
            node.funding, node.pending = key, amount
        if known.bolt11:
            return Bolt11Request(text=known.bolt11)
        return EcashRequest(mints=self._common(node, mints), amount_msat=Msat(known.amount_msat))

    async def _first_way(self, node: Node, amount: Msat, *, bolt11: bool, mints: tuple[str, ...]) -> FundRecord:
        if amount <= 0 or amount % SAT:
            raise RailUnavailable(f"{node.name} takes whole sats, and {amount} msat are none")
        record = FundRecord(node=node.name, amount_msat=amount, began_ms=self._tools.clock.now_ms())
        why = []
        for way in (Way.ECASH,) if isinstance(node, PrivateNode) else self._config.pay:
            if way is Way.ECASH:
                if self._common(node, mints):
                    return record
                why.append("there is no ecash of a mint that it takes")
            elif bolt11:
                try:
                    made = await node.api.invoice(amount // SAT, node.record.key or None)
                except ProviderError as failed:
                    why.append(f"it makes no invoice: {failed}")
                    continue
                return msgspec.structs.replace(record, invoice_id=made.invoice_id, bolt11=made.bolt11)
            else:
                why.append("no rail here pays invoices")
        raise RailUnavailable(f"{node.name} cannot be paid: {'; '.join(why)}")

    def _common(self, node: Node, mints: tuple[str, ...]) -> tuple[str, ...]:
        takes = {_plain(mint) for mint in (node.catalogue.mints if node.catalogue else ())}
        return tuple(mint for mint in mints if _plain(mint) in takes)

    async def hand_over(self, node: Node, proof: str, key: str) -> Credited | FundingDenied:
        """The money is there, or was sent; what the node made of it. Raises RailUnavailable while it does not say."""
        record = await read(self._store, FUND + key, FundRecord)
        if record is None:
            raise RailUnavailable(f"{node.name} was never asked for {key!r}")
        if not record.over:
            now_ms = self._tools.clock.now_ms()
            if not record.handed_ms:
                record.handed_ms = now_ms
                await write(self._store, FUND + key, record)
            try:
                if isinstance(node, PrivateNode):
                    self._keep(node, record, proof, key)
                elif record.bolt11:
                    await self._ask_about(node, record)
                else:
                    await self._hand_in(node, record, proof, key)
                if record.credited_msat is not None:
                    record.credited_msat = min(record.credited_msat, record.amount_msat)
            except NodeSilent as silent:
                if now_ms - record.handed_ms < _DENIED_AFTER_MS and not node.record.giving_up:
                    raise RailUnavailable(f"{node.name}: {silent}") from None
                waited = "it was given up, and" if node.record.giving_up else "for a day it"
                record.denied = f"{waited} did not say what it made of our money: {silent}"
            await self._end(node, record, key)
        elif node.pending:
            # It was written down, and we did not hear of that.
            node.pending, node.unbooked, node.stale = 0, record.credited_msat or 0, True
        if record.denied:
            return FundingDenied(reason=f"{node.name}: {record.denied}", evidence=record.denied)
        return Credited(amount_msat=Msat(record.credited_msat or 0))

    async def _end(self, node: Node, record: FundRecord, key: str) -> None:
        more = 0 if isinstance(node, PrivateNode) else record.credited_msat or 0
        after = msgspec.structs.replace(node.record, balance_msat=node.record.balance_msat + more)
        encode = msgspec.json.encode
        await self._store.put({FUND + key: encode(record), NODE + node.name: encode(after)})
        node.record.balance_msat += more
        if record.credited_msat is not None:
            node.unbooked = record.credited_msat
            node.record.used_ms = self._tools.clock.now_ms()
            node.thirsty = False
            node.wish_msat = 0
            node.stale = bool(node.record.key)
        node.pending = 0

    def _keep(self, node: PrivateNode, record: FundRecord, token: str, key: str) -> None:
        """A token for calls to come: the node sees it with one of them."""
        record.credited_msat = record.amount_msat
        node.record.pocket[key] = Coin(token=token, msat=record.amount_msat)
        node.recount()

    async def _ask_about(self, node: Node, record: FundRecord) -> None:
        """Ask about an invoice that we paid. It is the node's to say so; for a day it may be late."""
        said = await self._invoice(node, record)
        if said.status == "paid" and said.api_key:
            if node.record.key and node.record.key != said.api_key:
                record.denied = "it credited our payment to another key than ours"
                return
            node.record.key = said.api_key
            record.credited_msat = record.amount_msat
        else:
            raise NodeSilent(f"of our payment it says {said.status[:40]!r}")

    async def _invoice(self, node: Node, record: FundRecord) -> InvoiceStatus:
        try:
            return await node.api.invoice_status(record.invoice_id)
        except NodeRefused:
            pass
        try:
            return await node.api.recover(record.bolt11)
        except NodeRefused as refused:
            return InvoiceStatus(status=str(refused))

    async def _hand_in(self, node: Node, record: FundRecord, token: str, key: str) -> None:
        """Open a balance with a token, which can be done again, or add it to ours, which cannot: then what the node
        says that it ever had of us tells whether it took it."""
        if not record.token:
            record.token = token
            if node.record.key:
                record.ever = (await self._held(node)).ever
            await write(self._store, FUND + key, record)
        try:
            if record.ever is None:
                node.record.key, record.credited_msat = await node.api.create(record.token)
            else:
                record.credited_msat = await node.api.top_up(node.record.key, record.token)
        except NodeRefused as refused:
            if record.ever is not None:
                gained = (await self._held(node)).ever - record.ever
                if gained > 0:
                    record.credited_msat = min(gained, record.amount_msat)
                    return
            if refused.status in _FOR_GOOD or "consumed" in refused.code:
                record.denied = f"{refused} ({refused.code})"
                return
            raise NodeSilent(str(refused)) from None

    async def _held(self, node: Node) -> Held:
        try:
            return await node.api.held(node.record.key)
        except NodeRefused as refused:
            raise NodeSilent(str(refused)) from None

    async def sweep(self, node: Node, key: str) -> Swept | None:
        """Take everything back. Raises RailUnavailable while the node does not give it, or calls are open there."""
        record = await read(self._store, SWEEP + key, SweepRecord)
        if record is None and isinstance(node, PrivateNode):
            record = await self._begin_private(node, key)
        elif record is None:
            record = await self._begin(node, key)
        if record is not None and not record.token:
            await self._take_back(node, record, key)
        if record is not None and record.token:
            self._gone(node, record.token)
        node.wish_sweep = node.wish_sweep and isinstance(node, PrivateNode) and bool(node.usable)
        if record is None or not record.token:
            node.sweeping = ""
            return None
        return Swept(token=record.token, token_msat=Msat(record.token_msat), balance_msat=Msat(record.balance_msat))

    def _gone(self, node: Node, token: str) -> None:
        """It is written down that this came back; what is at the node is less by that."""
        if isinstance(node, PrivateNode):
            node.let_go(token)
        else:
            node.record.swept, node.record.balance_msat = digest(token), 0

    async def _begin_private(self, node: PrivateNode, key: str) -> SweepRecord | None:
        """The next token that goes back to the wallet."""
        now_ms = self._tools.clock.now_ms()
        found = node.next_back(now_ms)
        if found is None:
            return None
        id, coin = found
        record = SweepRecord(node=node.name, balance_msat=coin.msat, began_ms=now_ms, token=coin.token)
        record.token_msat = coin.msat
        node.sweeping = key
        place = node.let_go(coin.token)
        encode = msgspec.json.encode
        try:
            await self._store.put({SWEEP + key: encode(record), NODE + node.name: encode(node.record)})
        except BaseException:
            # Not written down, it is where it was.
            place[id] = coin
            node.recount()
            raise
        return record

    async def _begin(self, node: Node, key: str) -> SweepRecord | None:
        """Write down what is there, from when on no call may use it; None where there is nothing worth it."""
        if node.open_calls or node.funding:
            raise RailUnavailable(
                f"{node.name}: {'calls are open there' if node.open_calls else 'money is on its way'}"
            )
        if not node.record.key:
            return None
        node.sweeping = key
        try:
            held = await node.api.held(node.record.key)
        except ProviderError as failed:
            node.sweeping = ""
            raise RailUnavailable(f"{node.name}: {failed}") from None
        if held.reserved:
            node.sweeping = ""
            raise RailUnavailable(f"{node.name}: it has set {held.reserved} msat aside for calls")
        if held.balance < WORTH_SWEEPING:
            return None
        now_ms = self._tools.clock.now_ms()
        record = SweepRecord(node=node.name, balance_msat=node.believed(held.balance), began_ms=now_ms)
        await write(self._store, SWEEP + key, record)
        return record

    async def _take_back(self, node: Node, record: SweepRecord, key: str) -> None:
        try:
            token, sats = await node.api.refund(node.record.key)
        except (NodeRefused, NodeSilent) as failed:
            asked_ms = self._tools.clock.now_ms() - record.began_ms
            denied = isinstance(failed, NodeRefused) and asked_ms >= _DENIED_AFTER_MS
            if not (denied or node.record.giving_up):
                raise RailUnavailable(f"{node.name}: {failed}") from None
            token, sats = "", 0
        encode = msgspec.json.encode
        if token and digest(token) != node.record.swept:
            record.token, record.token_msat = token, sats * SAT
            after = msgspec.structs.replace(node.record, swept=digest(token), balance_msat=0)
            await self._store.put({SWEEP + key: encode(record), NODE + node.name: encode(after)})
        else:
            # What it gives is nothing, or what it gave before: the balance is gone, and there is nothing for it.
            why = GIVEN_UP if node.record.giving_up else "it took our balance, and gave no token for it"
            node.claim(key, record.balance_msat, why)
            await self._store.put({SWEEP + key: None, NODE + node.name: encode(node.record)})


def _plain(mint: str) -> str:
    return mint.rstrip("/").lower()
