"""Owns talking to one mint over HTTP (NUT-01 to NUT-09, NUT-12, NUT-20, NUT-23, NUT-29). Amounts are sat.

An answer is a value, a definite no (MintRefused), or no answer (MintSilent): then nobody knows what the mint did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import httpx
import msgspec

from arbstr_core.api import ArbstrError
from arbstr_wallet_cashu._keysets import SAT
from arbstr_wallet_cashu._tokens import Dleq

T = TypeVar("T")

SPENT = 11001
SIGNED = 11003
PENDING = (11002, 11004, 20005)
"""of coins, outputs, quotes: the mint is at it"""
ISSUED = 20002
STALE_KEYSET = (12001, 12002, 12003)
UNSPENT = "UNSPENT"
"""of a coin (NUT-07); also PENDING and SPENT"""
MINTING, MELTING = 4, 5
"""NUTs"""
_MELT_SECONDS = 60.0
_REFUSALS = (400, 422)
_MOST_AT_ONCE = 500
_MOST_DETAIL = 300


class MintRefused(Exception):
    """The mint said no: it did nothing, and `code` (of the NUTs; 0: none) says why."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"{detail} ({code})" if code else detail)
        self.code = code


class MintSilent(Exception):
    """No answer, or none that can be read."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """A blinded message (NUT-00): what the mint is asked to sign, worth `amount`."""

    amount: int
    id: str
    B_: str


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """A blind signature (NUT-00)."""

    id: str
    amount: int
    C_: str
    dleq: Dleq | None = None


class Input(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A proof to be spent, with the witness where its secret asks for one (NUT-10)."""

    id: str
    amount: int
    secret: str
    C: str
    witness: str = ""


class KeysetRow(msgspec.Struct, frozen=True):
    """A keyset as a mint lists it."""

    id: str
    unit: str
    active: bool = True
    input_fee_ppk: int | None = 0
    final_expiry: int | None = None


class MintQuote(msgspec.Struct, frozen=True):
    """An invoice of the mint's, for which it signs (NUT-04, NUT-23)."""

    quote: str
    request: str
    state: str
    amount: int | None = None
    expiry: int | None = None


class MeltQuote(msgspec.Struct, frozen=True):
    """What the mint wants for paying an invoice (NUT-05, NUT-23), and how far it is."""

    quote: str
    amount: int
    fee_reserve: int
    state: str
    expiry: int | None = None
    payment_preimage: str | None = None
    change: list[Signature] | None = None


class Restored(msgspec.Struct, frozen=True):
    """Which of the outputs the mint has signed (NUT-09)."""

    outputs: list[Output]
    signatures: list[Signature]


class Info(msgspec.Struct, frozen=True):
    """What a mint says of itself (NUT-06)."""

    name: str = ""
    pubkey: str = ""
    version: str = ""
    nuts: dict[str, Any] = {}

    def supports(self, nut: int) -> bool:
        """Whether the mint says it does NUT `nut`."""
        said = self.nuts.get(str(nut))
        return isinstance(said, dict) and bool(said.get("supported", True)) and not said.get("disabled", False)

    def bounds(self, nut: int) -> tuple[int, int | None]:
        """(the least, the most or None) sat that its invoices (NUT-04) or its payments (NUT-05) may be for."""
        for method in self.method(nut):
            least, most = method.get("min_amount"), method.get("max_amount")
            return least if isinstance(least, int) else 0, most if isinstance(most, int) else None
        return 0, None

    def method(self, nut: int) -> list[dict[str, Any]]:
        """What it says of invoices in sat, for NUT-04 or NUT-05: one entry, or none."""
        said = self.nuts.get(str(nut))
        rows = said.get("methods") if isinstance(said, dict) else None
        return [
            row
            for row in rows or []
            if isinstance(row, dict) and (row.get("method"), row.get("unit")) == ("bolt11", SAT)
        ][:1]


class _Keysets(msgspec.Struct, frozen=True):
    keysets: list[KeysetRow]


class _KeysRow(msgspec.Struct, frozen=True):
    id: str
    keys: dict[int, str]


class _Keys(msgspec.Struct, frozen=True):
    keysets: list[_KeysRow]


class _Signatures(msgspec.Struct, frozen=True):
    signatures: list[Signature]


class _State(msgspec.Struct, frozen=True):
    Y: str
    state: str


class _States(msgspec.Struct, frozen=True):
    states: list[_State]


class _No(msgspec.Struct, frozen=True):
    detail: Any
    code: int | None = 0


