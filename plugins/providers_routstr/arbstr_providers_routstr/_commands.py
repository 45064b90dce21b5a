"""Owns the operator's commands: how nodes are, money there and back, and whether their word holds.

A command may run in another process than the provider: what it wants is written down in the store, and done by the
provider that serves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from arbstr_core.api import Amount, BadRequest, Command, Param, ProviderError, Tools
from arbstr_providers_routstr._catalogue import read_catalogue
from arbstr_providers_routstr._config import SAT, Config, node_name, node_url
from arbstr_providers_routstr._node_api import NodeApi
from arbstr_providers_routstr._records import NODE, NodeRecord, scan, wish

Given = Mapping[str, str]
_NODE = Param(name="node", help="the node, as `nodes` names it", required=True)


def commands(config: Config, tools: Tools) -> Sequence[Command]:
    """All of them."""
    desk = _Desk(config, tools)
    return [
        Command(name="nodes", help="what lies at each node, and whose word broke", run=desk.nodes, offline=True),
        Command(
            name="fund",
            help="have so much at a node, though no call has asked for it yet",
            run=desk.fund,
            params=(_NODE, Param(name="amount", help='how much, such as "200 sat"', required=True)),
        ),
        Command(
            name="sweep",
            help="take everything back from a node, or from all",
            run=desk.sweep,
            params=(Param(name="node", help="the node; all of them without"),),
        ),
        Command(
            name="give-up",
            help="claim what lies at a node that is gone for good",
            run=desk.give_up,
            params=(_NODE,),
        ),
        Command(
            name="forget",
            help="tell no more of what was claimed from a node, once it is written off",
            run=desk.forget,
            params=(_NODE,),
        ),
        Command(
            name="verify",
            help="ask nodes what they have of ours, and compare",
            run=desk.verify,
            params=(
                Param(name="node", help="the node; all of them without"),
                Param(name="forgive", help="`yes`: buy again where a word was broken"),
            ),
        ),
    ]


class _Desk:
    def __init__(self, config: Config, tools: Tools) -> None:
        self._config = config
        self._tools = tools

    async def nodes(self, given: Given) -> Any:
        """Every node of the configuration, and every other with which we have, or had, to do."""
        records = await self._records()
        listed = {node_name(url) for url in self._config.nodes}
        return [
            {
                "node": name,
                "url": record.url,
                "configured": name in listed,
                "funded": bool(record.key),
                "balance_msat": record.balance_msat,
                "used_ms": record.used_ms,
                "calls": sum(of.calls for of in record.word.models.values()),
                "broken": record.word.broken,
                "claims": msgspec.to_builtins(record.claims),
            }
            for name, record in sorted(records.items())
        ]

    async def fund(self, given: Given) -> Any:
        """Wish for money there; the server brings it, within the caps."""
        name = await self._named(given["node"])
        try:
            amount = Amount.from_config(given["amount"])
        except ValueError as bad:
            raise BadRequest(str(bad), param="amount") from None
        if not SAT <= amount.msat <= self._config.cap.msat:
            raise BadRequest(f"--amount is from 1 sat to {self._config.cap.msat} msat, the cap", param="amount")
        broken = (await self._records())[name].word.broken
        if broken:
            again = f"`verify --node {name} --forgive yes` buys there again"
            raise BadRequest(f"nothing is brought to {name}: {broken}; {again}", param="node")
        await wish(self._tools.store, name, fund_msat=amount.msat, sweep=False)
        return {"node": name, "wanted_msat": amount.msat}

    async def sweep(self, given: Given) -> Any:
        """Wish for what is there; the server takes it back, once no call is open there."""
        names = [await self._named(given["node"])] if given["node"] else sorted(await self._records())
        for name in names:
            await wish(self._tools.store, name, sweep=True, fund_msat=0)
        return {"nodes": names}

    async def give_up(self, given: Given) -> Any:
        """Wish for a claim of what lies there; the server makes it, once nothing is under way there."""
        name = await self._named(given["node"])
        record = (await self._records())[name]
        if record.pocket or record.out or record.change:
            what = f"what is kept for {name} are tokens, which lie here"
            raise BadRequest(f"{what}: `sweep --node {name}` takes them back", param="node")
        if not record.key:
            raise BadRequest(f"nothing of ours lies at {name}; `nodes` shows what lies where", param="node")
        await wish(self._tools.store, name, give_up=True)
        return {"node": name, "balance_msat": record.balance_msat}

    async def forget(self, given: Given) -> Any:
        """Wish for its claims of now to be told of no more."""
        name = await self._named(given["node"])
        claims = (await self._records())[name].claims
        if not claims:
            raise BadRequest(f"nothing is claimed from {name}; `nodes` shows what is claimed", param="node")
        await wish(self._tools.store, name, forget=tuple(claim.id for claim in claims))
        return {"node": name, "forgotten": msgspec.to_builtins(claims)}

    async def verify(self, given: Given) -> Any:
        """What nodes say, beside what is written down here."""
        records = await self._records()
        names = [await self._named(given["node"])] if given["node"] else sorted(records)
        if not re.fullmatch(r"(yes)?", given["forgive"]):
            raise BadRequest(f"--forgive is {given['forgive']!r}; leave it out, or say yes", param="forgive")
        if given["forgive"]:
            for name in names:
                await wish(self._tools.store, name, forgive=True)
        return [await self._verified(name, records[name]) for name in names]

    async def _verified(self, name: str, record: NodeRecord) -> dict[str, Any]:
        api = NodeApi(self._tools, node_url(record.url))
        found: dict[str, Any] = {"node": name, "balance_msat": record.balance_msat}
        try:
            catalogue = await read_catalogue(api, self._tools.clock.now_ms())
            found |= {"version": catalogue.version, "models": len(catalogue.models), "mints": list(catalogue.mints)}
            if record.key:
                held = await api.held(record.key)
                said = held.balance + held.reserved
                found |= {"node_says_msat": said, "reserved_msat": held.reserved}
                found |= {"differs_msat": said - record.balance_msat}
        except ProviderError as failed:
            found["problem"] = str(failed)
        return found

    async def _records(self) -> dict[str, NodeRecord]:
        kept = await scan(self._tools.store, NODE, NodeRecord)
        return {node_name(url): NodeRecord(url=node_url(url)) for url in self._config.nodes} | kept

    async def _named(self, name: str) -> str:
        known = await self._records()
        if name not in known:
            raise BadRequest(f"there is no node {name!r}; `nodes` lists those that there are", param="node")
        return name
