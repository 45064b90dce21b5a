"""What narrows and orders the offers of a call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from arbstr_core.types import Caller, ChatCall, Quote, Standing, Verdict


class RoutingPolicy(ABC):
    """Narrows what may serve a call. Pure: no I/O, no clock; what it may know of the world is in `standing`."""

    name: str

    @abstractmethod
    def consider(self, call: ChatCall, caller: Caller, quotes: tuple[Quote, ...], standing: Standing) -> Verdict:
        """Keep some of `quotes` and say why the others are out; it cannot add any.

        A policy that raises refuses the call. A verdict that keeps none refuses it too, with its reasons.
        """


class Strategy(ABC):
    """Orders the quotes that qualify. Pure."""

    name: str

    @abstractmethod
    def key(self, call: ChatCall, quote: Quote, standing: Standing) -> tuple[Any, ...]:
        """What to sort by, smallest first."""
