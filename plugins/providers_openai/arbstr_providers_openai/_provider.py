"""Owns one endpoint at run time: its offers, from rows and from its list of models."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from arbstr_core.api import (
    ArbstrError,
    Endpoint,
    Feature,
    KeyHeader,
    LimitField,
    Offer,
    OpenAIProvider,
    Secret,
    Tools,
    UsdPrice,
    price_of,
)
from arbstr_providers_openai._config import Instance, ModelRow
from arbstr_providers_openai._list_prices import ListPrices, NoList

_NO_ROW = ModelRow()
T = TypeVar("T")


class EndpointProvider(OpenAIProvider):
    """`providers_openai.<instance>`."""

    def __init__(self, instance_name: str, instance: Instance, tools: Tools, *, key: Secret | None = None) -> None:
        header = instance.key_header or usual_key_header(instance.url)
        super().__init__(f"providers_openai.{instance_name}", instance.url, tools, key=key, key_header=header)
        self._instance = instance
        self._listed: dict[str, str] = {}
        self._prices: ListPrices | None = None
        self._said: set[str] = set()

    async def offers(self) -> list[Offer]:
        """The rows, and with `discover` what the endpoint lists beyond them.

        Rows need no list, so they stay on offer while the endpoint does not answer with one.
        """
        rows = self._instance.models
        await self._look_up_prices()
        offers = [self._offer(name, row) for name, row in rows.items()]
        if self._instance.discover:
            known = {row.upstream or name for name, row in rows.items()} | set(rows)
            listed = await self._list(needed=not offers)
            offers += [self._offer(name, _NO_ROW, canonical) for name, canonical in listed.items() if name not in known]
        return offers

    def header_for(self, endpoint: Endpoint) -> KeyHeader:
        """Anthropic takes the key as others do where it speaks as others do."""
        own = self._instance.key_header is None and endpoint is not Endpoint.MESSAGES
        return KeyHeader.AUTHORIZATION if own else self.key_header

    async def _look_up_prices(self) -> None:
        """Load the list of prices where it is wanted, once. That takes a second, and others are served meanwhile."""
        wanted = self._instance.list_prices or any(row.list_prices for row in self._instance.models.values())
        if wanted and self._prices is None:
            try:
                self._prices = await asyncio.to_thread(ListPrices)
            except NoList as missing:
                self._say(str(missing))

    async def _list(self, *, needed: bool) -> dict[str, str]:
        """The models that the endpoint lists now, else those that it listed last, each with its canonical name or none;
        a failure is raised where it has nothing else."""
        try:
            listed = await self.listed_rows()
        except (ArbstrError, httpx.HTTPError) as failed:
            if needed and not self._listed:
                raise
            self._say(f"no list of models from {self.url} ({failed or type(failed).__name__}); keeping the last one")
            return self._listed
        self._listed = {row["id"]: _canonical(row) for row in listed if row["id"].strip()}
        return self._listed

    def _offer(self, name: str, row: ModelRow, canonical: str = "") -> Offer:
        default = self._instance
        price, as_of_ms = price_of(row, default), 0
        features = _first(row.features, default.features)
        if price is None and _first(row.list_prices, default.list_prices):
            price, as_of_ms = self._list_price(row.upstream or name), self.tools.clock.now_ms()
            features = features if row.features is not None else features - {Feature.AUDIO}  # it has another price
        return Offer(
            provider=self.name,
            model=name,
            upstream=row.upstream or name,
            price=price,
            as_of_ms=as_of_ms,
            canonical=row.canonical or canonical,
            rail_fee_ppm=default.rail_fee.ppm,
            endpoints=row.endpoints or default.endpoints or usual_endpoints(default.url, row.upstream or name),
            tier=_first(row.tier, default.tier),
            features=features,
            context_window=_first(row.context, default.context),
            max_output_tokens=_first(row.max_output_tokens, default.max_output_tokens),
            input_factor=_first(row.input_factor, default.input_factor),
            input_overhead=_first(row.input_overhead, default.input_overhead),
            attachment_tokens=_first(row.attachment_tokens, default.attachment_tokens),
            limit_field=_first(row.limit_field, default.limit_field or usual_limit_field(default.url)),
            max_choices=_first(row.max_choices, default.max_choices),
            fields={**default.fields, **row.fields},
            passthrough=_first(row.passthrough, default.passthrough),
            hidden_reasoning=_first(row.hidden_reasoning, default.hidden_reasoning),
            cancel_free=_first(row.cancel_free, default.cancel_free),
            max_concurrent=default.max_concurrent,
            seller=default.seller,
        )

    def _list_price(self, upstream: str) -> UsdPrice | None:
        """What the list of prices says; None where it says nothing, with the reason in the log."""
        if self._prices is None:
            return None
        found = self._prices.of(self._instance.url, upstream, self.tools.clock.now_ms())
        if isinstance(found, str):
            self._say(f"{upstream} has no price: {found}")
            return None
        return found

    def _say(self, message: str) -> None:
        """Log once: offers are asked for again and again."""
        if message not in self._said:
            self._said.add(message)
            self.tools.log.warning("%s: %s", self.name, message)


def _canonical(row: Mapping[str, Any]) -> str:
    """The name that a list gives a model beside its own, as OpenRouter's does."""
    found = row.get("canonical_slug")
    return found if isinstance(found, str) and found.isprintable() and found != row["id"] else ""


def usual_limit_field(url: str) -> LimitField:
    """OpenAI's own models that reason refuse `max_tokens`; of all others some know nothing else."""
    return LimitField.MAX_COMPLETION_TOKENS if _is_openai(url) else LimitField.MAX_TOKENS


def usual_endpoints(url: str, model: str) -> frozenset[Endpoint]:
    """What a model speaks where its row does not say: one that makes embeddings nothing else, any other chat, and
    besides that what its own house does."""
    if _EMBEDS.search(model):
        return frozenset({Endpoint.EMBEDDINGS})
    if _is_openai(url):
        return frozenset({Endpoint.CHAT, Endpoint.RESPONSES})
    return frozenset({Endpoint.CHAT, Endpoint.MESSAGES}) if _is_anthropic(url) else frozenset({Endpoint.CHAT})


def usual_key_header(url: str) -> KeyHeader:
    """Anthropic has a header of its own."""
    return KeyHeader.X_API_KEY if _is_anthropic(url) else KeyHeader.AUTHORIZATION


_EMBEDS = re.compile(r"(?i)embed|(?<![a-z0-9])(?:bge|gte|e5)(?![a-z0-9])")


def _is_openai(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "api.openai.com" or host.endswith((".api.openai.com", ".openai.azure.com"))


def _is_anthropic(url: str) -> bool:
    return (urlsplit(url).hostname or "") == "api.anthropic.com"


def _first(chosen: T | None, default: T) -> T:
    return default if chosen is None else chosen
