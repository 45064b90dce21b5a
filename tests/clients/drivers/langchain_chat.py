"""LangChain's ChatOpenAI."""

from __future__ import annotations

import functools
from typing import Any

from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from speaking import PROMPT, WEATHER, Ask, answering


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@functools.cache
def made(**settings: Any) -> ChatOpenAI:
    return ChatOpenAI(**settings)


def model(ask: Ask, **more: Any) -> ChatOpenAI:
    """One for all that is asked alike, whatever became of the calls before."""
    settings = {"model": ask["model"], "base_url": ask["url"], "api_key": ask["key"], "max_retries": ask["retries"]}
    return made(**settings, **ask.get("fields", {}), **more)


def shown(message: Any) -> Any:
    """All of a message but the id that LangChain makes for each run."""
    return {name: value for name, value in message.model_dump().items() if name != "id"}


def plain(ask: Ask) -> Any:
    return shown(model(ask).invoke(PROMPT))


def raw(ask: Ask) -> Any:
    answer = model(ask, include_response_headers=True).invoke(PROMPT)
    return {"headers": answer.response_metadata["headers"], "text": answer.text}


def stream(ask: Ask) -> Any:
    return [shown(chunk) for chunk in model(ask).stream(PROMPT)]


def usage_on(ask: Ask) -> Any:
    return [shown(chunk) for chunk in model(ask, stream_usage=True).stream(PROMPT)]


def tools(ask: Ask) -> Any:
    return shown(model(ask).bind_tools([WEATHER]).invoke(PROMPT))


def tools_streamed(ask: Ask) -> Any:
    whole = None
    for chunk in model(ask).bind_tools([WEATHER]).stream(PROMPT):
        whole = chunk if whole is None else whole + chunk
    return shown(whole)


def structured(ask: Ask) -> Any:
    parsed = model(ask).with_structured_output(Person, method="json_schema").invoke(PROMPT)
    assert isinstance(parsed, Person)
    return {"parsed": parsed.model_dump()}


def structured_streamed(ask: Ask) -> Any:
    *_, parsed = model(ask).with_structured_output(Person, method="json_schema").stream(PROMPT)
    assert isinstance(parsed, Person)
    return {"parsed": parsed.model_dump()}


def cancel(ask: Ask) -> Any:
    chunks = model(ask).stream(PROMPT)
    seen = [shown(next(chunks)) for _ in range(3)]
    chunks.close()
    return {"seen": seen, "again": plain(ask)}


def embed(ask: Ask) -> Any:
    settings = {"model": ask["model"], "base_url": ask["url"], "api_key": ask["key"], "max_retries": ask["retries"]}
    # Without it a tokenizer is fetched from elsewhere.
    return OpenAIEmbeddings(**settings, check_embedding_ctx_length=False).embed_documents([PROMPT, "Rome"])


def respond(ask: Ask) -> Any:
    return shown(model(ask, use_responses_api=True).invoke(PROMPT))


def respond_streamed(ask: Ask) -> Any:
    return [shown(chunk) for chunk in model(ask, use_responses_api=True).stream(PROMPT)]


def respond_tools(ask: Ask) -> Any:
    return shown(model(ask, use_responses_api=True).bind_tools([WEATHER]).invoke(PROMPT))


def respond_tools_streamed(ask: Ask) -> Any:
    return [shown(chunk) for chunk in model(ask, use_responses_api=True).bind_tools([WEATHER]).stream(PROMPT)]


answering(
    {
        "plain": plain, "raw": raw, "stream": stream, "usage_off": stream, "usage_on": usage_on, "tools": tools,
        "tools_streamed": tools_streamed, "structured": structured, "structured_streamed": structured_streamed,
        "cancel": cancel, "embed": embed, "respond": respond, "respond_streamed": respond_streamed,
        "respond_tools": respond_tools, "respond_tools_streamed": respond_tools_streamed,
    }
)  # fmt: skip
