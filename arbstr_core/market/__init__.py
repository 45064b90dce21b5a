"""What can be bought, right now: a snapshot of offers with prices in msat, refreshed in the background."""

from arbstr_core.market._market import Market
from arbstr_core.market._pricing import Caps, Pricing
from arbstr_core.market._rates import FixedRate, MedianRate, Rates, UsdSource, rate_in
from arbstr_core.market._snapshot import ModelRow, Snapshot

__all__ = [
    "Caps",
    "FixedRate",
    "Market",
    "MedianRate",
    "ModelRow",
    "Pricing",
    "Rates",
    "Snapshot",
    "UsdSource",
    "rate_in",
]
