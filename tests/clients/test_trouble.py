"""What clients make of refusals, of upstreams that fail, and what becomes of a call that a client leaves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import shapes
from charging import USED_MSAT
from driving import ANTHROPIC, CLIENTS, SECONDS, Client, Raised
from shapes import streamed, whole
from upstream import Act

OPENAI = ("openai", "openai async", "openai-node")
BY_OPENAI = (*OPENAI, "langchain", "llm")
"""whose errors are those of OpenAI's SDKs"""
WAYS = [
    *((name, do) for name in CLIENTS | ANTHROPIC for do in ("plain", "stream") if (name, do) != ("llm", "stream")),
    *((name, do) for name in ("openai", "openai-node", "ai-sdk openai") for do in ("respond", "respond_streamed")),
]
"""llm tries everything three times, whatever it is told: once is enough"""
BOTH = pytest.mark.parametrize(("client", "do"), WAYS, indirect=["client"])
TEXT = "five words are said here"
RESPONSE, MESSAGE = whole(shapes.response([shapes.said_item(TEXT)])), whole(shapes.message([shapes.text_block(TEXT)]))


def own(status: int, message: str, *headers: tuple[str, str], **error: Any) -> Act:
    """A provider that says no."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **error}}
    return Act(how="status", status=status, body=json.dumps(body).encode(), headers=headers)


def raised(client: Client, do: str, **ask: Any) -> Raised:
    with pytest.raises(Raised) as caught:
        client(do, **ask)
    return caught.value


def until(what: Callable[[], bool]) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def told(client: Client, seen: Raised, status: int, kind: str, code: str | None) -> None:
    """The client knows what happened: by its class, by status and code, and whom to ask about which request."""
    assert seen["status"] == status, seen
    if client.name in BY_OPENAI:
        assert kind in seen["classes"], seen
        assert seen["code"] == code, seen
        assert seen["request_id"].startswith("req_")
    elif client.name in ANTHROPIC:
        assert kind.replace("APIError", "APIStatusError") in seen["classes"], seen
        assert seen["body"]["error"].get("code") == code, seen
        assert seen["request_id"].startswith("req_")
    else:
        assert "APICallError" in seen["classes"], seen
        assert seen["code"] == code, seen
        assert seen["headers"]["x-request-id"].startswith("req_")


def logged(client: Client) -> int:
    """How many requests arbstr has seen, and written down."""
    ((count,),) = client.world.setup.rows("SELECT count(*) FROM request_log")
    return int(count)


@BOTH
def test_arbstr_refuses_and_is_not_asked_again(client: Client, do: str) -> None:
    world = client.world
    world.upstream.script("m", Act())
    told_last = raised(client, do, model="nobody-has-it")["request_id"]
    until(lambda: bool(world.setup.rows(f"SELECT 1 FROM request_log WHERE id = '{told_last}'")))
    name = f"{client.name} {do}"
    poor, narrow = world.agent(f"poor {name}", fund=1), world.agent(f"narrow {name}", max_charge_msat=1)
    off = world.agent(f"off {name}")
    world.admin.post(f"/admin/agents/{off['id']}/disable").raise_for_status()
    hits, requests = world.upstream.hits(), logged(client)
    refusals = (
        ("arb_nobody", "m", 401, "AuthenticationError", "invalid_api_key"),
        (poor["token"], "m", 402, "APIError", "insufficient_quota"),
        (narrow["token"], "m", 403, "PermissionDeniedError", "limit_exceeded"),
        (off["token"], "m", 403, "PermissionDeniedError", "agent_disabled"),
        (client.agent["token"], "nobody-has-it", 404, "NotFoundError", "model_not_found"),
    )
    for key, model, status, kind, code in refusals:
        seen = raised(client, do, key=key, model=model, retries=2)
        told(client, seen, status, kind, code)
    # What the log knows of the last one, it knows of all before it.
    last = seen["request_id"]
    until(lambda: bool(world.setup.rows(f"SELECT 1 FROM request_log WHERE id = '{last}'")))
    assert logged(client) - requests == len(refusals)
    assert world.upstream.hits() == hits


@BOTH
def test_a_mistake_of_the_client_in_the_words_of_the_provider(client: Client, do: str) -> None:
    act = own(400, "This model takes 10 tokens", param="messages", code="context_length_exceeded")
    client.world.upstream.script("m", act)
    hits = client.world.upstream.hits()
    seen = raised(client, do, retries=2)
    told(client, seen, 400, "BadRequestError", "context_length_exceeded")
    if client.name not in ANTHROPIC:
        assert seen["param"] == "messages"
    assert "This model takes 10 tokens" in seen["message"]
    assert client.world.upstream.hits() - hits == 1


@BOTH
@pytest.mark.parametrize(
    ("act", "status", "kind", "code"),
    [
        (own(401, "Incorrect API key provided: sk-1"), 502, "InternalServerError", "upstream_failed"),
        (own(403, "no"), 502, "InternalServerError", "upstream_failed"),
        (own(500, "oops"), 502, "InternalServerError", "upstream_failed"),
        (Act(how="cut_before"), 502, "InternalServerError", "upstream_failed"),
        (own(422, "no such thing"), 422, "UnprocessableEntityError", None),
        (own(429, "slow down", ("retry-after", "1")), 429, "RateLimitError", "rate_limit_exceeded"),
    ],
    ids=["401", "403", "500", "connection lost", "422", "429"],
)
def test_what_the_provider_does_wrong(
    client: Client, do: str, act: Act, status: int, kind: str, code: str | None
) -> None:
    client.world.upstream.script("m", act)
    seen = raised(client, do)
    told(client, seen, status, kind, code)
    assert "sk-1" not in json.dumps(seen.seen)
    if status == 429 and seen["headers"]:
        assert seen["headers"]["retry-after"] == "1"


@pytest.mark.parametrize(
    "act",
    [own(429, "slow down", ("retry-after", "1")), own(500, "oops"), Act(how="cut_before")],
    ids=["429", "500", "connection lost"],
)
@pytest.mark.parametrize("client", CLIENTS | ANTHROPIC, indirect=True)
def test_a_retry_that_goes_through_is_charged_once(client: Client, act: Act) -> None:
    world = client.world
    world.upstream.script("m", act, MESSAGE if client.name in ANTHROPIC else Act())
    before, hits = world.show(client.agent), world.upstream.hits()
    client("plain", retries=1)
    after = world.show(client.agent)
    assert world.upstream.hits() - hits == 2
    assert before["posted_msat"] - after["posted_msat"] == USED_MSAT
    assert after["held_msat"] == 0


# -- streams that fail, and clients that leave -----------------------------------------------------------------------


def broken(events: Sequence[tuple[str, Any]], *last: tuple[str, Any]) -> Act:
    return streamed([*events[: len(events) // 2], *last])


RESPONDING, SAYING = shapes.response_events(TEXT), shapes.message_events([shapes.text_block(TEXT)])
WRONG = {"type": "overloaded_error", "message": "scripted"}
FAILED = {
    "stream": {"error": Act(how="error_event"), "cut": Act(how="cut")},
    "respond_streamed": {
        "error": broken(RESPONDING, ("error", {"type": "error", "code": "c", "message": "scripted", "param": None})),
        "cut": broken(RESPONDING),
    },
    "message": {"error": broken(SAYING, ("error", {"type": "error", "error": WRONG})), "cut": broken(SAYING)},
}


@pytest.mark.parametrize("how", ["error", "cut"])
@pytest.mark.parametrize(
    ("client", "do"), [each for each in WAYS if "stream" in each[1]] + [("llm", "stream")], indirect=["client"]
)
def test_a_stream_that_fails_in_its_middle(client: Client, do: str, how: str) -> None:
    """It is an error to the client, never an answer that only seems whole; what came is paid for."""
    world = client.world
    world.upstream.script("m", FAILED["message" if client.name in ANTHROPIC else do][how])
    before = world.show(client.agent)
    if do == "respond_streamed" and client.name in OPENAI:
        # OpenAI's clients hand on the last event of a response as it is.
        last = client(do, retries=2)[-1]
        assert last["type"] in ("error", "response.failed"), last
    else:
        seen = raised(client, do, retries=2)
        assert client.name.startswith("ai-sdk") or {"APIError"} <= set(seen["classes"]), seen
    after = world.show(client.agent)
    assert after["held_msat"] == 0
    assert after["posted_msat"] < before["posted_msat"]


LONG = " ".join(["word"] * 60)
LEFT = {
    "cancel": (Act(words=60, pause=0.01, usage=(11, 60)), Act()),
    "respond_cancelled": (streamed(shapes.response_events(LONG), pause=0.01), RESPONSE),
    "message": (streamed(shapes.message_events([shapes.text_block(LONG)]), pause=0.01), MESSAGE),
}


@pytest.mark.parametrize(
    ("client", "do"),
    [*((name, "cancel") for name in CLIENTS | ANTHROPIC), *((name, "respond_cancelled") for name in OPENAI)],
    indirect=["client"],
)
def test_a_client_that_leaves_in_the_middle(client: Client, do: str) -> None:
    """It is gone at once, its call ends in one charge, and the same client goes on."""
    world = client.world
    world.upstream.script("m", *LEFT["message" if client.name in ANTHROPIC else do])
    before, hits = world.show(client.agent), world.upstream.hits()
    shown = client(do)
    assert len(shown["seen"]) >= 3
    until(lambda: world.show(client.agent)["held_msat"] == 0)
    after = world.show(client.agent)
    assert world.upstream.hits() - hits == 2
    # The first call is read on for its usage, or up to what it came to; the second costs what it always does.
    assert USED_MSAT + 11 < before["posted_msat"] - after["posted_msat"] <= USED_MSAT + 11 + 4 * 60


@pytest.mark.parametrize("client", OPENAI, indirect=True)
def test_a_key_that_comes_again_with_another_body(client: Client) -> None:
    client.world.upstream.script("m", Act())
    seen = raised(client, "keyed", idempotency_key=f"key of {client.name}", retries=2)
    told(client, seen, 422, "UnprocessableEntityError", "idempotency_conflict")
