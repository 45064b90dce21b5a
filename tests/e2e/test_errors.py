"""What a caller gets when a call is refused: the documented status, OpenAI's shape, and nothing charged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from house import PRICED, UNBROKEN, Served, chat, instance, run, serving, until_true, write
from ports import free_port
from upstream import Act, Upstream

FIELDS = {"message", "type", "param", "code"}
Ask = Callable[[Served, dict[str, Any]], Awaitable[httpx.Response]]


def shaped(answer: httpx.Response, status: int, code: str | None, kind: str | None = None) -> dict[str, Any]:
    """The error in an answer that is as it should be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].split(";")[0] == "application/json"
    document = answer.json()
    assert set(document) == {"error"}
    error: dict[str, Any] = document["error"]
    assert set(error) >= FIELDS
    assert isinstance(error["message"], str)
    assert error["message"]
    assert error["code"] == code
    if kind is not None:
        assert error["type"] == kind
    return error


def raw(content: bytes, *, token: str | None = None, **headers: str) -> Ask:
    async def ask(served: Served, agent: dict[str, Any]) -> httpx.Response:
        whole = {"authorization": f"Bearer {agent['token'] if token is None else token}", **headers}
        return await served.http.post("/v1/chat/completions", content=content, headers=whole)

    return ask


def body(**fields: Any) -> Ask:
    return raw(json.dumps({**chat(), **fields}).encode())


