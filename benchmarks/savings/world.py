"""Owns the providers of the replay: they answer what the mix says, fail when the schedule says, and write bills."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence

import msgspec

from arbstr_core.api import ConnectFailed, Offer, Outbound, Provider, Reply
from benchmarks.savings.book import Model, Row
from benchmarks.savings.mixes import Ask, Fault, fault


class Bills:
    """What was billed for each request of each model, in millionths of a dollar."""

    def __init__(self) -> None:
        self._by: dict[tuple[str, int], float] = {}

    def add(self, model: str, number: int, cost: float) -> None:
        """One more bill for a request."""
        self._by[model, number] = self._by.get((model, number), 0.0) + cost

    def of(self, model: str, asks: Sequence[Ask]) -> float:
        """All bills for these requests."""
        return sum(self._by.get((model, ask.number), 0.0) for ask in asks)


class Seller(Provider):
    """One provider of the book. `asks` are the requests by model."""

    def __init__(
        self,
        name: str,
        rows: Mapping[str, Row],
        asks: Mapping[str, Sequence[Ask]],
        seed: int,
        rate: float,
        bills: Bills,
    ) -> None:
        self.name = name
        self._rows = rows
        self._asks = asks
        self._seed = seed
        self._rate = rate
        self._bills = bills
        self._seconds = random.Random(f"speed {name} {seed}").uniform(0.3, 3.0)

    async def offers(self) -> list[Offer]:
        """All that it sells."""
        return [
            Offer(provider=self.name, model=model, upstream=model, price=row.price())
            for model, row in self._rows.items()
        ]

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        """Fail as the schedule says, or answer as the mix does."""
        ask, attempt = asked(call.body, self._asks[offer.model])
        row = self._rows[offer.model]
        wrong = fault(self._seed, self._rate, offer.model, self.name, ask.number, attempt)
        if wrong is Fault.UNREACHABLE:
            raise ConnectFailed("the schedule says so")
        if wrong is Fault.HANGS:
            self._bills.add(offer.model, ask.number, row.cost(ask.input_tokens, 0))
            await asyncio.Event().wait()
        await asyncio.sleep(self._seconds)
        if wrong is not None:
            return Reply.of_json(b'{"error":{"message":"no"}}', status=429 if wrong is Fault.LIMITED else 503)
        self._bills.add(offer.model, ask.number, row.cost(ask.input_tokens, ask.output_tokens))
        return Reply.of_json(_answer(ask))


def sellers(
    models: Sequence[Model], asks: Mapping[str, Sequence[Ask]], seed: int, rate: float, bills: Bills
) -> list[Seller]:
    """All providers of the book."""
    rows: dict[str, dict[str, Row]] = {}
    for model in models:
        for row in model.offers:
            rows.setdefault(row.provider, {})[model.model] = row
    return [Seller(name, sold, asks, seed, rate, bills) for name, sold in sorted(rows.items())]


class _Body(msgspec.Struct):
    user: str


def request(model: str, ask: Ask, attempt: int) -> bytes:
    """The request as a client sends it, of as many bytes as its tokens usually have: four each. Who it is stands in
    `user`, for the seller."""
    body = {"model": model, "user": f"{ask.number} {attempt}", "messages": [{"role": "user", "content": ""}]}
    if ask.limit is not None:
        body["max_tokens"] = ask.limit
    missing = 4 * ask.input_tokens - len(msgspec.json.encode(body))
    body["messages"] = [{"role": "user", "content": "x" * max(missing, 0)}]
    return msgspec.json.encode(body)


def asked(body: bytes, asks: Sequence[Ask]) -> tuple[Ask, int]:
    """Which request this is, and for the how-manieth time it is made."""
    number, attempt = msgspec.json.decode(body, type=_Body).user.split()
    return asks[int(number)], int(attempt)


def _answer(ask: Ask) -> bytes:
    usage = {"prompt_tokens": ask.input_tokens, "completion_tokens": ask.output_tokens}
    message = {"role": "assistant", "content": "x" * ask.output_tokens}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return msgspec.json.encode({"object": "chat.completion", "choices": [choice], "usage": usage})
