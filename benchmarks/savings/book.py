"""Owns the list prices: 145 models, each sold by 4 to 24 providers.

price_book.json says of itself where it is from: the price map of the package litellm 1.109.1, MIT licence, copyright
Berri AI; names normalised, the cheapest row kept per provider.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec

from arbstr_core.types import UsdPrice

BOOK = Path(__file__).with_name("price_book.json")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's price of a model, in USD per million tokens."""

    provider: str
    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal

    def price(self) -> UsdPrice:
        """As an offer has it."""
        given, zero = self.input_usd_per_mtok, Decimal(0)
        return UsdPrice(input=given, cached_input=given, output=self.output_usd_per_mtok, request=zero)

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """What tokens cost, in millionths of a dollar."""
        return float(self.input_usd_per_mtok) * input_tokens + float(self.output_usd_per_mtok) * output_tokens


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model and who sells it."""

    model: str
    offers: tuple[Row, ...]


class _Book(msgspec.Struct):
    about: str
    models: tuple[Model, ...]


def models() -> tuple[Model, ...]:
    """All of the book."""
    return msgspec.json.decode(BOOK.read_bytes(), type=_Book).models
