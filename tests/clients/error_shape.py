"""A check of schemathesis: every error is in the one shape, and says which request it is of."""

from __future__ import annotations

import schemathesis

FIELDS = {"message", "type", "param", "code"}


@schemathesis.check
def errors_have_the_one_shape(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """OpenAI's; Anthropic's at /v1/messages."""
    assert response.headers.get("x-request-id"), "no x-request-id"
    if response.status_code < 400:
        return
    document = response.json()
    anthropic = case.path.startswith("/v1/messages")
    assert set(document) == ({"type", "error"} if anthropic else {"error"}), document
    error = document["error"]
    assert {"message", "type"} <= set(error), error
    assert anthropic or set(error) >= FIELDS, error
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    assert error.get("param") is None or isinstance(error["param"], str)
    assert error.get("code") is None or isinstance(error["code"], str)
