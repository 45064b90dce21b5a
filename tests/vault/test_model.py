"""A model of an agent's money, against the vault: any order of calls, batched or not, gives the same sums."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from arbstr_core.vault import Granted, Refused

NAMES = ("alice", "bob")
FUND, MAX_CHARGE, DAILY = 2_000, 900, 3_000

steps = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), st.sampled_from(NAMES), st.lists(st.integers(0, 1_200), min_size=1, max_size=3)),
        st.tuples(st.just("settle"), st.integers(0, 30), st.integers(0, 1_000)),
        st.tuples(st.just("release"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("fund"), st.sampled_from(NAMES), st.integers(1, 500)),
        st.tuples(st.just("wait"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


class Model:
    """What must be true, in the simplest words."""

    def __init__(self):
        self.posted = dict.fromkeys(NAMES, FUND)
        self.used = dict.fromkeys(NAMES, 0)
        self.open = {}

    def held(self, name):
        return sum(amount for owner, amount in self.open.values() if owner == name)

    def grant(self, name, ceilings):
        room = min(MAX_CHARGE, DAILY - self.used[name], self.posted[name] - self.held(name))
        prefix = []
        for ceiling in ceilings:
            if ceiling > room:
                break
            prefix.append(ceiling)
        return (max(prefix), len(prefix)) if prefix else None


async def play(bench, script):
    async with bench.vault() as vault:
        for name in NAMES:
            await bench.agent(vault, name, fund=FUND, max_charge=MAX_CHARGE, daily=DAILY)
        model, waiting, holds = Model(), [], []
        for number, (what, who, much) in enumerate(script):
            if what == "wait":
                await asyncio.gather(*waiting)
                waiting.clear()
            elif what == "fund":
                waiting.append(asyncio.ensure_future(vault.fund(f"ag_{who}", much, rail="simulated", key=f"k{number}")))
                # Funding is queued by its task, not at once: let it take its place in the order.
                await asyncio.sleep(0)
                model.posted[who] += much
            elif what == "hold":
                waiting.append(hold(vault, bench, model, holds, who, tuple(much)))
            elif holds:
                waiting.append(end(vault, bench, model, holds[who % len(holds)], much if what == "settle" else None))
        await asyncio.gather(*waiting)
        for name in NAMES:
            agent = await vault.agent(name)
            assert (agent.posted_msat, agent.held_msat) == (model.posted[name], model.held(name))
        verification = await vault.verify()
        assert verification.first_bad is None
        assert verification.open_holds == len(model.open)


def hold(vault, bench, model, holds, name, ceilings):
    request = bench.request(*ceilings, agent=f"ag_{name}")
    granted = model.grant(name, ceilings)
    future = vault.hold(request)
    if granted is not None:
        model.open[request.id] = (name, granted[0])
        model.used[name] += granted[0]
        holds.append((request.id, granted[0]))

    async def check():
        answer = await future
        if granted is None:
            assert isinstance(answer, Refused)
        else:
            assert answer == Granted(id=request.id, amount_msat=granted[0], candidates=granted[1])

    return asyncio.ensure_future(check())


def end(vault, bench, model, hold, charge):
    id, amount = hold
    charged = None if charge is None else min(charge, amount)
    future = vault.release(id, b"{}") if charged is None else vault.settle(bench.settlement(id, charged))
    first = id in model.open
    if first:
        name, _ = model.open.pop(id)
        model.posted[name] -= charged or 0
        model.used[name] -= amount - (charged or 0)

    async def check():
        closed = await future
        assert closed.first is first

    return asyncio.ensure_future(check())


@settings(max_examples=40, deadline=None)
@given(script=steps)
def test_any_order_of_calls_gives_what_the_model_says(new_bench, script):
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(new_bench(Path(folder)), script))


@settings(max_examples=30, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60))
def test_receipts_and_candidates_come_back_byte_for_byte(new_bench, text):
    async def story(bench):
        async with bench.vault() as vault:
            await bench.agent(vault)
            request = bench.request(5, candidates=text.encode())
            await vault.hold(request)
            await vault.release(request.id, text.encode())
            assert (await vault.receipt(request.id)).body == text.encode()
            assert bench.rows("SELECT CAST(candidates AS BLOB) FROM hold") == [(text.encode(),)]
            assert (await vault.verify()).first_bad is None

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(new_bench(Path(folder))))
