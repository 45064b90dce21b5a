"""What strangers send, and what a mint may say that is not true: refused, with the remedy, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import arbstr_wallet_cashu
import httpx
import pytest
from arbstr_wallet_cashu._keysets import Keyset
from arbstr_wallet_cashu._nutshell import Nutshell
from arbstr_wallet_cashu._tokens import Coin, Dleq, Token, read, write
from mints import outstanding
from msgspec.structs import replace
from purses import SAT, Wallet, wallet

from arbstr_core.api import (
    BadRequest,
    Failed,
    Msat,
    Network,
    Paid,
    RailState,
    RailUnavailable,
    TokenTarget,
    Unknown,
)
from arbstr_core.testing import configure

FOREIGN = "https://mint.example"


class Liar(httpx.AsyncBaseTransport):
    """Hands calls on, and changes the answers of the mint on the way back."""

    def __init__(self, inner: httpx.AsyncBaseTransport, lie: Callable[[str, Any], Any]) -> None:
        self.inner = inner
        self._lie = lie
        self.asked: list[str] = []

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        response = await self.inner.handle_async_request(request)
        said = json.loads(await response.aread())
        changed = self._lie(request.url.path, said)
        return httpx.Response(response.status_code, json=said if changed is None else changed)


def lying(mine: Wallet, lie: Callable[[str, Any], Any]) -> Liar:
    """From now on this wallet hears lies."""
    honest(mine)
    liar = Liar(mine.tools.http._transport, lie)
    mine.tools.http._transport = liar
    return liar


def honest(mine: Wallet) -> None:
    """And now it does not any more."""
    transport = mine.tools.http._transport
    if isinstance(transport, Liar):
        mine.tools.http._transport = transport.inner


def changed(token: str, **changes: Any) -> str:
    return write(replace(read(token), **changes))


def each_coin(token: str, change: Callable[[Coin], Coin]) -> str:
    said = read(token)
    return write(replace(said, coins=tuple(change(coin) for coin in said.coins)))


def test_tokens_that_are_not_taken(both: tuple[Nutshell, Nutshell]) -> None:
    free, dear = both

    async def story() -> None:
        before = outstanding(free)
        async with wallet(free) as mine, wallet(free) as hers, wallet(dear) as far:
            await hers.fund(3_000)
            await far.fund(100)
            key = (await hers.purse.open()).seed.identity
            token, locked = await hers.token(64), await hers.token(8, lock=key)
            spent = await hers.token(32)
            await hers.rail.receive(spent, key="spent")
            forged = each_coin(locked, lambda coin: replace(coin, dleq=Dleq(e="11" * 32, s="22" * 32, r="33" * 32)))
            cases = [
                (token[:-7], "does not say|cut off"),
                (changed(token, mint=FOREIGN), f"taken are those of {free.url}"),
                (changed(token, unit="usd"), "only sat are taken"),
                (each_coin(token, lambda coin: replace(coin, id="01" + "ab" * 7)), "does not have for sats"),
                (each_coin(token, lambda coin: replace(coin, id="00" + "ab" * 7)), "does not have for sats"),
                (each_coin(token, lambda coin: replace(coin, amount=3)), "has no key"),
                (each_coin(token, lambda coin: replace(coin, amount=1 << 45)), "at most 100000000 are taken"),
                (each_coin(token, lambda coin: replace(coin, secret="zz")), "refuses the token"),
                (forged, "forged"),
                (await far.token(4), "taken are those of"),
                (spent, "spent"),
                (each_coin(token, lambda coin: replace(coin, secret='["HTLC",{"nonce":"0","data":"0"}]')), "locked"),
            ]
            for at, (text, why) in enumerate(cases):
                with pytest.raises(BadRequest, match=why):
                    await mine.rail.receive(text, key=f"bad-{at}")
                assert await mine.held() == 0
            # Half of it is spent: the whole is refused, and nothing of it is lost.
            pair = [await hers.token(16), await hers.token(4)]
            await hers.rail.receive(pair[0], key="half")
            both_of_it = write(Token(mint=free.url, coins=read(pair[0]).coins + read(pair[1]).coins))
            with pytest.raises(BadRequest, match="spent"):
                await mine.rail.receive(both_of_it, key="half")
            assert (await mine.rail.receive(pair[1], key="rest")).amount_msat == 4 * SAT
            # And what was refused with another fault in it is still good.
            assert (await mine.rail.receive(token, key="good")).amount_msat == 64 * SAT
            with pytest.raises(BadRequest, match="redeemed another token before"):
                await mine.rail.receive(pair[0], key="good")
            assert outstanding(free) - before == await mine.held() + await hers.held() + 8

    asyncio.run(story())


def test_t23_a_foreign_mint_is_never_asked(free: Nutshell) -> None:
    async def story() -> None:
        async with wallet(free) as mine, wallet(free) as hers:
            await hers.fund(100)
            token = changed(await hers.token(10), mint="http://127.0.0.1:9")
            heard = lying(mine, lambda path, said: None)
            for ask in (mine.rail.appraise(token), mine.rail.receive(token, key="x")):
                with pytest.raises(BadRequest):
                    await ask
            assert heard.asked == []

    asyncio.run(story())


def test_a_token_smaller_than_its_fee(dear: Nutshell) -> None:
    async def story() -> None:
        async with wallet(dear) as mine, wallet(dear) as hers:
            await hers.fund(100)
            with pytest.raises(BadRequest, match="redeeming it costs 1; send more at once"):
                await mine.rail.receive(await hers.token(1), key="x")

    asyncio.run(story())


def test_t21_twenty_at_once_redeem_one_token(free: Nutshell) -> None:
    async def story() -> None:
        async with wallet(free) as mine, wallet(free) as hers:
            await hers.fund(100)
            token = await hers.token(50)
            found = await asyncio.gather(
                *(mine.rail.receive(token, key=f"take-{at}") for at in range(20)), return_exceptions=True
            )
            assert sum(not isinstance(each, Exception) for each in found) == 1
            assert await mine.held() == 50

    asyncio.run(story())


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("", "no invoice"),
        ("alice@example.org", "no invoice"),
        ("testnet", "this rail pays invoices of mainnet"),
        ("expired", "has expired; ask for a new one"),
        ("amountless", "names no amount"),
        ("fraction", "ecash pays whole sats"),
    ],
)
def test_invoices_that_are_not_paid(free: Nutshell, what: str, why: str) -> None:
    import time

    from bolt11 import invoice

    now = int(time.time())
    texts = {
        "testnet": invoice("lntb10u", made_s=now),
        "expired": invoice("lnbc10u", made_s=now - 7_200),
        "amountless": invoice("lnbc", made_s=now),
        "fraction": invoice("lnbc15n", made_s=now),
    }

    async def story() -> None:
        async with wallet(free) as mine:
            with pytest.raises(BadRequest, match=why):
                await mine.rail.decode(texts.get(what, what))

    asyncio.run(story())


def test_payments_that_are_not_begun(both: tuple[Nutshell, Nutshell]) -> None:
    """Its own invoice, one that is being paid already, another network, too much: nothing is sent."""

    free, dear = both

    async def story() -> None:
        async with wallet(free) as mine:
            await mine.fund(2_000)
            own = await mine.rail.invoice(Msat(100 * SAT), "", key="own")
            found = await mine.pay(await mine.rail.decode(own.text), "own", limit=10)
            assert isinstance(found, Failed)
            assert "own" in found.reason
            other = await mine.invoice_of(dear, 50)
            first, second = await mine.pay(other, "first"), await mine.pay(other, "second", limit=10)
            assert isinstance(first, Paid)
            assert isinstance(second, Failed)
            assert "already" in second.reason
            with pytest.raises(BadRequest, match="paid another destination before"):
                await mine.pay(await mine.invoice_of(free, 1), "first", limit=10)
            sim = TokenTarget(reference="r", amount_msat=Msat(SAT), network=Network.SIM)
            with pytest.raises(BadRequest, match="this rail's money is on regtest"):
                await mine.pay(sim, "sim", limit=1)
            for amount in (1, 1_500, 100_000_001 * SAT):
                target = mine.token_target(1, "r")
                with pytest.raises(BadRequest):
                    await mine.pay(replace(target, amount_msat=Msat(amount)), "amount", limit=1)
            with pytest.raises(BadRequest):
                await mine.rail.invoice(Msat(100_000_001 * SAT), "", key="large")

    asyncio.run(story())


def test_a_mint_that_signs_with_another_key(free: Nutshell) -> None:
    """NUT-12: not taken; and when the mint is honest again, the coins are there."""

    async def story() -> None:
        before = outstanding(free)

        def forge(path: str, said: Any) -> None:
            for signature in said.get("signatures", []) if isinstance(said, dict) else []:
                signature["dleq"]["e"] = "11" * 32

        async with wallet(free) as mine, wallet(free) as hers:
            await hers.fund(500)
            await mine.purse.open()
            await mine.purse.places.all[0].ready()
            token = await hers.token(100)
            lying(mine, forge)
            with pytest.raises(RailUnavailable, match="another key than it published"):
                await mine.rail.receive(token, key="take")
            assert (await mine.rail.balance()).spendable_msat == 0
            honest(mine)
            assert (await mine.rail.receive(token, key="take")).amount_msat == 100 * SAT
            assert outstanding(free) - before == await mine.held() + await hers.held()

    asyncio.run(story())


@pytest.mark.parametrize("lie", ["short", "amount", "other_keyset"])
def test_a_mint_that_signs_something_else(free: Nutshell, lie: str) -> None:
    async def story() -> None:
        def twist(path: str, said: Any) -> None:
            rows = said.get("signatures", []) if isinstance(said, dict) else []
            if rows and lie == "short":
                rows.pop()
            elif rows and lie == "amount":
                rows[0]["amount"] *= 2
            elif rows:
                rows[0]["id"] = "00" + "ab" * 7

        async with wallet(free) as mine, wallet(free) as hers:
            await hers.fund(500)
            await mine.purse.open()
            await mine.purse.places.all[0].ready()
            token = await hers.token(100)
            lying(mine, twist)
            with pytest.raises(RailUnavailable):
                await mine.rail.receive(token, key="take")
            assert (await mine.rail.balance()).spendable_msat == 0
            honest(mine)
            assert (await mine.rail.receive(token, key="take")).amount_msat == 100 * SAT

    asyncio.run(story())


def test_t24_a_mint_that_lies_about_prices(both: tuple[Nutshell, Nutshell]) -> None:
    """A quote for another amount than the invoice's, a reserve above the limit, an invoice for another amount: no."""
    free, dear = both

    async def story() -> None:
        async with wallet(free) as mine:
            await mine.fund(2_000)
            held = await mine.held()
            target = await mine.invoice_of(dear, 100)

            def dearer(path: str, said: Any) -> None:
                if path == "/v1/melt/quote/bolt11":
                    said["amount"] = 1_000

            lying(mine, dearer)
            with pytest.raises(BadRequest, match="wants 1000 sat"):
                await mine.rail.quote(target, target.amount_msat)
            assert isinstance(await mine.pay(target, "a", limit=10), Failed)

            def greedy(path: str, said: Any) -> None:
                if path == "/v1/melt/quote/bolt11":
                    said["fee_reserve"] = 500

            lying(mine, greedy)
            found = await mine.pay(target, "b", limit=10)
            assert isinstance(found, Failed)
            assert "reserves 500 sat for fees, and the limit is 10" in found.reason

            def cheaper(path: str, said: Any) -> None:
                if path == "/v1/mint/quote/bolt11":
                    said["request"] = target.text

            lying(mine, cheaper)
            with pytest.raises(RailUnavailable, match="made an invoice for 100000 msat"):
                await mine.rail.invoice(Msat(500 * SAT), "", key="x")
            honest(mine)
            assert await mine.held() == held

    asyncio.run(story())


