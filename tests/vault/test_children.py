"""Child keys: one account, many keys, each within all limits above it."""

from __future__ import annotations

import asyncio

import pytest
from limiting import PLENTY, agent, asked, at, granted, refused, story_of
from msgspec.structs import replace

from arbstr_core.types import BadRequest, Conflict
from arbstr_core.vault import Granted, NewAgent, RefusalReason


async def family(bench, vault, **limits):
    """alice > bob > carol > dave; and erin, whose parent is alice, too."""
    for name, parent in (("bob", "alice"), ("carol", "bob"), ("dave", "carol"), ("erin", "alice")):
        await agent(bench, vault, name, parent=parent, **limits.get(name, {}))


def test_a_child_spends_from_its_roots_account(any_bench):
    async def story(vault):
        await family(any_bench, vault)
        id = await granted(any_bench, vault, 400, agent="dave")
        await vault.settle(any_bench.settlement(id, 300))
        for name in ("alice", "dave"):
            assert (await vault.agent(name)).available_msat == 700
        assert [each.name for each in await vault.descendants("ag_alice")] == ["bob", "carol", "dave", "erin"]
        assert [each.name for each in await vault.descendants("ag_carol")] == ["dave"]
        assert await refused(any_bench, vault, 701, agent="erin") == ("insufficient", 700, "ag_erin")

    story_of(any_bench, story, fund=1_000)


NARROW = [
    ({"max_charge_msat": 999}, ("max_charge", 999)),
    ({"daily_msat": 999}, ("daily", 999)),
    ({"hourly_msat": 999}, ("hourly", 999)),
    ({"concurrent": 0}, ("concurrent", 0)),
    ({"per_minute": 0}, ("rate", 0)),
    ({"models": ("other",)}, ("model", 0)),
    ({"expires_ms": 1}, ("expired", 0)),
    ({"max_charge_msat": None}, ("no_limits", 0)),
    ({"daily_msat": None}, ("no_limits", 0)),
]


@pytest.mark.parametrize("whose", ["alice", "carol"])
def test_every_limit_above_a_key_is_its_own_too(any_bench, whose):
    async def story(vault):
        await family(any_bench, vault)
        for limits, said in NARROW:
            await vault.set_limits(f"ag_{whose}", replace(PLENTY, **limits))
            assert await refused(any_bench, vault, 1_000, agent="dave") == (*said, f"ag_{whose}")
        # Those that are not below it go on.
        if whose == "carol":
            await granted(any_bench, vault, 1_000, agent="erin")

    story_of(any_bench, story)


def test_what_children_spend_counts_above_them_and_comes_back(any_bench):
    async def story(vault):
        await family(any_bench, vault)
        first = await granted(any_bench, vault, 600, agent="dave")
        assert await refused(any_bench, vault, 401, agent="erin") == ("daily", 400, "ag_alice")
        await vault.settle(any_bench.settlement(first, 100))
        second = await granted(any_bench, vault, 900, agent="erin")
        await vault.release(second, b"{}")
        await granted(any_bench, vault, 900, agent="carol")

    story_of(any_bench, story, daily_msat=1_000)
    used = {(agent, used) for agent, used in any_bench.rows("SELECT agent_id, used FROM bucket WHERE kind = 'day'")}
    assert used == {("ag_alice", 1_000), ("ag_bob", 1_000), ("ag_carol", 1_000), ("ag_dave", 100), ("ag_erin", 0)}


def test_calls_of_all_keys_are_open_together(any_bench):
    async def story(vault):
        await family(any_bench, vault)
        names = ("alice", "bob", "carol", "dave", "erin")
        answers = await asyncio.gather(*(vault.hold(asked(any_bench, 1, agent=name)) for name in names))
        assert [isinstance(answer, Granted) for answer in answers] == [True, True, True, False, False]
        assert {answer.agent for answer in answers[3:]} == {"ag_alice"}

    story_of(any_bench, story, concurrent=3)


def test_a_chain_is_four_keys_long(any_bench):
    async def story(vault):
        await family(any_bench, vault)
        with pytest.raises(BadRequest, match="4 is the most"):
            await agent(any_bench, vault, "frank", parent="dave")
        assert (await vault.agent("dave")).depth == 4

    story_of(any_bench, story)


def test_a_parent_never_changes(any_bench):
    async def story(vault):
        await family(any_bench, vault)

    story_of(any_bench, story)
    for statement in (
        "UPDATE agent SET parent_id = 'ag_erin' WHERE id = 'ag_dave'",
        "UPDATE agent SET depth = 2 WHERE id = 'ag_dave'",
        "UPDATE agent SET account_id = account_id + 1 WHERE id = 'ag_dave'",
    ):
        with pytest.raises(any_bench.refusals):
            any_bench.tamper(statement)


