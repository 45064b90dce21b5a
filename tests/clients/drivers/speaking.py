"""How a driver is asked: a JSON document a line on standard input, its answer a line on standard output.

An ask names what to `do`, and `url`, `key`, `model` and `retries` of the client to do it with.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

Ask = dict[str, Any]

PROMPT = "What is the weather in Paris?"
MESSAGES = [{"role": "user", "content": PROMPT}]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather in a city", "parameters": CITY},
}
FLAT_WEATHER = {"type": "function", **WEATHER["function"], "strict": True}
"""as the API of responses has it"""


def raised(error: BaseException) -> dict[str, Any]:
    """What a user of the client can see of an error."""
    response = getattr(error, "response", None)
    return {
        "classes": [kind.__name__ for kind in type(error).__mro__],
        "message": str(error),
        "status": getattr(error, "status_code", None),
        "body": getattr(error, "body", None),
        "code": getattr(error, "code", None),
        "type": getattr(error, "type", None),
        "param": getattr(error, "param", None),
        "request_id": getattr(error, "request_id", None),
        "headers": dict(response.headers) if response is not None else None,
    }


def answering(does: dict[str, Callable[[Ask], Any]]) -> None:
    """Do what is asked until the input ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a client prints is no answer
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            answer = {"said": does[ask["do"]](ask)}
        except Exception as error:
            answer = {"raised": raised(error)}
        print(json.dumps(answer, default=str), file=answers, flush=True)
