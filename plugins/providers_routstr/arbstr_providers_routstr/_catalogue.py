"""Owns what a node offers: its list of models, read with distrust. Prices are sats per token, as decimals.

`max_cost` and its like are what a call could cost at most, and no price.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

import msgspec

from arbstr_core.api import MsatPrice
from arbstr_providers_routstr._node_api import NodeApi

MOST_MODELS = 2000
_MSAT_PER_MILLION = 1_000 * 1_000_000
_MOST_SAT_PER_TOKEN = Decimal(1_000_000)
_MOST_TOKENS = 1_000_000_000
_MOST_MINTS = 20


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the list; `price` is msat per million tokens, None with the reason in `wrong`."""

    id: str
    price: MsatPrice | None = None
    wrong: str = ""
    context: int | None = None
    max_output: int | None = None
    vision: bool = False
    canonical: str = ""


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """What a node said at `as_of_ms`, Unix time."""

    as_of_ms: int
    mints: tuple[str, ...] = ()
    version: str = ""
    name: str = ""
    models: tuple[Model, ...] = ()

    def price_of(self, model: str) -> MsatPrice | None:
        """What it takes for a model."""
        return next((each.price for each in self.models if each.id == model), None)


async def read_catalogue(api: NodeApi, now_ms: int) -> Catalogue:
    """Ask a node. Raises ProviderError where it does not say."""
    info = await api.info()
    rows = await api.models()
    mints = info.get("mints")
    listed = [mint for mint in mints if isinstance(mint, str)] if isinstance(mints, list) else []
    models = {model.id: model for row in rows[:MOST_MODELS] if (model := _model(row)) is not None}
    return Catalogue(
        as_of_ms=now_ms,
        mints=tuple(listed[:_MOST_MINTS]),
        version=_text(info.get("version")),
        name=_text(info.get("name")),
        models=tuple(models.values()),
    )


def _text(said: Any) -> str:
    return said[:100] if isinstance(said, str) and said.isprintable() else ""


def _model(row: Any) -> Model | None:
    """None where it is no model, or one that is switched off."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str) or row.get("enabled") is False:
        return None
    price = _price(row.get("sats_pricing"))
    shape, provider = _under(row, "architecture"), _under(row, "top_provider")
    inputs = shape.get("input_modalities")
    return Model(
        id=row["id"],
        price=price if isinstance(price, MsatPrice) else None,
        wrong="" if isinstance(price, MsatPrice) else price,
        context=_count(row.get("context_length")) or _count(provider.get("context_length")),
        max_output=_count(provider.get("max_completion_tokens")),
        vision=isinstance(inputs, list) and "image" in inputs,
        canonical=_text(row.get("canonical_slug")),
    )


def _under(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = row.get(name)
    return found if isinstance(found, dict) else {}


def _count(said: Any) -> int | None:
    return said if type(said) is int and 0 < said <= _MOST_TOKENS else None


def _price(said: Any) -> MsatPrice | str:
    """The price, or why it is none. The dearest that could be meant counts: output that is thought and not shown may
    cost more; input from a cache is sold at its own price only where there is one."""
    if not isinstance(said, dict):
        return "its node names no price in sats"
    try:
        prompt, completion = _rate(said.get("prompt")), _rate(said.get("completion"))
        if prompt is None or completion is None:
            return "its node names no price in sats"
        cached = _rate(said.get("input_cache_read")) or prompt
        thought = _rate(said.get("internal_reasoning")) or 0
    except (ValueError, ArithmeticError):
        return "its node's price is no number"
    return MsatPrice(input=prompt, cached_input=min(cached, prompt), output=max(completion, thought))


def _rate(said: Any) -> int | None:
    """Sats per token as msat per million, rounded up."""
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | Decimal):
        raise ValueError(said)
    if not 0 <= said <= _MOST_SAT_PER_TOKEN:
        raise ValueError(said)
    return int((Decimal(said) * _MSAT_PER_MILLION).to_integral_value(rounding=ROUND_CEILING))
