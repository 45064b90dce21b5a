"""Owns the name by which the ledger knows what is prepaid at a node."""

from __future__ import annotations


def account_of(provider: str, node: str) -> str:
    """The node of a provider, as accounts and payments name it."""
    return f"{provider}/{node}"


def node_of(provider: str, account: str) -> str | None:
    """The node in such a name; None where that is another provider's."""
    return account[len(provider) + 1 :] if account.startswith(f"{provider}/") else None
