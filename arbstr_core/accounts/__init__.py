"""Who is calling: credentials to Caller, who may operate, and who may bill."""

from arbstr_core.accounts._agents import Accounts, new_token, token_hash
from arbstr_core.accounts._internal import Internal
from arbstr_core.accounts._l402 import L402
from arbstr_core.accounts._operator import KnownOperators, NewSession, Operators, SessionKeys, new_operator_token
from arbstr_core.accounts._others import Others

__all__ = [
    "L402",
    "Accounts",
    "Internal",
    "KnownOperators",
    "NewSession",
    "Operators",
    "Others",
    "SessionKeys",
    "new_operator_token",
    "new_token",
    "token_hash",
]
