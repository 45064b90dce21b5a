"""The tables of operators: who may operate, by the hash of a token, and who is logged in.

A session is known by the hash of its cookie's value. It lives as long as the token that it was opened with: that of an
operator with a name, or that of the file, which has no row here.
"""

from __future__ import annotations

import sqlalchemy as sa

from arbstr_core.storage import BYTES, INTEGER, TEXT, Guard, fixed, kept, narrow, partial_index
from arbstr_core.vault._tables import METADATA

OPERATOR = narrow(
    "operator",
    METADATA,
    sa.Column("hash", BYTES, primary_key=True),
    sa.Column("name", TEXT, nullable=False),
    sa.Column("created_by", TEXT, nullable=False),
    sa.Column("created_ms", INTEGER, nullable=False),
    sa.Column("revoked_ms", INTEGER),
)
LIVE_OPERATOR = partial_index("live_operator", OPERATOR.c.name, where=OPERATOR.c.revoked_ms.is_(None), unique=True)

SESSION = narrow(
    "operator_session",
    METADATA,
    sa.Column("hash", BYTES, primary_key=True),
    # What its pages send beside the cookie, hashed: a cookie alone opens nothing.
    sa.Column("page_hash", BYTES, nullable=False),
    sa.Column("token_hash", BYTES, nullable=False),
    sa.Column("created_ms", INTEGER, nullable=False),
    sa.Column("seen_ms", INTEGER, nullable=False),
)


def operator_guards() -> tuple[Guard, ...]:
    """Operators are never forgotten, and a token that was revoked stays so."""
    revoked = Guard(
        name="operator_revoked",
        table="operator",
        event="UPDATE",
        message="operator: the token is revoked",
        when="OLD.revoked_ms IS NOT NULL",
    )
    return (*kept(OPERATOR), fixed(OPERATOR, "hash", "name", "created_by", "created_ms"), revoked)
