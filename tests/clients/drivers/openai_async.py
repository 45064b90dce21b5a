"""openai-python in programs that are asynchronous."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import openai
from pydantic import BaseModel
from speaking import FLAT_WEATHER, MESSAGES, PROMPT, WEATHER, Ask, answering


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


async def text(ask: Ask) -> Any:
    return (await client(ask).completions.create(model=ask["model"], prompt=PROMPT)).to_dict()


async def text_streamed(ask: Ask) -> Any:
    options = {"stream_options": {"include_usage": True}} if ask.get("usage") else {}
    chunks = await client(ask).completions.create(model=ask["model"], prompt=PROMPT, stream=True, **options)
    return [chunk.to_dict() async for chunk in chunks]


async def embed(ask: Ask) -> Any:
    return (await client(ask).embeddings.create(model=ask["model"], input=[PROMPT, "Rome"])).to_dict()


def asked(ask: Ask, **more: Any) -> dict[str, Any]:
    return {"model": ask["model"], "input": PROMPT, **ask.get("fields", {}), **more}


async def respond(ask: Ask) -> Any:
    answer = await client(ask).responses.create(**asked(ask))
    return {"text": answer.output_text, "whole": answer.to_dict()}


async def respond_streamed(ask: Ask) -> Any:
    return [event.to_dict() async for event in await client(ask).responses.create(**asked(ask, stream=True))]


async def respond_tools(ask: Ask) -> Any:
    return (await client(ask).responses.create(**asked(ask, tools=[FLAT_WEATHER]))).to_dict()


async def respond_tools_streamed(ask: Ask) -> Any:
    async with client(ask).responses.stream(**asked(ask, tools=[FLAT_WEATHER])) as events:
        types = [event.type async for event in events]
        return {"types": types, "final": (await events.get_final_response()).to_dict()}


async def respond_structured(ask: Ask) -> Any:
    parsed = (await client(ask).responses.parse(**asked(ask, text_format=Person))).output_parsed
    assert isinstance(parsed, Person)
    return {"parsed": parsed.model_dump()}


async def respond_structured_streamed(ask: Ask) -> Any:
    async with client(ask).responses.stream(**asked(ask, text_format=Person)) as events:
        async for _ in events:
            pass
        parsed = (await events.get_final_response()).output_parsed
        assert isinstance(parsed, Person)
        return {"parsed": parsed.model_dump()}


async def respond_cancelled(ask: Ask) -> Any:
    events = await client(ask).responses.create(**asked(ask, stream=True))
    seen = [(await anext(events)).to_dict() for _ in range(6)]
    await events.close()
    return {"seen": seen, "again": await respond(ask)}


async def keyed(ask: Ask) -> Any:
    """Two bodies under one key."""
    stock = client(ask)
    for temperature in (0.1, 0.2):
        headers = {"Idempotency-Key": ask["idempotency_key"]}
        await stock.chat.completions.create(**chat(ask, temperature=temperature, extra_headers=headers))


def awaited(do: Callable[[Ask], Awaitable[Any]]) -> Callable[[Ask], Any]:
    return lambda ask: runner.run(do(ask))


CHAT = (plain, raw, stream, usage_on, tools, tools_streamed, structured, structured_streamed, cancel, models, keyed)
OTHERS = (text, text_streamed, embed, respond, respond_streamed, respond_tools, respond_tools_streamed)
LAST = (respond_structured, respond_structured_streamed, respond_cancelled)
with asyncio.Runner() as runner:
    answering({do.__name__: awaited(do) for do in (*CHAT, *OTHERS, *LAST)} | {"usage_off": awaited(stream)})
