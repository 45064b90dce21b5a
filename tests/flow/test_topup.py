"""Money for nodes, step by step: with a provider and rails that do as they are told, and time that stands still."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sending import FAILED, Double, Scene, invoice, scene

from arbstr_core.api import (
    BadRequest,
    Bolt11Request,
    Conflict,
    Credited,
    Deposit,
    DepositKind,
    EcashRequest,
    FundingDenied,
    InvoiceTarget,
    Msat,
    Network,
    NodeClaim,
    NodeFunds,
    NotSupported,
    Offer,
    Outbound,
    Paid,
    Prepaid,
    RailUnavailable,
    Reply,
    Swept,
    TokenFacts,
)
from arbstr_core.api import PaymentTarget as Target
from arbstr_core.flow import Bringing, Incoming, Sweeping, TopUp
from arbstr_core.flow.topup import TopUpRules
from arbstr_core.rails import Rails
from arbstr_core.types import ArbstrError, InsufficientFunds, Overloaded
from arbstr_core.vault import Capital, History, Requests
from arbstr_core.vault._node_events import TopUp as TopUpEvent

NODE = "nodes/n"
PREPAID, TRANSIT, CLAIM = f"prepaid:{NODE}", f"transit:{NODE}", f"claim:{NODE}"


class Nodes(Prepaid):
    """One node that does as it is told."""

    name = "nodes"
    network = Network.SIM

    def __init__(self) -> None:
        self.funds_ = NodeFunds(node="n", balance_msat=Msat(0))
        self.asks: Bolt11Request | EcashRequest | Exception = EcashRequest(mints=("m",), amount_msat=Msat(5_000))
        self.says: list[Credited | FundingDenied | Exception] = []
        self.gives: list[Swept | Exception | None] = []
        self.proofs: list[str] = []
        self.keys: list[str] = []
        self.let_go: list[str] = []

    def change(self, **what: Any) -> None:
        self.funds_ = msgspec.structs.replace(self.funds_, **what)

    async def offers(self) -> Sequence[Offer]:
        return ()

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        raise NotSupported("nobody asks")

    async def funds(self) -> Sequence[NodeFunds]:
        return (self.funds_,)

    async def funding(self, node: str, amount: Msat, *, key: str, bolt11: bool, mints: Sequence[str]) -> Any:
        self.keys.append(key)
        if isinstance(self.asks, Exception):
            raise self.asks
        self.change(funding=key)
        return self.asks

    async def funded(self, node: str, proof: str, *, key: str) -> Any:
        self.proofs.append(proof)
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    async def sweep(self, node: str, *, key: str) -> Swept | None:
        self.keys.append(key)
        self.change(sweeping=key)
        given = self.gives[0] if len(self.gives) == 1 else self.gives.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    async def done(self, node: str, *, key: str) -> None:
        self.let_go.append(key)
        self.change(funding="", sweeping="", drain=False, wanted_msat=Msat(0))


class Rail(Double):
    """Issues tokens called by their keys, and takes them."""

    def __init__(self) -> None:
        super().__init__("lnd")
        self.taken: list[str] = []
        self.claimed = False
        self.foreign = False

    async def decode(self, target: str) -> Target:
        if not target.startswith("pay:"):
            raise BadRequest("no invoice")
        return invoice(target[4:].partition("-")[0], int(target.partition("-")[2] or 5_000))

    async def limits(self) -> Any:
        return msgspec.structs.replace(await super().limits(), mints=("m",))

    async def pay(self, target: Target, amount: Msat, **more: Any) -> Any:
        said = await super().pay(target, amount, **more)
        if isinstance(said, Paid) and not isinstance(target, InvoiceTarget):
            return msgspec.structs.replace(said, token=f"token {target.reference}")
        return said

    async def appraise(self, token: str) -> TokenFacts:
        if self.foreign:
            raise BadRequest("the token is of another mint")
        return TokenFacts(reference=token, mint="m", amount_msat=Msat(3_900), fee_msat=Msat(100))

    async def receive(self, token: str, *, key: str) -> Deposit:
        self.taken.append(token)
        return self._came(token, 3_900, DepositKind.TOKEN, key)

    async def reclaim(self, ref: Any, *, key: str) -> Deposit:
        if self.claimed:
            raise Conflict("somebody has claimed it")
        return self._came(ref.key, 4_900, DepositKind.RECLAIMED, key)

    def _came(self, reference: str, msat: int, kind: DepositKind, key: str) -> Deposit:
        return Deposit(reference=reference, amount_msat=Msat(msat), kind=kind, cursor="", key=key)


class Desk:
    """The scene of the sender, with nodes."""

    def __init__(self, it: Scene, rail: Rail) -> None:
        self.it, self.rail, self.nodes = it, rail, Nodes()
        rails, ids = Rails([rail]), itertools.count()

        def named(prefix: str) -> str:
            return f"{prefix}{next(ids)}"

        parts = (it.treasury, it.requests, rails, it.office, it.cipher, it.clock)
        self.incoming = Incoming(
            rails, Requests(it.database), it.treasury, History(it.database), it.office, it.cipher, it.clock
        )
        bringing = Bringing(*parts, ids=named, working_ppm=0)
        sweeping = Sweeping(it.vault, it.treasury, it.requests, rails, it.cipher, ids=named)
        self.topup = TopUp(
            [self.nodes], it.vault, it.treasury, it.office, it.clock, bringing=bringing, sweeping=sweeping
        )

    async def rounds(self, times: int = 3) -> None:
        for _ in range(times):
            self.it.clock.ms += 70_000
            await self.topup.round()
            await self.topup.settled()
            await self.it.round()
            await self.incoming._begin()
            while self.incoming._open:
                await asyncio.wait(tuple(self.incoming._open.values()))

    async def assets(self) -> dict[str, int]:
        """What is there beside the rail."""
        found = (await self.it.treasury.owed())["sim"].assets
        return {name: msat for name, msat in found.items() if msat and name != "lnd"}


def told(folder: Path, story: Any) -> None:
    async def whole() -> None:
        rail = Rail()
        async with scene(folder, rail) as it:
            await it.vault.post(Capital(rail="lnd", msat=50_000), realm="sim", key="capital")
            desk = Desk(it, rail)
            desk.nodes.change(wanted_msat=Msat(5_000))
            await story(desk)

    asyncio.run(whole())


def test_a_token_is_made_handed_over_and_booked(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.nodes.says = [RailUnavailable("it is starting"), Credited(amount_msat=Msat(4_900))]
        await desk.rounds(5)
        [key] = desk.nodes.keys
        assert desk.nodes.proofs == [f"token {key}"] * 2
        assert desk.nodes.let_go == [key]
        assert await desk.assets() == {PREPAID: 4_900}
        assert desk.rail.paid == [f"{key}:1"]

    told(tmp_path, story)


def test_a_nodes_invoice_is_paid(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.nodes.asks = Bolt11Request(text="pay:aa")
        desk.nodes.says = [Credited(amount_msat=Msat(5_000))]
        await desk.rounds()
        assert await desk.assets() == {PREPAID: 5_000}

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("asks", "why"),
    [
        (Bolt11Request(text="pay:bb-6000"), "for 6000 msat, not 5000"),
        (Bolt11Request(text="what"), "no invoice"),
        (EcashRequest(mints=("m",), amount_msat=Msat(9_000)), "another token than it was asked about"),
        (EcashRequest(mints=("foreign",), amount_msat=Msat(5_000)), "another token than it was asked about"),
        (RailUnavailable("it is down"), "it is down"),
    ],
)
def test_what_is_not_what_was_asked_for_is_not_paid(tmp_path: Path, asks: Any, why: str) -> None:
    async def story(desk: Desk) -> None:
        desk.nodes.asks = asks
        await desk.rounds(1)
        assert why in desk.topup.problems()[NODE]
        assert desk.rail.paid == []
        assert await desk.assets() == {}
        assert (len(desk.nodes.let_go) == 1) != isinstance(asks, Exception)

    told(tmp_path, story)


def test_the_operators_money_bounds_what_is_away(tmp_path: Path) -> None:
    """Agents' money goes to no node, unless the operator says so."""

    async def story(desk: Desk) -> None:
        desk.nodes.change(wanted_msat=Msat(20_000_000))
        desk.nodes.asks = EcashRequest(mints=("m",), amount_msat=Msat(20_000_000))
        await desk.rounds(1)
        assert "may be spent" in desk.topup.problems()[NODE]
        assert desk.rail.paid == []
        assert desk.nodes.funds_.funding == ""

    told(tmp_path, story)


