"""The description of all doors: what FastAPI knows of the control plane, and the OpenAI endpoints beside it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from arbstr_core.web._documents import ErrorDocument

Json = dict[str, Any]

ERRORS: dict[int | str, Json] = {
    status: {"model": ErrorDocument, "description": said}
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
_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorDocument"}}}
_KEYS = {
    "operator": {"type": "http", "scheme": "bearer", "description": "what admin.token holds"},
    "agent": {"type": "http", "scheme": "bearer", "description": "an agent's token, arb_..."},
    "internal": {"type": "apiKey", "in": "header", "name": "X-Internal-Token"},
}
_DOORS = {"/admin": "operator", "/wallet": "agent", "/internal": "internal", "/v1": "agent"}


def describe(app: FastAPI) -> None:
    """Have `app` describe every door, and no answer that is never given."""
    plain = app.openapi

    def openapi() -> Json:
        if app.openapi_schema is None:
            schema = plain()
            schema["paths"] |= _openai()
            schemas = schema["components"]["schemas"]
            schema["components"]["securitySchemes"] = _KEYS
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            for path, ways in schema["paths"].items():
                for way in ways.values():
                    # A request of another shape is answered with 400 here.
                    way["responses"].pop("422", None)
                    door = next((key for prefix, key in _DOORS.items() if path.startswith(prefix)), None)
                    if door is not None:
                        way["security"] = [{door: []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _openai() -> Json:
    """The doors that are not FastAPI's. Their shapes are OpenAI's own."""
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    chat = {"type": "object", "required": ["model", "messages"]}
    return {
        "/v1/chat/completions": {
            "post": {
                **_way("A chat completion, whole or streamed", "chat.completion, or events of chat.completion.chunk"),
                "requestBody": {"required": True, "content": {"application/json": {"schema": chat}}},
            }
        },
        "/v1/models": {"get": _way("What can be bought now", "a list of models", (401, 403, 503))},
        "/v1/models/{model}": {
            "get": {**_way("One model", "a model", (401, 403, 404, 503)), "parameters": [model]},
        },
    }


def _way(summary: str, answer: str, errors: tuple[int, ...] = (400, 401, 402, 403, 404, 409, 413, 503)) -> Json:
    refused = {str(status): {"description": ERRORS[status]["description"], "content": _ERROR} for status in errors}
    found = {"description": answer, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"summary": summary, "tags": ["openai"], "responses": {"200": found, **refused}}
