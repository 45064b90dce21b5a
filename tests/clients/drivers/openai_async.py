"""openai-python in programs that are asynchronous."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import openai
from pydantic import BaseModel
from speaking import MESSAGES, WEATHER, Ask, answering


class Person(BaseModel):
    name: str
    age: int


@functools.cache
def made(url: str, key: str, retries: int) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=retries)


def client(ask: Ask) -> openai.AsyncOpenAI:
    """One for all that is asked alike, whatever became of the calls before."""
    return made(ask["url"], ask["key"], ask["retries"])


def chat(ask: Ask, **more: Any) -> dict[str, Any]:
    return {"model": ask["model"], "messages": MESSAGES, **ask.get("fields", {}), **more}


async def plain(ask: Ask) -> Any:
    stock = client(ask)
    return (await stock.chat.completions.create(**chat(ask))).to_dict()


async def raw(ask: Ask) -> Any:
    stock = client(ask)
    answer = await stock.chat.completions.with_raw_response.create(**chat(ask))
    return {"headers": dict(answer.headers), "text": answer.text, "parsed": answer.parse().to_dict()}


async def stream(ask: Ask) -> Any:
    stock = client(ask)
    return [chunk.to_dict() async for chunk in await stock.chat.completions.create(**chat(ask, stream=True))]


async def usage_on(ask: Ask) -> Any:
    stock = client(ask)
    asked = chat(ask, stream=True, stream_options={"include_usage": True})
    return [chunk.to_dict() async for chunk in await stock.chat.completions.create(**asked)]


async def tools(ask: Ask) -> Any:
    stock = client(ask)
    return (await stock.chat.completions.create(**chat(ask, tools=[WEATHER]))).to_dict()


async def tools_streamed(ask: Ask) -> Any:
    async with client(ask).chat.completions.stream(**chat(ask, tools=[WEATHER])) as events:
        types = [event.type async for event in events]
        return {"types": types, "final": (await events.get_final_completion()).to_dict()}


async def structured(ask: Ask) -> Any:
    stock = client(ask)
    completion = await stock.chat.completions.parse(**chat(ask, response_format=Person))
    parsed = completion.choices[0].message.parsed
    assert isinstance(parsed, Person)
    return {"parsed": parsed.model_dump(), "whole": completion.to_dict()}


async def structured_streamed(ask: Ask) -> Any:
    async with client(ask).chat.completions.stream(**chat(ask, response_format=Person)) as events:
        async for _ in events:
            pass
        parsed = (await events.get_final_completion()).choices[0].message.parsed
        assert isinstance(parsed, Person)
        return {"parsed": parsed.model_dump()}


async def cancel(ask: Ask) -> Any:
    """By cancelling the task, as a program does that has waited long enough."""
    stock = client(ask)
    seen: list[Any] = []
    enough = asyncio.Event()

    async def listen() -> None:
        async for chunk in await stock.chat.completions.create(**chat(ask, stream=True)):
            seen.append(chunk.to_dict())
            if len(seen) == 3:
                enough.set()

    listening = asyncio.create_task(listen())
    await enough.wait()
    listening.cancel()
    await asyncio.wait([listening])
    return {"seen": seen[:3], "again": (await stock.chat.completions.create(**chat(ask))).to_dict()}


async def models(ask: Ask) -> Any:
    stock = client(ask)
    listed = [model.id async for model in stock.models.list()]
    return {"listed": listed, "one": (await stock.models.retrieve(ask["model"])).id}


async def keyed(ask: Ask) -> Any:
    """Two bodies under one key."""
    stock = client(ask)
    for temperature in (0.1, 0.2):
        headers = {"Idempotency-Key": ask["idempotency_key"]}
        await stock.chat.completions.create(**chat(ask, temperature=temperature, extra_headers=headers))


def awaited(do: Callable[[Ask], Awaitable[Any]]) -> Callable[[Ask], Any]:
    return lambda ask: runner.run(do(ask))


with asyncio.Runner() as runner:
    answering(
        {
            do.__name__: awaited(do)
            for do in (plain, raw, stream, usage_on, tools, tools_streamed, structured, structured_streamed, cancel)
        }
        | {"usage_off": awaited(stream), "models": awaited(models), "keyed": awaited(keyed)}
    )