def test_nothing_goes_where_nothing_comes_back_from(tmp_path: Path) -> None:
    """Over Lightning either: what a node gives back is ecash, and somebody has to take that."""

    async def story(desk: Desk) -> None:
        desk.nodes.change(mints=("https://elsewhere",))
        await desk.rounds(1)
        assert "which no rail here takes: add that mint" in desk.topup.problems()[NODE]
        assert desk.nodes.keys == []
        desk.nodes.change(mints=("https://elsewhere", "M/"))
        desk.nodes.says = [Credited(amount_msat=Msat(5_000))]
        await desk.rounds(4)
        assert await desk.assets() == {PREPAID: 5_000}

    told(tmp_path, story)


def test_a_payment_that_failed_is_let_go_of(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.rail.pays.append(FAILED)
        await desk.rounds()
        assert desk.nodes.let_go == desk.nodes.keys
        assert desk.nodes.proofs == []
        assert await desk.assets() == {}

    told(tmp_path, story)


def test_a_key_without_a_payment_is_let_go_of(tmp_path: Path) -> None:
    """Killed after the node made its invoice, and before anything was opened."""

    async def story(desk: Desk) -> None:
        desk.nodes.change(funding="top_before")
        await desk.rounds(1)
        assert desk.nodes.let_go == ["top_before"]

    told(tmp_path, story)


@pytest.mark.parametrize("claimed", [False, True])
def test_a_denied_token_comes_back_or_is_a_claim(tmp_path: Path, claimed: bool) -> None:
    """N5: whoever says that it has nothing is believed only where the token is still ours."""

    async def story(desk: Desk) -> None:
        desk.nodes.says = [FundingDenied(reason="no", evidence="400 invalid")] * 3
        desk.rail.claimed = claimed
        await desk.rounds(5)
        assert await desk.assets() == ({CLAIM: 5_000} if claimed else {})
        [payment] = await desk.it.requests.payments(owner=NODE)
        assert payment.handed == ("denied" if claimed else "returned")
        assert desk.nodes.let_go == [payment.id]

    told(tmp_path, story)


def test_a_paid_invoice_that_is_denied_is_a_claim(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.nodes.asks = Bolt11Request(text="pay:aa")
        desk.nodes.says = [FundingDenied(reason="no", evidence="it says expired")]
        await desk.rounds(4)
        assert await desk.assets() == {CLAIM: 5_000}

    told(tmp_path, story)


async def funded(desk: Desk) -> None:
    """5,000 msat are at the node."""
    desk.nodes.says = [Credited(amount_msat=Msat(5_000))]
    await desk.rounds()
    desk.nodes.change(balance_msat=Msat(5_000))


def test_a_sweep_is_redeemed_and_booked(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await funded(desk)
        desk.nodes.change(drain=True, reason="idle")
        desk.nodes.gives = [Swept(token="t", token_msat=Msat(4_000), balance_msat=Msat(4_321))]
        await desk.rounds()
        assert desk.rail.taken == ["t"]
        assert await desk.assets() == {PREPAID: 679}
        desk.nodes.change(balance_msat=Msat(0))
        assert [await desk.topup.check(), await desk.topup.check()] == [0, 1]
        assert await desk.assets() == {}

    told(tmp_path, story)


def test_more_than_was_known_of_is_found(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.nodes.change(wanted_msat=Msat(0), drain=True)
        desk.nodes.gives = [Swept(token="t", token_msat=Msat(4_000), balance_msat=Msat(4_500))]
        await desk.rounds()
        assert await desk.assets() == {}
        assert desk.rail.taken == ["t"]

    told(tmp_path, story)


def test_a_token_that_was_given_before_is_a_claim(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await funded(desk)
        for _ in range(2):
            desk.nodes.change(drain=True)
            desk.nodes.gives = [Swept(token="t", token_msat=Msat(4_000), balance_msat=Msat(4_000))]
            await desk.rounds()
        assert desk.rail.taken == ["t"]
        assert (await desk.assets())[CLAIM] == 4_000
        assert desk.nodes.funds_.sweeping == ""

    told(tmp_path, story)


def test_a_token_that_no_rail_takes_waits(tmp_path: Path) -> None:
    """Until the operator adds its mint."""

    async def story(desk: Desk) -> None:
        await funded(desk)
        desk.nodes.change(drain=True)
        desk.nodes.gives = [Swept(token="t", token_msat=Msat(4_000), balance_msat=Msat(4_000))]
        desk.rail.foreign = True
        await desk.rounds()
        assert "no rail here takes that" in desk.topup.problems()[NODE]
        assert await desk.assets() == {PREPAID: 5_000}
        desk.rail.foreign = False
        await desk.rounds()
        assert desk.rail.taken == ["t"]

    told(tmp_path, story)


def test_what_a_node_keeps_is_claimed_once(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await funded(desk)
        claims = (NodeClaim(id="lost:1", amount_msat=Msat(4_000), reason="it forgot our key"),)
        desk.nodes.change(claims=claims, balance_msat=Msat(0))
        await desk.rounds()
        assert await desk.assets() == {PREPAID: 1_000, CLAIM: 4_000}

    told(tmp_path, story)


def test_what_is_claimed_while_a_step_waits_is_not_missing(tmp_path: Path) -> None:
    """A node that did not answer is tried again only after a while; until then what it is given up with lies there, by
    the ledger, and is no difference: no process writes anything off by itself."""

    async def story(desk: Desk) -> None:
        await funded(desk)
        desk.nodes.change(drain=True, reason="it does not answer")
        desk.nodes.gives = [RailUnavailable("it is gone")]
        await desk.rounds()
        claims = (NodeClaim(id="given_up:1", amount_msat=Msat(5_000), reason="it was given up"),)
        desk.nodes.change(claims=claims, balance_msat=Msat(0), drain=False, sweeping="")
        await desk.topup.round()
        await desk.topup.settled()
        assert await desk.assets() == {PREPAID: 5_000}, "the next step waits"
        assert [await desk.topup.check() for _ in range(3)] == [0, 0, 0]
        await desk.rounds(1)
        assert await desk.assets() == {CLAIM: 5_000}

    told(tmp_path, story)


@pytest.mark.parametrize("there", [1_000, 5_000, 9_000])
@pytest.mark.parametrize("first", ["claim", "loss"])
def test_a_claim_that_was_written_off_is_not_claimed_again(tmp_path: Path, first: str, there: int) -> None:
    """Its provider goes on telling of it, and after a start nobody remembers: whatever lies at the node by then stays
    there, and is used."""

    async def story(desk: Desk) -> None:
        await funded(desk)
        claims = (NodeClaim(id="lost:1", amount_msat=Msat(4_000), reason="it forgot our key"),)
        lost = {"realm": "sim", "key": "k", "reason": "it is gone", "actor": "olga"}
        if first == "claim":
            desk.nodes.change(claims=claims, balance_msat=Msat(1_000))
            await desk.rounds()
            await desk.it.treasury.write_off(f"asset:{CLAIM}", 4_000, **lost)
        else:
            await desk.it.treasury.write_off(f"asset:{PREPAID}", 5_000, **lost)
            desk.nodes.change(claims=claims, balance_msat=Msat(0))
        await desk.rounds()
        lies = (await desk.assets()).get(PREPAID, 0)
        assert await desk.assets() == ({PREPAID: 1_000} if first == "claim" else {})
        if there > lies:
            more = TopUpEvent(rail="lnd", node=NODE, msat=there - lies, fee_msat=0)
            await desk.it.vault.post(more, realm="sim", key="more")
        again = Desk(desk.it, desk.rail)
        again.nodes.change(claims=claims, balance_msat=Msat(there), drain=True)
        again.nodes.gives = [Swept(token="t", token_msat=Msat(4_000), balance_msat=Msat(there))]
        await again.rounds()
        assert await again.assets() == {}
        again.nodes.change(balance_msat=Msat(0))
        assert [await again.topup.check(), await again.topup.check()] == [0, 0]

    told(tmp_path, story)


def test_what_differs_twice_is_booked_and_what_is_open_is_not(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await funded(desk)
        desk.nodes.change(balance_msat=Msat(4_000), reserved_msat=Msat(1))
        assert [await desk.topup.check() for _ in range(3)] == [0, 0, 0]
        desk.nodes.change(reserved_msat=Msat(0))
        assert [await desk.topup.check() for _ in range(3)] == [0, 1, 0]
        assert await desk.assets() == {PREPAID: 4_000}
        desk.nodes.change(balance_msat=Msat(4_250))
        assert [await desk.topup.check() for _ in range(3)] == [0, 1, 0]
        assert await desk.assets() == {PREPAID: 4_250}

    told(tmp_path, story)


@pytest.mark.parametrize("msat", [-1, 2**62, 10**30])
def test_what_is_no_amount_stops_nobody_elses_money(tmp_path: Path, msat: int) -> None:
    """A node may say anything of our balance."""

    async def story(desk: Desk) -> None:
        await funded(desk)
        desk.nodes.change(balance_msat=Msat(msat))
        assert [await desk.topup.check(), await desk.topup.check()] == [0, 0]
        assert await desk.assets() == {PREPAID: 5_000}
        assert "which is no amount" in desk.topup.problems()[NODE]
        desk.nodes.change(balance_msat=Msat(5_000))
        await desk.rounds(1)
        assert NODE not in desk.topup.problems()

    told(tmp_path, story)


@pytest.mark.parametrize(
    "raised",
    [Overloaded("4096 writes are waiting"), InsufficientFunds("a call was faster", needed_msat=2, available_msat=1)],
)
def test_nodes_are_looked_after_whatever_a_comparison_comes_to(tmp_path: Path, raised: ArbstrError) -> None:
    async def story(desk: Desk) -> None:
        await funded(desk)
        desk.nodes.change(balance_msat=Msat(4_000))
        desk.topup._rules = TopUpRules(round_seconds=0.001, check_seconds=0)
        post, tried = desk.it.vault.post, asyncio.Event()

        async def refused(*_: Any, **__: Any) -> Any:
            desk.it.vault.post = post  # type: ignore[method-assign]
            tried.set()
            raise raised

        desk.it.vault.post = refused  # type: ignore[method-assign]
        working = asyncio.create_task(desk.topup.run())
        try:
            await asyncio.wait_for(tried.wait(), 30)
            for _ in range(3_000):
                if await desk.assets() == {PREPAID: 4_000} or working.done():
                    break
                await asyncio.sleep(0.01)
            assert await desk.assets() == {PREPAID: 4_000}
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    told(tmp_path, story)