class Mint:
    """The mint at `url`."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.url = url
        self._http = http

    async def info(self) -> Info:
        """What it says of itself."""
        return await self._ask("GET", "/v1/info", Info)

    async def keysets(self) -> list[KeysetRow]:
        """All its keysets, without their keys."""
        return (await self._ask("GET", "/v1/keysets", _Keysets)).keysets

    async def keys(self, keyset: str) -> dict[int, str]:
        """The keys of one keyset."""
        rows = (await self._ask("GET", f"/v1/keys/{keyset}", _Keys)).keysets
        for row in rows:
            if row.id == keyset:
                return row.keys
        raise MintSilent(f"{self.url} was asked for the keys of {keyset}, and sent others")

    async def quote_mint(self, amount: int, memo: str, key: str) -> MintQuote:
        """Ask for an invoice; only who signs with `key` can have the coins (NUT-20), anybody where it is empty."""
        body: dict[str, Any] = {"unit": SAT, "amount": amount}
        body |= {name: value for name, value in (("description", memo), ("pubkey", key)) if value}
        return await self._ask("POST", "/v1/mint/quote/bolt11", MintQuote, body)

    async def minted(self, quote: str) -> MintQuote:
        """How far a quote is: UNPAID, PAID, ISSUED."""
        return await self._ask("GET", f"/v1/mint/quote/bolt11/{quote}", MintQuote)

    async def all_minted(self, quotes: Sequence[str]) -> list[MintQuote]:
        """The same of several at once (NUT-29); a mint that does not know one of them refuses all."""
        return await self._ask("POST", "/v1/mint/quote/bolt11/check", list[MintQuote], {"quotes": list(quotes)})

    async def mint(self, quote: str, outputs: Sequence[Output], signature: str) -> list[Signature]:
        """Have the outputs signed for a quote that is paid."""
        body: dict[str, Any] = {"quote": quote, "outputs": outputs}
        if signature:
            body["signature"] = signature
        return (await self._ask("POST", "/v1/mint/bolt11", _Signatures, body)).signatures

    async def swap(self, inputs: Sequence[Input], outputs: Sequence[Output]) -> list[Signature]:
        """Spend the inputs for signatures of the outputs."""
        body = {"inputs": inputs, "outputs": outputs}
        return (await self._ask("POST", "/v1/swap", _Signatures, body)).signatures

    async def quote_melt(self, invoice: str) -> MeltQuote:
        """Ask what paying an invoice would cost."""
        return await self._ask("POST", "/v1/melt/quote/bolt11", MeltQuote, {"unit": SAT, "request": invoice})

    async def melted(self, quote: str) -> MeltQuote:
        """How far a payment is: UNPAID, PENDING, PAID."""
        return await self._ask("GET", f"/v1/melt/quote/bolt11/{quote}", MeltQuote)

    async def melt(self, quote: str, inputs: Sequence[Input], outputs: Sequence[Output]) -> MeltQuote:
        """Spend the inputs to pay; change goes into the outputs, whose amounts the mint fills in (NUT-08)."""
        body = {"quote": quote, "inputs": inputs, "outputs": outputs}
        return await self._ask("POST", "/v1/melt/bolt11", MeltQuote, body, seconds=_MELT_SECONDS)

    async def states(self, ys: Sequence[str]) -> dict[str, str]:
        """UNSPENT, PENDING or SPENT, by Y (NUT-07)."""
        found: dict[str, str] = {}
        for start in range(0, len(ys), _MOST_AT_ONCE):
            part = list(ys[start : start + _MOST_AT_ONCE])
            rows = (await self._ask("POST", "/v1/checkstate", _States, {"Ys": part})).states
            found |= {row.Y: row.state for row in rows}
        if missing := [y for y in ys if y not in found]:
            raise MintSilent(f"{self.url} was asked for the states of {len(ys)} coins, and left out {len(missing)}")
        return found

    async def restore(self, outputs: Sequence[Output]) -> dict[str, Signature]:
        """The signatures that were made of these outputs before, by B_ (NUT-09)."""
        found: dict[str, Signature] = {}
        for start in range(0, len(outputs), _MOST_AT_ONCE):
            body = {"outputs": list(outputs[start : start + _MOST_AT_ONCE])}
            said = await self._ask("POST", "/v1/restore", Restored, body)
            if len(said.outputs) != len(said.signatures):
                raise MintSilent(f"{self.url} restored {len(said.signatures)} of {len(said.outputs)} outputs")
            found |= {output.B_: signed for output, signed in zip(said.outputs, said.signatures, strict=True)}
        return found

    async def _ask(self, method: str, path: str, kind: type[T], body: Any = None, seconds: float | None = None) -> T:
        content = None if body is None else msgspec.json.encode(body)
        more: dict[str, Any] = {} if seconds is None else {"timeout": seconds}
        headers = {"content-type": "application/json"} if content else {}
        try:
            answer = await self._http.request(method, f"{self.url}{path}", content=content, headers=headers, **more)
        except (httpx.HTTPError, httpx.InvalidURL, ArbstrError) as failure:
            raise MintSilent(f"{self.url} does not answer: {str(failure) or type(failure).__name__}") from None
        if answer.status_code in _REFUSALS:
            raise _refusal(answer.content, self.url)
        if answer.status_code != httpx.codes.OK:
            raise MintSilent(f"{self.url}{path} answered {answer.status_code} {answer.reason_phrase}")
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.MsgspecError as bad:
            raise MintSilent(f"{self.url}{path} answered what is no answer: {bad}") from None


def _refusal(content: bytes, url: str) -> MintRefused | MintSilent:
    try:
        said = msgspec.json.decode(content, type=_No)
    except msgspec.MsgspecError:
        return MintSilent(f"{url} refused without saying why: {content[:_MOST_DETAIL]!r}")
    detail = said.detail if isinstance(said.detail, str) else msgspec.json.encode(said.detail).decode()
    return MintRefused(said.code or 0, detail[:_MOST_DETAIL])
