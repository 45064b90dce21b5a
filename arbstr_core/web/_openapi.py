"""The description of all doors: what FastAPI knows of the control plane, and the OpenAI endpoints beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI

from arbstr_core.types import Endpoint
from arbstr_core.web._documents import ErrorDocument

Json = dict[str, Any]

_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorDocument"}}}
# By its name, not as a model: FastAPI would make a validator of it for each status of each route, at every start.
ERRORS: dict[int | str, Json] = {
    status: {"description": said, "content": _ERROR}
    for status, said in {
        400: "the request is wrong; `param` names the field",
        401: "no token, or a wrong one",
        402: "the balance does not suffice",
        403: "a limit forbids it, or the agent is disabled",
        404: "there is no such thing",
        409: "the thing is in another state",
        413: "the body is too large",
        503: "the ledger cannot be used now",
    }.items()
}
"""What every route below a prefix may answer."""
_OF_CALLS: dict[int | str, str] = {
    415: "the body is in an encoding that is not read",
    422: "the Idempotency-Key came with another body before",
    429: "every candidate limits its rate",
    502: "no candidate answered",
    504: "no candidate answered in time",
}
_KEYS = {
    "operator": {
        "type": "http",
        "scheme": "bearer",
        "description": "what admin.token holds, or an operator's own token",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "arbstr_PORT",
        "description": "a browser's: over HTTPS its name is __Host-arbstr; with it goes X-Arbstr-Page",
    },
    "agent": {"type": "http", "scheme": "bearer", "description": "an agent's token, arb_..."},
    "metrics": {"type": "http", "scheme": "bearer", "description": "what [server] metrics_token refers to"},
    "internal": {"type": "apiKey", "in": "header", "name": "X-Internal-Token"},
}
_OPEN = {("post", "/admin/session"), ("get", "/v1/change/{digest}")}
"""Ways that need no credential of those"""
_DOORS = {
    "/admin": "operator",
    "/metrics": "metrics",
    "/wallet": "agent",
    "/internal": "internal",
    "/v1": "agent",
    "/providers": "agent",
}
_OTHER_KEYS = {"operator": ("session",), "metrics": ("operator", "session")}


def describe(app: FastAPI) -> None:
    """Have `app` describe every door, and no answer that is never given."""
    plain = app.openapi

    def openapi() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _whole(plain())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _whole(schema: Json) -> Json:
    """What FastAPI says, and what it does not know."""
    for ways in schema["paths"].values():
        for way in ways.values():
            # A request of another shape is answered with 400 here.
            way["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
    shape = ErrorDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schema["components"]["schemas"] |= {**shape.pop("$defs", {}), "ErrorDocument": shape}
    schema["components"]["securitySchemes"] = _KEYS
    schema["paths"] |= _openai()
    for path, ways in schema["paths"].items():
        door = next((key for prefix, key in _DOORS.items() if path.startswith(prefix)), "")
        for method, way in ways.items() if door else ():
            if (method, path) not in _OPEN:
                way["security"] = [{key: []} for key in (door, *_OTHER_KEYS.get(door, ()))]
    return schema


def _openai() -> Json:
    """The doors that are not FastAPI's. Their shapes are OpenAI's own."""
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    calls = {f"/v1/{endpoint}": {"post": _call_way(endpoint)} for endpoint in Endpoint}
    return {
        **calls,
        "/v1/models": {"get": _way("What can be bought now", "a list of models", (401, 403, 503))},
        "/v1/models/{model}": {
            "get": {**_way("One model", "a model", (401, 403, 404, 503)), "parameters": [model]},
        },
    }


_CALLS: dict[Endpoint, tuple[str, list[str], str]] = {
    Endpoint.CHAT: ("A chat completion", ["model", "messages"], "chat.completion, or events of chat.completion.chunk"),
    Endpoint.COMPLETIONS: ("A completion", ["model", "prompt"], "text_completion, whole or as events"),
    Endpoint.EMBEDDINGS: ("Embeddings", ["model", "input"], "a list of embeddings"),
    Endpoint.RESPONSES: ("A response", ["model"], "response, or events of one"),
    Endpoint.MESSAGES: (
        "A message, as Anthropic has it",
        ["model", "messages", "max_tokens"],
        "message, or events",
    ),
}


def _call_way(endpoint: Endpoint) -> Json:
    summary, required, answer = _CALLS[endpoint]
    schema = {"type": "object", "required": required}
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {**_way(summary, answer), "requestBody": body}


def _way(summary: str, answer: str, errors: Iterable[int | str] = (*ERRORS, *_OF_CALLS)) -> Json:
    told = {status: error["description"] for status, error in ERRORS.items()} | _OF_CALLS
    refused = {str(status): {"description": told[status], "content": _ERROR} for status in errors}
    found = {"description": answer, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"summary": summary, "tags": ["openai"], "responses": {"200": found, **refused}}
