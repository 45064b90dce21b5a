"""Owns the provider: the nodes, their offers, and each call from setting its money aside to checking what it took."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from arbstr_core.api import (
    ArbstrError,
    Bolt11Request,
    ConnectFailed,
    Credited,
    EcashRequest,
    Feature,
    FundingDenied,
    LimitField,
    Msat,
    MsatPrice,
    NodeFunds,
    NotFunded,
    Offer,
    Outbound,
    Prepaid,
    ProviderError,
    RailUnavailable,
    Reply,
    Secret,
    Swept,
    Tools,
)
from arbstr_providers_routstr._balances import Balances
from arbstr_providers_routstr._calls import Asked, read
from arbstr_providers_routstr._catalogue import Model, read_catalogue
from arbstr_providers_routstr._config import STEM, Config, node_name, node_url
from arbstr_providers_routstr._directory import Directory
from arbstr_providers_routstr._moving import Moving
from arbstr_providers_routstr._node import Node, overpriced
from arbstr_providers_routstr._node_api import NodeRefused, refusal
from arbstr_providers_routstr._private import PrivateNode
from arbstr_providers_routstr._records import NODE, WISH, NodeRecord, Wish, scan
from arbstr_providers_routstr._replies import NodeReply, Said
from arbstr_providers_routstr._weighing import Weighing
from arbstr_providers_routstr._word import Word

_AT_A_TIME = 16
_KEEP_SECONDS = 1.0
_READ_SECONDS = 6.0
_ANSWER_SECONDS = 8.0
"""for all of them together: nodes of strangers that hang take no time from those that answer"""
_MOST_REFUSED_BYTES = 64 * 1024
_FEATURES = frozenset({Feature.TOOLS, Feature.JSON})


class RoutstrProvider(Prepaid):
    """`providers_routstr`."""

    def __init__(self, config: Config, tools: Tools) -> None:
        self.name = STEM
        self.network = config.network
        self.config = config
        self.tools = tools
        self.moving = Moving(config, tools)
        self.balances = Balances(tools)
        self.directory = Directory(config, tools)
        self.nodes: dict[str, Node] = {}
        self.weighing = Weighing(config, tools, self.nodes)
        self._loaded = asyncio.Lock()

    async def start(self) -> None:
        """Read what was kept, and begin to look after it."""
        await self._load()
        self.tools.tasks.spawn("nodes", self._keep())

    async def aclose(self) -> None:
        """Keep what is not kept yet."""
        for node in self.nodes.values():
            try:
                if node.unsaved:
                    await node.save()
            except ArbstrError as broken:
                self.tools.log.warning("%s is asked again after a start: %s", node.name, broken)

    async def _load(self) -> None:
        """The nodes of the configuration, and those where we have, or had, money."""
        async with self._loaded:
            if self.nodes:
                return
            kept = await scan(self.tools.store, NODE, NodeRecord)
            listed = {**await self.directory.load(), **{node_name(url): node_url(url) for url in self.config.nodes}}
            for name in sorted(kept.keys() | listed.keys()):
                record = kept.get(name) or NodeRecord(url=listed[name])
                record.url = listed.get(name, record.url)
                self.nodes[name] = self._node(name, record, listed=name in listed)
            await self.moving.load(self.nodes)

    def _node(self, name: str, record: NodeRecord, *, listed: bool) -> Node:
        """A node, paid as the configuration says; one where money of the other kind lies is emptied first."""
        pocket = bool(record.pocket or record.out or record.change)
        private = pocket or (self.config.privacy and not record.key)
        kind = PrivateNode if private else Node
        return kind(name, record, self.config, self.tools, listed=listed and private is self.config.privacy)

    # -- what is on offer -----------------------------------------------------------------------------------------

    async def offers(self) -> Sequence[Offer]:
        """What the nodes sell, by what they said last."""
        await self._load()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                if self.directory.due and not self.directory.asked_ms:
                    # A relay that hangs takes no time from nodes that are known.
                    await asyncio.gather(self._find(), self._look_at_all())
                await self._look_at_all()
        return [self._offer(node, model) for node in self.nodes.values() for model in self._models(node)]

    async def _look_at_all(self) -> None:
        """Read the lists that are due. Whoever was not asked in time is the first the next time."""
        now_ms, turns = self.tools.clock.now_ms(), asyncio.Semaphore(_AT_A_TIME)
        since = now_ms - self.config.poll_seconds * 1000
        due = [node for node in self.nodes.values() if node.listed and node.asked_ms <= since]
        await asyncio.gather(*(self._look(node, turns) for node in sorted(due, key=lambda node: node.asked_ms)))

    async def _find(self) -> None:
        """Ask which nodes there are; those that are not among them any more are emptied."""
        found = await self.directory.refresh()
        own = {node_name(url) for url in self.config.nodes}
        for name, url in found.items():
            if name not in self.nodes:
                self.nodes[name] = self._node(name, NodeRecord(url=url), listed=True)
        for name, node in self.nodes.items():
            node.listed = name in own or name in found

    async def _look(self, node: Node, turns: asyncio.Semaphore) -> None:
        """Read a node's list again; where it does not say, its last one stays, with its age."""
        async with turns:
            before, now_ms = node.asked_ms, self.tools.clock.now_ms()
            node.asked_ms = now_ms
            try:
                async with asyncio.timeout(_READ_SECONDS):
                    node.catalogue = await read_catalogue(node.api, now_ms)
            except asyncio.CancelledError:
                node.asked_ms = before
                raise
            except (ProviderError, TimeoutError) as failed:
                node.failing_ms = node.failing_ms if node.failing else now_ms
                node.failing = str(failed) or f"no answer within {_READ_SECONDS:g} s"
                return
        node.failing = ""

    def _models(self, node: Node) -> Sequence[Model]:
        return node.catalogue.models if node.listed and node.catalogue is not None else ()

    def _offer(self, node: Node, model: Model) -> Offer:
        catalogue = node.catalogue
        assert catalogue is not None, "what has models has a catalogue"
        broken = node.record.word.broken
        return Offer(
            provider=self.name,
            node=node.name,
            model=model.id,
            upstream=model.id,
            price=model.price,
            features=_FEATURES | ({Feature.VISION} if model.vision else set()),
            context_window=model.context,
            max_output_tokens=model.max_output,
            limit_field=LimitField.MAX_TOKENS,
            tier=self.config.tier_of(model.id),
            hidden_reasoning=self.config.hides(model.id),
            canonical=model.canonical if model.canonical != model.id else "",
            as_of_ms=catalogue.as_of_ms,
            prepaid=self.network,
            withheld=f"{node.name}: {broken}" if broken else model.wrong,
            reputation=self.weighing.reputation(node, model.id),
        )

    def remarks(self) -> Mapping[str, str]:
        """Which nodes do not answer, or have broken their word."""
        said = dict(self.directory.remarks())
        said |= {node.name: node.failing for node in self.nodes.values() if node.listed and node.failing}
        return said | {node.name: node.record.word.broken for node in self.nodes.values() if node.record.word.broken}

    # -- calls ----------------------------------------------------------------------------------------------------

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        """Send a call with the money for it set aside; what a node would refuse for want of money is not sent."""
        await self._load()
        node = self.nodes.get(offer.node)
        if node is None:
            raise ConnectFailed(f"{offer.node} is no node any more")
        asked = read(call.body, offer)
        self._as_quoted(node, offer)
        id = await self._take(node, asked, wait=not call.others)
        if isinstance(node, PrivateNode):
            return await self._open_private(node, id, call, offer, asked)
        key = Secret(node.record.key)
        try:
            reply = await self.tools.upstream.send(call.to(f"{node_url(node.record.url)}/v1/{call.endpoint}", key))
        except BaseException:
            # It may have been served all the same, and billed.
            node.give(asked.need, None)
            raise
        kept = NodeReply(reply, partial(self._ended, node, offer, asked, reply.status))
        await self._answered(node, offer, kept)
        return kept

    async def _open_private(self, node: PrivateNode, id: str, call: Outbound, offer: Offer, asked: Asked) -> Reply:
        """Send a call with a token of its own, and write down what comes back before anything is read."""
        token = node.record.out[id].token
        try:
            await node.save()
        except BaseException:
            node.came_back(id, token)
            node.over(id, None)
            raise
        headers = {**call.headers, "x-cashu": token}
        sent = msgspec.structs.replace(call, headers=headers, url=f"{node_url(node.record.url)}/v1/{call.endpoint}")
        try:
            reply = await self.tools.upstream.send(sent)
        except BaseException:
            node.over(id, None)
            raise
        kept = NodeReply(reply, partial(self._over, node, id, offer, asked, reply.status))
        change = reply.headers.get("x-cashu")
        if change:
            node.came_back(id, change)
            try:
                await node.save()
            except BaseException as broken:
                if not isinstance(broken, ArbstrError):
                    await kept.aclose()
                    raise
                # It is written down later; after a crash before that it is asked for.
                self.tools.log.warning("%s: its change is not written down yet: %s", node.name, broken)
        await self._answered(node, offer, kept)
        return kept

    def _over(self, node: PrivateNode, id: str, offer: Offer, asked: Asked, status: int, said: Said) -> None:
        node.over(id, said.cost_msat if status == 200 else None)
        if status == 200:
            self.weighing.weigh(node, offer, asked, said)

    def _as_quoted(self, node: Node, offer: Offer) -> None:
        """A price that was raised since it was quoted is not paid, nor a node whose word has broken since. Raises
        ProviderError."""
        if node.record.word.broken:
            raise ProviderError(f"{node.name}: {node.record.word.broken}")
        now = node.catalogue.price_of(offer.model) if node.catalogue else None
        quoted = offer.price
        assert isinstance(quoted, MsatPrice), "what is sold here has a price in msat"
        if now is not None and (now.input > quoted.input or now.output > quoted.output):
            raise ProviderError(f"{node.name} asks more for {offer.model} now than was quoted")

    async def _take(self, node: Node, asked: Asked, *, wait: bool) -> str:
        until = self.tools.clock.monotonic() + self.config.wait_seconds
        while True:
            try:
                return node.take(asked.need)
            except NotFunded:
                left = until - self.tools.clock.monotonic()
                if not wait or left <= 0 or asked.need > self.config.cap.msat:
                    raise
                await node.more(left)

    async def _answered(self, node: Node, offer: Offer, reply: NodeReply) -> None:
        """What is no answer to the caller goes elsewhere. Raises ProviderError."""
        if reply.status == 402:
            await self._short(node, reply)
        if reply.status != 400:
            return
        try:
            said = refusal(400, await reply.read(_MOST_REFUSED_BYTES))
        except BaseException:
            await reply.aclose()
            raise
        if isinstance(said, NodeRefused) and said.not_the_callers:
            await reply.aclose()
            node.asked_ms = 0  # its list is read again
            raise ProviderError(f"{node.name} does not sell {offer.model} now: {said}")

    async def _short(self, node: Node, reply: NodeReply) -> None:
        """The node says that too little is there: it is asked what, and the call goes elsewhere. Raises NotFunded."""
        node.stale = node.thirsty = True
        try:
            await reply.read(_MOST_REFUSED_BYTES)
        finally:
            await reply.aclose()
        raise NotFunded(f"{node.name} says that too little money is there")

    def _ended(self, node: Node, offer: Offer, asked: Asked, status: int, said: Said) -> None:
        """A call is over: what it took is off the balance, and the node's word is weighed."""
        if status != 200:
            node.give(asked.need, 0)
            node.stale = True
            return
        cost = said.cost_msat
        if cost is None and said.whole and said.usage is None:
            cost = 0
        node.give(asked.need, cost)
        if said.remaining_msat is None:
            node.stale = True  # what it took, it says when it is asked
        if said.remaining_msat is not None and not node.open_calls and cost is not None:
            self._compare(node, said.remaining_msat)
        self.weighing.weigh(node, offer, asked, said)

    def _compare(self, node: Node, remaining: int) -> None:
        """What a node says is left, while nothing else is open there."""
        if remaining != node.record.balance_msat:
            node.stale = True

    # -- money ----------------------------------------------------------------------------------------------------

    async def funds(self) -> Sequence[NodeFunds]:
        """What is at each node, from memory."""
        await self._load()
        now_ms = self.tools.clock.now_ms()
        await self._read_wishes()
        there = sum(node.record.balance_msat + node.pending for node in self.nodes.values())
        left = max(0, self.config.cap_all.msat - there)
        found = []
        for node in self.nodes.values():
            record = node.record
            ours = record.key or record.balance_msat or record.claims or node.sweeping or node.funding
            if not (ours or node.listed):
                continue
            dear = overpriced(node, self.nodes.values(), self.config.overpriced)
            funds = node.funds(now_ms, left, overpriced=dear)
            left = max(0, left - max(0, funds.wanted_msat - funds.balance_msat))
            found.append(funds)
        return found

    async def _read_wishes(self) -> None:
        """What an operator has asked for since, by a command: once each. One that comes meanwhile stays for later."""
        for key, kept in (await self.tools.store.scan(WISH)).items():
            wish, node = msgspec.json.decode(kept, type=Wish), self.nodes.get(key.removeprefix(WISH))
            if node is not None:
                if wish.fund_msat or wish.sweep:
                    node.wish_msat, node.wish_sweep = wish.fund_msat, wish.sweep
                if wish.forgive:
                    node.record.word, node.unsaved = Word(), True
                if wish.forget:
                    left = [claim for claim in node.record.claims if claim.id not in wish.forget]
                    node.record.claims, node.unsaved = left, True
                if wish.give_up:
                    # What is under way there may take longer than this process lives.
                    node.record.giving_up = True
                    await node.save()
            await self.tools.store.put({key: None}, where={key: kept})

    async def funding(
        self, node: str, amount: Msat, *, key: str, bolt11: bool, mints: Sequence[str]
    ) -> Bolt11Request | EcashRequest:
        """An invoice of the node, or the mints whose tokens it takes, in the configured order."""
        return await self.moving.ask(await self._found(node), amount, key, bolt11=bolt11, mints=tuple(mints))

    async def funded(self, node: str, proof: str, *, key: str) -> Credited | FundingDenied:
        """Hand a token in, or ask about an invoice that was paid."""
        return await self.moving.hand_over(await self._found(node), proof, key)

    async def sweep(self, node: str, *, key: str) -> Swept | None:
        """Take everything back."""
        return await self.moving.sweep(await self._found(node), key)

    async def done(self, node: str, *, key: str) -> None:
        """Forget what was written down for `key`."""
        await self.moving.done(await self._found(node), key)

    async def _found(self, name: str) -> Node:
        await self._load()
        node = self.nodes.get(name)
        if node is None:
            raise RailUnavailable(f"{name} is no node that is known here")
        return node

    async def _keep(self) -> None:
        """Ask for balances that are not certain, and write down what changed; for ever."""
        while True:
            try:
                await self.tend()
            except ArbstrError as broken:
                self.tools.log.warning("nodes are looked after later: %s", broken)
            await self.tools.clock.sleep(_KEEP_SECONDS)

    async def tend(self) -> None:
        """The same, once. A node that does not answer holds up no other."""
        if self.directory.due:
            await self._find()
        await asyncio.gather(*map(self._look_after, tuple(self.nodes.values())))

    async def _look_after(self, node: Node) -> None:
        node.give_up(self.tools.clock.now_ms())
        if self.balances.due(node):
            await self.balances.ask(node)
        if isinstance(node, PrivateNode):
            await node.chase()
        if node.unsaved:
            await node.save()
