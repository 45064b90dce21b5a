"""The configuration table: defaults, prices, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from arbstr_providers_local import MANIFEST, LocalConfig

from arbstr_core.api import Free, MsatPrice, Rate, UsdPrice


def rates(**written: str) -> LocalConfig:
    values: dict[str, Any] = {name: Rate.from_config(text) for name, text in written.items()}
    return LocalConfig(**values)


def test_the_manifest_names_the_stem_and_the_table() -> None:
    assert (MANIFEST.name, MANIFEST.api, MANIFEST.config) == ("providers_local", (1, 0), LocalConfig)


def test_it_is_free_unless_priced() -> None:
    assert LocalConfig().price() == Free()
    assert rates(input="1000 sat", output="4000 sat").price() == MsatPrice(
        input=1_000_000, cached_input=1_000_000, output=4_000_000, request=0
    )
    assert rates(input="1 usd", cached_input="0.5 usd", output="2 usd", request="0.001 usd").price() == UsdPrice(
        input=Decimal(1), cached_input=Decimal("0.5"), output=Decimal(2), request=Decimal("0.001")
    )
    assert rates(input="10 sat", cached_input="0 sat", output="10 sat").price().cached_input == 0


@pytest.mark.parametrize("written", [{"input": "1 sat"}, {"output": "1 sat"}, {"request": "1 sat"}])
def test_half_a_price_is_refused(written: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="needs both `input` and `output`"):
        rates(**written)


def test_mixed_units_are_refused() -> None:
    with pytest.raises(ValueError, match="mix sat and usd"):
        rates(input="1 sat", output="1 usd")


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(ValueError, match="`path` is relative"):
        LocalConfig(path="model.gguf")
    assert LocalConfig(path="~/model.gguf").path == "~/model.gguf"


@pytest.mark.parametrize(
    "table", [{"context": 10}, {"parallel": 0}, {"threads": 0}, {"start_seconds": 0}, {"model": ""}, {"modle": "x"}]
)
def test_values_out_of_range_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table, LocalConfig)


def test_threads_default_to_the_machine() -> None:
    assert 1 <= LocalConfig().thread_count() <= 4
    assert LocalConfig(threads=7).thread_count() == 7
