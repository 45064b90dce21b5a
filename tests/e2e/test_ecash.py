"""Ecash in a served arbstr, at a real mint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from arbstr_wallet_cashu._nutshell import Nutshell, Options
from house import Served, Setup, run, serving, until, write
from mints import Mints

PLUGINS = ("providers_openai", "policy_price", "wallet_cashu")


@pytest.fixture(scope="module")
def mint(mints: Mints) -> Nutshell:
    """A mint whose invoices are paid by themselves."""
    return mints.start(free=Options())[0]


def setup_at(folder: Path, mint: Nutshell) -> Setup:
    table = f"""
[plugins.wallet_cashu]
network = "regtest"
invoices = "mainnet"
poll_ms = 50
[plugins.wallet_cashu.mints.home]
url = "{mint.url}"
"""
    return write(folder, table, plugins=PLUGINS)


async def command(served: Served, name: str, **given: str) -> Any:
    answer = await served.admin.post(f"/admin/plugins/wallet_cashu/{name}", json=given)
    assert answer.is_success, answer.text
    return answer.json()


def test_the_rail_is_ready_and_its_secrets_are_sealed(tmp_path: Path, mint: Nutshell) -> None:
    """The seed is made and kept, and neither it nor the purse's key can be read in the database or the log."""

    async def story() -> None:
        async with serving(setup := setup_at(tmp_path, mint)) as served:

            async def ready() -> bool:
                rails = (await served.admin.get("/admin/rails")).json()
                return bool(rails["wallet_cashu"]["state"] == "ready")

            await until(ready, 60)
            words = (await command(served, "seed"))["words"]
            assert len(words.split()) == 12
            shown = await command(served, "mints")
            assert shown["state"] == "ready"
            assert (await command(served, "balance"))["spendable_msat"] == 0
        kept = b"".join(file.read_bytes() for file in (setup.folder / "data").glob("arbstr.db*"))
        assert b"wallet_cashu" in kept
        assert b" ".join(word.encode() for word in words.split()[:3]) not in kept

    run(story())


def test_commands_do_without_a_server(tmp_path: Path, mint: Nutshell) -> None:
    """They open the purse themselves, and it is the same one."""
    setup = setup_at(tmp_path, mint)
    first = setup.arbstr("plugin", "run", "wallet_cashu", "seed")
    assert setup.arbstr("plugin", "run", "wallet_cashu", "seed") == first
    assert '"state": "ready"' in setup.arbstr("plugin", "run", "wallet_cashu", "mints")
    assert '"open": []' in setup.arbstr("plugin", "run", "wallet_cashu", "check")
