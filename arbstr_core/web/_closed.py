"""The door of calls where none are served."""

from __future__ import annotations

from collections.abc import Callable

from arbstr_core.types import Endpoint, NotFound
from arbstr_core.web._asgi import Message, Receive, Send, respond
from arbstr_core.web._errors import answer


class ClosedDoor:
    """Says so. `ids` makes request ids."""

    def __init__(self, ids: Callable[[], str]) -> None:
        self._ids = ids

    async def __call__(self, scope: Message, receive: Receive, send: Send, endpoint: Endpoint) -> None:
        """Nothing of the body is read."""
        refused = NotFound("This process moves money, and serves no calls: ask where `arbstr serve` listens")
        status, headers, body = answer(refused, endpoint)
        await respond(send, status, [*headers, ("x-request-id", self._ids())], body)
