"""Many clients that connect at once."""

from __future__ import annotations

import asyncio
import select
import socket
from pathlib import Path

from house import instance, run, serving, write
from upstream import Upstream

CLIENTS = 300


def test_they_are_taken_many_at_a_time(tmp_path: Path) -> None:
    """Not one in each turn of the loop: turns are long while it has much to do."""

    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                waiting = select.poll()
                clients = [socket.create_connection(("127.0.0.1", served.setup.port)) for _ in range(CLIENTS)]
                try:
                    for client in clients:
                        client.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
                        waiting.register(client, select.POLLIN)
                    answered, turns = 0, 0
                    while answered < CLIENTS:
                        turns += 1
                        await asyncio.sleep(0)
                        for number, _ in waiting.poll(0):
                            waiting.unregister(number)
                            answered += 1
                    assert turns < CLIENTS // 3, turns
                    assert all(client.recv(4096).startswith(b"HTTP/1.1 200") for client in clients)
                finally:
                    for client in clients:
                        client.close()

    run(story())
