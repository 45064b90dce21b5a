"""Agents: how they are made, funded, switched off, and given a new token."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import sqlalchemy as sa

from arbstr_core.storage import Dialect, Statement, bulk_insert
from arbstr_core.types import MAX_MSAT, BadRequest, Conflict, InsufficientFunds, Network, NotFound
from arbstr_core.vault import _audit
from arbstr_core.vault import _tables as t
from arbstr_core.vault._book import Book, Chart, VaultOperation, plain_text
from arbstr_core.vault._cover import cover
from arbstr_core.vault._rows import Account, Node
from arbstr_core.vault._terms import check_limits, more_of
from arbstr_core.vault._values import Limits, NewAgent

ENABLED = "agent.enabled"
MAX_DEPTH = 4
"""keys from the root down, the root among them"""
MADE = "capital:"
"""What the keys of transfers begin with that make simulated money"""

_NAME_TAKEN = Statement(
    sa.select(t.AGENT.c.id).where((t.AGENT.c.name == sa.bindparam("name")) | (t.AGENT.c.id == sa.bindparam("id")))
)
_INSERT_AGENT = bulk_insert(
    t.AGENT, ("id", "name", "realm", "account_id", "parent_id", "depth", "enabled", "created_ms")
)
_INSERT_LIMITS = bulk_insert(t.LIMITS, ("agent_id", "version", "max_charge_msat", "daily_msat", "more", "created_ms"))
_INSERT_TOKEN = Statement(
    sa.insert(t.TOKEN).values(hash=sa.bindparam("hash"), agent_id=sa.bindparam("agent"), created_ms=sa.bindparam("now"))
)
_TOKEN_TAKEN = Statement(sa.select(t.TOKEN.c.agent_id).where(t.TOKEN.c.hash == sa.bindparam("hash")))
_LIVE_TOKENS = Statement(
    sa.select(t.TOKEN.c.hash)
    .where(t.TOKEN.c.agent_id == sa.bindparam("agent"), t.TOKEN.c.revoked_ms.is_(None))
    .order_by(t.TOKEN.c.hash)
)
_REVOKE = Statement(
    sa.update(t.TOKEN).where(t.TOKEN.c.hash == sa.bindparam("old")).values(revoked_ms=sa.bindparam("now"))
)
_ENABLE = Statement(sa.update(t.AGENT).where(t.AGENT.c.id == sa.bindparam("agent")).values(enabled=sa.bindparam("on")))


def _switched(table: sa.Table, number: sa.Column[int]) -> Statement:
    """Who switched an agent last."""
    newest = sa.select(sa.func.max(number)).where(
        table.c.subject == sa.bindparam("agent"), table.c.action == sa.bindparam("action")
    )
    return Statement(sa.select(table.c.actor).where(number == newest.scalar_subquery()))


_SWITCHED = _switched(t.AUDIT, t.AUDIT.c.seq)
_SWITCHED_PENDING = _switched(t.AUDIT_PENDING, t.AUDIT_PENDING.c.id)


def _below() -> Statement:
    keys = sa.select(t.AGENT.c.id).where(t.AGENT.c.parent_id == sa.bindparam("agent")).cte("below", recursive=True)
    keys = keys.union_all(sa.select(t.AGENT.c.id).where(t.AGENT.c.parent_id == keys.c.id))
    return Statement(sa.select(keys.c.id).order_by(keys.c.id))


_BELOW = _below()


class CreateAgent(VaultOperation[None]):
    """An agent with its token and first limits; with an account and first money of its own, or on that of its parent.
    All or nothing."""

    def __init__(self, chart: Chart, agent: NewAgent) -> None:
        super().__init__(chart)
        _check_amount(agent.fund_msat)
        check_limits(agent.limits)
        plain_text("an agent", agent.id, agent.name, agent.realm, agent.rail)
        if agent.parent is not None and agent.fund_msat:
            raise ValueError(f"{agent.id} has no account of its own to fund")
        self._agent = agent
        self.agents = () if agent.parent is None else (agent.parent,)
        self.accounts = _funding_accounts(agent.rail) if agent.fund_msat else ()

    def change(self, book: Book) -> None:
        """Create it."""
        agent = self._agent
        if book.tx.one(_NAME_TAKEN, {"name": agent.name, "id": agent.id}) is not None:
            raise Conflict(f"there is an agent {agent.name!r} already: choose another name")
        parent = None if agent.parent is None else known_node(book, agent.parent)
        if parent is not None and parent.realm != agent.realm:
            raise BadRequest(
                f"{parent.id} is of realm {parent.realm}, and so are its keys: leave realm out", param="realm"
            )
        if parent is not None and parent.depth >= MAX_DEPTH:
            raise BadRequest(
                f"{parent.id} is {parent.depth} keys below its root, and {MAX_DEPTH} is the most: use a key higher up",
                param="parent",
            )
        account = book.open_account(f"agent:{agent.id}", agent.realm, "agent").id if parent is None else parent.account
        depth = 1 if parent is None else parent.depth + 1
        node = Node(agent.id, agent.parent, agent.realm, account, depth, 1, None, None, None, None, None)
        add_agent(book, node, agent.name, agent.actor)
        _add_token(book, agent.id, agent.token_hash, agent.actor)
        write_limits(book, node, agent.limits, agent.actor)
        if agent.fund_msat:
            _fund(book, node, agent.fund_msat, agent.rail, f"create:{agent.id}")


def add_agent(book: Book, node: Node, name: str, actor: str) -> None:
    """Write a new agent down; its account is there."""
    fixed = (node.id, name, node.realm, node.account, node.parent, node.depth)
    book.tx.bulk(_INSERT_AGENT, [(*fixed, 1, book.now_ms)])
    book.note("agent.create", node.id, _audit.canonical(*fixed, book.now_ms), actor=actor)
    book.nodes[node.id] = node


class SetLimits(VaultOperation[int]):
    """A new version of an agent's limits, as `changed` makes it of the one in force; the number of the version. The
    same again changes nothing. Two that change at the same moment both count."""

    def __init__(self, chart: Chart, agent: str, changed: Callable[[Limits], Limits], actor: str) -> None:
        super().__init__(chart)
        self.agents = (agent,)
        self._changed = changed
        self._actor = actor

    def change(self, book: Book) -> int:
        """Write it. Raises BadRequest for what cannot be a limit."""
        node = known_node(book, self.agents[0])
        limits = self._changed(_in_force(node))
        check_limits(limits)
        return write_limits(book, node, limits, self._actor)


def _in_force(node: Node) -> Limits:
    more = more_of(node.more)
    return msgspec.structs.replace(more, max_charge_msat=node.max_charge, daily_msat=node.daily)


def write_limits(book: Book, node: Node, limits: Limits, actor: str) -> int:
    """The next version of an agent's limits."""
    rest = msgspec.structs.replace(limits, version=0, max_charge_msat=None, daily_msat=None)
    more = None if rest == Limits() else msgspec.json.encode(rest).decode()
    before = node.limits_version
    if before is not None and (node.max_charge, node.daily, node.more) == (
        limits.max_charge_msat,
        limits.daily_msat,
        more,
    ):
        return before
    version = (before or 0) + 1
    row = (node.id, version, limits.max_charge_msat, limits.daily_msat, more, book.now_ms)
    book.tx.bulk(_INSERT_LIMITS, [row])
    book.note("limits.set", node.id, _audit.canonical(*row), actor=actor)
    node.limits_version, node.max_charge, node.daily, node.more = version, *row[2:5]
    return version


