"""openai-python, as most programs use it."""

from __future__ import annotations

import functools
from typing import Any

import openai
from pydantic import BaseModel
from speaking import FLAT_WEATHER, MESSAGES, PROMPT, WEATHER, Ask, answering


class Person(BaseModel):
    name: str
    age: int


@functools.cache
def made(url: str, key: str, retries: int) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key=key, max_retries=retries)


def client(ask: Ask) -> openai.OpenAI:
    """One for all that is asked alike, whatever became of the calls before."""
    return made(ask["url"], ask["key"], ask["retries"])


def chat(ask: Ask, **more: Any) -> dict[str, Any]:
    return {"model": ask["model"], "messages": MESSAGES, **ask.get("fields", {}), **more}


def plain(ask: Ask) -> Any:
    stock = client(ask)
    return stock.chat.completions.create(**chat(ask)).to_dict()


def raw(ask: Ask) -> Any:
    stock = client(ask)
    answer = stock.chat.completions.with_raw_response.create(**chat(ask))
    return {"headers": dict(answer.headers), "text": answer.text, "parsed": answer.parse().to_dict()}


def stream(ask: Ask) -> Any:
    stock = client(ask)
    return [chunk.to_dict() for chunk in stock.chat.completions.create(**chat(ask, stream=True))]


def usage_on(ask: Ask) -> Any:
    stock = client(ask)
    asked = chat(ask, stream=True, stream_options={"include_usage": True})
    return [chunk.to_dict() for chunk in stock.chat.completions.create(**asked)]


def tools(ask: Ask) -> Any:
    stock = client(ask)
    return stock.chat.completions.create(**chat(ask, tools=[WEATHER])).to_dict()


def tools_streamed(ask: Ask) -> Any:
    with client(ask).chat.completions.stream(**chat(ask, tools=[WEATHER])) as events:
        types = [event.type for event in events]
        return {"types": types, "final": events.get_final_completion().to_dict()}


def structured(ask: Ask) -> Any:
    stock = client(ask)
    completion = stock.chat.completions.parse(**chat(ask, response_format=Person))
    parsed = completion.choices[0].message.parsed
    assert isinstance(parsed, Person)
    return {"parsed": parsed.model_dump(), "whole": completion.to_dict()}


def structured_streamed(ask: Ask) -> Any:
    with client(ask).chat.completions.stream(**chat(ask, response_format=Person)) as events:
        for _ in events:
            pass
        parsed = events.get_final_completion().choices[0].message.parsed
        assert isinstance(parsed, Person)
        return {"parsed": parsed.model_dump()}


def cancel(ask: Ask) -> Any:
    stock = client(ask)
    with stock.chat.completions.create(**chat(ask, stream=True)) as chunks:
        seen = [next(chunks).to_dict() for _ in range(3)]
    return {"seen": seen, "again": stock.chat.completions.create(**chat(ask)).to_dict()}


def models(ask: Ask) -> Any:
    stock = client(ask)
    return {"listed": [model.id for model in stock.models.list()], "one": stock.models.retrieve(ask["model"]).id}


def text(ask: Ask) -> Any:
    return client(ask).completions.create(model=ask["model"], prompt=PROMPT).to_dict()


def text_streamed(ask: Ask) -> Any:
    options = {"stream_options": {"include_usage": True}} if ask.get("usage") else {}
    chunks = client(ask).completions.create(model=ask["model"], prompt=PROMPT, stream=True, **options)
    return [chunk.to_dict() for chunk in chunks]


def embed(ask: Ask) -> Any:
    return client(ask).embeddings.create(model=ask["model"], input=[PROMPT, "Rome"]).to_dict()


def asked(ask: Ask, **more: Any) -> dict[str, Any]:
    return {"model": ask["model"], "input": PROMPT, **ask.get("fields", {}), **more}


def respond(ask: Ask) -> Any:
    answer = client(ask).responses.create(**asked(ask))
    return {"text": answer.output_text, "whole": answer.to_dict()}


def respond_streamed(ask: Ask) -> Any:
    return [event.to_dict() for event in client(ask).responses.create(**asked(ask, stream=True))]


def respond_tools(ask: Ask) -> Any:
    return client(ask).responses.create(**asked(ask, tools=[FLAT_WEATHER])).to_dict()


def respond_tools_streamed(ask: Ask) -> Any:
    with client(ask).responses.stream(**asked(ask, tools=[FLAT_WEATHER])) as events:
        types = [event.type for event in events]
        return {"types": types, "final": events.get_final_response().to_dict()}


def respond_structured(ask: Ask) -> Any:
    parsed = client(ask).responses.parse(**asked(ask, text_format=Person)).output_parsed
    assert isinstance(parsed, Person)
    return {"parsed": parsed.model_dump()}


def respond_structured_streamed(ask: Ask) -> Any:
    with client(ask).responses.stream(**asked(ask, text_format=Person)) as events:
        for _ in events:
            pass
        parsed = events.get_final_response().output_parsed
        assert isinstance(parsed, Person)
        return {"parsed": parsed.model_dump()}


def respond_cancelled(ask: Ask) -> Any:
    with client(ask).responses.create(**asked(ask, stream=True)) as events:
        seen = [next(events).to_dict() for _ in range(6)]
    return {"seen": seen, "again": respond(ask)}


def keyed(ask: Ask) -> Any:
    """Two bodies under one key."""
    stock = client(ask)
    for temperature in (0.1, 0.2):
        headers = {"Idempotency-Key": ask["idempotency_key"]}
        stock.chat.completions.create(**chat(ask, temperature=temperature, extra_headers=headers))


answering(
    {
        "plain": plain, "raw": raw, "stream": stream, "usage_off": stream, "usage_on": usage_on, "tools": tools,
        "tools_streamed": tools_streamed, "structured": structured, "structured_streamed": structured_streamed,
        "cancel": cancel, "models": models, "keyed": keyed, "text": text, "text_streamed": text_streamed,
        "embed": embed, "respond": respond, "respond_streamed": respond_streamed, "respond_tools": respond_tools,
        "respond_tools_streamed": respond_tools_streamed, "respond_structured": respond_structured,
        "respond_structured_streamed": respond_structured_streamed, "respond_cancelled": respond_cancelled,
    }
)  # fmt: skip
