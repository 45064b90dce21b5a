"""Agents: how they are made, funded, switched off, and given a new token."""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage import Statement, bulk_insert
from arbstr_core.types import MAX_MSAT, BadRequest, Conflict, InsufficientFunds, Network, NotFound
from arbstr_core.vault import _audit
from arbstr_core.vault import _tables as t
from arbstr_core.vault._book import Book, Chart, VaultOperation, plain_text
from arbstr_core.vault._rows import Account, Standing
from arbstr_core.vault._values import Limits

_NAME_TAKEN = Statement(
    sa.select(t.AGENT.c.id).where((t.AGENT.c.name == sa.bindparam("name")) | (t.AGENT.c.id == sa.bindparam("id")))
)
_INSERT_AGENT = bulk_insert(t.AGENT, ("id", "name", "realm", "account_id", "enabled", "created_ms"))
_INSERT_LIMITS = bulk_insert(t.LIMITS, ("agent_id", "version", "max_charge_msat", "daily_msat", "created_ms"))
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


class CreateAgent(VaultOperation[None]):
    """An agent with its account, token, first limits and first money, all or nothing."""

    def __init__(
        self,
        chart: Chart,
        *,
        id: str,
        name: str,
        realm: str,
        token_hash: bytes,
        limits: Limits,
        fund_msat: int,
        rail: str,
    ) -> None:
        super().__init__(chart)
        _check_amount(fund_msat)
        plain_text("an agent", id, name, realm, rail)
        self._id = id
        self._name = name
        self._realm = realm
        self._token_hash = token_hash
        self._limits = limits
        self._fund_msat = fund_msat
        self._rail = rail

    def change(self, book: Book) -> None:
        """Create it."""
        if book.tx.one(_NAME_TAKEN, {"name": self._name, "id": self._id}) is not None:
            raise Conflict(f"there is an agent {self._name!r} already: choose another name")
        account = book.open_account(f"agent:{self._id}", self._realm, "agent")
        fixed = (self._id, self._name, self._realm, account.id)
        book.tx.bulk(_INSERT_AGENT, [(*fixed, 1, book.now_ms)])
        book.note("agent.create", self._id, _audit.canonical(*fixed, book.now_ms))
        _add_token(book, self._id, self._token_hash)
        self._set_limits(book)
        limits = self._limits
        standing = Standing(
            *(self._id, self._realm, account.id, 1, 0, 0, 1, limits.max_charge_msat, limits.daily_msat, None)
        )
        book.adopt(standing)
        if self._fund_msat:
            _fund(book, standing, self._fund_msat, self._rail, f"create:{self._id}")

    def _set_limits(self, book: Book) -> None:
        row = (self._id, 1, self._limits.max_charge_msat, self._limits.daily_msat, book.now_ms)
        book.tx.bulk(_INSERT_LIMITS, [row])
        book.note("limits.set", self._id, _audit.canonical(*row))


class Fund(VaultOperation[None]):
    """Money for an agent, out of the operator's equity; once a key."""

    def __init__(self, chart: Chart, agent: str, amount_msat: int, rail: str, key: str) -> None:
        super().__init__(chart)
        _check_amount(amount_msat)
        if not amount_msat:
            raise ValueError("0 msat is no amount to fund an agent with")
        plain_text("a funding", rail, key)
        self.agents = (agent,)
        self._amount_msat = amount_msat
        self._rail = rail
        self._key = key

    def change(self, book: Book) -> None:
        """Fund it."""
        _fund(book, _standing(book, self.agents[0]), self._amount_msat, self._rail, self._key)


class SetEnabled(VaultOperation[None]):
    """Switch an agent on or off."""

    def __init__(self, chart: Chart, agent: str, enabled: bool) -> None:
        super().__init__(chart)
        self.agents = (agent,)
        self._enabled = int(enabled)

    def change(self, book: Book) -> None:
        """Switch it; what it already is changes nothing."""
        standing = _standing(book, self.agents[0])
        if standing.enabled != self._enabled:
            standing.enabled = self._enabled
            book.tx.run(_ENABLE, {"agent": standing.id, "on": self._enabled})
            book.note("agent.enabled", standing.id, _audit.canonical(standing.id, self._enabled))


class RotateToken(VaultOperation[None]):
    """A new token for an agent; the old ones end."""

    def __init__(self, chart: Chart, agent: str, token_hash: bytes) -> None:
        super().__init__(chart)
        self.agents = (agent,)
        self._token_hash = token_hash

    def change(self, book: Book) -> None:
        """Revoke, then add."""
        agent = _standing(book, self.agents[0]).id
        for (old,) in book.tx.all(_LIVE_TOKENS, {"agent": agent}):
            book.tx.run(_REVOKE, {"old": old, "now": book.now_ms})
            book.note("token.revoke", agent, _audit.canonical(_audit.digest(old), agent, book.now_ms))
        _add_token(book, agent, self._token_hash)


def _add_token(book: Book, agent: str, token_hash: bytes) -> None:
    if book.tx.one(_TOKEN_TAKEN, {"hash": token_hash}) is not None:
        raise Conflict("the token is in use already: make another")
    book.tx.run(_INSERT_TOKEN, {"hash": token_hash, "agent": agent, "now": book.now_ms})
    book.note("token.add", agent, _audit.canonical(_audit.digest(token_hash), agent, book.now_ms))


def _standing(book: Book, agent: str) -> Standing:
    standing = book.standings.get(agent)
    if standing is None:
        raise NotFound(f"there is no agent {agent}")
    return standing


def _fund(book: Book, standing: Standing, amount: int, rail: str, key: str) -> None:
    memo = f"{standing.id} from {rail}"
    before = book.posted(key)
    if before is not None:
        if before != (amount, memo):
            raise Conflict(f"key {key!r} was used for another funding: use a new one")
        return
    equity = book.account("equity:operator", standing.realm, "equity")
    if standing.realm == Network.SIM:
        # Simulated money is made where it is needed.
        asset = book.account(f"asset:{rail}", standing.realm, "asset")
        made = book.available(asset)
        if made + amount > MAX_MSAT:
            raise BadRequest(
                f"{amount} msat and the {made} that {rail} has made are more than all bitcoin there is",
                param="amount_msat",
            )
        book.post(
            "capital",
            standing.realm,
            amount,
            [(asset, "debit", amount), (equity, "credit", amount)],
            key=f"capital:{key}",
        )
    left = book.available(equity)
    if amount > left:
        raise InsufficientFunds(
            f"the equity in realm {standing.realm} is {left} msat, less than {amount} msat: add capital first",
            needed_msat=amount,
            available_msat=left,
        )
    payee = Account(standing.account, "agent", 1)
    book.post(
        "fund", standing.realm, amount, [(equity, "debit", amount), (payee, "credit", amount)], key=key, memo=memo
    )


def _check_amount(msat: int) -> None:
    if not 0 <= msat <= MAX_MSAT:
        raise ValueError(f"{msat} msat is not an amount")