GOOD = json.dumps(chat()).encode()
INVALID = "invalid_request_error"
REFUSED: list[tuple[str, Ask, int, str | None, str, str | None]] = [
    ("unknown model", body(model="nobody-has-it"), 404, "model_not_found", INVALID, None),
    ("bad token", raw(GOOD, token="arb_" + "x" * 43), 401, "invalid_api_key", "authentication_error", None),
    ("a key of another kind", raw(GOOD, token="sk-123"), 401, "invalid_api_key", "authentication_error", None),
    ("no bearer", raw(GOOD, authorization="Basic eDp5"), 401, "invalid_api_key", "authentication_error", None),
    ("malformed", raw(b'{"model": "m", "messages": ['), 400, None, INVALID, None),
    ("empty body", raw(b""), 400, None, INVALID, None),
    ("not an object", raw(b"[1,2]"), 400, None, INVALID, None),
    ("a string", raw(b'"m"'), 400, None, INVALID, None),
    ("not UTF-8", raw(b'{"model":"m\xff","messages":[]}'), 400, None, INVALID, None),
    ("not UTF-8 below", raw(b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}'), 400, None, INVALID, None),
    (
        "too deep",
        raw(b'{"model":"m","messages":' + b"[" * 9999 + b"]" * 9999),
        400,
        None,
        INVALID,
        None,
    ),
    ("two models", raw(b'{"model":"m","model":"n","messages":[]}'), 400, None, INVALID, "model"),
    ("two models, one escaped", raw(b'{"model":"m","\\u006dodel":"n","messages":[]}'), 400, None, INVALID, "model"),
    ("no model", raw(b'{"messages":[]}'), 400, None, INVALID, "model"),
    ("no messages", raw(b'{"model":"m"}'), 400, None, INVALID, "messages"),
    ("model is a number", body(model=1), 400, None, INVALID, "model"),
    ("messages is text", body(messages="hi"), 400, None, INVALID, "messages"),
    ("negative limit", body(max_tokens=-1), 400, None, INVALID, "max_tokens"),
    ("zero limit", body(max_completion_tokens=0), 400, None, INVALID, "max_completion_tokens"),
    ("a limit beyond reason", body(max_tokens=10**30), 400, None, INVALID, "max_tokens"),
    ("limit is text", body(max_tokens="7"), 400, None, INVALID, "max_tokens"),
    ("stream is text", body(stream="yes"), 400, None, INVALID, "stream"),
    ("n is zero", body(n=0), 400, None, INVALID, "n"),
    ("tools is no list", body(tools={}), 400, None, INVALID, "tools"),
    ("a field nobody knows", body(foo=1), 400, "nothing_qualifies", INVALID, "foo"),
    ("a field that costs more", body(service_tier="priority"), 400, "nothing_qualifies", INVALID, "service_tier"),
    ("a tool of the provider", body(tools=[{"type": "web_search"}]), 400, "nothing_qualifies", INVALID, "tools"),
    (
        "a picture behind a URL",
        body(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y"}}]}]),
        400,
        "nothing_qualifies",
        INVALID,
        "messages[0].content[0].image_url",
    ),
    ("an unknown encoding", raw(GOOD, **{"content-encoding": "compress"}), 415, "unsupported_media", INVALID, None),
]


def test_refused_before_anything_is_held(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                agent = await served.agent()
                for name, ask, status, code, kind, param in REFUSED:
                    answer = await ask(served, agent)
                    error = shaped(answer, status, code, kind)
                    assert error["param"] == param, name
                    assert answer.headers["x-request-id"].startswith("req_")
                    assert agent["token"] not in answer.text
                assert upstream.hits() == 0
                assert served.setup.rows("SELECT count(*) FROM hold") == [(0,)]

    run(story())


def test_no_token_and_a_disabled_agent(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                shaped(await served.call(None), 401, "invalid_api_key")
                shaped(await served.http.get("/v1/models"), 401, "invalid_api_key")
                agent = await served.agent()
                assert (await served.call(agent)).status_code == 200
                await served.admin.post(f"/admin/agents/{agent['id']}/disable")
                answer = await served.call(agent)
                shaped(answer, 403, "agent_disabled", "permission_error")
                assert answer.headers["x-should-retry"] == "false"
                await served.admin.post(f"/admin/agents/{agent['id']}/enable")
                assert (await served.call(agent)).status_code == 200
                new = (await served.admin.post(f"/admin/agents/{agent['id']}/rotate")).json()["token"]
                shaped(await served.call(agent), 401, "invalid_api_key")
                assert (await served.call({**agent, "token": new})).status_code == 200
                await served.verified()

    run(story())


def test_a_body_of_40_megabytes(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                agent = await served.agent()
                large = json.dumps(chat(text="x" * 40_000_000)).encode()
                shaped(await raw(large)(served, agent), 413, "body_too_large", INVALID)

                async def parts() -> Any:
                    for start in range(0, len(large), 1_000_000):
                        yield large[start : start + 1_000_000]

                headers = {"authorization": f"Bearer {agent['token']}"}
                answer = await served.http.post("/v1/chat/completions", content=parts(), headers=headers)
                shaped(answer, 413, "body_too_large", INVALID)
                # Nobody's 40 MB are not even read.
                shaped(await raw(large, token="arb_nobody")(served, agent), 401, "invalid_api_key")
                fits = await served.call(agent, text="x" * 20_000_000, max_tokens=10)
                assert fits.status_code == 200, fits.text
                assert len(upstream.seen[-1].body) > 20_000_000
                await served.verified()

    run(story())


def test_routes_that_are_not_there(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                http = served.http
                shaped(await http.get("/"), 404, "not_found", INVALID)
                shaped(await http.post("/v1/nothing", json={}), 404, "not_found", INVALID)
                shaped(await http.get("/v1/chat/completions"), 405, "method_not_allowed", INVALID)
                shaped(await http.delete("/v1/models"), 405, "method_not_allowed", INVALID)
                shaped(await served.admin.get("/admin/nothing"), 404, "not_found", INVALID)
                shaped(await served.admin.delete("/admin/agents"), 405, "method_not_allowed", INVALID)
                shaped(await served.admin.post("/admin/agents", json={"name": 1}), 400, None, INVALID)
                shaped(await served.admin.post("/admin/agents", content=b"{"), 400, None, INVALID)
                shaped(await http.get("/admin/agents"), 401, "invalid_api_key")
                agent = await served.agent()
                known = {"authorization": f"Bearer {agent['token']}"}
                shaped(await http.get("/admin/agents", headers=known), 401, "invalid_api_key")
                shaped(await http.get("/v1/models/none", headers=known), 404, "model_not_found")
                assert (await http.options("/v1/chat/completions")).status_code == 204
                assert (await http.get("/readyz")).status_code == 200
                head = await http.head("/v1/models", headers=known)
                assert (head.status_code, head.content) == (200, b"")
                for path in ("/v1/models", "/models", "//v1/models/", "/v1//models"):
                    listed = (await http.get(f"{served.setup.url}{path}", headers=known)).json()
                    assert [model["id"] for model in listed["data"] if not model["id"].startswith("auto")] == ["m"]
                for path in ("/chat/completions", "//v1/chat/completions/"):
                    answer = await http.post(f"{served.setup.url}{path}", json=chat(), headers=known)
                    assert answer.status_code == 200

    run(story())


def status(code: int, content: bytes = b'{"error":{"message":"no"}}', *headers: tuple[str, str]) -> Act:
    return Act(how="status", status=code, body=content, headers=headers)


API = "api_error"


def own(message: str, kind: str = INVALID, code: Any = None, param: Any = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "code": code, "param": param}}).encode()


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_provider_refuses(tmp_path: Path, stream: bool) -> None:
    """Status and code of the answer by what the provider did."""
    long = own("too long", code="context_length_exceeded", param="messages")
    cases: list[tuple[Act, int, str | None, str]] = [
        (status(401), 502, "upstream_failed", "api_error"),
        (status(403), 502, "upstream_failed", "api_error"),
        (status(404), 502, "upstream_failed", "api_error"),
        (status(500, b"<html>"), 502, "upstream_failed", "api_error"),
        (status(503), 502, "upstream_failed", "api_error"),
        (status(302, b"", ("location", "http://127.0.0.1:1/")), 502, "upstream_failed", "api_error"),
        (status(400, long), 400, "context_length_exceeded", INVALID),
        (status(422, b'{"message":"bare"}'), 422, None, INVALID),
        (status(413, b"no json at all"), 413, None, INVALID),
        (status(400, b'{"error":"text"}'), 400, None, INVALID),
        (status(400, b'{"error":{"message":"m","type":3,"code":7,"param":{}}}'), 400, "7", INVALID),
        (status(400, b"\xff\xfe"), 400, None, INVALID),
        (
            Act(how="raw", headers=(("content-type", "text/plain"),), chunks=(b"try later",)),
            502,
            "upstream_failed",
            API,
        ),
        (Act(how="raw", headers=(("content-type", "text/html"),), chunks=(b"<p>",)), 502, "upstream_failed", API),
        (Act(how="error_event", words=-1), 502, "upstream_failed", "api_error"),
    ]

    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url) + UNBROKEN)) as served:
                agent = await served.agent()
                for act, expected, code, kind in cases:
                    upstream.script("m", act)
                    answer = await served.call(agent, stream=stream)
                    shaped(answer, expected, code, kind)
                    receipt = await served.receipt(answer.headers["x-request-id"])
                    assert (receipt["state"], receipt["charged_msat"]) == ("released", 0)
                assert (await served.show(agent))["available_msat"] == agent["available_msat"]
                await served.verified()

    run(story())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'[{"error":{"code":400,"message":"too long","status":"INVALID_ARGUMENT"}}]', "too long"),
        (b'{"detail":"too long"}', "too long"),
        (b'{"detail":[{"loc":["body","n"],"msg":"too long","type":"x"},{"loc":["body"]}]}', "body.n: too long"),
        (b'{"detail":[]}', "providers_openai.x says that the request is wrong"),
        (b'{"detail":[[{}],{"loc":3,"msg":4}]}', "providers_openai.x says that the request is wrong"),
        (b"[]", "providers_openai.x says that the request is wrong"),
    ],
)
def test_the_providers_words_in_whatever_shape(tmp_path: Path, body: bytes, message: str) -> None:
    """Google wraps its errors in a list; servers made with FastAPI have theirs in `detail`."""

    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                upstream.script("m", status(422, body))
                answer = await served.call(await served.agent())
                shaped(answer, 422, None if b"code" not in body else "400", INVALID)
                assert answer.json()["error"]["message"] == message

    run(story())


