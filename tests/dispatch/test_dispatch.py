"""Candidates in order until one answers its first byte, whatever their plugins do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from arbstr_core.api import Offer, Outbound, Provider, Reply
from arbstr_core.dispatch import Dispatch, DispatchRules, OpenReply
from arbstr_core.dispatch._outbound import outbound
from arbstr_core.testing import FakeClock, a_call, a_quote, an_offer, in_virtual_time
from arbstr_core.types import (
    AddressRefused,
    Attempt,
    ConnectFailed,
    LimitField,
    NotSupported,
    Outcome,
    ProviderError,
    Quote,
    ReplyCut,
    ReplyTimedOut,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimedOut,
)

COMPLETION = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}'
CHUNK = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
ERROR = b'data: {"error":{"message":"no"}}\n\n'
Does = Callable[[Outbound], Awaitable[Reply]]


class Plugin(Provider):
    """A provider that does what a function does."""

    def __init__(self, name: str, does: Does) -> None:
        self.name = name
        self._does = does
        self.asked = 0

    async def offers(self) -> Sequence[Offer]:
        return []

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        self.asked += 1
        return await self._does(call)


class Closing(Reply):
    """Notes how often it was closed."""

    closed = 0
    fails: Exception | None = None

    async def aclose(self) -> None:
        self.closed += 1
        if self.fails is not None:
            raise self.fails


async def chunks(*parts: bytes | BaseException) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, BaseException):
            raise part
        yield part


def replies(
    *parts: bytes | BaseException, status: int = 200, stream: bool = True, fails: Exception | None = None
) -> tuple[Does, list[Closing]]:
    """What answers with `parts`; and its replies, as they are made."""
    made: list[Closing] = []

    async def does(call: Outbound) -> Reply:
        kind = "text/event-stream" if stream else "application/json"
        made.append(Closing(status, {"content-type": kind}, chunks(*parts)))
        made[-1].fails = fails
        return made[-1]

    return does, made


def raises(error: BaseException) -> Does:
    async def does(call: Outbound) -> Reply:
        raise error

    return does


async def hangs(call: Outbound) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError


def quote_of(name: str) -> Quote:
    return a_quote(an_offer(provider=name))


async def opened(
    *does: Does, stream: bool = True, seconds: float = 5, idle: float = 5
) -> tuple[OpenReply | Exception, list[Attempt]]:
    plugins = [Plugin(f"p{number}", each) for number, each in enumerate(does)]
    made = Dispatch(
        {plugin.name: plugin for plugin in plugins},
        FakeClock(),
        DispatchRules(first_byte_seconds=seconds, idle_seconds=idle),
    )
    attempts: list[Attempt] = []
    try:
        found = await made.open(a_call(stream=stream), [quote_of(plugin.name) for plugin in plugins], attempts)
    except (UpstreamFailed, UpstreamRefused) as refused:
        return refused, attempts
    return found, attempts


async def good(call: Outbound) -> Reply:
    return Reply.of_events(chunks(CHUNK, CHUNK, b"data: [DONE]\n\n")) if call.stream else Reply.of_json(COMPLETION)


FAILURES: list[tuple[str, Does, Outcome]] = [
    ("connection", raises(ConnectFailed("refused")), Outcome.CONNECT_FAILED),
    ("late", raises(ReplyTimedOut("late")), Outcome.TIMED_OUT),
    ("cut", raises(ReplyCut("cut")), Outcome.CUT),
    ("provider", raises(ProviderError("odd")), Outcome.REFUSED),
    ("address", raises(AddressRefused("private")), Outcome.REFUSED),
    ("a bug", raises(ZeroDivisionError()), Outcome.BAD_REPLY),
    ("its own time-out", raises(TimeoutError()), Outcome.BAD_REPLY),
    ("500", replies(b"{}", status=500)[0], Outcome.REFUSED),
    ("404", replies(b"{}", status=404)[0], Outcome.REFUSED),
    ("401", replies(b"{}", status=401)[0], Outcome.BAD_KEY),
    ("402", replies(b"{}", status=402)[0], Outcome.BAD_KEY),
    ("429", replies(b"{}", status=429)[0], Outcome.RATE_LIMITED),
    ("500 whose body breaks", replies(ReplyCut("x"), status=500)[0], Outcome.REFUSED),
    ("500 whose body is a bug", replies(KeyError("x"), status=500)[0], Outcome.BAD_REPLY),
    ("nothing", replies()[0], Outcome.CUT),
    ("comments alone", replies(b": hi\n\n", b": hi\n\n")[0], Outcome.CUT),
    ("an error first", replies(b": hi\n\n", ERROR)[0], Outcome.REFUSED),
    ("no stream", replies(COMPLETION, stream=False)[0], Outcome.BAD_REPLY),
    ("breaks at once", replies(ReplyCut("x"))[0], Outcome.CUT),
    ("a bug at once", replies(KeyError("x"))[0], Outcome.BAD_REPLY),
    ("fails to close", replies(ERROR, fails=KeyError("x"))[0], Outcome.REFUSED),
]


@pytest.mark.parametrize(("does", "outcome"), [each[1:] for each in FAILURES], ids=[each[0] for each in FAILURES])
def test_the_next_one_answers(does: Does, outcome: Outcome) -> None:
    async def story() -> None:
        found, attempts = await opened(does, good)
        assert isinstance(found, OpenReply)
        assert found.quote.offer.provider == "p1"
        assert [attempt.outcome for attempt in attempts] == [outcome, Outcome.SERVED]
        alone, attempts = await opened(does)
        assert isinstance(alone, UpstreamFailed)
        assert [attempt.outcome for attempt in attempts] == [outcome]

    asyncio.run(story())


def test_what_returns_no_reply() -> None:
    async def nothing(call: Outbound) -> Any:
        return None

    async def story() -> None:
        found, attempts = await opened(nothing, good)
        assert isinstance(found, OpenReply)
        assert attempts[0].outcome is Outcome.BAD_REPLY

    asyncio.run(story())


@pytest.mark.parametrize("stream", [False, True])
def test_time_runs_out_for_each_apart(stream: bool) -> None:
    async def story() -> None:
        found, attempts = await opened(hangs, good, stream=stream, seconds=0.05)
        assert isinstance(found, OpenReply)
        assert attempts[0].outcome is Outcome.TIMED_OUT
        late, attempts = await opened(hangs, hangs, stream=stream, seconds=0.05)
        assert isinstance(late, UpstreamTimedOut)
        mixed, _ = await opened(hangs, raises(ConnectFailed("x")), stream=stream, seconds=0.05)
        assert isinstance(mixed, UpstreamFailed)
        assert not isinstance(mixed, UpstreamTimedOut)

    in_virtual_time(story())


@pytest.mark.parametrize("status", [400, 413, 422])
def test_the_callers_own_mistake_ends_it(status: int) -> None:
    async def story() -> None:
        found, attempts = await opened(replies(b'{"error":{}}', status=status)[0], good)
        assert isinstance(found, UpstreamRefused)
        assert (found.status, found.body, len(attempts)) == (status, b'{"error":{}}', 1)

    asyncio.run(story())


def test_a_failed_reply_is_closed_once_and_a_good_one_is_not() -> None:
    async def story() -> None:
        bad, made = replies(ERROR)
        found, _ = await opened(bad, good)
        assert [reply.closed for reply in made] == [1]
        good_one, kept = replies(CHUNK, b"data: [DONE]\n\n")
        found, _ = await opened(good_one)
        assert isinstance(found, OpenReply)
        assert kept[0].closed == 0
        await found.aclose()
        assert kept[0].closed == 1

    asyncio.run(story())


def test_cancelled_while_it_waits_it_closes_and_says_so() -> None:
    async def story() -> None:
        async def silent() -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

        reply = Closing(200, {"content-type": "text/event-stream"}, silent())

        async def does(call: Outbound) -> Reply:
            return reply

        plugin = Plugin("p0", does)
        made = Dispatch({"p0": plugin}, FakeClock())
        attempts: list[Attempt] = []
        task = asyncio.create_task(made.open(a_call(stream=True), [quote_of("p0")], attempts))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reply.closed == 1
        assert [attempt.outcome for attempt in attempts] == [Outcome.ABANDONED]

    in_virtual_time(story())


@pytest.mark.parametrize("error", [ReplyCut("x"), KeyError("x"), TimeoutError(), RuntimeError("x")])
def test_a_plugin_that_fails_in_the_middle_cuts_the_reply(error: Exception) -> None:
    async def story() -> None:
        found, _ = await opened(replies(CHUNK, CHUNK, error)[0])
        assert isinstance(found, OpenReply)
        assert found.rest is not None
        assert found.events + await anext(found.rest) == CHUNK * 2
        with pytest.raises(ProviderError):
            await anext(found.rest)

    asyncio.run(story())


def test_silence_in_the_middle_cuts_the_reply_and_the_callers_time_does_not_count() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield CHUNK
        yield CHUNK
        await asyncio.Event().wait()

    async def does(call: Outbound) -> Reply:
        return Reply.of_events(slow())

    async def story() -> None:
        found, _ = await opened(does, seconds=0.1, idle=0.1)
        assert isinstance(found, OpenReply)
        assert found.rest is not None
        await asyncio.sleep(0.3)
        assert await anext(found.rest) == CHUNK
        await asyncio.sleep(0.3)
        with pytest.raises(ReplyTimedOut):
            await anext(found.rest)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    in_virtual_time(story())


def test_facts_and_closing_of_a_broken_plugin_are_provider_errors() -> None:
    class Bad(Closing):
        def facts(self) -> Any:
            raise KeyError("facts")

    async def story() -> None:
        reply = Bad(200, {"content-type": "text/event-stream"}, chunks(CHUNK))
        reply.fails = KeyError("close")

        async def does(call: Outbound) -> Reply:
            return reply

        found, _ = await opened(does)
        assert isinstance(found, OpenReply)
        with pytest.raises(ProviderError, match="KeyError"):
            found.facts()
        with pytest.raises(ProviderError, match="KeyError"):
            await found.aclose()

    asyncio.run(story())


def test_standing_follows_what_happened() -> None:
    async def story() -> None:
        made = Dispatch(
            {"p0": Plugin("p0", raises(ConnectFailed("x"))), "p1": Plugin("p1", good)},
            FakeClock(),
        )
        opened = await made.open(a_call(stream=True), [quote_of("p0"), quote_of("p1")], [])
        standing = made.standing()
        assert standing.of(quote_of("p0").offer).success < 1
        assert standing.of(quote_of("p1").offer).success == 1
        made.ended(opened, whole=False)
        assert made.standing().of(quote_of("p1").offer).success < 1

    asyncio.run(story())


SENT = [{}, {"max_tokens": 50}, {"max_completion_tokens": 50}, {"max_tokens": None, "max_completion_tokens": 7}]


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize(
    ("takes", "names"),
    [
        (LimitField.MAX_TOKENS, {"max_tokens"}),
        (LimitField.MAX_COMPLETION_TOKENS, {"max_completion_tokens"}),
        (LimitField.BOTH, {"max_tokens", "max_completion_tokens"}),
    ],
)
def test_the_limit_goes_out_under_the_name_that_binds(sent: dict[str, int], takes: LimitField, names: set[str]) -> None:
    """Whatever the caller called it: an endpoint ignores the name it does not know, or refuses both at once."""
    call = a_call(fields={**sent, "seed": 1e-3, "user": "é"})
    body = outbound(call, a_quote(an_offer(limit_field=takes), output_limit=7)).body
    limits = {"max_tokens", "max_completion_tokens"}
    found = json.loads(body)
    assert {key: value for key, value in found.items() if key in limits} == dict.fromkeys(names, 7)
    assert {key: found[key] for key in found.keys() - limits} == {
        key: value for key, value in json.loads(call.body).items() if key not in limits
    }


def test_the_body_that_goes_out() -> None:
    named = a_quote(an_offer(model="model-a", upstream="theirs"), output_limit=7)
    assert outbound(a_call(output_limit=9), named).body.startswith(b'{"model":"theirs"')
    assert b'"max_tokens":7' in outbound(a_call(output_limit=9), named).body
    same = a_call(output_limit=7)
    assert outbound(same, a_quote(output_limit=7)).body is same.body
    for options in (None, {}, {"include_usage": False}, {"include_usage": None, "x": 1}):
        call = a_call(stream=True, fields={} if options is None else {"stream_options": options})
        assert b'"include_usage":true' in outbound(call, named).body
        assert outbound(call, named).headers["accept"] == "text/event-stream"


@pytest.mark.parametrize(
    ("says", "known"),
    [(31, 31), (0, None), (-1, None), (True, None), ("31", None), (NotSupported("x"), None), (ConnectFailed("x"), None),
     (ValueError("a bug"), None)],
)  # fmt: skip
def test_the_providers_own_count_is_taken_where_it_is_one(says: Any, known: int | None) -> None:
    class Counts(Plugin):
        async def count_input(self, call: Outbound, offer: Offer) -> int:
            self.asked += 1
            if isinstance(says, Exception):
                raise says
            return says  # type: ignore[no-any-return]

    async def story() -> None:
        plugin = Counts("p0", good)
        made = Dispatch({"p0": plugin}, FakeClock())
        exact = a_quote(an_offer(provider="p0", exact_tokenizer=True))
        assert await made.count_input(a_call(), exact) == known
        assert await made.count_input(a_call(), a_quote(an_offer(provider="p0"))) is None
        assert plugin.asked == 1, "who does not say that it is exact is not asked"

    asyncio.run(story())


def test_a_provider_that_counts_nothing_says_so() -> None:
    async def story() -> None:
        with pytest.raises(NotSupported, match="p0"):
            await Plugin("p0", good).count_input(outbound(a_call(), a_quote()), an_offer())

    asyncio.run(story())
