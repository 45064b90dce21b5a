"""Owns the scripted provider: which outcome is next, and how each one looks from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from arbstr_core.api import (
    Clock,
    ConnectFailed,
    Offer,
    Outbound,
    Provider,
    ProviderError,
    Reply,
    ReplyCut,
    ReplyTimedOut,
)
from arbstr_providers_mock._answers import Answer, BadAsk, read
from arbstr_providers_mock._config import Mock, MockModel, status_of
from arbstr_providers_mock._shapes import ANSWERS

DEFAULT_MODELS = (MockModel(name="mock", free=True),)


class MockProvider(Provider):
    """Answers every call from its script, which starts again at its end."""

    def __init__(self, name: str, mock: Mock, clock: Clock) -> None:
        self.name = name
        self._mock = mock
        self._clock = clock
        self._models = {model.name: model for model in mock.models or DEFAULT_MODELS}
        self._turns: dict[str, int] = {}
        self._calls = 0

    async def offers(self) -> list[Offer]:
        """The configured models, or `mock`, which is free."""
        return [
            Offer(
                provider=self.name,
                model=model.name,
                upstream=model.upstream or model.name,
                price=model.price(),
                endpoints=model.endpoints,
                tier=model.tier,
                context_window=model.context,
                max_output_tokens=model.max_output_tokens,
                exact_tokenizer=True,
                fields=model.fields,
                passthrough=model.passthrough,
                cancel_free=self._mock.cancel_free,
                max_concurrent=self._mock.max_concurrent,
            )
            for model in self._models.values()
        ]

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        """The next outcome of the script. Its turn is taken at once, before anything is awaited."""
        model = self._models.get(offer.model, DEFAULT_MODELS[0])
        outcome = self._next(model)
        self._calls += 1
        number = self._calls
        await self._wait(self._mock.latency_ms if model.latency_ms is None else model.latency_ms)
        if outcome == "connect_fail":
            raise ConnectFailed(f"{self.name}: scripted: the connection was refused")
        if outcome == "timeout":
            raise ReplyTimedOut(f"{self.name}: scripted: nothing came in time")
        shape, status = ANSWERS[call.endpoint], status_of(outcome)
        if status is not None and status != 200:
            return Reply.of_json(shape.error(f"scripted: {status}"), status=status)
        try:
            asked = read(call.body)
        except BadAsk as bad:
            return Reply.of_json(shape.error(str(bad)), status=400)
        said = self._mock.reply if model.reply is None else model.reply
        answer = shape(asked, said, number=number, created=self._clock.now_ms() // 1000, model=offer.upstream)
        return self._streamed(answer, outcome) if call.stream else self._whole(answer, outcome)

    async def count_input(self, call: Outbound, offer: Offer) -> int:
        """The words of all that is read: that is what the usage says, too."""
        try:
            return read(call.body).input_words()
        except BadAsk as bad:
            raise ProviderError(f"{self.name}: {bad}") from None

    def _next(self, model: MockModel) -> str:
        """The outcome whose turn it is; models without a script of their own share the instance's."""
        script, turn_of = (self._mock.script, "") if model.script is None else (model.script, model.name)
        if not script:
            return "ok"
        turn = self._turns.get(turn_of, 0)
        self._turns[turn_of] = turn + 1
        return script[turn % len(script)]

    def _whole(self, answer: Answer, outcome: str) -> Reply:
        if outcome == "error_event":
            return Reply.of_json(answer.error("scripted: an error"))
        body = answer.whole(usage=outcome != "no_usage")
        if outcome == "cut":
            return Reply(200, {"content-type": "application/json"}, _cut_after([body[: len(body) // 2]], self.name))
        if outcome == "cut_before":
            return Reply(200, {"content-type": "application/json"}, _cut_after([], self.name))
        return Reply.of_json(body)

    def _streamed(self, answer: Answer, outcome: str) -> Reply:
        events = answer.events(usage=outcome != "no_usage", everywhere=outcome == "usage_every_chunk")
        half = events[: 1 + len(events) // 2]
        if outcome == "cut":
            return Reply.of_events(self._paced(_cut_after(half, self.name)))
        if outcome == "cut_before":
            return Reply.of_events(_cut_after([], self.name))
        if outcome == "error_event":
            events = [*half, answer.error_event("scripted: an error")]
        return Reply.of_events(self._paced(_each(events)))

    async def _paced(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield chunk
            await self._wait(self._mock.chunk_ms)

    async def _wait(self, milliseconds: int) -> None:
        if milliseconds:
            await self._clock.sleep(milliseconds / 1000)


async def _each(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _cut_after(chunks: Iterable[bytes], name: str) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise ReplyCut(f"{name}: scripted: the reply broke off")
