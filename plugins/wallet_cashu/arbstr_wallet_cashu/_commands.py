"""Owns the operator's commands: looking at the purse, bringing it back, and a mint to play with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from arbstr_core.api import BadRequest, Command, Conflict, Param, RailUnavailable, Tools
from arbstr_wallet_cashu._config import STEM, Config
from arbstr_wallet_cashu._mint import MintSilent
from arbstr_wallet_cashu._nutshell import HOST, NoMint, Nutshell, Options, end, install, runs
from arbstr_wallet_cashu._places import Place
from arbstr_wallet_cashu._rail import CashuRail
from arbstr_wallet_cashu._restoring import BATCH, GAP, Restoring

Given = Mapping[str, str]
_PORT = "3338"
_NOTE = "running.json"


class _Running(msgspec.Struct, frozen=True):
    """The development mint that was started."""

    pid: int
    port: int


def commands(config: Config, tools: Tools) -> list[Command]:
    """`balance`, `mints`, `check`, `restore`, `seed`, and `mint` with `mint-stop`."""
    desk = Desk(CashuRail(config, tools))
    shop = MintShop(tools)
    return [
        Command(name="balance", help="What the purse holds, by mint.", run=desk.balance, offline=True),
        Command(name="mints", help="The mints, how they are, and their keysets.", run=desk.mints, offline=True),
        Command(
            name="check",
            help="Go on with what was interrupted, and ask the mints about every coin, invoice and token.",
            run=desk.check,
            offline=True,
        ),
        Command(
            name="restore",
            help="Bring back every coin that follows from the seed: after a lost database, or an old backup.",
            run=desk.restore,
            params=(
                Param(
                    name="gap", help=f"how many times {BATCH} unknown outputs in a row are the end", default=str(GAP)
                ),
            ),
            offline=True,
        ),
        Command(
            name="seed",
            help="The purse's seed as words, to write down. Whoever has them has the money.",
            run=desk.seed,
            offline=True,
        ),
        Command(
            name="mint",
            help="Set up and start a development mint (Nutshell, no real bitcoin) in the background.",
            run=shop.start,
            params=(
                Param(name="port", help=f"on {HOST}", default=_PORT),
                Param(name="fee-ppk", help="its fee for each coin spent, in thousandths of a sat", default="0"),
            ),
            offline=True,
        ),
        Command(name="mint-stop", help="Stop the development mint; its money stays.", run=shop.stop, offline=True),
    ]


class Desk:
    """What the operator asks of the purse."""

    def __init__(self, rail: CashuRail) -> None:
        self._rail = rail
        self._purse = rail.purse

    async def balance(self, given: Given) -> Any:
        """Amounts in msat, and how many coins they are."""
        await self._purse.open()
        found = await self._rail.balance()
        rows = []
        for name in sorted({*(place.name for place in self._purse.places.all), *await self._purse.book.mints()}):
            coins = (await self._purse.book.coins(name)).values()
            rows.append(
                {
                    "mint": name,
                    "configured": self._purse.places.knows(name),
                    "spendable_msat": sum(coin.amount for coin in coins if not coin.job) * 1000,
                    "in_flight_msat": sum(coin.amount for coin in coins if coin.job) * 1000,
                    "coins": len(coins),
                }
            )
        unclaimed = len(await self._purse.book.store.scan("issued/"))
        return {
            "spendable_msat": found.spendable_msat,
            "in_flight_msat": found.in_flight_msat,
            "tokens_unclaimed": unclaimed,
            "mints": rows,
        }

    async def mints(self, given: Given) -> Any:
        """Each mint, asked now."""
        status = await self._rail.status()
        return {
            "state": status.state.value,
            "detail": status.detail,
            "purse": status.identity,
            "warnings": list(status.warnings),
            "mints": [_mint(place) for place in self._purse.places.all],
        }

    async def check(self, given: Given) -> Any:
        """What was found, by mint; coins that somebody else spent are forgotten."""
        await self._purse.open()
        await self._rail.watch.go_on()
        reopened = await self._rail.invoices.look_again()
        await self._rail.invoices.poll(all_now=True)
        rows = []
        for place in self._purse.places.all:
            try:
                await self._rail.watch.look_after(place)
                lost = await self._lost(place)
                rows.append({"mint": place.name, "health": place.health.value, "lost_msat": lost * 1000})
            except MintSilent as silent:
                rows.append({"mint": place.name, "health": "down", "lost_msat": 0, "detail": str(silent)})
        return {
            "mints": rows,
            "open": await self._purse.book.open_jobs(),
            "invoices_asked_again": reopened,
            "balance": await self.balance(given),
        }

    async def restore(self, given: Given) -> Any:
        """What came back, by mint. Tokens that were issued and not claimed are shown, and stay who has them's."""
        gap = _number(given, "gap", 1000)
        await self._purse.open()
        await self._rail.watch.go_on()
        found = []
        for place in self._purse.places.all:
            try:
                found.append(msgspec.to_builtins(await Restoring(self._purse, gap).restore(place)))
                await self._rail.watch.probe(place)
            except MintSilent as silent:
                raise RailUnavailable(f"the mint {place.name} cannot be asked now, try again: {silent}") from None
        return {"restored": found, "balance": await self.balance(given)}

    async def seed(self, given: Given) -> Any:
        """The words, and what the purse is known by."""
        words = await self._purse.words()
        return {"words": words, "purse": (await self._purse.open()).seed.identity}

    async def _lost(self, place: Place) -> int:
        """Forget the coins that the mint says are spent though no job of ours did; their sum."""
        free = await self._purse.free(place)
        states = await place.mint.states(list(free))
        gone = [y for y, state in states.items() if state == "SPENT"]

        async def forget(draft: Any) -> int:
            total = 0
            for y in gone:
                coin = await draft.coin(place.name, y)
                if coin is not None and not coin.job:
                    total += coin.amount
                    draft.drop(place.name, y)
            return total

        return await self._purse.book.change(forget)


