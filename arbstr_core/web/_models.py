"""`GET /v1/models` and `GET /v1/models/{id}`.

Source: OpenAI API reference, "Models". `created` is when the market's snapshot was made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from arbstr_core.flow import CallFlow
from arbstr_core.market import ModelRow
from arbstr_core.types import CallRefused, ModelNotFound
from arbstr_core.web._asgi import Message, Send, credential, header_map, respond
from arbstr_core.web._errors import answer

_JSON = [("content-type", "application/json")]


class ModelsDoor:
    """Lists what can be bought now, to whoever may call. `ids` makes request ids."""

    def __init__(self, flow: CallFlow, ids: Callable[[], str]) -> None:
        self._flow = flow
        self._ids = ids

    async def __call__(self, scope: Message, send: Send, wanted: str | None) -> None:
        """Answer for all models, or for the one whose id is the rest of the path."""
        head = scope["method"] == "HEAD"
        said = [("x-request-id", self._ids())]
        try:
            await self._flow.identify(credential(header_map(scope)))
            body = msgspec.json.encode(self._list() if wanted is None else self._one(wanted))
        except CallRefused as refused:
            status, headers, body = answer(refused)
            await respond(send, status, [*headers, *said], body, head=head)
            return
        await respond(send, 200, [*_JSON, *said], body, head=head)

    def _list(self) -> dict[str, Any]:
        snapshot = self._flow.snapshot
        return {"object": "list", "data": [_model(row, snapshot.as_of_ms) for row in snapshot.sellable()]}

    def _one(self, wanted: str) -> dict[str, Any]:
        snapshot = self._flow.snapshot
        row = snapshot.find(wanted)
        if row is None or not row.listings:
            raise ModelNotFound(f"The model {wanted!r} does not exist here; GET /v1/models lists those that do")
        return _model(row, snapshot.as_of_ms)


def _model(row: ModelRow, as_of_ms: int) -> dict[str, Any]:
    cheapest = min(row.listings, key=lambda listing: listing.price.output)
    owner = "arbstr" if row.stands_for else cheapest.offer.provider
    return {
        "id": row.model,
        "object": "model",
        "created": as_of_ms // 1000,
        "owned_by": owner,
    }
