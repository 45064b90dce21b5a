"""What the audit says of rows that change in place: agents and their switches, accounts, tokens, limits, approvals,
keys, and what moves over rails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from arbstr_core.vault import _audit, _rail_standing
from arbstr_core.vault import _tables as t
from arbstr_core.vault._operator_tables import OPERATOR
from arbstr_core.vault._rail_standing import RailStanding

_Row = tuple[Any, ...]


class Terms(msgspec.Struct, frozen=True):
    """One version of an agent's limits, and the audit row that set it."""

    place: int
    max_charge: int | None
    daily: int | None
    created_ms: int


class Standing:
    """Follows the audit row by row; then compares."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Row] = {}
        self._agents: dict[str, list[Any]] = {}
        self._tokens: dict[str, list[Any]] = {}
        self._limits: dict[tuple[str, int], _Row] = {}
        self._approvals: dict[str, list[Any]] = {}
        self._keys: list[_Row] = []
        self._operators: dict[str, list[Any]] = {}
        self._rails = RailStanding()
        self.terms: dict[str, list[Terms]] = {}

    def note(self, place: int, action: str, data: str) -> None:
        """Follow one audit row. Raises ValueError, LookupError or TypeError where it says nothing that can be."""
        kind, _, what = action.partition(".")
        members = msgspec.json.decode(data)
        if action == "account.open":
            self._accounts[members[0]] = tuple(members)
        elif kind == "agent":
            self._of_agent(what, members)
        elif kind == "token":
            self._of_token(what, members)
        elif action == "limits.set":
            self._limits[members[0], members[1]] = tuple(members)
            self.terms.setdefault(members[0], []).append(Terms(place, members[2], members[3], members[5]))
        elif kind == "approval":
            self._of_approval(what, members)
        elif kind in _rail_standing.KINDS:
            self._rails.note(action, members)
        elif kind == "key":
            self._keys.append(tuple(members))
        elif action == "operator.add":
            self._operators[members[0]] = [*members, None]
        elif action == "operator.revoke":
            self._operators[members[0]][-1] = members[1]

    def _of_agent(self, what: str, members: list[Any]) -> None:
        if what == "create":
            self._agents[members[0]] = [*members, 1]
        elif what == "enabled":
            self._agents[members[0]][-1] = members[1]

    def _of_token(self, what: str, members: list[Any]) -> None:
        if what == "add":
            self._tokens[members[0]] = [*members, None]
        elif what == "revoke":
            self._tokens[members[0]][-1] = members[2]

    def _of_approval(self, what: str, members: list[Any]) -> None:
        """Columns in the order of `_APPROVAL`; what is decided, or moved by a hold."""
        if what == "ask":
            self._approvals[members[0]] = [*members, None, None]
            return
        row = self._approvals[members[0]]
        row[8] = members[1]
        if len(members) == 4:
            row[11] = members[2]
        else:
            row[10], row[13], row[12] = members[2:5]

    def differences(self, connection: sa.Connection) -> Iterator[str]:
        """Where the tables say otherwise."""
        account, agent, token, approval = t.ACCOUNT.c, t.AGENT.c, t.TOKEN.c, t.APPROVAL.c
        columns = [account.id, account.name, account.realm, account.kind, account.constrained]
        yield from _compare(connection, "account {1}", columns, self._accounts.values())
        columns = [agent.id, agent.name, agent.realm, agent.account_id, agent.parent_id, agent.depth, agent.created_ms]
        yield from _compare(connection, "agent {0}", [*columns, agent.enabled], self._agents.values())
        columns = [token.hash, token.agent_id, token.created_ms, token.revoked_ms]
        yield from _compare(connection, "a token of agent {1}", columns, self._tokens.values(), _audit.digest)
        yield from _compare(connection, "limits {1} of agent {0}", list(t.LIMITS.c), self._limits.values())
        first = [approval.id, approval.agent_id, approval.account_id, approval.kind, approval.digest]
        more = [approval.ceiling_msat, approval.models, approval.limits_version, approval.state, approval.created_ms]
        last = [approval.expires_ms, approval.hold_id, approval.decided_ms, approval.decided_by]
        yield from _compare(connection, "approval {0}", [*first, *more, *last], self._approvals.values(), bytes.hex)
        yield from _compare(connection, "audit key {0}", list(t.AUDIT_KEY.c), self._keys, bytes.hex)
        yield from _compare(connection, "operator {1}", list(OPERATOR.c), self._operators.values(), _audit.digest)
        for name, own, said in self._rails.tables():
            yield from _compare(connection, name, own, said)


def _compare(connection: sa.Connection, name: str, columns: list[Any], said: Any, shown: Any = None) -> Iterator[str]:
    """`shown` is how the audit writes bytes."""
    meant: set[_Row] = {tuple(row) for row in said}
    there: set[_Row] = {
        tuple(shown(bytes(cell)) if isinstance(cell, bytes | memoryview) else cell for cell in row)
        for row in connection.execute(sa.select(*columns))
    }
    # A row that is other than it was is there, and the one it was is missing: it is named once.
    for row in sorted(there - meant, key=str):
        yield f"{name.format(*row)} is not as the audit says"
    for row in sorted(meant - there, key=str):
        yield f"{name.format(*row)} is not there as the audit says"