class MintShop:
    """Sets up and runs one development mint, in a folder of the plugin's own."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    @property
    def _folder(self) -> Path:
        return Path(self._tools.data_dir) / "mint"

    async def start(self, given: Given) -> Any:
        """Where it is, and what to write into config.toml to use it."""
        port, fee = _number(given, "port", 65_535), _number(given, "fee-ppk", 100_000)
        running = self._running()
        if running is not None:
            raise Conflict(f"it runs at http://{HOST}:{running.port} already; `mint-stop` ends it")
        try:
            mint, pid = await asyncio.to_thread(self._start, port, Options(fee_ppk=fee))
        except NoMint as failed:
            raise RailUnavailable(str(failed)) from None
        (self._folder / _NOTE).write_bytes(msgspec.json.encode(_Running(pid=pid, port=port)))
        return {"url": mint.url, "pid": pid, "log": str(mint.log), "config": _lines(mint.url)}

    async def stop(self, given: Given) -> Any:
        """Whether one was running."""
        running = self._running()
        stopped = running is not None and await asyncio.to_thread(end, running.pid, self._folder / "mint")
        (self._folder / _NOTE).unlink(missing_ok=True)
        return {"stopped": stopped}

    def _start(self, port: int, options: Options) -> tuple[Nutshell, int]:
        mint = Nutshell(install(self._folder / "nutshell"), self._folder / "mint", port, options)
        return mint, mint.leave()

    def _running(self) -> _Running | None:
        try:
            noted = msgspec.json.decode((self._folder / _NOTE).read_bytes(), type=_Running)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
        return noted if runs(noted.pid, self._folder / "mint") else None


def _mint(place: Place) -> dict[str, Any]:
    return {
        "name": place.name,
        "url": place.url,
        "health": place.health.value,
        "detail": place.why,
        "version": place.info.version,
        "keysets": [
            {"id": keyset.id, "active": keyset.active, "fee_ppk": keyset.ppk, "expires": keyset.expires}
            for keyset in place.keysets.values()
        ],
    }


def _lines(url: str) -> list[str]:
    return [
        f"[plugins.{STEM}]",
        'network = "regtest"',
        'invoices = "mainnet"',
        f"[plugins.{STEM}.mints.development]",
        f'url = "{url}"',
    ]


def _number(given: Given, name: str, most: int) -> int:
    text = given[name]
    if not (text.isascii() and text.isdigit()) or int(text) > most:
        raise BadRequest(f"--{name} is {text!r}; it is a number up to {most}", param=name)
    return int(text)