def test_t22_a_mint_that_says_unpaid_while_it_pays(both: tuple[Nutshell, Nutshell]) -> None:
    """The reply is lost, and the quote says UNPAID though the coins are gone: nothing has failed until it is known."""
    free, dear = both

    async def story() -> None:
        async with wallet(free) as mine:
            await mine.fund(2_000)
            target = await mine.invoice_of(dear, 100)
            quote = await mine.rail.quote(target, target.amount_msat)

            def unsure(path: str, said: Any) -> Any:
                if path.startswith("/v1/melt/") and said.get("state") == "PAID":
                    said["state"] = "UNPAID"

            lying(mine, unsure)
            first = await mine.rail.pay(target, target.amount_msat, fee_limit=quote.fee_limit_msat, key="melt")
            assert isinstance(first, Unknown)
            for _ in range(3):
                assert isinstance(await mine.look(target, "melt"), Unknown)
            honest(mine)
            assert isinstance(await mine.look(target, "melt"), Paid)

    asyncio.run(story())


def test_limits_are_the_mints_too(free: Nutshell) -> None:
    """What a mint takes at most is said before anybody asks; a mint that pays no invoices is not asked to."""

    async def story() -> None:
        def small(path: str, said: Any) -> None:
            if path == "/v1/info":
                said["nuts"]["4"]["methods"][0] |= {"min_amount": 10, "max_amount": 5_000}
                said["nuts"]["5"]["disabled"] = True

        async with wallet(free) as mine:
            lying(mine, small)
            assert (await mine.rail.status()).state is RailState.READY
            limits = await mine.rail.limits()
            assert (limits.invoices.smallest_msat, limits.invoices.largest_msat) == (10 * SAT, 5_000 * SAT)
            assert limits.tokens.largest_msat == 100_000_000 * SAT
            with pytest.raises(BadRequest, match="pays no invoices"):
                await mine.rail.quote(await mine.invoice_of(free, 5), Msat(5 * SAT))

    asyncio.run(story())


