"""Ports for servers that are started a moment later, and perhaps again: meanwhile nobody else is given them.

A port that was only looked for is free to all: while a server starts, or is down between two lives, each socket of the
machine that asks for any port may get it. So it stays bound here, to a socket that does not listen. Linux lets a server
listen beside that, as long as both say that addresses may be used again, and gives the port to nobody who asks for any.
"""

from __future__ import annotations

import socket
import sys
from collections import deque

_KEPT = 100
"""ports, by far more than any test asks for"""


class Port:
    """A port of ours until `close`; only Linux lets a server have it meanwhile, so elsewhere it is free at once."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number = int(self._socket.getsockname()[1])
        if sys.platform != "linux":
            self.close()

    def close(self) -> None:
        """Anybody may have it."""
        self._socket.close()


_kept: deque[Port] = deque()


def free_port() -> int:
    """A port for a test: nobody else's until many others have been asked for."""
    port = Port()
    _kept.append(port)
    if len(_kept) > _KEPT:
        _kept.popleft().close()
    return port.number
