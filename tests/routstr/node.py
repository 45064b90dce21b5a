"""A Routstr node: prices and calls as routstr-core answers them, money as ecash in a wallet at a real mint.

What it does wrong is what `fault` says of a request, and what its attributes say of all. `N1` and so on are the ways in
which nodes lose money, as the tests name them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from secrets import token_hex
from typing import Any

from arbstr_core.api import BadRequest, Msat, Paid, RailUnavailable, TokenTarget, WalletRail
from routstr.http import Answer, Cut, Request, Server, said

SAT = 1000
WORD = "word"
"""Four bytes, one token."""


@dataclass
class Account:
    """What one key has."""

    balance: int = 0
    reserved: int = 0
    spent: int = 0
    requests: int = 0
    refund: dict[str, str] | None = None
    parent: str = ""

    @property
    def free(self) -> int:
        """What may be spent."""
        return self.balance - self.reserved


@dataclass
class Model:
    """A model that it sells; prices in sats per token."""

    id: str = "m"
    prompt: float = 0.000105
    completion: float = 0.00042
    context: int = 32_000
    max_output: int = 16_000
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> dict[str, Any]:
        """As it is listed."""
        prompt, completion = self.context * self.prompt, self.max_output * self.completion
        most = (self.context - self.max_output) * self.prompt + completion
        limits = {"max_prompt_cost": prompt, "max_completion_cost": completion, "max_cost": most}
        rates = {"prompt": self.prompt, "completion": self.completion, "request": 0.001, "input_cache_read": 0.0}
        return {
            "id": self.id,
            "context_length": self.context,
            "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
            "pricing": {name: value / 1000 for name, value in (rates | limits).items()},
            "sats_pricing": {**rates, "internal_reasoning": 0.0, **limits},
            "top_provider": {"context_length": self.context, "max_completion_tokens": self.max_output},
            "enabled": True,
            "upstream_provider_id": "generic",
            "canonical_slug": None,
            **self.more,
        }


Fault = str
"""What goes wrong with one request: `lost` (done, and the answer lost), `500`, `429`, `503`, `cut` (in its middle),
`nousage`, `hang`, `consumed` (N5: the token is taken, and 500), `debited` (N7: the balance is gone, and 500)."""


class Node:
    """See the module. `rail` is its wallet; without one nothing can be brought or taken back."""

    def __init__(self, *models: Model, rail: WalletRail | None = None, mint: str = "") -> None:
        self.models = {model.id: model for model in models or (Model(),)}
        self.rail = rail
        self.mint = mint
        self.accounts: dict[str, Account] = {}
        self.tokens: dict[str, dict[str, str] | None] = {}
        """what came back for tokens that paid single calls; None: nothing yet"""
        self.invoices: dict[str, dict[str, Any]] = {}
        self.paid: Callable[[str], bool] = lambda bolt11: False
        """whether an invoice of its was paid"""
        self.makes_invoice: Callable[[int], str] | None = None
        self.fault: Callable[[Request], Fault] = lambda request: ""
        """what goes wrong with a request; nothing"""
        self.lies = 1.0
        """of the tokens that were used, it reports so many"""
        self.overcharges = 1.0
        self.takes = 0
        """msat that vanish from a balance with each call"""
        self.old_costs = False
        """says what a call cost as older nodes do: a number of dollars"""
        self.answer = " ".join([WORD] * 20)
        self.kept = 0
        """msat of tokens that nobody gets back"""
        self.single = 0
        """msat that single calls took"""
        self.others: list[str] = []
        """where other nodes are, by what it has heard"""
        self.requests: list[Request] = []
        self.open = asyncio.Event()
        self.open.set()
        self.server = Server(self._handle)

    @property
    def url(self) -> str:
        """Where it is."""
        return self.server.url

    @property
    def name(self) -> str:
        """What arbstr calls it."""
        return self.url.removeprefix("http://")

    @property
    def held(self) -> int:
        """What all keys have together, msat."""
        return sum(account.balance for account in self.accounts.values())

    @property
    def spent(self) -> int:
        """What all calls took, msat."""
        return sum(account.spent for account in self.accounts.values())

    def calls(self, path: str = "/v1/chat/completions") -> list[Request]:
        """What came there."""
        return [request for request in self.requests if request.path == path]

    def forget(self) -> None:
        """N9: its database is lost."""
        self.accounts.clear()

    async def _handle(self, request: Request) -> Answer:
        self.requests.append(request)
        fault = self.fault(request)
        if fault == "hang":
            await asyncio.Event().wait()
        if fault in ("500", "429", "503"):
            return _upstream_says(int(fault))
        answer = await self._route(request, fault)
        answer.lost = answer.lost or fault == "lost"
        if answer.lost and answer.events is not None:
            # A node reads its own upstream to the end, and bills that, whoever listens.
            async for _ in answer.events:
                pass
        return answer

    async def _route(self, request: Request, fault: Fault) -> Answer:
        path = request.path.partition("?")[0]
        match request.method, path:
            case "GET", "/v1/info":
                return said({"name": "Node", "version": "0.4.5", "npub": "", "mints": [self.mint] if self.mint else []})
            case "GET", "/v1/models":
                return said({"data": [model.row for model in self.models.values()]})
            case "GET", "/v1/providers/" if self.others:
                return said({"providers": [{"id": "x", "endpoint_url": url} for url in self.others]})
            case "POST", "/v1/balance/create":
                return await self._create(str(request.json.get("initial_balance_token")), fault)
            case "POST", "/lightning/invoice":
                return self._invoice(request)
            case "POST", "/lightning/recover":
                return self._status(lambda row: row["bolt11"] == request.json.get("bolt11"))
            case "GET", _ if path.startswith("/lightning/invoice/"):
                return self._status(lambda row: row["id"] == path.split("/")[3])
            case "POST", "/v1/chat/completions" if request.json.get("model") not in self.models:
                what = {
                    "message": f"Model {request.json.get('model')!r} not found",
                    "type": "invalid_model",
                    "code": 400,
                }
                return said({"error": what}, 400)
        if "x-cashu" in request.headers:
            return await self._with_token(request, path, request.headers["x-cashu"], fault)
        account = self.accounts.get(request.bearer)
        if account is None:
            return _error(401, "Invalid API key", "invalid_request_error", "invalid_api_key")
        return await self._with_key(request, path, account, fault)

    async def _with_key(self, request: Request, path: str, account: Account, fault: Fault) -> Answer:
        match request.method, path:
            case "GET", "/v1/balance/info":
                return said(
                    {
                        "api_key": request.bearer,
                        "balance": account.free,
                        "reserved": account.reserved,
                        "is_child": bool(account.parent),
                        "total_requests": account.requests,
                        "total_spent": account.spent,
                    }
                )
            case "POST", "/v1/balance/topup":
                taken = await self._redeem(str(request.json.get("cashu_token")), fault)
                if isinstance(taken, Answer):
                    return taken
                account.balance += taken
                return said({"msats": taken})
            case "POST", "/v1/balance/refund":
                return await self._refund(account, fault)
            case "POST", "/v1/balance/child-key":
                return self._child_keys(request)
            case "POST", "/v1/chat/completions":
                return await self._chat(request, account, fault)
        return said({"detail": "Not Found"}, 404)

    async def _with_token(self, request: Request, path: str, token: str, fault: Fault) -> Answer:
        """One call, paid with a token: its change is in the answer's head, and to be asked for later."""
        if path == "/v1/balance/refund":
            if token not in self.tokens:
                return said({"detail": "Not found"}, 404)
            change = self.tokens[token]
            return said({"detail": "Pending"}, 425) if change is None else said(change)
        taken = await self._redeem(token, "")
        if isinstance(taken, Answer):
            taken.headers["x-cashu"] = token
            return taken
        self.tokens[token] = None
        account = Account(balance=taken)
        answer = await self._chat(request, account, "" if fault == "keeps" else fault)
        if answer.events is not None:
            # It holds the stream back to know what it costs.
            whole = b"".join([event async for event in answer.events])
            answer = Answer(body=whole, headers={"content-type": "text/event-stream"})
        self.kept += account.balance % SAT
        self.single += account.spent
        if fault == "keeps":
            self.kept += account.balance - account.balance % SAT
            return said({"error": {"message": "internal", "type": "internal_error", "code": 500}}, 500)
        sats = account.balance // SAT
        self.tokens[token] = {"token": await self._issue(sats), "sats": str(sats)}
        answer.headers["x-cashu"] = self.tokens[token]["token"]  # type: ignore[index]
        return answer

    # -- money ----------------------------------------------------------------------------------------------------

    async def _redeem(self, token: str, fault: Fault) -> int | Answer:
        if self.rail is None:
            return _error(503, "Mint unreachable", "mint_error", "mint_unreachable")
        try:
            deposit = await self.rail.receive(token, key=token_hex(16))
        except BadRequest as refused:
            spent = "spent" in str(refused)
            return _error(400, "Token", "token_error", "cashu_token_already_spent" if spent else "invalid_cashu_token")
        except RailUnavailable:
            return _error(503, "Mint unreachable", "mint_error", "cashu_source_mint_unreachable")
        if fault == "consumed":
            return _error(500, "Token consumed", "token_error", "cashu_token_consumed")
        return deposit.amount_msat

    async def _create(self, token: str, fault: Fault) -> Answer:
        key = f"sk-{hashlib.sha256(token.encode()).hexdigest()}"
        if key not in self.accounts:
            taken = await self._redeem(token, fault)
            if isinstance(taken, Answer):
                return taken
            self.accounts[key] = Account(balance=taken)
        return said({"api_key": key, "balance": self.accounts[key].balance})

    async def _refund(self, account: Account, fault: Fault) -> Answer:
        if account.reserved:
            return said({"detail": "Cannot refund key. There are ongoing requests"}, 400)
        sats = account.balance // SAT
        if not sats and account.refund is not None:
            return said(account.refund)
        if not sats or self.rail is None:
            return said({"detail": "Balance too small to refund"}, 400)
        before, account.balance = account.balance, 0
        if fault == "debited":
            return said({"detail": "Refund failed"}, 500)
        try:
            token = await self._issue(sats)
        except RailUnavailable:
            account.balance = before
            return said({"detail": "Refund failed"}, 500)
        account.refund = {"token": token, "sats": str(sats)}
        return said(account.refund)

    async def _issue(self, sats: int) -> str:
        assert self.rail is not None, "it has a wallet"
        reference = f"refund-{token_hex(16)}"  # a port may have been that of another node
        target = TokenTarget(reference=reference, amount_msat=Msat(sats * SAT), network=self.rail.network)
        quoted = await self.rail.quote(target, target.amount_msat)
        paid = await self.rail.pay(target, target.amount_msat, fee_limit=quoted.fee_limit_msat, key=reference)
        assert isinstance(paid, Paid), f"its wallet does not pay: {paid!r}"
        return paid.token

    def _child_keys(self, request: Request) -> Answer:
        keys = [f"sk-child-{len(self.accounts) + at}" for at in range(int(request.json.get("count", 1)))]
        for key in keys:
            self.accounts[key] = Account(parent=request.bearer)
        return said({"api_keys": keys})

    def _invoice(self, request: Request) -> Answer:
        asked = request.json
        if self.makes_invoice is None:
            return said({"detail": "Lightning is not available"}, 503)
        topup = asked.get("purpose") == "topup"
        if topup and request.bearer not in self.accounts:
            return _error(401, "Invalid API key", "invalid_request_error", "invalid_api_key")
        bolt11 = self.makes_invoice(int(asked["amount_sats"]))
        id = hashlib.sha256(bolt11.encode()).hexdigest()[:20]
        row = {"id": id, "bolt11": bolt11, "sats": asked["amount_sats"], "key": request.bearer if topup else ""}
        self.invoices[id] = {**row, "paid": False}
        return said({"invoice_id": id, "bolt11": bolt11, "amount_sats": asked["amount_sats"], "payment_hash": id})

    def _status(self, wanted: Callable[[dict[str, Any]], bool]) -> Answer:
        row = next((each for each in self.invoices.values() if wanted(each)), None)
        if row is None:
            return said({"detail": "Invoice not found"}, 404)
        if not row["paid"] and self.paid(row["bolt11"]):
            row["paid"] = True
            row["key"] = row["key"] or f"sk-{hashlib.sha256(row['id'].encode()).hexdigest()}"
            self.accounts.setdefault(row["key"], Account()).balance += row["sats"] * SAT
        status = {"status": "paid", "api_key": row["key"]} if row["paid"] else {"status": "pending", "api_key": None}
        return said({**status, "amount_sats": row["sats"]})

    # -- calls ----------------------------------------------------------------------------------------------------

    async def _chat(self, request: Request, account: Account, fault: Fault) -> Answer:
        asked, model = request.json, self.models[request.json["model"]]
        limit = asked.get("max_tokens")
        if limit is not None and type(limit) is not int:
            return _error(400, "max_tokens must be an integer", "invalid_request_error", "invalid_request")
        text = "".join(str(message.get("content")) for message in asked["messages"])
        needed = self._reservation(model, len(text), limit)
        if needed > account.free:
            words = f"Insufficient balance: {needed} msats required for this model; {account.free} msats available."
            return _error(402, words, "insufficient_quota", "insufficient_balance")
        account.reserved += needed
        account.requests += 1
        words = self.answer.split()[: limit or None]
        used = (math.ceil(len(text.encode()) / 4) + 4 * len(asked["messages"]), len(words))
        reported = (round(used[0] * self.lies), round(used[1] * self.lies))
        cost = 0 if fault == "nousage" else math.ceil(self._cost(model, *reported) * Decimal(str(self.overcharges)))
        return await self._told(asked, account, fault, needed, words, reported, cost)

    async def _told(
        self,
        asked: Any,
        account: Account,
        fault: Fault,
        needed: int,
        words: list[str],
        reported: tuple[int, int],
        cost: int,
    ) -> Answer:
        usage = None if fault == "nousage" else self._usage(reported, cost)
        if asked.get("stream"):
            return Answer(events=self._events(asked, account, fault, needed, words, usage, cost))
        await self.open.wait()
        self._settle(account, needed, cost)
        choice = {"index": 0, "message": {"role": "assistant", "content": " ".join(words)}, "finish_reason": "stop"}
        body = {"id": "x", "object": "chat.completion", "created": 1, "model": asked["model"], "choices": [choice]}
        whole = body | ({} if usage is None else self._with_balance(usage, account))
        headers = {} if usage is None else {"x-routstr-cost-msats": str(cost)}
        answer = said(whole, **headers)
        if fault == "cut":
            answer.lost = True
        return answer

    async def _events(
        self,
        asked: Any,
        account: Account,
        fault: Fault,
        needed: int,
        words: list[str],
        usage: dict[str, Any] | None,
        cost: int,
    ) -> AsyncGenerator[bytes, None]:
        """As a node streams: who leaves in the middle is billed in full all the same."""
        try:
            for at, word in enumerate(words):
                if fault == "cut" and at == len(words) // 2:
                    raise Cut
                delta = {"content": word if at == 0 else f" {word}"}
                yield _event(asked, [{"index": 0, "delta": delta, "finish_reason": None}])
            await self.open.wait()
            yield _event(asked, [{"index": 0, "delta": {}, "finish_reason": "stop"}])
        finally:
            self._settle(account, needed, cost)
        if usage is not None:
            yield _event(asked, [], **self._with_balance(usage, account))
        yield b"data: [DONE]\n\n"

    def _settle(self, account: Account, needed: int, cost: int) -> None:
        account.reserved -= needed
        account.balance -= cost + self.takes
        account.spent += cost

    def _reservation(self, model: Model, characters: int, limit: int | None) -> int:
        limits = model.row["sats_pricing"]
        prompt = limits["max_prompt_cost"] - characters // 3 * model.prompt
        completion = 0 if limit is None else limits["max_completion_cost"] - limit * model.completion
        return max(1, math.ceil((0.99 * limits["max_cost"] - max(0, prompt) - max(0, completion)) * SAT))

    def _cost(self, model: Model, prompt: int, completion: int) -> Decimal:
        rates = Decimal(str(model.prompt)) * prompt + Decimal(str(model.completion)) * completion
        return Decimal(math.ceil(rates * SAT))

    def _usage(self, reported: tuple[int, int], cost: int) -> dict[str, Any]:
        prompt, completion = reported
        dollars = cost / 1e8
        parts = {"base_msats": 0, "total_msats": cost, "total_usd": dollars}
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "cost": dollars if self.old_costs else parts,
        }

    def _with_balance(self, usage: dict[str, Any], account: Account) -> dict[str, Any]:
        if self.old_costs:
            return {"usage": usage}
        left = {"cost_sats": 0, "remaining_balance_msats": account.free}
        inner = {"cost": usage["cost"], **left}
        return {
            "usage": {**usage, **left},
            "provider": "generic",
            "metadata": {"routstr": inner},
            "cost": usage["cost"],
        }


def _event(asked: Any, choices: list[Any], **more: Any) -> bytes:
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": asked["model"], "choices": choices}
    return b"data: " + json.dumps(body | more).encode() + b"\n\n"


def _error(status: int, message: str, kind: str, code: str) -> Answer:
    """The envelope that most errors are in: twice."""
    error = {"message": message, "type": kind, "code": code}
    return said({"detail": {"error": error}, "error": error, "request_id": "r"}, status)


def _upstream_says(status: int) -> Answer:
    code = "UPSTREAM_RATE_LIMIT" if status == 429 else "upstream_error"
    return said({"error": {"message": "upstream", "type": "upstream_error", "code": code}}, status)