def test_a_key_is_of_its_parents_realm_and_has_no_money_of_its_own(any_bench):
    async def story(vault):
        other = NewAgent(
            id="ag_x", name="x", realm="mainnet", token_hash=any_bench.token("x"), limits=PLENTY, parent="ag_alice"
        )
        with pytest.raises(BadRequest, match="realm"):
            await vault.create_agent(other)
        with pytest.raises(ValueError, match="no account of its own"):
            await agent(any_bench, vault, "carol", parent="alice", fund=1)

    story_of(any_bench, story)


@pytest.mark.parametrize("whose", ["alice", "carol"])
def test_switching_a_key_off_stops_new_holds_below_it(any_bench, whose):
    async def story(vault):
        await family(any_bench, vault)
        before = await granted(any_bench, vault, 100, agent="dave")
        await vault.set_enabled(f"ag_{whose}", False)
        assert await refused(any_bench, vault, 1, agent="dave") == ("disabled", 0, f"ag_{whose}")
        # What is open ends as it would have.
        assert (await vault.settle(any_bench.settlement(before, 50))).charged_msat == 50
        await vault.set_enabled(f"ag_{whose}", True)
        await granted(any_bench, vault, 1, agent="dave")

    story_of(any_bench, story)


def test_a_key_switches_on_what_it_switched_off_and_nothing_else(any_bench):
    """Who switched a key off, or is above who did, may switch it on: an agent never undoes its operator's word."""

    async def story(vault):
        await family(any_bench, vault)
        for off, on, may in (
            ("operator", "ag_alice", False),
            ("operator", "operator", True),
            ("ag_carol", "ag_carol", True),
            ("ag_carol", "ag_alice", True),
            ("ag_alice", "ag_carol", False),
            ("ag_alice", "operator", True),
        ):
            await vault.set_enabled("ag_dave", False, actor=off)
            if may:
                assert (await vault.set_enabled("ag_dave", True, actor=on)).enabled
            else:
                with pytest.raises(Conflict, match="was switched off by its operator, or by a key above yours"):
                    await vault.set_enabled("ag_dave", True, actor=on)
                await vault.set_enabled("ag_dave", True)
        # What is on already may be switched on by all.
        await vault.set_enabled("ag_dave", True, actor="ag_carol")

    story_of(any_bench, story)


def test_a_new_token_ends_the_old_ones_of_all_keys_below(any_bench):
    async def story(vault):
        await family(any_bench, vault)
        await vault.rotate_token("ag_bob", any_bench.token("new"))
        tokens = ("alice", "bob", "carol", "dave", "erin", "new")
        found = [await vault.agent_by_token(any_bench.token(token)) for token in tokens]
        assert [each and each.name for each in found] == ["alice", None, None, None, "erin", "bob"]

    story_of(any_bench, story)


def test_an_agent_that_makes_a_key_is_on_record(any_bench):
    async def story(vault):
        await agent(any_bench, vault, "bob", parent="alice", actor="ag_alice")

    story_of(any_bench, story)
    noted = "SELECT actor FROM audit WHERE subject = 'ag_bob'"
    if any_bench.dialect.value == "postgresql":
        noted += " UNION ALL SELECT actor FROM audit_pending WHERE subject = 'ag_bob'"
    assert {actor for (actor,) in any_bench.rows(noted)} == {"ag_alice"}


def test_t18_keys_of_one_root_race_for_its_limit(any_bench):
    """T18: from every key at once, and several processes where there are several; no deadlock, and never too much."""

    async def story(vault):
        await family(any_bench, vault)
        names = ("alice", "bob", "carol", "dave", "erin")
        if not vault.shared:
            answers = await asyncio.gather(*(vault.hold(asked(any_bench, 100, agent=names[n % 5])) for n in range(60)))
        else:
            async with any_bench.vault("boot-2") as other:
                both = (vault, other)
                answers = await asyncio.gather(
                    *(both[n % 2].hold(asked(any_bench, 100, agent=names[n % 5])) for n in range(60))
                )
        assert sum(isinstance(answer, Granted) for answer in answers) == 10
        assert {each.reason for each in answers if not isinstance(each, Granted)} == {RefusalReason.DAILY}

    story_of(any_bench, story, daily_msat=1_000)


def test_a_key_with_limits_of_its_own_day_and_hour(any_bench):
    async def story(vault):
        at(any_bench, any_bench.clock.ms)
        await family(any_bench, vault, dave={"hourly_msat": 50}, bob={"hourly_msat": 80})
        await granted(any_bench, vault, 50, agent="dave")
        assert await refused(any_bench, vault, 1, agent="dave") == ("hourly", 0, "ag_dave")
        assert await refused(any_bench, vault, 31, agent="carol") == ("hourly", 30, "ag_bob")
        await granted(any_bench, vault, 31, agent="erin")

    story_of(any_bench, story)
