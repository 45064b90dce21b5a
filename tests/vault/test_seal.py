"""On PostgreSQL the audit is chained by one process at a time, whoever wrote what it says; and so are other jobs."""

from __future__ import annotations

import asyncio

from arbstr_core.vault import Job


def run(new_bench, url, tmp_path, story):
    """Run `story` with two processes' vaults on one database."""
    bench = new_bench(tmp_path, url)

    async def both():
        async with bench.vault("one") as one, bench.vault("two") as two:
            await story(bench, one, two)

    asyncio.run(both())


async def call(bench, vault, n):
    await vault.hold(bench.request(1, id=f"req_{n}"))
    await vault.settle(bench.settlement(f"req_{n}", 1))


def test_two_that_seal_at_once_make_one_chain(new_bench, postgres_url, tmp_path):
    async def story(bench, one, two):
        await bench.agent(one, fund=100_000, max_charge=1_000, daily=100_000)
        sealed = []
        for start in range(0, 200, 20):
            calls = [call(bench, (one, two)[n % 2], n) for n in range(start, start + 20)]
            *_, first, second = await asyncio.gather(*calls, one.seal(), two.seal())
            sealed.append((first, second))
        found = await two.verify()
        assert found.ok, found
        assert await one.seal() + await two.seal() == found.pending_rows
        after = await one.verify()
        assert after.ok, after
        assert (after.pending_rows, after.audit_rows) == (0, found.audit_rows)
        # While the lease lasts, only one of them does it.
        assert {bool(sum(first for first, _ in sealed)), bool(sum(second for _, second in sealed))} == {True, False}

    run(new_bench, postgres_url, tmp_path, story)


def test_another_process_seals_when_the_sealer_is_gone(new_bench, postgres_url, tmp_path):
    async def story(bench, one, two):
        await bench.agent(one)
        assert await one.seal() == 7
        await call(bench, two, 1)
        assert await two.seal() == 0
        bench.tamper("UPDATE job SET until_ms = arbstr_now() - 1")
        assert await two.seal() == 3
        await call(bench, one, 2)
        assert await one.seal() == 0
        assert (await one.verify()).pending_rows == 2

    run(new_bench, postgres_url, tmp_path, story)


def test_a_row_that_waits_is_compared_like_one_that_is_chained(new_bench, postgres_url, tmp_path):
    async def story(bench, one, two):
        await bench.agent(one)
        await one.seal()
        await call(bench, two, 1)
        bench.tamper_unguarded("UPDATE receipt SET body = '{}'")
        assert "its entries or its receipt" in (await one.verify()).first_bad

    run(new_bench, postgres_url, tmp_path, story)


def test_a_job_is_one_processs_until_its_lease_ends(any_bench):
    async def story():
        async with any_bench.vault("one") as one:
            fence = await one.take_job(Job.SENDER, seconds=30)
            assert await one.take_job(Job.SENDER, seconds=30) == fence
            any_bench.tamper("UPDATE job SET boot_id = 'another', fence = fence + 1")
            assert await one.take_job(Job.SENDER, seconds=30) is None
            await one.lose_job(Job.SENDER)
            assert await one.take_job(Job.SENDER, seconds=30) is None
            any_bench.tamper("UPDATE job SET until_ms = 0")
            assert await one.take_job(Job.SENDER, seconds=30) == fence + 2
            await one.lose_job(Job.SENDER)
            assert any_bench.rows("SELECT until_ms FROM job") == [(0,)]

    asyncio.run(story())


def test_two_that_take_a_job_at_once_get_it_once(new_bench, postgres_url, tmp_path):
    async def story(bench, one, two):
        for _ in range(10):
            fences = await asyncio.gather(one.take_job(Job.SWEEPER, seconds=30), two.take_job(Job.SWEEPER, seconds=30))
            assert sum(fence is not None for fence in fences) == 1
            await one.lose_job(Job.SWEEPER)
            await two.lose_job(Job.SWEEPER)

    run(new_bench, postgres_url, tmp_path, story)
