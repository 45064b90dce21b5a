"""Packed bodies: what was packed comes out, nothing beyond the bound does, and anything else is refused."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.types import BadRequest, BodyTooLarge, UnsupportedMedia
from arbstr_core.web._body import read_body
from arbstr_core.web._encodings import TooMuch, UnknownEncoding, Unreadable, encodings, unpacked

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda body: brotli.compress(body, quality=4),
    "zstd": zstandard.compress,
}
MOST = 1_000_000


@given(st.sampled_from(sorted(PACK)), st.binary(max_size=300), st.integers(1, 2000))
def test_what_was_packed_comes_out(name: str, seed: bytes, times: int) -> None:
    body = seed * times
    assert unpacked(PACK[name](body), [name], MOST) == body


@pytest.mark.parametrize("name", PACK)
def test_a_bomb_does_not_go_off(name: str) -> None:
    bomb = PACK[name](b"\0" * 30_000_000)
    assert len(bomb) < MOST
    with pytest.raises(TooMuch):
        unpacked(bomb, [name], MOST)
    assert len(unpacked(PACK[name](b"\0" * MOST), [name], MOST)) == MOST


@given(st.sampled_from(sorted(PACK)), st.binary(min_size=1, max_size=60))
def test_anything_else_is_unreadable_or_whole(name: str, body: bytes) -> None:
    try:
        unpacked(body, [name], MOST)
    except (Unreadable, TooMuch):
        return


@pytest.mark.parametrize("name", ["gzip", "deflate", "br"])
def test_what_ends_in_the_middle_is_unreadable(name: str) -> None:
    with pytest.raises(Unreadable):
        unpacked(PACK[name](b"hello " * 500)[:-6], [name], MOST)


def test_several_members_and_several_ways() -> None:
    assert unpacked(gzip.compress(b"a") + gzip.compress(b"b"), ["gzip"], MOST) == b"ab"
    assert encodings("gzip, BR") == ["br", "gzip"]
    assert unpacked(brotli.compress(gzip.compress(b"a")), encodings("x-gzip, br"), MOST) == b"a"
    assert encodings("identity") == encodings("") == []
    for bad in ("compress", "gzip, compress", "gzip,gzip,gzip"):
        with pytest.raises(UnknownEncoding):
            encodings(bad)


def test_a_window_that_no_client_may_use() -> None:
    wide = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=27))
    with pytest.raises(Unreadable, match="zstd"):
        unpacked(wide.compressobj().compress(b"") + wide.compress(b"a" * 2**24), ["zstd"], MOST)


def test_bodies_as_the_door_reads_them() -> None:
    async def read(body: bytes, encoding: str, most: int = MOST) -> bytes:
        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": body, "more_body": False}

        return await read_body({"content-encoding": encoding}, receive, most, "the bound")

    async def story() -> None:
        assert await read(gzip.compress(b"hello"), "gzip") == b"hello"
        assert await read(b"hello", "identity") == b"hello"
        for body, encoding, most, refused in [
            (b"hello", "compress", MOST, UnsupportedMedia),
            (b"hello", "gzip", MOST, BadRequest),
            (gzip.compress(b"h" * 11), "gzip", 10, BodyTooLarge),
        ]:
            with pytest.raises(refused):
                await read(body, encoding, most)

    asyncio.run(story())
