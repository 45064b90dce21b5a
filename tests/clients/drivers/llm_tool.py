"""Simon Willison's llm, with a model of `extra-openai-models.yaml`, as its manual says for other endpoints."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from speaking import CITY, PROMPT, Ask, answering

FOLDER = tempfile.TemporaryDirectory()
os.environ["LLM_USER_PATH"] = FOLDER.name

import llm  # noqa: E402 - it reads where its settings are when it is imported

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
NAME = "under-test"


def model(ask: Ask) -> Any:
    row = {"model_id": NAME, "model_name": ask["model"], "api_base": ask["url"], "api_key_name": NAME}
    row |= {"supports_schema": True, "supports_tools": True}
    # JSON is YAML.
    Path(FOLDER.name, "extra-openai-models.yaml").write_text(json.dumps([row]))
    return llm.get_model(NAME)


def prompt(ask: Ask, **more: Any) -> Any:
    return model(ask).prompt(PROMPT, key=ask["key"], **ask.get("fields", {}), **more)


def shown(response: Any) -> Any:
    used = response.usage()
    calls = [[call.name, call.arguments, call.tool_call_id] for call in response.tool_calls()]
    return {"text": response.text(), "usage": [used.input, used.output], "calls": calls}


def plain(ask: Ask) -> Any:
    return shown(prompt(ask, stream=False))


def stream(ask: Ask) -> Any:
    response = prompt(ask)
    return {"pieces": list(response), **shown(response)}


def weather() -> Any:
    return [llm.Tool(name="get_weather", description="The weather in a city", input_schema=CITY)]


def tools(ask: Ask) -> Any:
    return shown(prompt(ask, tools=weather(), stream=False))


def tools_streamed(ask: Ask) -> Any:
    return shown(prompt(ask, tools=weather()))


def structured(ask: Ask) -> Any:
    return {"parsed": json.loads(prompt(ask, schema=PERSON, stream=False).text())}


def structured_streamed(ask: Ask) -> Any:
    return {"parsed": json.loads("".join(prompt(ask, schema=PERSON)))}


def cancel(ask: Ask) -> Any:
    pieces = iter(prompt(ask))
    seen = [next(pieces) for _ in range(3)]
    pieces.close()
    return {"seen": seen, "again": plain(ask)}


answering(
    {
        "plain": plain, "stream": stream, "usage_on": stream, "tools": tools, "tools_streamed": tools_streamed,
        "structured": structured, "structured_streamed": structured_streamed, "cancel": cancel,
    }
)  # fmt: skip
