"""A ledger with something of everything in it, made once; each test that changes it gets a copy of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arbstr_core.storage import Dialect
from arbstr_core.vault import HoldRequest, KnownCheckpoint, Limits, NewAgent, Operators, Vault, Verification


def fill(bench: Any) -> None:
    """Calls that were settled, released and are open, also of a child key and under an approval; limits of two
    versions, a revoked token, an agent that is switched off; a key that signs; two
    operators, one of them no more."""

    async def story() -> None:
        async with bench.database() as database:
            vault = Vault(database, boot_id="boot-1")
            operators = Operators(database, idle_ms=1_000, most_ms=1_000)
            for name in ("ann", "eve"):
                await operators.add(name, bench.token(name), actor="operator")
            await operators.revoke("eve", actor="operator:ann")
            await bench.agent(vault)
            await bench.agent(vault, "bob", fund=3_000)
            await _child(bench, vault)
            await _calls(bench, vault)
            await vault.rotate_token("ag_bob", bench.token("new"))
            await vault.adopt_audit_key(bytes(32))
            await vault.set_enabled("ag_bob", False)
            await vault.seal()
            found = await vault.verify()
            assert found.first_bad is None, found

    asyncio.run(story())


async def _child(bench: Any, vault: Any) -> None:
    limits = Limits(max_charge_msat=1_500, daily_msat=6_000, hourly_msat=5_000)
    child = NewAgent(
        id="ag_child", name="child", realm="sim", token_hash=bench.token("child"), limits=limits, parent="ag_alice"
    )
    await vault.create_agent(child)


async def _calls(bench: Any, vault: Any) -> None:
    asked = [bench.request(1_000, id=f"req_{n}") for n in range(3)]
    await asyncio.gather(*(vault.hold(each) for each in asked))
    await vault.settle(bench.settlement("req_0", 700, ("groq", 600, True), ("dear", 50, False)))
    await vault.release("req_1", b"{}")
    for n, charge in enumerate((300, 400)):
        await vault.hold(bench.request(900, agent="ag_child", id=f"req_child_{n}"))
        await vault.settle(bench.settlement(f"req_child_{n}", charge))
    await vault.set_limits("ag_alice", Limits(max_charge_msat=900, daily_msat=8_000, approval_seconds=600))
    dear = HoldRequest(
        id="req_dear", agent="ag_alice", ceilings=(950,), candidates=b"[]", model="m", body_digest=bytes(32)
    )
    needed = await vault.hold(dear)
    await vault.decide(needed.id, grant=True, actor="operator")
    await vault.hold(dear)
    await vault.settle(bench.settlement("req_dear", 940))


def verified(bench: Any, known: tuple[KnownCheckpoint, ...] = ()) -> Verification:
    """What `verify` says."""

    async def story() -> Verification:
        async with bench.vault() as vault:
            found: Verification = await vault.verify(known)
            return found

    return asyncio.run(story())


TABLES = (
    *("account", "agent", "token", "limits", "bucket", "hold", "hold_window", "transfer", "entry", "receipt"),
    *("approval", "audit", "checkpoint", "audit_key", "operator"),
)


def copies(bench: Any, cluster: Any, new_folder: Callable[[], Path]) -> Callable[..., Any]:
    """Gives the bench's database as it is now with each call: on SQLite a copy; on PostgreSQL, where to make and drop
    databases takes long, the same with all rows put back, or a copy that stays where it has to be `apart`."""
    kind = type(bench)
    if bench.dialect is Dialect.POSTGRESQL:
        bench.tamper("CREATE SCHEMA kept", *(f"CREATE TABLE kept.{name} AS TABLE {name}" for name in TABLES))

    def copy(*, apart: bool = False) -> Any:
        if bench.dialect is Dialect.SQLITE:
            folder = new_folder()
            shutil.copy(bench.path, folder / "arbstr.db")
            return kind(folder)
        bench.tamper_unguarded(*(f"DELETE FROM {name}" for name in TABLES))
        bench.tamper_unguarded(*(f"INSERT INTO {name} TABLE kept.{name}" for name in TABLES))
        if apart:
            return kind(new_folder(), cluster.create_database(bench.url.rsplit("/", 1)[1]))
        return bench

    return copy
