"""Reads the undo logs of unsynced.c, and makes the files what a power cut would have left of them."""

from __future__ import annotations

import fnmatch
import os
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

BLOCK = 512
"""A disk writes that much at once, or not at all."""

_MAGIC = 0x64636E79736E7521
_RESIZE = 1
_HEAD = struct.Struct("=6Q")
_END = struct.Struct("=2Q")


@dataclass(frozen=True)
class Lost:
    """How many unsynced writes, and unsynced changes of names, were there to be lost."""

    writes: int
    names: int


@dataclass(frozen=True)
class Write:
    """One unsynced write or change of size: what was there before."""

    kind: int
    offset: int
    length: int
    old_size: int
    old: bytes

    def undo(self, image: bytearray) -> None:
        """Make the file what it was before."""
        image.extend(bytes(max(0, self.offset + len(self.old) - len(image))))
        image[self.offset : self.offset + len(self.old)] = self.old
        del image[self.old_size :]
        image.extend(bytes(self.old_size - len(image)))

    @property
    def cuts(self) -> bool:
        """Whether it gave blocks back: whatever was in them never returns after it."""
        return self.kind == _RESIZE and self.offset < self.old_size

    def blocks(self) -> range:
        """The numbers of the blocks it changed."""
        end = self.old_size if self.cuts else self.offset + self.length
        return range(self.offset // BLOCK, -(-end // BLOCK) if end > self.offset else self.offset // BLOCK)


def discard(side: Path, folder: Path, *, pattern: str, chance: Random | None = None) -> Lost:
    """Undo what is in the logs of `side`, all or what `chance` says, and forget it; -shm files go."""
    names = sum(_undo_names(log, chance) for log in sorted(side.glob("*.names")))
    files = {_key(path): path for path in _files(folder, side)}
    writes = 0
    for log in sorted(side.glob("*.undo")):
        records = list(_records(log.read_bytes()))
        if log.stem in files and records:
            _rewrite(files[log.stem], records, chance)
            writes += len(records)
    for path in files.values():
        if path.name.endswith("-shm") and fnmatch.fnmatchcase(path.name, pattern):
            path.unlink()
    for stale in (*side.glob("*.names"), *side.glob("*.undo"), *side.glob("held-*")):
        stale.unlink()
    return Lost(writes, names)


def _key(path: Path) -> str:
    found = path.stat()
    return f"{found.st_dev:x}-{found.st_ino:x}"


def _files(folder: Path, side: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        if Path(at) == side:
            folders.clear()
            continue
        yield from (path for name in names if (path := Path(at, name)).is_file() and not path.is_symlink())


def _undo_names(log: Path, chance: Random | None) -> int:
    """A journal of names is written back in order: after the last sync a first part of it may have been, no other."""
    lines = log.read_text().split("\n")
    # What stands after the last line's end was torn, before the change it tells of began.
    whole = lines[:-1]
    last = max((number for number, line in enumerate(whole) if line == "S"), default=-1)
    pending = whole[last + 1 :]
    kept = 0 if chance is None else chance.randint(0, len(pending))
    for line in reversed(pending[kept:]):
        _undo_name(*line.split("\t"))
    return len(pending)


def _undo_name(what: str, path: str, *more: str) -> None:
    if what == "C":
        Path(path).unlink(missing_ok=True)
    elif what == "U":
        os.replace(more[0], path)
    else:
        new, held, inode = more
        # Noted before it was done: it may not have been.
        if Path(new).exists() and Path(new).stat().st_ino == int(inode):
            os.replace(new, path)
        if held:
            os.replace(held, new)


def _records(log: bytes) -> Iterator[Write]:
    """All but a torn last one, of a write that never began."""
    at = 0
    while at + _HEAD.size <= len(log):
        magic, kind, offset, length, old_size, old_length = _HEAD.unpack_from(log, at)
        start = at + _HEAD.size
        at = start + old_length + _END.size
        if at > len(log):
            return
        if magic != _MAGIC or _END.unpack_from(log, at - _END.size)[1] != _MAGIC:
            raise RuntimeError("an undo log is not what unsynced.c writes")
        yield Write(kind, offset, length, old_size, log[start : start + old_length])


def _rewrite(path: Path, records: list[Write], chance: Random | None) -> None:
    image = bytearray(path.read_bytes())
    if chance is None:
        for record in reversed(records):
            record.undo(image)
    else:
        image = _survivors(image, records, chance)
    with path.open("r+b") as file:
        file.write(image)
        file.truncate()


def _survivors(image: bytearray, records: list[Write], chance: Random) -> bytearray:
    """Each block as it was after some write to it; the size as it was at some moment, between the last sync and now."""
    versions: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    cuts: dict[int, list[int]] = defaultdict(list)
    sizes = [len(image)]
    for number in range(len(records), 0, -1):
        record = records[number - 1]
        for block in record.blocks():
            versions[block].append((number, bytes(image[block * BLOCK : (block + 1) * BLOCK])))
            if record.cuts:
                cuts[block].append(number)
        record.undo(image)
        sizes.append(len(image))
    moment = chance.randint(0, len(records))
    size = sizes[len(records) - moment]
    durable = bytes(image)
    image.extend(bytes(max(0, size - len(image))))
    for block in sorted(versions):
        first = max((cut for cut in cuts[block] if cut <= moment), default=0)
        after = min((cut for cut in cuts[block] if cut > moment), default=len(records) + 1)
        before = (0, durable[block * BLOCK : (block + 1) * BLOCK])
        possible = [content for number, content in (*versions[block], before) if first <= number < after]
        content = chance.choice(possible).ljust(BLOCK, b"\0")
        room = max(0, len(image) - block * BLOCK)
        image[block * BLOCK : block * BLOCK + min(BLOCK, room)] = content[:room]
    del image[size:]
    return image
