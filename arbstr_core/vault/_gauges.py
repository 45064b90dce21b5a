"""Sums over what there is now, for whoever watches: open holds, balances."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from arbstr_core.vault import _rail_tables as r
from arbstr_core.vault import _tables as t


class OpenSum(msgspec.Struct, frozen=True):
    """Holds of one realm that have not ended."""

    realm: str
    count: int
    amount_msat: int


class BalanceSum(msgspec.Struct, frozen=True):
    """Accounts of one kind and realm, of those that keep a balance."""

    realm: str
    kind: str
    posted_msat: int
    held_msat: int


class PaymentSum(msgspec.Struct, frozen=True):
    """Payments of one state that are not over."""

    state: str
    count: int


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, of one moment."""

    open: Sequence[OpenSum] = ()
    balances: Sequence[BalanceSum] = ()
    payments: Sequence[PaymentSum] = ()
    frozen: Sequence[str] = ()
    """scopes: `realm:NAME` or `rail:NAME`"""


def gauges(connection: sa.Connection, *, payments: bool) -> Gauges:
    """What there is now; with `payments` also of money that leaves, which not every role may see."""
    account, hold = t.ACCOUNT.c, t.HOLD.c
    held = (
        sa.select(account.realm, sa.func.count(), sa.func.sum(hold.amount_msat))
        .select_from(t.HOLD.join(t.ACCOUNT, account.id == hold.account_id))
        .where(sa.text("hold.state = 'held'"))
        .group_by(account.realm)
    )
    sums = (
        sa.select(account.realm, account.kind, sa.func.sum(account.posted_msat), sa.func.sum(account.held_msat))
        .where(account.constrained == 1)
        .group_by(account.realm, account.kind)
    )
    unfinished = (
        sa.select(r.PAYMENT.c.state, sa.func.count())
        .where(sa.text("payment.state IN ('reserved', 'dispatching', 'in_flight', 'unknown')"))
        .group_by(r.PAYMENT.c.state)
    )
    frozen = sa.select(r.FROZEN.c.scope).where(r.FROZEN.c.frozen == 1).order_by(r.FROZEN.c.scope)
    leaving = connection.execute(unfinished).all() if payments else ()
    return Gauges(
        payments=tuple(PaymentSum(state, int(n)) for state, n in leaving),
        frozen=tuple(connection.execute(frozen).scalars()) if payments else (),
        open=tuple(OpenSum(realm, int(n), int(total)) for realm, n, total in connection.execute(held)),
        balances=tuple(BalanceSum(realm, kind, int(a), int(b)) for realm, kind, a, b in connection.execute(sums)),
    )