class Fund(VaultOperation[None]):
    """Money for an agent, out of the operator's equity; once a key."""

    def __init__(self, chart: Chart, agent: str, amount_msat: int, rail: str, key: str) -> None:
        super().__init__(chart)
        _check_amount(amount_msat)
        if not amount_msat:
            raise ValueError("0 msat is no amount to fund an agent with")
        plain_text("a funding", rail, key)
        self.agents = (agent,)
        self.accounts = _funding_accounts(rail)
        self._amount_msat = amount_msat
        self._rail = rail
        self._key = key

    def change(self, book: Book) -> None:
        """Fund it."""
        _fund(book, known_node(book, self.agents[0]), self._amount_msat, self._rail, self._key)


class SetEnabled(VaultOperation[None]):
    """Switch an agent on or off."""

    def __init__(self, chart: Chart, agent: str, enabled: bool, actor: str) -> None:
        super().__init__(chart)
        self.agents = (agent,)
        self._enabled = int(enabled)
        self._actor = actor

    def change(self, book: Book) -> None:
        """Switch it; what it already is changes nothing. Raises Conflict where an agent would undo what the operator
        did, or a key above it."""
        node = known_node(book, self.agents[0])
        if self._enabled and not node.enabled and book.chain(self._actor):
            self._require_own(book, node)
        switch(book, node, self._enabled, self._actor)

    def _require_own(self, book: Book, node: Node) -> None:
        asked = {"agent": node.id, "action": ENABLED}
        tables = [_SWITCHED_PENDING, _SWITCHED] if book.tx.dialect is Dialect.POSTGRESQL else [_SWITCHED]
        rows = [row for statement in tables for row in book.tx.all(statement, asked)]
        if not rows or self._actor not in [above.id for above in book.chain(rows[0][0])]:
            raise Conflict(f"{node.id} was switched off by its operator, or by a key above yours: ask there")