def test_t23_keysets_that_are_not_what_they_say(free: Nutshell) -> None:
    """A key that was exchanged, or a keyset of another mint: not taken; another mint altogether: nothing is done."""

    async def story() -> None:
        async with wallet(free) as mine:
            await mine.purse.open()
            place = mine.purse.places.all[0]

            def exchange(path: str, said: Any) -> None:
                if path.startswith("/v1/keys/"):
                    said["keysets"][0]["keys"]["1"] = said["keysets"][0]["keys"]["2"]

            lying(mine, exchange)
            await place.ready()
            with pytest.raises(RailUnavailable, match="no keyset in use"):
                place.active()
            assert any("not what its id says" in why for why in (await mine.rail.status()).warnings)
        async with wallet(free) as mine:
            await mine.fund(10)
            keyset = mine.purse.places.all[0].active()
            theirs = replace(keyset, mint="other")
            await mine.store.put({f"keyset/{keyset.id}": json_of(theirs)})
            async with wallet(free, store=mine.store) as again:
                await again.purse.places.all[0].ready()
                with pytest.raises(RailUnavailable, match="no keyset in use"):
                    again.purse.places.all[0].active()
        async with wallet(free) as mine:
            await mine.fund(10)

            def another(path: str, said: Any) -> None:
                if path == "/v1/keysets":
                    said["keysets"] = []

            lying(mine, another)
            assert (await mine.rail.status()).state is RailState.WRONG_NODE
            honest(mine)

    asyncio.run(story())


