"""Fetches invoices for Lightning addresses and LNURLs. Source: LUD-06 (payRequest), LUD-16 (addresses).

The client refuses what is not public https, whatever the name leads to, and follows no redirect. Answers are small and
soon there, or refused. What comes back is an invoice like any other; that it asks for the right amount is looked at by
whoever decodes it, with `description_hash` in hand.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import msgspec

from arbstr_core.types import Address, AddressRefused, BadRequest

_MOST_BYTES = 64 * 1024
_SECONDS = 15.0
_AT_ONCE = 16
"""addresses that are asked at one time, whoever wants them asked"""


class FetchedInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice that an address gave for an amount, and what its description hash has to be, hex."""

    text: str
    metadata_hash: str


class Addresses:
    """See the module."""

    def __init__(self, http: httpx.AsyncClient, *, seconds: float = _SECONDS) -> None:
        self._http = http
        self._seconds = seconds
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def invoice(self, address: Address, amount_msat: int) -> FetchedInvoice:
        """An invoice for `amount_msat`. Raises BadRequest with what is wrong with the address."""
        try:
            async with asyncio.timeout(self._seconds), self._places:
                said = await self._fetch(address, address.url)
                callback, metadata = _terms(address, said, amount_msat)
                answer = await self._fetch(address, _asking(callback, amount_msat))
        except TimeoutError:
            raise BadRequest(f"{address.text} did not answer within {self._seconds:.0f} seconds", param="to") from None
        text = answer.get("pr")
        if not isinstance(text, str) or not text:
            raise BadRequest(f"{address.text} gave no invoice{_reason(answer)}", param="to")
        return FetchedInvoice(text=text, metadata_hash=hashlib.sha256(metadata.encode()).hexdigest())

    async def _fetch(self, address: Address, url: str) -> dict[str, Any]:
        try:
            async with self._http.stream("GET", url, headers={"accept": "application/json"}) as answer:
                status, body = answer.status_code, await _bounded(address, answer)
        except AddressRefused as refused:
            raise BadRequest(f"{address.text} cannot be paid: {refused}", param="to") from None
        except (httpx.HTTPError, httpx.InvalidURL) as failed:
            raise BadRequest(f"{address.text} cannot be reached ({type(failed).__name__})", param="to") from None
        if 300 <= status < 400:
            raise BadRequest(f"{address.text} answers with a redirect, and those are not followed", param="to")
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        if status != 200 or not isinstance(said, dict):
            raise BadRequest(f"{address.text} answers with {status} and nothing that can be read", param="to")
        if str(said.get("status", "")).upper() == "ERROR":
            raise BadRequest(f"{address.text} refuses{_reason(said)}", param="to")
        return said


async def _bounded(address: Address, answer: httpx.Response) -> bytes:
    body = b""
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise BadRequest(f"{address.text} answers with more than {_MOST_BYTES} bytes", param="to")
    return body


def _terms(address: Address, said: dict[str, Any], amount_msat: int) -> tuple[str, str]:
    """(callback, metadata) of a payRequest that takes the amount."""
    callback, metadata = said.get("callback"), said.get("metadata")
    least, most = said.get("minSendable"), said.get("maxSendable")
    whole = isinstance(callback, str) and isinstance(metadata, str) and type(least) is int and type(most) is int
    if said.get("tag") != "payRequest" or not whole:
        raise BadRequest(f"{address.text} is no address to pay to: it offers no payRequest", param="to")
    assert isinstance(least, int), "looked at above"
    assert isinstance(most, int), "looked at above"
    if not least <= amount_msat <= most:
        raise BadRequest(f"{address.text} takes from {least} to {most} msat, not {amount_msat}", param="amount_msat")
    return str(callback), str(metadata)


def _asking(callback: str, amount_msat: int) -> str:
    parts = urlsplit(callback)
    query = [*parse_qsl(parts.query, keep_blank_values=True), ("amount", str(amount_msat))]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query), ""))


def _reason(said: dict[str, Any]) -> str:
    reason = said.get("reason")
    return f": {reason[:200]}" if isinstance(reason, str) and reason.isprintable() else ""
