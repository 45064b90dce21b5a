"""What a part of the unsynced writes may leave: each block as after some write to it, and no block that was cut off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from unsynced import Unsynced
from unsynced._undo import BLOCK, Write, _survivors

SIZE = 4 * BLOCK
Step = tuple[int, bytes] | int
steps = st.lists(
    st.one_of(
        st.tuples(st.integers(0, SIZE), st.binary(min_size=1, max_size=2 * BLOCK)),
        st.integers(0, SIZE),
    ),
    min_size=1,
    max_size=8,
)


def apply(image: bytes, step: Step) -> bytes:
    if isinstance(step, int):
        return image[:step].ljust(step, b"\0")
    offset, data = step
    return image[:offset].ljust(offset, b"\0") + data + image[offset + len(data) :]


def record(image: bytes, step: Step) -> Write:
    """As unsynced.c makes them."""
    if isinstance(step, int):
        return Write(1, step, 0, len(image), image[step:])
    offset, data = step
    return Write(0, offset, len(data), len(image), image[offset : offset + len(data)])


def block_of(image: bytes, number: int) -> bytes:
    return image[number * BLOCK : (number + 1) * BLOCK].ljust(BLOCK, b"\0")


@given(st.binary(max_size=SIZE), steps, st.integers())
@settings(max_examples=200, deadline=None)
def test_each_block_is_one_that_was_and_the_size_too(durable: bytes, changes: list[Step], seed: int) -> None:
    images = [durable]
    records = []
    for step in changes:
        records.append(record(images[-1], step))
        images.append(apply(images[-1], step))
    for write, before, after in reversed(list(zip(records, images, images[1:], strict=False))):
        image = bytearray(after)
        write.undo(image)
        assert image == before
    left = bytes(_survivors(bytearray(images[-1]), records, Random(seed)))
    assert len(left) in {len(image) for image in images}
    for number in range(len(left) // BLOCK):
        assert block_of(left, number) in {block_of(image, number) for image in images} | {bytes(BLOCK)}


def test_every_mixture_occurs() -> None:
    old = b"a" * BLOCK * 2
    changes: list[Step] = [(0, b"b" * BLOCK), (BLOCK, b"b" * BLOCK), (0, b"c" * BLOCK)]
    images = [old]
    records = []
    for step in changes:
        records.append(record(images[-1], step))
        images.append(apply(images[-1], step))
    seen = {bytes(_survivors(bytearray(images[-1]), records, Random(seed)))[::BLOCK] for seed in range(200)}
    assert seen == {b"aa", b"ab", b"ba", b"bb", b"ca", b"cb"}


def test_what_was_cut_off_does_not_return_under_a_new_size() -> None:
    old = b"secret".ljust(2 * BLOCK, b"a")
    changes: list[Step] = [0, (0, b"b" * 2 * BLOCK)]
    images = [old]
    records = []
    for step in changes:
        records.append(record(images[-1], step))
        images.append(apply(images[-1], step))
    lefts = [bytes(_survivors(bytearray(images[-1]), records, Random(seed))) for seed in range(200)]
    assert {left[::BLOCK] for left in lefts} == {b"sa", b"", b"\0\0", b"\0b", b"b\0", b"bb"}


def test_one_seed_cuts_one_way(tmp_path: Path) -> None:
    code = "import os; fd = os.open('a.db', os.O_RDWR); [os.pwrite(fd, b'%d' % n * 512, n * 512) for n in range(10)]"
    seen = {}
    for seed in (1, 2, 3, 1, 2, 3):
        (tmp_path / "a.db").write_bytes(b"_" * 5120)
        with Unsynced(tmp_path, pattern="*.db") as power:
            subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=power.environment(), check=True)
            assert power.cut(seed=seed).writes == 10
        left = (tmp_path / "a.db").read_bytes()
        assert set(left[::512]) > {ord("_")}
        assert seen.setdefault(seed, left) == left
    assert len(set(seen.values())) == 3
