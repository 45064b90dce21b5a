"""Owns what is said to a node beside calls: its facts, its list of models, and the money we keep there.

Shapes as routstr-core 0.4 has them: RIP-01 (balances), RIP-08 (Lightning). Whoever knows a key, the token it was made
of, or an invoice's id can spend the money: none of them stands in an error.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

import httpx
import msgspec

from arbstr_core.api import ArbstrError, ProviderError, Tools

_SECONDS = 20.0
_LOOK_SECONDS = 5.0
_MOST_BYTES = 256 * 1024
_MOST_LIST_BYTES = 4 * 1024 * 1024
_MOST_SAID = 200
_MOST_OTHERS = 200
_MOST_MSAT = 10**18
T = TypeVar("T")


class NodeSilent(ProviderError):
    """A node did not answer, or with nothing that can be read: what was asked may have been done."""


class NodeRefused(ProviderError):
    """A node answered with an error: `code` and `kind` are its own words for it, `status` the answer's."""

    def __init__(self, message: str, *, status: int, code: str, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.kind = kind

    @property
    def not_the_callers(self) -> bool:
        """True where a call is refused for what it cannot help: the model is gone, or our money was not taken."""
        return self.kind == "invalid_model" or "cashu" in self.code


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of our money there, in msat: what can be spent, what open calls set aside, what was used."""

    balance: int
    reserved: int = 0
    total_spent: int = 0

    @property
    def ever(self) -> int:
        """All that was ever brought, less what was taken back: calls do not change it."""
        return self.balance + self.reserved + self.total_spent


class NodeInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """A node's invoice, and what it calls it."""

    invoice_id: str
    bolt11: str


class InvoiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a node's invoice; with `api_key` once it is paid."""

    status: str
    api_key: str | None = None
    amount_sats: int = 0


class NodeApi:
    """One node."""

    def __init__(self, tools: Tools, url: str) -> None:
        self._tools = tools
        self._url = url

    async def info(self) -> Mapping[str, Any]:
        """`GET /v1/info`."""
        return _table(await self._ask("GET", "/v1/info", seconds=_LOOK_SECONDS))

    async def models(self) -> list[Any]:
        """`GET /v1/models`: numbers with a point in them are Decimal."""
        said = await self._ask("GET", "/v1/models", seconds=_LOOK_SECONDS, most=_MOST_LIST_BYTES)
        rows = _table(said).get("data")
        if not isinstance(rows, list):
            raise NodeSilent("its list of models is none")
        return rows

    async def others(self) -> list[str]:
        """Where other nodes are, as this one has heard."""
        rows = _table(await self._ask("GET", "/v1/providers/", seconds=_LOOK_SECONDS)).get("providers")
        found = [row.get("endpoint_url") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        return [url for url in found if isinstance(url, str)][:_MOST_OTHERS]

    async def held(self, key: str) -> Held:
        """What is there."""
        return _as(Held, await self._ask("GET", "/v1/balance/info", key=key))

    async def create(self, token: str) -> tuple[str, int]:
        """Open a balance with a token; its key, and the msat that it was good for. The same token again is the same
        balance."""
        said = _table(await self._ask("POST", "/v1/balance/create", body={"initial_balance_token": token}))
        key, balance = said.get("api_key"), said.get("balance")
        if not isinstance(key, str) or not key or type(balance) is not int or balance < 0:
            raise NodeSilent("it opened a balance, and does not say which")
        return key, balance

    async def top_up(self, key: str, token: str) -> int:
        """Add a token to a balance; what it was good for, msat. A second time it is spent."""
        said = _table(await self._ask("POST", "/v1/balance/topup", key=key, body={"cashu_token": token}))
        msats = said.get("msats")
        if type(msats) is not int or msats < 0:
            raise NodeSilent("it took a token, and does not say what for")
        return msats

    async def refund(self, key: str) -> tuple[str, int]:
        """Everything that is there, as a token, and its sats; where nothing is, the last such token again."""
        said = _table(await self._ask("POST", "/v1/balance/refund", key=key))
        token, sats = said.get("token"), str(said.get("sats"))
        if not isinstance(token, str) or not token or not (sats.isascii() and sats.isdigit() and len(sats) < 16):
            raise NodeSilent("it gave the balance back, and no token")
        return token, int(sats)

    async def change(self, token: str) -> tuple[str, int]:
        """The change of a call that was paid with this token, where its reply was lost, and its sats."""
        said = _table(await self._ask("POST", "/v1/balance/refund", more={"x-cashu": token}))
        found, sats = said.get("token"), str(said.get("sats"))
        if not isinstance(found, str) or not found:
            raise NodeSilent("it gave no token")
        return found, int(sats) if sats.isascii() and sats.isdigit() and len(sats) < 16 else 0

    async def invoice(self, sats: int, key: str | None) -> NodeInvoice:
        """An invoice, to open a balance with, or to add to that of `key`."""
        body = {"amount_sats": sats, "purpose": "create" if key is None else "topup"}
        return _as(NodeInvoice, await self._ask("POST", "/lightning/invoice", key=key, body=body))

    async def invoice_status(self, invoice_id: str) -> InvoiceStatus:
        """What became of an invoice."""
        return _as(InvoiceStatus, await self._ask("GET", f"/lightning/invoice/{invoice_id}/status"))

    async def recover(self, bolt11: str) -> InvoiceStatus:
        """The same, by the invoice itself."""
        return _as(InvoiceStatus, await self._ask("POST", "/lightning/recover", body={"bolt11": bolt11}))

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        body: Mapping[str, Any] | None = None,
        seconds: float = _SECONDS,
        most: int = _MOST_BYTES,
        more: Mapping[str, str] | None = None,
    ) -> Any:
        headers = {"accept": "application/json"} | ({} if key is None else {"authorization": f"Bearer {key}"})
        headers |= more or {}
        try:
            async with asyncio.timeout(seconds):
                sent = self._tools.http.stream(method, self._url + path, headers=headers, json=body)
                async with sent as answer:
                    status, text = answer.status_code, await _bounded(answer, most)
        except TimeoutError:
            raise NodeSilent(f"{path.split('/')[-1]}: no answer within {seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, ArbstrError) as failed:
            if isinstance(failed, NodeSilent):
                raise
            said = "" if isinstance(failed, httpx.LocalProtocolError) else str(failed)
            raise NodeSilent(said or type(failed).__name__) from None
        if status == 200:
            return _read(text)
        raise refusal(status, text)


async def _bounded(answer: httpx.Response, most: int) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > most:
            raise NodeSilent(f"it answers with more than {most} bytes")
    return bytes(body)


def _read(text: bytes) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, ArithmeticError, RecursionError):
        raise NodeSilent("it does not answer with JSON") from None


def _no_number(said: str) -> Any:
    raise ValueError(said)


def _table(said: Any) -> Mapping[str, Any]:
    if not isinstance(said, dict):
        raise NodeSilent("it does not answer with a JSON object")
    return said


def _as(kind: type[T], said: Any) -> T:
    try:
        found = msgspec.convert(_table(said), kind)
    except msgspec.ValidationError:
        raise NodeSilent("its answer is not what was asked for") from None
    if isinstance(found, Held):
        amounts = (found.balance, found.reserved, found.total_spent)
        if min(amounts) < 0 or max(amounts) > _MOST_MSAT:
            raise NodeSilent("it says that less than nothing is there, or more than there is")
    return found


def refusal(status: int, text: bytes) -> ProviderError:
    """Both envelopes that nodes put errors in: `{"error": {...}}`, also below `detail`, and `{"detail": ...}`. What has
    neither is of something in front of the node, which knows nothing of money."""
    try:
        said = _read(text)
    except NodeSilent:
        said = {}
    if not isinstance(said, dict) or not said.keys() & {"error", "detail"}:
        return NodeSilent(f"something that is no node answered {status}")
    detail = said.get("detail")
    found: Any = said.get("error")
    if isinstance(detail, dict):
        found = found or detail.get("error") or detail
    found = found if isinstance(found, dict) else {"message": detail if isinstance(detail, str) else ""}
    code = found.get("code") or found.get("type") or ""
    words = found.get("message") or found.get("reason") or ""
    words = words[:_MOST_SAID] if isinstance(words, str) and words.isprintable() and "cashu" not in words else ""
    sentence = f"it answered {status}" + (f": {words}" if words else "")
    return NodeRefused(sentence, status=status, code=str(code)[:60], kind=str(found.get("type"))[:60])