def switch(book: Book, node: Node, enabled: int, actor: str) -> None:
    """Switch an agent on or off, unless it is so already."""
    if node.enabled != enabled:
        node.enabled = enabled
        book.tx.run(_ENABLE, {"agent": node.id, "on": enabled})
        book.note(ENABLED, node.id, _audit.canonical(node.id, enabled), actor=actor)


class RotateToken(VaultOperation[None]):
    """A new token for an agent; the old ones end, and those of the keys below it: whoever had the old one may have made
    them. Each of those needs a new token, too."""

    def __init__(self, chart: Chart, agent: str, token_hash: bytes, actor: str) -> None:
        super().__init__(chart)
        self.agents = (agent,)
        self._token_hash = token_hash
        self._actor = actor

    def change(self, book: Book) -> None:
        """Revoke, then add."""
        agent = known_node(book, self.agents[0]).id
        for (key,) in [(agent,), *book.tx.all(_BELOW, {"agent": agent})]:
            for (old,) in book.tx.all(_LIVE_TOKENS, {"agent": key}):
                book.tx.run(_REVOKE, {"old": old, "now": book.now_ms})
                data = _audit.canonical(_audit.digest(old), key, book.now_ms)
                book.note("token.revoke", key, data, actor=self._actor)
        _add_token(book, agent, self._token_hash, self._actor)


def _add_token(book: Book, agent: str, token_hash: bytes, actor: str) -> None:
    if book.tx.one(_TOKEN_TAKEN, {"hash": token_hash}) is not None:
        raise Conflict("the token is in use already: make another")
    book.tx.run(_INSERT_TOKEN, {"hash": token_hash, "agent": agent, "now": book.now_ms})
    book.note("token.add", agent, _audit.canonical(_audit.digest(token_hash), agent, book.now_ms), actor=actor)


def known_node(book: Book, agent: str) -> Node:
    """The agent with this id. Raises NotFound."""
    node = book.nodes.get(agent)
    if node is None:
        raise NotFound(f"there is no agent {agent}")
    return node


def _funding_accounts(rail: str) -> tuple[str, ...]:
    return "equity:operator", f"asset:{rail}"


def _fund(book: Book, node: Node, amount: int, rail: str, key: str) -> None:
    memo = f"{node.id} from {rail}"
    before = book.posted(key)
    if before is not None:
        if before[1:] != (amount, memo):
            raise Conflict(f"key {key!r} was used for another funding: use a new one")
        return
    equity = book.account("equity:operator", node.realm, "equity")
    if node.realm == Network.SIM:
        # Simulated money is made where it is needed.
        asset = book.account(f"asset:{rail}", node.realm, "asset")
        made = book.available(asset)
        if made + amount > MAX_MSAT:
            raise BadRequest(
                f"{amount} msat and the {made} that {rail} has made are more than all bitcoin there is",
                param="amount_msat",
            )
        book.post(
            "capital",
            node.realm,
            amount,
            [(asset, "debit", amount), (equity, "credit", amount)],
            key=f"{MADE}{key}",
        )
    left = book.available(equity)
    if node.realm != Network.SIM:
        # What was lost of it is nobody's to give.
        left = min(left, max(0, cover(book, node.realm).own_msat))
    if amount > left:
        raise InsufficientFunds(
            f"the equity in realm {node.realm} is {left} msat, less than {amount} msat: add capital first",
            needed_msat=amount,
            available_msat=left,
        )
    payee = Account(node.account, "agent", 1)
    book.post("fund", node.realm, amount, [(equity, "debit", amount), (payee, "credit", amount)], key=key, memo=memo)


def _check_amount(msat: int) -> None:
    if not 0 <= msat <= MAX_MSAT:
        raise ValueError(f"{msat} msat is not an amount")
