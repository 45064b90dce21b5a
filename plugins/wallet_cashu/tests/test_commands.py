"""The operator's commands: what they show, and a mint of one's own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import arbstr_wallet_cashu
import pytest
from arbstr_wallet_cashu._nutshell import Nutshell
from mints import HOME
from ports import free_port
from purses import SAT, Wallet, table, wallet

from arbstr_core.api import BadRequest, Conflict, Msat, Paid, RailUnavailable
from arbstr_core.testing import configure


async def run(mine: Wallet, given: dict[str, Any], name: str, **arguments: str) -> Any:
    made = arbstr_wallet_cashu.arbstr_commands(configure(arbstr_wallet_cashu, given), mine.tools)
    command = next(each for each in made if each.name == name)
    assert command.offline
    return await command.run({param.name: param.default for param in command.params} | arguments)


def test_what_the_purse_has(both: tuple[Nutshell, Nutshell]) -> None:
    async def story() -> None:
        given = table(*both)
        async with wallet(*both) as mine:
            await mine.fund(1_000)
            await mine.token(100)
            shown = await run(mine, given, "balance")
            assert (shown["spendable_msat"], shown["tokens_unclaimed"]) == (900 * SAT, 1)
            assert [row["spendable_msat"] for row in shown["mints"]] == [900 * SAT, 0]
            listed = await run(mine, given, "mints")
            assert listed["state"] == "ready"
            assert [mint["keysets"][0]["fee_ppk"] for mint in listed["mints"]] == [0, 100]
            assert all(mint["version"] == "Nutshell/0.21.0" for mint in listed["mints"])
            # A mint that was taken out of the configuration still has our money.
            gone = table(both[1])
            gone["mints"] = {"other": gone["mints"]["m0"]}
            assert any("which is not in" in each for each in (await run(mine, gone, "mints"))["warnings"])
            assert (await run(mine, gone, "balance"))["mints"][0] == {
                "mint": "m0",
                "configured": False,
                "spendable_msat": 900 * SAT,
                "in_flight_msat": 0,
                "coins": shown["mints"][0]["coins"],
            }

    asyncio.run(story())


def test_check_asks_about_everything(free: Nutshell) -> None:
    """An invoice that was given up is asked about again; a token that was claimed is known to be."""

    async def story() -> None:
        async with wallet(free) as mine, wallet(free) as hers:
            await mine.fund(500)
            await hers.rail.receive(await mine.token(100), key="take")
            await mine.rail.invoice(Msat(70 * SAT), "", key="late")
            await mine.purse.book.change(
                lambda draft: mine.rail.invoices._end(draft, name="invoice:late", reason="nobody paid it")
            )
            shown = await run(mine, table(free), "check")
            assert (shown["invoices_asked_again"], shown["open"]) == (1, [])
            assert shown["balance"]["spendable_msat"] == (500 - 100 + 70) * SAT
            assert shown["balance"]["tokens_unclaimed"] == 0
            assert shown["mints"] == [{"mint": "m0", "health": "ready", "lost_msat": 0}]

    asyncio.run(story())


def test_a_mint_of_ones_own(mints: Any) -> None:
    """It is set up, runs, and does what its lines for config.toml say; a second is refused; it stops, and goes on."""

    async def story() -> None:
        port = free_port()
        async with wallet(Nutshell(HOME, HOME, port)) as mine:
            folder = Path(mine.tools.data_dir) / "mint"
            folder.mkdir()
            (folder / "nutshell").symlink_to(HOME)
            given = table(Nutshell(HOME, HOME, port))
            with pytest.raises(BadRequest, match="a number up to 65535"):
                await run(mine, given, "mint", port="65536")
            made = await run(mine, given, "mint", port=str(port))
            try:
                assert made["url"] == f"http://127.0.0.1:{port}"
                assert 'network = "regtest"' in made["config"]
                with pytest.raises(Conflict, match="already"):
                    await run(mine, given, "mint", port=str(port))
                await mine.fund(100)
                token = await mine.token(60)
            finally:
                assert await run(mine, given, "mint-stop") == {"stopped": True}
            assert await run(mine, given, "mint-stop") == {"stopped": False}
            with pytest.raises(RailUnavailable):
                await mine.rail.receive(token, key="take")
            await run(mine, given, "mint", port=str(port))
            try:
                assert (await mine.rail.receive(token, key="take")).amount_msat == 60 * SAT
            finally:
                await run(mine, given, "mint-stop")

    mints.start()
    asyncio.run(story())


def test_a_port_that_is_taken(free: Nutshell) -> None:
    async def story() -> None:
        async with wallet(free) as mine:
            folder = Path(mine.tools.data_dir) / "mint"
            folder.mkdir()
            (folder / "nutshell").symlink_to(HOME)
            with pytest.raises(RailUnavailable, match="name another with --port"):
                await run(mine, table(free), "mint", port=str(free.port))
            await mine.fund(10)
            assert isinstance(await mine.pay(mine.token_target(5, "t"), "t"), Paid)

    asyncio.run(story())
