"""Drives wallet rails: which of them pays, where to, and what became of it. Holds no rows, never touches the ledger."""

from arbstr_core.rails._choice import AUTO, Rules, choose
from arbstr_core.rails._destinations import read_address, read_invoice
from arbstr_core.rails._drive import Believed, Raised, answered, look, pay, take_back
from arbstr_core.rails._elsewhere import Elsewhere
from arbstr_core.rails._incoming import Asker, appraise, asking, incoming, unlike
from arbstr_core.rails._lnurl import Addresses, FetchedInvoice
from arbstr_core.rails._rails import Rails, status_of

__all__ = [
    "AUTO",
    "Addresses",
    "Asker",
    "Believed",
    "Elsewhere",
    "FetchedInvoice",
    "Rails",
    "Raised",
    "Rules",
    "answered",
    "appraise",
    "asking",
    "choose",
    "incoming",
    "look",
    "pay",
    "read_address",
    "read_invoice",
    "status_of",
    "take_back",
    "unlike",
]