@pytest.mark.parametrize("kind", ["Text/Event-Stream; charset=UTF-8", "text/plain", None])
def test_a_stream_is_told_by_its_events(tmp_path: Path, kind: str | None) -> None:
    """No client looks at what a provider calls its stream, so arbstr makes nothing of it either."""
    event = b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'
    headers = () if kind is None else (("content-type", kind),)

    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                upstream.script("m", Act(how="raw", headers=headers, chunks=(event, b"data: [DONE]\n\n")))
                answer = await served.call(await served.agent(), stream=True)
                assert answer.content == event + b"data: [DONE]\n\n"
                assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"

    run(story())


def test_a_provider_that_is_down(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(write(tmp_path, instance("x", f"http://127.0.0.1:{free_port()}/v1"))) as served:
            agent = await served.agent()
            answer = await served.call(agent)
            shaped(answer, 502, "upstream_failed", "api_error")
            receipt = await served.receipt(answer.headers["x-request-id"])
            assert [attempt["outcome"] for attempt in receipt["attempts"]] == ["connect_failed"]
            await served.verified()

    run(story())


def test_rate_limited_everywhere(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as one, Upstream() as two:
            one.script("m", status(429, b"{}", ("retry-after", "7")))
            two.script("m", status(429, b"{}", ("retry-after", "3")))
            async with serving(write(tmp_path, instance("x", one.url) + instance("y", two.url))) as served:
                agent = await served.agent()
                answer = await served.call(agent)
                shaped(answer, 429, "rate_limit_exceeded", "rate_limit_error")
                assert answer.headers["retry-after"] == "3"
                answer = await served.call(agent)
                shaped(answer, 503, "providers_unavailable", "api_error")
                assert answer.headers["retry-after"] in ("2", "3")
                assert len(one.seen) == len(two.seen) == 1, "they said when to come again"
                await served.verified()

    run(story())


@pytest.mark.parametrize("stream", [False, True])
def test_no_first_byte_in_time(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="hang"))
            tables = "[dispatch]\nfirst_byte_seconds = 0.2\n"
            async with serving(write(tmp_path, instance("x", upstream.url) + tables)) as served:
                agent = await served.agent()
                answer = await served.call(agent, stream=stream)
                shaped(answer, 504, "upstream_timed_out", "api_error")
                receipt = await served.receipt(answer.headers["x-request-id"])
                assert [attempt["outcome"] for attempt in receipt["attempts"]] == ["timed_out"]
                await until_true(lambda: upstream.left == 1)
                await served.verified()

    run(story())


def test_limits_of_an_agent(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                small = await served.agent("small", max_charge_msat=10)
                answer = await served.call(small)
                error = shaped(answer, 403, "limit_exceeded", "permission_error")
                assert error["limit"] == "max_charge"
                assert answer.headers["x-should-retry"] == "false"
                daily = await served.agent("daily", daily_msat=20_000)
                assert (await served.call(daily)).status_code == 200
                assert shaped(await served.call(daily, max_tokens=5_000), 403, "limit_exceeded")["limit"] == "daily"
                poor = await served.agent("poor", fund=10)
                answer = await served.call(poor)
                error = shaped(answer, 402, "insufficient_quota", "insufficient_quota")
                assert (error["available_msat"], error["needed_msat"] > 10) == (10, True)
                assert answer.headers["x-should-retry"] == "false"
                await served.verified()

    run(story())


def test_a_database_that_fails_refuses_calls(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url))) as served:
                agent = await served.agent()
                assert (await served.call(agent)).status_code == 200
                with closing(sqlite3.connect(served.setup.database, isolation_level=None)) as other:
                    other.execute("BEGIN IMMEDIATE")
                    answer = await served.call(agent)
                    other.execute("ROLLBACK")
                shaped(answer, 503, "vault_unavailable", "api_error")
                assert answer.headers["retry-after"] == "1"
                assert str(tmp_path) not in answer.text
                assert upstream.hits() == 1
                assert (await served.call(agent)).status_code == 200
                await served.verified()

    run(story())


