"""The operator's command: `nodes` asks every node now, and says what it is and how busy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from arbstr_core.api import ArbstrError, Command, Tools
from arbstr_providers_mesh._config import Config, Node
from arbstr_providers_mesh._provider import NodeProvider, speaks

_SECONDS = 10


def commands(config: Config, tools: Tools) -> Iterable[Command]:
    """It also runs where no server does."""

    async def nodes(_: Mapping[str, str]) -> Any:
        return await asyncio.gather(*(_asked(name, node, tools) for name, node in config.nodes.items()))

    return [Command(name="nodes", help="Every node: what runs there, its models, how busy.", run=nodes, offline=True)]


async def _asked(name: str, node: Node, tools: Tools) -> dict[str, Any]:
    said: dict[str, Any] = {"node": name, "url": node.url, "up": False}
    key = tools.secret(node.key) if node.key else None
    if node.key is not None and key is None:
        return {**said, "error": f"its key {node.key.ref} is not set"}
    provider = NodeProvider(name, node, tools, key=key)
    try:
        async with asyncio.timeout(_SECONDS):
            offers = await provider.offers()
    except (ArbstrError, httpx.HTTPError, TimeoutError) as failed:
        return {**said, "error": str(failed) or "no answer in time: start it, or correct its url"}
    models = [
        {
            "model": offer.model,
            "context": offer.context_window,
            "features": sorted(offer.features),
            "endpoints": speaks(offer.endpoints),
        }
        for offer in offers
    ]
    return {**said, "up": True, **provider.says(), "models": models, "remarks": dict(provider.remarks())}
