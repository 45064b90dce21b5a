"""A process that dies in the middle of a stream: what it had seen is charged, by its next start, or by another process
on the same PostgreSQL, and not before it may be taken for dead."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from house import Process, Setup, chat, instance, process, run, share_keys, until_true, write
from upstream import Act, Upstream

BEATS = "[vault]\nheartbeat_seconds = {}\n"
INPUT = -(-len('[{"role":"user","content":"Say hello"}]') // 4)
Rows = Callable[[str], list[tuple[Any, ...]]]


def _agent(place: Setup) -> dict[str, str]:
    new = {"name": "payer", "fund_msat": 10**9, "max_charge_msat": 10**9, "daily_msat": 10**9}
    made = httpx.post(f"{place.url}/admin/agents", json=new, headers=place.operator(), timeout=30, trust_env=False)
    assert made.status_code == 201, made.text
    return {"authorization": f"Bearer {made.json()['token']}"}


async def _stream_until(place: Setup, known: dict[str, str], seen: Callable[[], bool], then: Callable[[], None]) -> str:
    """Stream until `seen`, which ends it; its id."""
    async with (
        httpx.AsyncClient(base_url=place.url, timeout=30, trust_env=False) as http,
        http.stream("POST", "/v1/chat/completions", json=chat(stream=True), headers=known) as answer,
    ):
        assert answer.status_code == 200
        reading = asyncio.create_task(answer.aread())
        await until_true(seen)
        then()
        with pytest.raises(httpx.TransportError):
            await reading
        return answer.headers["x-request-id"]


def _killed_in_a_stream(first: Process, place: Setup, rows: Rows) -> int:
    """What the last heartbeat saw of a stream in whose middle the process was killed."""
    known = _agent(place)
    # Words of a token each: the input, which is counted from the start, and some of the output.
    query = "SELECT seen_msat FROM hold WHERE state = 'held' AND seen_ms IS NOT NULL"
    run(_stream_until(place, known, lambda: any(msat > INPUT for (msat,) in rows(query)), first.kill))
    ((seen,),) = rows(query)
    return int(seen)


def test_the_next_start_charges_what_was_seen(tmp_path: Path) -> None:
    with Upstream() as upstream:
        upstream.script("m", Act(words=2000, pause=0.02))
        place = write(tmp_path, instance("x", upstream.url) + BEATS.format(0.3))
        seen = _killed_in_a_stream(Process(place), place, place.rows)
        served = Process(place)
        try:
            query = "SELECT h.state, x.amount_msat FROM hold h JOIN transfer x ON x.hold_seq = h.seq"
            assert place.rows(query) == [("settled", seen)]
            ledger = httpx.get(f"{place.url}/admin/audit/verify", headers=place.operator(), timeout=30, trust_env=False)
            assert (ledger.json()["ok"], ledger.json()["open_holds"]) == (True, 0)
        finally:
            assert served.stop() == 0


def test_another_process_charges_what_was_seen(tmp_path: Path, postgres_url: str) -> None:
    def rows(query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(postgres_url) as connection:
            return connection.execute(query).fetchall()

    with Upstream() as upstream:
        upstream.script("m", Act(words=2000, pause=0.02))
        # Three beats are a lease, which a busy machine must not let run out.
        tables = instance("x", upstream.url) + BEATS.format(1) + f'[storage]\nurl = "{postgres_url}"\n'
        places = [write(tmp_path / name, tables) for name in ("first", "second")]
        with contextlib.ExitStack() as running:
            first = running.enter_context(process(places[0]))
            # What is sealed in the database is sealed with one key, whoever opens it.
            share_keys(places[0], places[1])
            running.enter_context(process(places[1]))
            seen = _killed_in_a_stream(first, places[0], rows)
            ended = "SELECT h.state, x.amount_msat FROM hold h JOIN transfer x ON x.hold_seq = h.seq"
            run(until_true(lambda: rows(ended) == [("settled", seen)]))
            # It was left alone for as long as it might have lived.
            ((lease, at),) = rows("SELECT b.lease_until_ms, h.ended_ms FROM boot b JOIN hold h ON h.boot_id = b.id")
            assert at > lease
        # Who said good-bye is not waited for.
        assert rows("SELECT count(*) FROM boot WHERE ended_ms IS NOT NULL") == [(1,)]


def test_a_whole_answer_is_withheld_while_the_database_takes_no_writes(tmp_path: Path) -> None:
    with Upstream() as upstream:
        upstream.script("m", Act(how="gate"))
        place = write(tmp_path, instance("x", upstream.url) + "[vault]\nsettle_seconds = 0.3\n")
        served = Process(place)
        try:
            known = _agent(place)

            async def story() -> None:
                async with httpx.AsyncClient(base_url=place.url, timeout=60, trust_env=False) as http:
                    asking = asyncio.create_task(http.post("/v1/chat/completions", json=chat(), headers=known))
                    await until_true(lambda: upstream.hits() == 1)
                    with closing(sqlite3.connect(place.database, isolation_level=None)) as other:
                        other.execute("BEGIN IMMEDIATE")
                        upstream.open_gate()
                        answer = await asking
                        assert answer.status_code == 503, answer.text
                        assert answer.json()["error"]["code"] == "vault_unavailable"
                        assert "withheld" in answer.json()["error"]["message"]
                        other.execute("ROLLBACK")
                    query = "SELECT h.state, x.amount_msat FROM hold h JOIN transfer x ON x.hold_seq = h.seq"
                    await until_true(lambda: place.rows(query) == [("settled", 11 + 4 * 5)])

            run(story())
        finally:
            assert served.stop() == 0
