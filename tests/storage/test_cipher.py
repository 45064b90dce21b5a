"""The master key, and what plugins keep under it."""

from __future__ import annotations

import asyncio
import os
import stat

import pytest

from arbstr_core.storage import Cipher, PluginStore, open_cipher
from arbstr_core.types import StorageError


def test_the_key_is_made_once_and_only_for_its_owner(opened, tmp_path):
    async def story():
        path = tmp_path / "master.key"
        async with opened() as db:
            with pytest.raises(StorageError, match="is missing: run arbstr init"):
                await open_cipher(db, path, create=False)
            first = await open_cipher(db, path)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert (await open_cipher(db, path, create=False)).key_id == first.key_id

    asyncio.run(story())


def test_a_wrong_or_missing_or_damaged_key_is_refused(opened, tmp_path):
    async def story():
        path = tmp_path / "master.key"
        async with opened() as db:
            await open_cipher(db, path)
            path.unlink()
            with pytest.raises(StorageError, match=r"is missing and .* is sealed with"):
                await open_cipher(db, path)
            assert not path.exists()
            path.write_text(os.urandom(32).hex())
            with pytest.raises(StorageError, match="is not the master key of"):
                await open_cipher(db, path)
            path.write_text("short")
            with pytest.raises(StorageError, match="does not hold a master key"):
                await open_cipher(db, path)

    asyncio.run(story())


def test_a_sealed_value_opens_only_for_its_purpose_and_unchanged():
    cipher, other = Cipher(b"k" * 32), Cipher(b"o" * 32)
    sealed = cipher.seal(b"secret", "purpose")
    assert cipher.open(sealed, "purpose") == b"secret"
    assert b"secret" not in sealed
    assert cipher.seal(b"secret", "purpose") != sealed
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for bad in (lambda: cipher.open(sealed, "other"), lambda: cipher.open(changed, "purpose")):
        with pytest.raises(StorageError, match="was changed"):
            bad()
    with pytest.raises(StorageError, match=cipher.key_id):
        other.open(sealed, "purpose")


def test_a_plugin_store_keeps_its_own(opened, tmp_path):
    async def story():
        async with opened() as db:
            cipher = await open_cipher(db, tmp_path / "master.key")
            mine, others = PluginStore(db, cipher, "mine"), PluginStore(db, cipher, "others")
            await mine.put({"a/2": b"two", "a/1": b"one", "b": b"\0\xff", "a%": b"wild"})
            await others.put({"a/1": b"theirs"})
            assert await mine.get("b") == b"\0\xff"
            assert await mine.get("none") is None
            assert list((await mine.scan("a/")).items()) == [("a/1", b"one"), ("a/2", b"two")]
            assert await others.scan("") == {"a/1": b"theirs"}
            await mine.put({"a/1": b"again"})
            assert await mine.get("a/1") == b"again"

    asyncio.run(story())


def test_compare_and_set_lets_one_win(opened, tmp_path):
    async def story():
        async with opened() as db:
            store = PluginStore(db, await open_cipher(db, tmp_path / "master.key"), "mine")
            tries = [store.compare_and_set("counter", None, b"%d" % n) for n in range(20)]
            assert sorted(await asyncio.gather(*tries)) == [False] * 19 + [True]
            now = await store.get("counter")
            assert not await store.compare_and_set("counter", b"other", b"x")
            assert await store.compare_and_set("counter", now, None)
            assert await store.get("counter") is None

    asyncio.run(story())


def test_values_are_not_readable_in_the_file(opened, tmp_path):
    async def story():
        async with opened() as db:
            store = PluginStore(db, await open_cipher(db, tmp_path / "master.key"), "mine")
            await store.put({"seed": b"abandon ability able about"})

    asyncio.run(story())
    assert all(b"abandon ability" not in file.read_bytes() for file in tmp_path.glob("arbstr.db*"))


def test_keys_for_digests_are_apart_for_each_purpose_and_each_master_key() -> None:
    one, other = Cipher(bytes(32)), Cipher(b"k" * 32)
    keys = [one.derived("a"), one.derived("b"), other.derived("a"), other.derived("b")]
    assert len(set(keys)) == 4
    assert {len(key) for key in keys} == {32}
    assert Cipher(bytes(32)).derived("a") == keys[0]
