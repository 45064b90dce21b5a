"""Opens a provider's reply: tries candidates until one answers its first byte, and keeps how each has done.

Circuit breakers, limits of nodes, deadlines and hedges are here; docs/dispatch.md tells of them.
"""

from arbstr_core.dispatch._asker import DispatchRules
from arbstr_core.dispatch._breaker import BreakerRules, BreakerState
from arbstr_core.dispatch._dispatch import Dispatch
from arbstr_core.dispatch._ends import Budget
from arbstr_core.dispatch._open_reply import OpenReply
from arbstr_core.dispatch._state import OfferState

__all__ = ["BreakerRules", "BreakerState", "Budget", "Dispatch", "DispatchRules", "OfferState", "OpenReply"]
