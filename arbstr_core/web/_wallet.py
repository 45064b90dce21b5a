"""`/wallet`: an agent's own account, for whoever has its token."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from arbstr_core.flow import WalletFlow
from arbstr_core.types import Caller, Endpoint
from arbstr_core.web._asgi import header_map
from arbstr_core.web._documents import (
    AllowanceDocument,
    BalanceDocument,
    CallDocument,
    KeyDocument,
    MovementDocument,
    NewKeyDocument,
    Page,
    ReceiptDocument,
    TokenDocument,
)
from arbstr_core.web._fields import CallsAsked, HistoryAsked, Id, KeyLimits, Text, first_limits, named
from arbstr_core.web._market_documents import QuoteDocument
from arbstr_core.web._request import hints_of
from arbstr_core.wire import read_call

Json = dict[str, Any]

_CHAT = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "required": ["model", "messages"]}}},
    }
}


class NewKey(KeyLimits):
    """What `POST /wallet/keys` takes. A largest charge and daily limit that are not named are the parent's."""

    name: Text


async def _caller(request: Request) -> Caller:
    wallet: WalletFlow = request.app.state.wallet
    return await wallet.identify(request.headers.get("authorization", ""))


Me = Annotated[Caller, Depends(_caller)]


def account_routes(router: APIRouter, wallet: WalletFlow, ids: Callable[[], str]) -> None:
    """Balance, limits, history, and what a call would cost."""

    @router.get("/balance", tags=["wallet"], response_model=BalanceDocument)
    async def balance(me: Me) -> Json:
        """The account that the agent spends from, and the most that one call may cost now."""
        return await wallet.balance(me)

    @router.get("/limits", tags=["wallet"], response_model=AllowanceDocument, response_model_exclude_unset=True)
    async def limits(me: Me) -> Json:
        """The agent's limits, what each of them leaves, and when it leaves more."""
        return await wallet.limits(me)

    @router.get("/calls", tags=["wallet"], response_model=Page[CallDocument])
    async def calls(me: Me, asked: CallsAsked) -> Json:
        """Calls of the agent and of the keys below it, the newest first."""
        return await wallet.calls(me, asked)

    @router.get("/transfers", tags=["wallet"], response_model=Page[MovementDocument])
    async def transfers(me: Me, asked: HistoryAsked) -> Json:
        """What changed the balance, the newest first; for a child key what its calls cost."""
        return await wallet.transfers(me, asked)

    @router.get("/receipts/{request_id}", tags=["wallet"], response_model=ReceiptDocument)
    async def wallet_receipt(me: Me, request_id: Id) -> Json:
        """The receipt of a call of the agent, or of a key below it."""
        return await wallet.receipt(me, request_id)

    @router.post("/quote", tags=["wallet"], response_model=QuoteDocument, openapi_extra=_CHAT)
    async def quote(me: Me, request: Request) -> Json:
        """What a chat request, the same as for `/v1/chat/completions`, would be held for and is expected to cost, by
        candidate; and what would refuse it. Nothing is sent, and nothing held."""
        call = read_call(
            await request.body(),
            call_id=ids(),
            endpoint=Endpoint.CHAT,
            hints=hints_of(header_map(request.scope)),
            arrived_ms=time.time_ns() // 1_000_000,
        )
        return await wallet.quote(me, call)


def key_routes(router: APIRouter, wallet: WalletFlow) -> None:
    """Child keys: they spend the same money, within limits of their own."""

    @router.post("/keys", status_code=201, tags=["keys"], response_model=NewKeyDocument)
    async def create_key(me: Me, new: NewKey) -> Json:
        """Make a key below one's own; its name gets one's own in front. The answer holds its token, shown this once."""
        return await wallet.create_key(me, new.name, first_limits(new))

    @router.get("/keys", tags=["keys"], response_model=Page[KeyDocument])
    async def list_keys(me: Me) -> Json:
        """All keys below one's own, oldest first."""
        return await wallet.keys(me)

    @router.get("/keys/{key}", tags=["keys"], response_model=KeyDocument)
    async def show_key(me: Me, key: Id) -> Json:
        """One of them, by id or name."""
        return await wallet.key(me, key)

    @router.put("/keys/{key}/limits", tags=["keys"], response_model=KeyDocument)
    async def set_key_limits(me: Me, key: Id, limits: KeyLimits) -> Json:
        """A new version of its limits, as a whole: what is not named does not apply any more."""
        return await wallet.limit_key(me, key, named(limits), whole=True)

    @router.patch("/keys/{key}/limits", tags=["keys"], response_model=KeyDocument)
    async def change_key_limits(me: Me, key: Id, limits: KeyLimits) -> Json:
        """A new version with the named limits changed; null takes one away."""
        return await wallet.limit_key(me, key, named(limits), whole=False)

    @router.post("/keys/{key}/disable", tags=["keys"], response_model=KeyDocument)
    async def disable_key(me: Me, key: Id) -> Json:
        """Refuse its calls from now on, and those of the keys below it."""
        return await wallet.switch_key(me, key, False)

    @router.post("/keys/{key}/enable", tags=["keys"], response_model=KeyDocument)
    async def enable_key(me: Me, key: Id) -> Json:
        """Serve its calls again."""
        return await wallet.switch_key(me, key, True)

    @router.post("/keys/{key}/rotate", tags=["keys"], response_model=TokenDocument)
    async def rotate_key(me: Me, key: Id) -> Json:
        """A new token, shown this once; the old ones stop working."""
        return await wallet.rotate_key(me, key)
