"""What can be bought, right now: a snapshot of offers with prices in msat, refreshed in the background."""

from arbstr_core.market._market import Market
from arbstr_core.market._pricing import Pricing
from arbstr_core.market._snapshot import ModelRow, Snapshot

__all__ = ["Market", "ModelRow", "Pricing", "Snapshot"]
