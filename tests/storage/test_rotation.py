"""Another master key: all that was sealed opens, whatever kills the rotation, and the old key opens nothing new."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from arbstr_core.storage import Cipher, Database, PluginStore, open_cipher, rotate
from arbstr_core.storage._tables import PLUGIN_STORE
from arbstr_core.types import StorageError

KEPT = {f"k{n}": f"value {n}".encode() for n in range(50)}


async def filled(db: Database, path: Path) -> tuple[Cipher, bytes]:
    """A database with values of two plugins in it, and something that is sealed and never changes."""
    cipher = await open_cipher(db, path)
    await PluginStore(db, cipher, "a").put(KEPT)
    await PluginStore(db, cipher, "b").put({"k": b"other"})
    return cipher, cipher.seal(b"a preimage", "arbstr:payment:1")


async def all_opens(db: Database, path: Path, fixed: bytes) -> Cipher:
    cipher = await open_cipher(db, path, create=False)
    assert await PluginStore(db, cipher, "a").scan("") == KEPT
    assert await PluginStore(db, cipher, "b").get("k") == b"other"
    assert cipher.open(fixed, "arbstr:payment:1") == b"a preimage"
    return cipher


def test_everything_opens_after_a_rotation_and_after_the_next(either, tmp_path):
    path = tmp_path / "master.key"

    async def story():
        async with either() as db:
            first, fixed = await filled(db, path)
            old_key = path.read_text()
            digest = first.derived("bodies")
            done = await rotate(db, path)
            assert (done.old, done.resealed) == (first.key_id, 51)
            assert done.kept.read_text() == old_key
            assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(done.kept.stat().st_mode) == 0o600
            second = await all_opens(db, path, fixed)
            assert second.key_id == done.new != first.key_id
            assert second.derived("bodies") == digest, "what is known by a digest is known again"
            newer = second.seal(b"a preimage", "arbstr:payment:1")
            # What plugins keep does not open with the old key any more, were it to be found.
            sealed = await db.read(lambda c: c.execute(sa.select(PLUGIN_STORE.c.value)).scalars().all())
            assert len(sealed) == 51
            for each in sealed:
                with pytest.raises(StorageError, match="was sealed with master key"):
                    first.open(each, "plugin_store:a:k0")
            await rotate(db, path)
            third = await all_opens(db, path, fixed)
            assert third.open(newer, "arbstr:payment:1") == b"a preimage"
            names = sorted(each.name for each in tmp_path.iterdir() if each.name.startswith("master"))
            assert names == sorted(["master.key", f"master.key.{first.key_id}", f"master.key.{second.key_id}"])
        # With the key before it nothing starts.
        path.write_text(old_key)
        async with either() as db:
            with pytest.raises(StorageError, match="put that back"):
                await open_cipher(db, path)

    asyncio.run(story())


CRASHING = """
import asyncio, os, sys
from pathlib import Path
from arbstr_core.plugins import LoopClock
from arbstr_core.storage import Database, rotate
folder, url, step = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
left = step

def watch(event, arguments):
    global left
    if event in ("os.link", "os.rename", "os.remove") and "master.key" in str(arguments[0]):
        left -= 1
        if left < 0:
            os._exit(9)

async def story():
    db = Database.open(url, data_dir=folder, clock=LoopClock())
    sys.addaudithook(watch)
    await rotate(db, folder / "master.key")
    await db.close()

asyncio.run(story())
"""


@pytest.mark.parametrize("url", ["sqlite", "postgresql"])
def test_a_rotation_that_is_killed_at_each_step(url, tmp_path, opened, request):
    """Killed before each change of a file's name; then everything opens, and it can be tried again."""
    where = "sqlite:///arbstr.db" if url == "sqlite" else request.getfixturevalue("postgres_url")
    path = tmp_path / "master.key"
    ended = []
    before: set[str] = set()

    async def prepared():
        db = Database.open(where, data_dir=tmp_path, clock=request.getfixturevalue("clock"))
        cipher, fixed = await filled(db, path)
        await db.close()
        return cipher.key_id, fixed

    async def looked(fixed):
        db = Database.open(where, data_dir=tmp_path, clock=request.getfixturevalue("clock"))
        cipher = await all_opens(db, path, fixed)
        await db.close()
        return cipher.key_id

    first, fixed = asyncio.run(prepared())
    before.add(first)
    for step in range(10):
        done = subprocess.run([sys.executable, "-c", CRASHING, tmp_path, where, str(step)], env=os.environ, check=False)
        ended.append(done.returncode)
        before.add(asyncio.run(looked(fixed)))
        if done.returncode == 0:
            break
        assert done.returncode == 9
    # The name of the new key's file, the part of it that goes, the name of the old one, and the new one's.
    assert ended == [9] * (len(ended) - 1) + [0]
    assert len(ended) >= 4
    assert len(before) >= 3, "some were killed after the new key counted, and some before"


def test_a_new_key_that_never_counted_is_of_no_use(opened, tmp_path):
    path = tmp_path / "master.key"

    async def story():
        async with opened() as db:
            cipher, fixed = await filled(db, path)
            (tmp_path / "master.key.new").write_text("ab" * 32)
            assert (await all_opens(db, path, fixed)).key_id == cipher.key_id
            path.rename(tmp_path / "away")
            with pytest.raises(StorageError, match="put the file back"):
                await open_cipher(db, path)
            (tmp_path / "away").rename(path)
            await rotate(db, path)
            await all_opens(db, path, fixed)

    asyncio.run(story())
