"""What plugins keep, on both databases and from several processes at once."""

from __future__ import annotations

import asyncio
import os
import random

import pytest
from notes import NOTES

from arbstr_core.storage import Cipher, Database, PluginStore

KEY = bytes(range(32))


async def both(url, folder, clock):
    """Two databases as two processes have them."""
    made = []
    for name in ("a", "b"):
        (folder / name).mkdir()
        made.append(Database.open(url, data_dir=folder / name, clock=clock, schemas=[NOTES]))
    return made


def test_a_store_keeps_what_it_is_given(either):
    async def story():
        async with either() as db:
            store, other = PluginStore(db, Cipher(KEY), "one"), PluginStore(db, Cipher(KEY), "two")
            await store.put({"b": b"2", "a": b"1", "é%_": os.urandom(1000)})
            await store.put({"a": b"\0\xff"})
            assert await store.get("a") == b"\0\xff"
            assert list(await store.scan("")) == ["a", "b", "é%_"]
            assert list(await store.scan("é%")) == ["é%_"]
            assert await other.get("a") is None
            assert await other.scan("") == {}
            assert await store.compare_and_set("a", b"1", b"9") is False
            assert await store.compare_and_set("a", b"\0\xff", b"9") is True
            assert await store.compare_and_set("new", b"x", b"9") is False
            assert await store.compare_and_set("new", None, b"9") is True
            assert await store.compare_and_set("new", None, b"8") is False
            assert await store.compare_and_set("new", b"9", None) is True
            assert await store.compare_and_set("new", None, None) is True
            assert await store.scan("n") == {}

    asyncio.run(story())


@pytest.mark.parametrize("step", ["count", "take", "make"])
def test_one_of_two_processes_wins(postgres_url, tmp_path, clock, step):
    async def story():
        databases = await both(postgres_url, tmp_path, clock)
        stores = [PluginStore(db, Cipher(KEY), "one") for db in databases]

        async def count(store):
            done = 0
            while done < 40:
                old = await store.get("n")
                done += await store.compare_and_set("n", old, str(int(old or b"0") + 1).encode())

        if step == "count":
            await asyncio.gather(*(count(store) for store in stores))
            assert await stores[0].get("n") == b"80"
        for n in range(40):
            old, new = (b"there", None) if step == "take" else (None, b"mine")
            if step == "take":
                await stores[0].put({f"k{n}": b"there"})
            won = await asyncio.gather(*(store.compare_and_set(f"k{n}", old, new) for store in stores))
            assert sorted(won) == [False, True]
        for db in databases:
            await db.close()

    asyncio.run(story())


def test_two_processes_move_what_stands_on_several_keys(postgres_url, tmp_path, clock):
    """Each takes a coin that is there and puts one where none is, all in one: none is lost, none is made."""

    async def story():
        databases = await both(postgres_url, tmp_path, clock)
        stores = [PluginStore(db, Cipher(KEY), "one") for db in databases]
        await stores[0].put({f"coin/{n}": b"1" for n in range(6)})

        async def move(store, seed):
            chance, done = random.Random(seed), 0
            while done < 30:
                there = await store.scan("coin/")
                taken = chance.sample(sorted(there), 2)
                free = chance.sample([f"coin/{n}" for n in range(12) if f"coin/{n}" not in there], 2)
                done += await store.put(
                    dict.fromkeys(taken) | dict.fromkeys(free, b"1"),
                    where=dict.fromkeys(taken, b"1") | dict.fromkeys(free),
                )

        await asyncio.gather(move(stores[0], 1), move(stores[1], 2))
        assert len(await stores[0].scan("coin/")) == 6
        for db in databases:
            await db.close()

    asyncio.run(story())


def test_two_processes_put_the_same_keys(postgres_url, tmp_path, clock):
    async def story():
        databases = await both(postgres_url, tmp_path, clock)
        stores = [PluginStore(db, Cipher(KEY), "one") for db in databases]
        keys = [f"k{n}" for n in range(20)]
        for _ in range(10):
            await asyncio.gather(
                stores[0].put(dict.fromkeys(keys, b"a")), stores[1].put(dict.fromkeys(keys[::-1], b"b"))
            )
            assert len(set((await stores[0].scan("")).values())) == 1
        for db in databases:
            await db.close()

    asyncio.run(story())
