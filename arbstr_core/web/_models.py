"""`GET /v1/models` and `GET /v1/models/{id}`.

Sources: OpenAI API reference, "Models"; Anthropic API reference, "Models". `created` is when the market's snapshot was
made. Prices are the cheapest offer's, in msat per million tokens and per request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from arbstr_core.flow import CallFlow
from arbstr_core.market import ModelRow, Snapshot
from arbstr_core.types import CallRefused, Endpoint, ModelNotFound, Offer
from arbstr_core.web._asgi import Message, Send, credential, header_map, respond
from arbstr_core.web._errors import answer

_JSON = [("content-type", "application/json")]


class ModelsDoor:
    """Lists what can be bought now, to whoever may call. `ids` makes request ids."""

    def __init__(self, flow: CallFlow, ids: Callable[[], str]) -> None:
        self._flow = flow
        self._ids = ids
        self._listed = b""
        self._listed_of: Snapshot | None = None

    async def __call__(self, scope: Message, send: Send, wanted: str | None) -> None:
        """Answer for all models, or for the one whose id is the rest of the path."""
        head = scope["method"] == "HEAD"
        said = [("x-request-id", self._ids())]
        try:
            given = header_map(scope, self._flow.credentials)
            await self._flow.caller(credential(given), given)
            body = self._list() if wanted is None else self._one(wanted)
        except CallRefused as refused:
            status, headers, body = answer(refused)
            await respond(send, status, [*headers, *said], body, head=head)
            return
        await respond(send, 200, [*_JSON, *said], body, head=head)

    def _list(self) -> bytes:
        snapshot = self._flow.snapshot
        if snapshot is not self._listed_of:
            data = [_model(row, snapshot.as_of_ms) for row in snapshot.sellable()]
            ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
            self._listed = msgspec.json.encode({"object": "list", "data": data, "has_more": False, **ends})
            self._listed_of = snapshot
        return self._listed

    def _one(self, wanted: str) -> bytes:
        snapshot = self._flow.snapshot
        row = snapshot.find(wanted)
        if row is None or not row.listings:
            raise ModelNotFound(f"The model {wanted!r} does not exist here; GET /v1/models lists those that do")
        return msgspec.json.encode(_model(row, snapshot.as_of_ms))


def _model(row: ModelRow, as_of_ms: int) -> dict[str, Any]:
    """A model as OpenAI's clients and Anthropic's read it, and what arbstr knows of it beside that."""
    cheapest = min(row.listings, key=lambda listing: (listing.price.output, listing.price.input))
    offers, price = [listing.offer for listing in row.listings], cheapest.price
    made = datetime.fromtimestamp(as_of_ms // 1000, UTC)
    return {
        "id": row.model,
        "object": "model",
        "created": as_of_ms // 1000,
        "owned_by": "arbstr" if row.stands_for else cheapest.offer.provider,
        "type": "model",
        "display_name": row.model,
        "created_at": made.isoformat().replace("+00:00", "Z"),
        "context_length": _largest(offer.context_window for offer in offers),
        "max_output_tokens": _largest(offer.max_output_tokens for offer in offers),
        "tier": cheapest.offer.tier,
        "tiers": sorted({offer.tier for offer in offers}, key=lambda tier: tier.rank),
        "endpoints": sorted(spoken(offers)),
        "features": sorted({feature for offer in offers for feature in offer.features}),
        "offers": len(offers),
        "pricing": {
            "input_msat": price.input,
            "cached_input_msat": price.cached_input,
            "output_msat": price.output,
            "request_msat": price.request,
        },
    }


def spoken(offers: Sequence[Offer]) -> set[Endpoint]:
    """The endpoints by which one of `offers` can be reached."""
    found = {endpoint for offer in offers for endpoint in offer.endpoints}
    return found | {Endpoint.MESSAGES, Endpoint.RESPONSES} if Endpoint.CHAT in found else found


def _largest(sizes: Iterable[int | None]) -> int | None:
    """The largest of those that are known; a call finds the offer that it fits."""
    return max((size for size in sizes if size is not None), default=None)
