"""Owns one node at run time: what it serves, what each of its models can do, and how busy it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from arbstr_core.api import ALL_FEATURES, ArbstrError, Endpoint, Offer, OpenAIProvider, Secret, Tools
from arbstr_providers_mesh._config import STEM, Node
from arbstr_providers_mesh._kinds import (
    Facts,
    Kind,
    Load,
    kind_of,
    listed_facts,
    llama_cpp_facts,
    llama_cpp_load,
    names,
    ollama_facts,
    ollama_windows,
    vllm_load,
)

MOST_MODELS = 300
_SECONDS = 4
"""for what a node says beside its list; the list itself has the market's own bound"""
_AT_ONCE = 8


class NodeProvider(OpenAIProvider):
    """`providers_mesh.<node>`."""

    def __init__(self, name: str, node: Node, tools: Tools, *, key: Secret | None = None) -> None:
        super().__init__(f"{STEM}.{name}", node.url, tools, key=key)
        self.node = node
        self.kind = node.kind
        self.load = Load()
        self._remarks: dict[str, str] = {}
        self._shown: dict[str, Any] = {}

    async def offers(self) -> Sequence[Offer]:
        """What it lists now. Raises where it gives no list: the last one then ages, and its models go with it."""
        rows = await self.listed_rows()
        self._remarks = {}
        self.kind = self.node.kind or kind_of(rows)
        served = names(self.kind, rows)
        if len(served) > MOST_MODELS:
            self._remarks["models"] = f"it lists {len(served)} models; the first {MOST_MODELS} are offered"
            served = served[:MOST_MODELS]
        if self.node.models is not None:
            missing = sorted(self.node.models.difference(served))
            if missing:
                self._remarks["models"] = f"it does not serve {', '.join(missing)} now"
            served = [name for name in served if name in self.node.models]
        facts = {row["id"]: listed_facts(self.kind, row) for row in rows}
        facts |= await self._more(served)
        return [self._offer(name, facts[name]) for name in served]

    def remarks(self) -> Mapping[str, str]:
        """What its list lacks."""
        return self._remarks

    # What only some servers say

    async def _more(self, served: list[str]) -> Mapping[str, Facts]:
        """What it says of its models elsewhere than in its list; looks at its load as well."""
        self.load = Load()
        match self.kind:
            case Kind.OLLAMA:
                return await self._of_ollama(served)
            case Kind.LLAMA_CPP:
                props, slots = await asyncio.gather(self._json("GET", "props"), self._json("GET", "slots"))
                said, places = llama_cpp_facts(props)
                self.load = llama_cpp_load(slots, places)
                # A server of one model is asked about that one; a router of several has other windows for each.
                return {served[0]: said} if len(served) == 1 and said.context else {}
            case Kind.VLLM:
                metrics = await self._answer("GET", "metrics")
                self.load = vllm_load(metrics.text if metrics is not None else "")
        return {}

    async def _of_ollama(self, served: list[str]) -> Mapping[str, Facts]:
        windows = ollama_windows(await self._json("GET", "api/ps"))
        places = asyncio.Semaphore(_AT_ONCE)

        async def show(name: str) -> None:
            async with places:
                shown = await self._json("POST", "api/show", {"model": name})
                if shown is not None:
                    self._shown[name] = shown.get("capabilities") if isinstance(shown, dict) else None

        await asyncio.gather(*(show(name) for name in served if name not in self._shown))
        self._shown = {name: said for name, said in self._shown.items() if name in served}
        return {
            name: ollama_facts({"capabilities": self._shown.get(name)}, windows.get(name, self.node.context))
            for name in served
        }

    async def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What it answers beside its API; None for anything but JSON."""
        answer = await self._answer(method, path, body)
        if answer is None:
            return None
        try:
            return answer.json()
        except (ValueError, RecursionError):
            return None

    async def _answer(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response | None:
        """An answer with 200 in time, or None: none of this is needed to sell a model."""
        headers = {"authorization": f"Bearer {self.key.reveal()}"} if self.key else {}
        root = self.url.removesuffix("/v1")
        try:
            async with asyncio.timeout(_SECONDS):
                answer = await self.tools.http.request(method, f"{root}/{path}", headers=headers, json=body)
        except (httpx.HTTPError, ArbstrError, TimeoutError) as failed:
            self.tools.log.debug("%s: %s %s: %s", self.name, method, path, type(failed).__name__)
            return None
        return answer if answer.status_code == 200 else None

    def _offer(self, model: str, facts: Facts) -> Offer:
        node = self.node
        return Offer(
            provider=self.name,
            model=model,
            upstream=model,
            price=node.price,
            tier=node.tier,
            seller=node.seller,
            endpoints=node.endpoints or facts.endpoints,
            features=ALL_FEATURES if facts.features is None else facts.features,
            context_window=_least(facts.context, node.context),
            max_output_tokens=node.max_output_tokens,
            max_concurrent=node.max_concurrent or self.load.places,
            withheld=self._withheld(),
        )

    def _withheld(self) -> str:
        """Why nothing is sent there now: others have it busy."""
        waiting, most = self.load.waiting, self.node.max_waiting
        if waiting is None or most is None or waiting <= most:
            return ""
        return f"{waiting} calls wait there already, more than max_waiting = {most}"

    def says(self) -> dict[str, Any]:
        """The node as its command shows it."""
        load = {"running": self.load.running, "waiting": self.load.waiting, "places": self.load.places}
        return {"kind": None if self.kind is None else self.kind.value, **load}


def _least(said: int | None, written: int | None) -> int | None:
    """The smaller window: what the server has, and what the operator lets be used of it."""
    return min((size for size in (said, written) if size is not None), default=None)


def speaks(endpoints: frozenset[Endpoint]) -> list[str]:
    """For people: what an offer speaks."""
    return sorted(endpoint.value for endpoint in endpoints)
