"""anthropic-python; `async` as its word makes it the asynchronous client."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
from pydantic import BaseModel
from speaking import CITY, MESSAGES, Ask, answering

WEATHER = {"name": "get_weather", "description": "The weather in a city", "input_schema": CITY}


class Person(BaseModel):
    name: str
    age: int


def settings(ask: Ask) -> dict[str, Any]:
    # The client adds `/v1/messages` by itself.
    return {"base_url": ask["url"].removesuffix("/v1"), "api_key": ask["key"], "max_retries": ask["retries"]}


@functools.cache
def made(**named: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(**named)


@functools.cache
def made_async(**named: Any) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(**named)


def client(ask: Ask) -> anthropic.Anthropic:
    """One for all that is asked alike, whatever became of the calls before."""
    return made(**settings(ask))


def client_async(ask: Ask) -> anthropic.AsyncAnthropic:
    return made_async(**settings(ask))


def chat(ask: Ask, **more: Any) -> dict[str, Any]:
    return {"model": ask["model"], "messages": MESSAGES, "max_tokens": 100, **ask.get("fields", {}), **more}


# -- as most programs use it -----------------------------------------------------------------------------------------


def plain(ask: Ask) -> Any:
    return client(ask).messages.create(**chat(ask)).to_dict()


def raw(ask: Ask) -> Any:
    answer = client(ask).messages.with_raw_response.create(**chat(ask))
    parsed = answer.parse()
    return {"headers": dict(answer.headers), "parsed": parsed.to_dict(), "request_id": parsed._request_id}


def stream(ask: Ask) -> Any:
    return [event.to_dict() for event in client(ask).messages.create(**chat(ask, stream=True))]


def helper(ask: Ask) -> Any:
    with client(ask).messages.stream(**chat(ask)) as events:
        texts = list(events.text_stream)
        return {"texts": texts, "final": events.get_final_message().to_dict()}


def tools(ask: Ask) -> Any:
    return client(ask).messages.create(**chat(ask, tools=[WEATHER])).to_dict()


def tools_streamed(ask: Ask) -> Any:
    with client(ask).messages.stream(**chat(ask, tools=[WEATHER])) as events:
        types = [event.type for event in events]
        return {"types": types, "final": events.get_final_message().to_dict()}


def structured(ask: Ask) -> Any:
    parsed = client(ask).messages.parse(**chat(ask, output_format=Person)).parsed_output
    assert isinstance(parsed, Person)
    return {"parsed": parsed.model_dump()}


def structured_streamed(ask: Ask) -> Any:
    with client(ask).messages.stream(**chat(ask, output_format=Person)) as events:
        parsed = events.get_final_message().parsed_output
        assert isinstance(parsed, Person)
        return {"parsed": parsed.model_dump()}


def cancel(ask: Ask) -> Any:
    with client(ask).messages.create(**chat(ask, stream=True)) as events:
        seen = [next(events).to_dict() for _ in range(5)]
    return {"seen": seen, "again": plain(ask)}


# -- in programs that are asynchronous -------------------------------------------------------------------------------


async def plain_async(ask: Ask) -> Any:
    return (await client_async(ask).messages.create(**chat(ask))).to_dict()


async def raw_async(ask: Ask) -> Any:
    answer = await client_async(ask).messages.with_raw_response.create(**chat(ask))
    parsed = await answer.parse()
    return {"headers": dict(answer.headers), "parsed": parsed.to_dict(), "request_id": parsed._request_id}


async def stream_async(ask: Ask) -> Any:
    return [event.to_dict() async for event in await client_async(ask).messages.create(**chat(ask, stream=True))]


async def helper_async(ask: Ask) -> Any:
    async with client_async(ask).messages.stream(**chat(ask)) as events:
        texts = [text async for text in events.text_stream]
        return {"texts": texts, "final": (await events.get_final_message()).to_dict()}


async def tools_async(ask: Ask) -> Any:
    return (await client_async(ask).messages.create(**chat(ask, tools=[WEATHER]))).to_dict()


async def tools_streamed_async(ask: Ask) -> Any:
    async with client_async(ask).messages.stream(**chat(ask, tools=[WEATHER])) as events:
        types = [event.type async for event in events]
        return {"types": types, "final": (await events.get_final_message()).to_dict()}


async def structured_async(ask: Ask) -> Any:
    parsed = (await client_async(ask).messages.parse(**chat(ask, output_format=Person))).parsed_output
    assert isinstance(parsed, Person)
    return {"parsed": parsed.model_dump()}


async def structured_streamed_async(ask: Ask) -> Any:
    async with client_async(ask).messages.stream(**chat(ask, output_format=Person)) as events:
        parsed = (await events.get_final_message()).parsed_output
        assert isinstance(parsed, Person)
        return {"parsed": parsed.model_dump()}


async def cancel_async(ask: Ask) -> Any:
    """By cancelling the task, as a program does that has waited long enough."""
    seen: list[Any] = []
    enough = asyncio.Event()

    async def listen() -> None:
        async for event in await client_async(ask).messages.create(**chat(ask, stream=True)):
            seen.append(event.to_dict())
            if len(seen) == 5:
                enough.set()

    listening = asyncio.create_task(listen())
    await enough.wait()
    listening.cancel()
    await asyncio.wait([listening])
    return {"seen": seen[:5], "again": await plain_async(ask)}


def awaited(do: Callable[[Ask], Awaitable[Any]]) -> Callable[[Ask], Any]:
    return lambda ask: runner.run(do(ask))


NAMES = ("plain", "raw", "stream", "helper", "tools", "tools_streamed", "structured", "structured_streamed", "cancel")
with asyncio.Runner() as runner:
    if sys.argv[1:] == ["async"]:
        answering({name: awaited(globals()[f"{name}_async"]) for name in NAMES})
    else:
        answering({name: globals()[name] for name in NAMES})
