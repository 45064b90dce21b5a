"""A process that pays one invoice through the rail, with its journal in a real database: to be killed at any point.

python -m lightning.payer FOLDER ADDRESS INVOICE KEY
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from arbstr_core.api import InvoiceTarget, Msat, PaymentRef, Unknown
from arbstr_core.storage import Database, PluginStore, open_cipher
from arbstr_core.testing import LoopClock, kit_tools
from lightning.node import FakeLnd
from lightning.world import CERTIFICATE, MACAROON, rail_at


async def main(folder: Path, address: str, invoice: str, key: str) -> None:
    """Pay until there is an end, and print it."""
    clock = LoopClock()
    secrets: dict[str, str | bytes] = {
        CERTIFICATE: (folder / "tls.cert").read_bytes(),
        MACAROON: (folder / "arbstr.macaroon").read_bytes(),
    }
    database = Database.open(f"sqlite:///{folder}/arbstr.db", data_dir=folder, clock=clock)
    cipher = await open_cipher(database, folder / "master.key")
    tools = kit_tools(clock=clock, store=PluginStore(database, cipher, "wallet_lnd"), secrets=secrets)
    rail = rail_at(FakeLnd(clock), tools, address=address)
    target = await rail.decode(invoice)
    assert isinstance(target, InvoiceTarget)
    found = await rail.pay(target, target.amount_msat, fee_limit=Msat(2_000), key=key)
    while isinstance(found, Unknown):
        await asyncio.sleep(0.05)
        found = await rail.lookup(PaymentRef(key=key, target=target, fee_limit_msat=Msat(2_000)))
    await rail.aclose()
    await tools.aclose()
    await database.close()
    print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
