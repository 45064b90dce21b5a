"""Money that comes in: asked for, handed in, or just there; credited once, whatever the rail and the process do."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from house import until, until_true
from till import Counter, Fuse, Till, counter, told

from arbstr_core.api import Msat, RailUnavailable, Unit
from arbstr_core.flow import Asked
from arbstr_core.types import BadRequest, Conflict, IdempotencyConflict, NotFound
from arbstr_core.vault import RequestState


def test_t11_an_invoice_paid_again_and_told_again_is_credited_once(tmp_path: Path) -> None:
    """The rail tells of it three times, in its stream and after a restart."""

    async def story() -> None:
        till = Till()
        async with counter(tmp_path, till) as desk:
            alice = await desk.agent()
            asked = await desk.flow.ask(alice, 5_000)
            assert (asked["state"], asked["kind"]) == ("open", "invoice")
            for _ in range(3):
                till.pays(asked["invoice"])
            await desk.has("alice", 5_000)
            await desk.told(till)
            assert (await desk.flow.one(alice, asked["id"]))["state"] == "paid"
        till.pays(asked["invoice"])
        async with counter(tmp_path, till, boot="b2") as desk:
            await desk.told(till)
            await desk.has("alice", 5_000)
            found = await desk.flow.deposits(None, Asked(), nobodys=False)
            assert [(row["amount_msat"], row["agent"]) for row in found["data"]] == [(5_000, "ag_alice")]

    asyncio.run(story())


def test_t11_two_processes_credit_once_and_the_other_goes_on(tmp_path: Path, postgres_url: str) -> None:
    """The one that has no job writes requests, and the other answers them; once that has left, it takes over."""

    async def story() -> None:
        till = Till()
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        async with counter(tmp_path / "b", till, boot="b", url=postgres_url) as second:
            async with counter(tmp_path / "a", till, boot="a", url=postgres_url) as first:
                alice = await first.agent()
                for desk in (first, second):
                    asked = await desk.flow.ask(alice, 5_000)
                    assert asked["state"] == "open"
                    for _ in range(3):
                        till.pays(asked["invoice"])
                await asyncio.gather(*(desk.flow.hand_in(alice, "tok-900") for desk in (first, second) * 5))
                await first.has("alice", 10_900)
            asked = await second.flow.ask(alice, 100)
            till.pays(asked["invoice"])
            await second.has("alice", 11_000)
            rows = (await second.flow.deposits("alice", Asked(), nobodys=False))["data"]
            assert sorted(row["amount_msat"] for row in rows) == [100, 900, 5_000, 5_000]

    asyncio.run(story())


def test_a_process_without_rails_asks_the_treasury_of_another(tmp_path: Path, postgres_url: str) -> None:
    """It knows of rails what the treasury has written of them; tokens it does not take."""

    async def story() -> None:
        till = Till()
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        async with (
            counter(tmp_path / "a", till, boot="a", url=postgres_url) as treasury,
            counter(tmp_path / "b", boot="b", url=postgres_url, runs=False) as proxy,
        ):
            alice = await proxy.agent()
            with pytest.raises(BadRequest, match="No rail of this realm makes invoices"):
                await proxy.flow.ask(alice, 5_000)
            turn = await treasury.office.turn()
            assert turn is not None
            body = b'{"rails": [{"name": "till", "state": "ready", "more": 1}]}'
            await treasury.treasury.note_solvency(turn, "sim", below=False, reason="", body=body)
            asked = await proxy.flow.ask(alice, 5_000)
            assert (asked["state"], asked["rail"]) == ("open", "till")
            till.pays(asked["invoice"])
            await proxy.has("alice", 5_000)
            with pytest.raises(BadRequest, match="takes ecash"):
                await proxy.flow.hand_in(alice, "tok-900")
            with pytest.raises(BadRequest, match="ask for 2000 msat"):
                await proxy.flow.ask(alice, 1_001)

    asyncio.run(story())


def test_a_stream_that_breaks_is_read_on_from_what_was_credited(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        alice = await desk.agent()
        first, second = [await desk.flow.ask(alice, msat) for msat in (1_000, 2_000)]
        till.fails = [None, RailUnavailable("the node went away"), OSError("and again")]
        till.pays(first["invoice"])
        till.pays(second["invoice"])
        await desk.has("alice", 3_000)
        assert till.calls[-4:] == ["deposit 1", "deposit 2", "deposit 2", "deposit 2"]

    told(tmp_path, story)


def test_what_came_while_nobody_looked_is_credited_at_the_next_start(tmp_path: Path) -> None:
    async def story() -> None:
        till = Till()
        async with counter(tmp_path, till) as desk:
            asked = await desk.flow.ask(await desk.agent(), 700)
        till.pays(asked["invoice"])
        async with counter(tmp_path, till, boot="b2") as desk:
            await desk.has("alice", 700)

    asyncio.run(story())


def test_one_rail_that_is_down_keeps_no_other_waiting(tmp_path: Path) -> None:
    async def story() -> None:
        broken, well = Till("broken"), Till("well")
        broken.fails = [RailUnavailable("it is down")] * 10_000
        async with counter(tmp_path, broken, well) as desk:
            alice = await desk.agent()
            waiting = asyncio.create_task(desk.flow.ask(alice, 400, rail="broken"))
            asked = await desk.flow.ask(alice, 500, rail="well")
            well.pays(asked["invoice"])
            await desk.has("alice", 500)
            broken.fails = []
            assert (await waiting)["state"] == "open"
            assert len({call for call in broken.calls if call.startswith("invoice")}) == 1, "one key, asked again"

    asyncio.run(story())


def test_a_token_is_redeemed_once_however_often_it_is_handed_in(tmp_path: Path) -> None:
    """T21: twenty at once, of its owner and of somebody else."""

    async def story(desk: Counter, till: Till) -> None:
        alice, bob = await desk.agent(), await desk.agent("bob")
        till.fails = [RailUnavailable("the answer was lost")]
        outcomes = await asyncio.gather(
            *(desk.flow.hand_in(who, "tok-900") for who in [alice] * 20 + [bob]), return_exceptions=True
        )
        assert isinstance(outcomes.pop(), Conflict)
        assert {each["state"] for each in outcomes if isinstance(each, dict)} == {"paid"}
        assert len({each["id"] for each in outcomes if isinstance(each, dict)}) == 1
        assert (await desk.vault.agent("alice")).posted_msat == 900  # type: ignore[union-attr]
        with pytest.raises(Conflict, match="handed in before"):
            await desk.flow.hand_in(bob, "tok-900")

    told(tmp_path, story)


def test_a_token_redeemed_just_before_a_crash_is_credited_after_it(tmp_path: Path) -> None:
    """The mint has it, the ledger not yet: the same key again, or the stream, whoever is first."""

    async def story() -> None:
        till = Till()
        async with counter(tmp_path, till, runs=False) as desk:
            alice = await desk.agent()
            waiting = asyncio.create_task(desk.flow.hand_in(alice, "tok-900"))

            async def written() -> str | None:
                found = (await desk.flow.mine(alice, Asked()))["data"]
                return found[0]["id"] if found else None

            id = await until(written, 30)
            await till.receive("tok-900", key=id)
            waiting.cancel()
        async with counter(tmp_path, till, boot="b2") as desk:
            await desk.has("alice", 900)

            async def paid() -> bool:
                return (await desk.flow.one(alice, id))["state"] == "paid"

            await until(paid, 30)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("done", "stride"),
    [
        *((False, 3), (True, 3)),
        *(pytest.param(done, 1, marks=pytest.mark.campaign) for done in (False, True)),
    ],
)
def test_a_crash_anywhere_loses_no_deposit(tmp_path: Path, done: bool, stride: int) -> None:
    """The process dies at its first step, at its second, and so on: what was paid and handed in is credited once."""

    async def story(at: int) -> bool:
        till, folder, shown = Till(), tmp_path / str(at), asyncio.Event()
        folder.mkdir()
        fuse = Fuse(at, done=done)

        async def puts(desk: Counter) -> None:
            alice = await desk.agent()
            asked = await desk.flow.ask(alice, 5_000)
            shown.set()
            till.pays(asked["invoice"])
            await desk.flow.hand_in(alice, "tok-900")
            await desk.has("alice", 5_900)

        async with counter(folder, till, fuse=fuse) as desk:
            work = asyncio.create_task(puts(desk))
            blown = asyncio.create_task(fuse.blown.wait())
            await asyncio.wait({work, blown}, return_when=asyncio.FIRST_COMPLETED)
            unharmed = not fuse.blown.is_set()
            for task in (work, blown):
                task.cancel()
            await asyncio.gather(work, blown, return_exceptions=True)
        async with counter(folder, till, boot="b2") as desk:
            alice = await desk.agent()

            async def over() -> bool:
                found = (await desk.flow.mine(alice, Asked()))["data"]
                return all(row["state"] in ("open", "paid") for row in found)

            await until(over, 30)
            await desk.told(till)
            await desk.has("alice", till.balance_msat)
            assert till.balance_msat == sum(each.amount_msat for each in till.came)
            assert (await desk.treasury.owed())["sim"].suspense_msat == 0
            if shown.is_set():
                assert till.balance_msat >= 5_000
        return unharmed

    async def until_unharmed() -> int:
        for at in range(1 + done * (stride - 1), 100, stride):
            if await story(at):
                return at
        raise AssertionError("it never came through")

    assert asyncio.run(until_unharmed()) > 5


def test_after_a_restore_what_came_since_is_nobodys_until_the_operator_says(tmp_path: Path) -> None:
    """The backup knows neither the request nor the credit; the rail still tells of the money."""

    async def story() -> None:
        till, live, old = Till(), tmp_path / "live", tmp_path / "old"
        live.mkdir()
        async with counter(live, till) as desk:
            await desk.agent()
            till.pays((await desk.flow.ask(await desk.agent(), 300))["invoice"])
            await desk.has("alice", 300)
        shutil.copytree(live, old)
        async with counter(live, till, boot="b2") as desk:
            till.pays((await desk.flow.ask(await desk.agent(), 700))["invoice"])
            await desk.has("alice", 1_000)
        async with counter(old, till, boot="b3") as desk:
            await desk.told(till)
            await desk.has("alice", 300)
            (row,) = (await desk.flow.deposits(None, Asked(), nobodys=True))["data"]
            await desk.flow.assign("till", row["reference"], "alice", actor="operator")
            await desk.has("alice", 1_000)

    asyncio.run(story())


def test_bad_tokens_are_refused_with_what_is_wrong(tmp_path: Path) -> None:
    """T23: a foreign or malformed one reaches no mint; a spent one is refused for good."""

    async def story(desk: Counter, till: Till) -> None:
        alice = await desk.agent()
        for token, why in [("cashuBnonsense", "begins with tok-"), ("tok-\x07", "whole token"), ("tok-0", "nothing")]:
            with pytest.raises(BadRequest, match=why):
                await desk.flow.hand_in(alice, token)
        assert till.calls == []
        till.spent.add("tok-50")
        with pytest.raises(BadRequest, match="spent before"):
            await desk.flow.hand_in(alice, "tok-50")
        assert (await desk.vault.agent("alice")).posted_msat == 0  # type: ignore[union-attr]

    told(tmp_path, story)


def test_amounts_that_the_rail_cannot_take_are_refused_with_one_that_it_can(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        alice = await desk.agent()
        for msat, why in [(1_500, "ask for 2000 msat"), (2_000_000, "no more than"), (0, "no less than")]:
            with pytest.raises(BadRequest, match=why):
                await desk.flow.ask(alice, msat)
        with pytest.raises(BadRequest, match="rails here: till"):
            await desk.flow.ask(alice, 1_000, rail="moon")
        assert till.calls == []
        assert (await desk.flow.mine(alice, Asked()))["data"] == []

    told(tmp_path, story, unit=Unit.SAT, largest=1_000_000)


def test_t24_an_invoice_for_another_amount_is_shown_to_nobody(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        till.lies = lambda made: msgspec.structs.replace(made, amount_msat=Msat(made.amount_msat + 1))
        found = await desk.flow.ask(await desk.agent(), 500)
        assert (found["state"], found["invoice"]) == ("refused", None)
        assert "501 msat, and 500 were asked for" in found["reason"]

    told(tmp_path, story)


def test_t30_an_agent_has_a_bounded_number_of_open_invoices(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        alice = await desk.agent()
        for _ in range(10):
            await desk.flow.ask(alice, 500)
        with pytest.raises(Conflict, match="10 invoices are open"):
            await desk.flow.ask(alice, 500)
        await desk.flow.ask(await desk.agent("bob"), 500)

    told(tmp_path, story)


def test_the_same_key_is_the_same_invoice(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        alice, bob = await desk.agent(), await desk.agent("bob")
        first, again = [await desk.flow.ask(alice, 500, key="k") for _ in range(2)]
        assert first == again
        assert (await desk.flow.ask(bob, 500, key="k"))["id"] != first["id"]
        with pytest.raises(IdempotencyConflict, match="another deposit"):
            await desk.flow.ask(alice, 501, key="k")
        with pytest.raises(NotFound, match="of yours"):
            await desk.flow.one(bob, first["id"])

    told(tmp_path, story)


def test_a_childs_deposit_is_its_roots_money(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        alice = await desk.agent()
        child = await desk.agent("child", "ag_alice")
        asked = await desk.flow.ask(child, 500)
        till.pays(asked["invoice"])
        await desk.has("alice", 500)
        assert (await desk.flow.one(alice, asked["id"]))["agent"] == "ag_child"

    told(tmp_path, story)


def test_what_is_nobodys_waits_until_the_operator_says_whose_it_is(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        await desk.agent()
        till.take(900, "h1")
        await desk.told(till)
        (row,) = (await desk.flow.deposits(None, Asked(), nobodys=True))["data"]
        assert (row["agent"], row["request"], row["assigned"]) == (None, None, False)
        for _ in range(2):
            await desk.flow.assign("till", "h1", "alice", actor="operator:olga")
        await desk.has("alice", 900)
        assert (await desk.flow.deposits(None, Asked(), nobodys=True))["data"] == []

    told(tmp_path, story)


def test_an_operators_deposit_is_capital_that_agents_are_funded_from(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        await desk.agent()
        asked = await desk.flow.ask_for(None, None, 5_000)
        till.pays(asked["invoice"])
        found = await desk.flow.hand_in_for(None, None, "tok-300")
        await desk.told(till)
        assert found["agent"] is None
        assert (await desk.treasury.owed())["sim"].equity_msat == 5_300

    told(tmp_path, story)


def test_an_invoice_that_nobody_pays_expires_and_is_credited_if_it_is_paid_after_all(tmp_path: Path) -> None:
    async def story(desk: Counter, till: Till) -> None:
        alice = await desk.agent()
        till.lies = lambda made: msgspec.structs.replace(made, expires_ms=made.expires_ms - 3_600_000)
        asked = await desk.flow.ask(alice, 500)

        async def expired() -> bool:
            return (await desk.flow.one(alice, asked["id"]))["state"] == RequestState.EXPIRED

        await until(expired, 30)
        till.pays(asked["invoice"])
        await desk.has("alice", 500)

    told(tmp_path, story)


def test_a_deposit_that_cannot_be_stops_its_rail_and_no_other(tmp_path: Path) -> None:
    async def story() -> None:
        mad, well = Till("mad"), Till("well")
        async with counter(tmp_path, mad, well) as desk:
            alice = await desk.agent()
            mad.take(-5, "h1")
            await until_true(lambda: mad.calls.count("deposit 1") > 2)
            asked = await desk.flow.ask(alice, 500, rail="well")
            well.pays(asked["invoice"])
            await desk.has("alice", 500)
            assert await desk.treasury.place("mad", "deposits") == ""

    asyncio.run(story())


def test_a_request_whose_step_ends_while_it_is_read_what_is_due_is_not_asked_again(tmp_path: Path) -> None:
    async def story() -> None:
        till, let = Till(), asyncio.Event()
        asked: list[str] = []
        invoice = till.invoice

        async def slowly(*args: Any, **more: Any) -> Any:
            asked.append(more["key"])
            made = await invoice(*args, **more)
            await let.wait()
            return made

        till.invoice = slowly  # type: ignore[method-assign]
        async with counter(tmp_path, till, runs=False) as desk:
            opened = await desk.teller.invoice("sim", 5_000, agent=None)
            await desk.incoming._begin()
            due = desk.treasury.due_requests

            async def read(now_ms: int) -> Any:
                found = await due(now_ms)
                assert [each.id for each in found] == [opened.id]
                let.set()
                while desk.incoming._open:
                    await asyncio.sleep(0)
                return found

            desk.treasury.due_requests = read  # type: ignore[method-assign]
            await desk.incoming._begin()
            assert not desk.incoming._open
            assert asked == [opened.id]

    asyncio.run(story())
