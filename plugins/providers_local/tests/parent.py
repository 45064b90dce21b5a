"""Stands for arbstr in a process of its own: starts a child, prints its id, and waits to be killed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import msgspec
from arbstr_providers_local import LocalConfig
from arbstr_providers_local._child import SCRIPT
from arbstr_providers_local._keeper import Keeper
from arbstr_providers_local._model import Shelf
from arbstr_providers_local._provider import spec_of

from conftest import opened

# Deaf to its standard input, as a process is that loads a large model.
DEAF = f"""
import os, runpy, time
runpy.run_path({str(SCRIPT)!r})["die_with_parent"]()
part = __file__ + ".part"
open(part, "w").write(str(os.getpid()))
os.rename(part, __file__ + ".pid")
time.sleep(600)
"""


async def deaf_child(keeper: Keeper, pid: Path) -> int:
    keeper.begin()
    while not pid.exists():
        await asyncio.sleep(0.02)
    return int(pid.read_text())


async def main(folder: Path, kind: str) -> None:
    async with opened(folder) as tools:
        spec = spec_of(LocalConfig(), str(folder))
        if kind == "deaf":
            script = folder / "deaf.py"
            script.write_text(DEAF)
            keeper = Keeper(tools, msgspec.structs.replace(spec, script=script), Shelf(None, str(folder)))
            child = await deaf_child(keeper, folder / "deaf.py.pid")
        else:
            keeper = Keeper(tools, spec, Shelf(None, str(folder)))
            child = (await keeper.child()).process.pid
        print(json.dumps({"child": child}), flush=True)
        await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
