"""Who is calling: credentials to Caller, and who may operate."""

from arbstr_core.accounts._agents import Accounts, new_token, token_hash
from arbstr_core.accounts._operator import Operator

__all__ = ["Accounts", "Operator", "new_token", "token_hash"]