def test_a_model_whose_name_is_no_header(tmp_path: Path) -> None:
    async def story() -> None:
        name = "模型/π 100%"
        with Upstream() as upstream:
            models = f'[models."{name}"]\n{PRICED}'
            async with serving(write(tmp_path, instance("x", upstream.url, models))) as served:
                agent = await served.agent()
                answer = await served.call(agent, model=name)
                assert answer.status_code == 200
                assert answer.headers["x-arbstr-model"].isascii()
                known = {"authorization": f"Bearer {agent['token']}"}
                found = await served.http.get("/v1/models/模型/π 100%25", headers=known)
                assert found.json()["id"] == name
                await served.verified()

    run(story())


def test_a_provider_that_lies_about_its_usage(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url) + UNBROKEN)) as served:
                agent = await served.agent()
                for usage in ((10**30, 10**30), (-5, -7), (10**18, 1), (0, 0)):
                    for stream in (False, True):
                        upstream.script("m", Act(usage=usage))
                        answer = await served.call(agent, stream=stream)
                        assert answer.status_code == 200
                        receipt = await served.ended(answer.headers["x-request-id"])
                        assert receipt["state"] == "settled"
                        assert 0 <= receipt["charged_msat"] <= receipt["held_msat"]
                await served.verified()

    run(story())