def json_of(keyset: Keyset) -> bytes:
    import msgspec

    return msgspec.json.encode(keyset)


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"keysets": 7}', b"<html>", b'{"keysets":[{"id":1}]}'])
def test_an_answer_that_is_none(free: Nutshell, answer: bytes) -> None:
    async def story() -> None:
        async with wallet(free) as mine:
            await mine.tools.http._transport.aclose()
            mine.tools.http._transport = httpx.MockTransport(lambda request: httpx.Response(200, content=answer))
            assert (await mine.rail.status()).state is RailState.DOWN
            with pytest.raises(RailUnavailable):
                await mine.rail.invoice(Msat(SAT), "", key="x")

    asyncio.run(story())


@pytest.mark.parametrize("status", [301, 404, 429, 500, 503])
def test_a_mint_that_is_out_of_order(free: Nutshell, status: int) -> None:
    async def story() -> None:
        async with wallet(free) as mine:
            await mine.tools.http._transport.aclose()
            mine.tools.http._transport = httpx.MockTransport(lambda request: httpx.Response(status, json={}))
            found = await mine.rail.status()
            assert found.state is RailState.DOWN
            assert str(status) in found.detail

    asyncio.run(story())


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "mints"),
        ({"mints": {}}, "name at least one"),
        ({"mints": {"a b": {"url": "https://m.example"}}}, "letters, digits"),
        ({"mints": {"a": {"url": "ftp://m.example"}}}, "where the mint answers"),
        ({"mints": {"a": {"url": "https://user@m.example"}}}, "a user, a query"),
        ({"mints": {"a": {"url": "https://m.example"}, "b": {"url": "https://M.example/"}}}, "the same url"),
        ({"mints": {"a": {"url": "https://m.example"}}, "network": "moon"}, "network"),
        ({"mints": {"a": {"url": "https://m.example"}}, "seed": "twelve words here"}, "seed"),
        ({"mints": {"a": {"url": "https://m.example"}}, "invoices": "regtest"}, "real money pays no invoices"),
    ],
)
def test_a_table_that_is_wrong(given: dict[str, Any], why: str) -> None:
    with pytest.raises(Exception, match=why):
        configure(arbstr_wallet_cashu, given)


def test_the_words_stay_where_they_are(free: Nutshell) -> None:
    """Neither the seed nor a coin's secret is in what is logged or shown."""

    async def story() -> None:
        async with wallet(free) as mine:
            await mine.fund(100)
            words = await mine.purse.words()
            shown = repr((await mine.rail.status(), await mine.rail.balance()))
            assert words.split()[0] + " " + words.split()[1] not in shown
            for coin in (await mine.purse.book.coins("m0")).values():
                assert coin.secret not in shown

    asyncio.run(story())
