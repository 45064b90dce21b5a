"""What a client's calls cost, and that it shows the same at arbstr as at the provider itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from driving import Client
from upstream import Act

USED_MSAT = 11 * 1 + 5 * 4
"""what the scripted usage of a call costs"""


@contextmanager
def charged(client: Client, calls: int = 1, msat: int = USED_MSAT) -> Iterator[None]:
    """What is done inside reaches the provider so often, and costs as much as that."""
    before, hits = client.world.show(client.agent), client.world.upstream.hits()
    yield
    after = client.world.show(client.agent)
    assert after["held_msat"] == 0
    assert before["posted_msat"] - after["posted_msat"] == msat * calls
    assert client.world.upstream.hits() - hits == calls


def same(client: Client, do: str, *acts: Act, **ask: Any) -> Any:
    """What it shows of the same replies, straight and through arbstr."""
    client.world.upstream.script("m", *acts)
    straight = client.direct(do, **ask)
    client.world.upstream.script("m", *acts)
    with charged(client, calls=len(acts)):
        through = client(do, **ask)
    assert through == straight
    return through
