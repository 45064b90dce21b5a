"""Every endpoint that calls a model, over real sockets: what its clients get, and what is charged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from house import Served, Setup, run, serving, write

MOCK = """
[plugins.providers_mock]
reply = "one two three four"
[[plugins.providers_mock.models]]
name = "m"
input = "1000 sat"
output = "4000 sat"
[[plugins.providers_mock.models]]
name = "fails"
input = "1000 sat"
output = "4000 sat"
script = ["error_event"]
[[plugins.providers_mock.models]]
name = "silent"
input = "1000 sat"
output = "4000 sat"
script = ["no_usage"]
"""
INPUT, OUTPUT = 1, 4
"""msat a token"""

BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": [{"role": "user", "content": "Say hello now"}], "max_tokens": 50},
    "completions": {"prompt": "Say hello now", "max_tokens": 50},
    "responses": {"input": "Say hello now", "max_output_tokens": 50},
    "messages": {"messages": [{"role": "user", "content": "Say hello now"}], "max_tokens": 50},
    "embeddings": {"input": "Say hello now"},
}
STREAMED = sorted(BODIES.keys() - {"embeddings"})
ENDS = {
    "chat/completions": "data: [DONE]\n\n",
    "completions": "data: [DONE]\n\n",
    "responses": "event: response.completed\n",
    "messages": 'event: message_stop\ndata: {"type":"message_stop"}\n\n',
}


def setup(folder: Path, more: str = "") -> Setup:
    return write(folder, MOCK + more, plugins=("providers_mock", "policy_price", "wallet_simulated"))


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return setup(tmp_path_factory.mktemp("endpoints"))


def events(text: str) -> Iterator[tuple[str, Any]]:
    """(type, document) of each event; the mark at the end of a chat has none."""
    assert text.endswith("\n\n"), text[-80:]
    for block in text.removesuffix("\n\n").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        assert lines.keys() <= {"event", "data"}, block
        yield lines.get("event", ""), None if lines["data"] == "[DONE]" else json.loads(lines["data"])


def said(endpoint: str, document: Any) -> str:
    """The text of a whole reply."""
    match endpoint:
        case "chat/completions":
            return str(document["choices"][0]["message"]["content"])
        case "completions":
            return str(document["choices"][0]["text"])
        case "responses":
            return str(document["output"][0]["content"][0]["text"])
        case _:
            return str(document["content"][0]["text"])


def streamed(endpoint: str, text: str) -> str:
    """The text of a streamed one."""
    found = [document for _, document in events(text) if document is not None]
    match endpoint:
        case "chat/completions":
            return "".join(each["choices"][0]["delta"].get("content", "") for each in found)
        case "completions":
            return "".join(each["choices"][0]["text"] for each in found)
        case "responses":
            return "".join(each["delta"] for each in found if each["type"] == "response.output_text.delta")
        case _:
            return "".join(each["delta"]["text"] for each in found if each["type"] == "content_block_delta")


async def post(served: Served, agent: dict[str, Any], endpoint: str, **fields: Any) -> Any:
    key = {"x-api-key": agent["token"]} if endpoint == "messages" else {"authorization": f"Bearer {agent['token']}"}
    return await served.http.post(f"/v1/{endpoint}", json={"model": "m", **BODIES[endpoint], **fields}, headers=key)


def test_each_endpoint_whole_and_streamed(ready: Setup) -> None:
    async def story() -> None:
        async with serving(ready) as served:
            agent = await served.agent()
            charged = 0
            for endpoint in STREAMED:
                whole = await post(served, agent, endpoint)
                assert (whole.status_code, said(endpoint, whole.json())) == (200, "one two three four"), whole.text
                assert int(whole.headers["x-arbstr-cost-msat"]) == 3 * INPUT + 4 * OUTPUT
                receipt = await served.receipt(whole.headers["x-request-id"])
                assert (receipt["endpoint"], receipt["usage"]["source"]) == (endpoint, "provider")
                stream = await post(served, agent, endpoint, stream=True)
                assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
                assert streamed(endpoint, stream.text) == "one two three four"
                assert ENDS[endpoint] in stream.text[-1200:]
                assert ("[DONE]" in stream.text) == (endpoint in ("chat/completions", "completions"))
                ended = await served.ended(stream.headers["x-request-id"])
                assert (ended["charged_msat"], ended["ending"]) == (3 * INPUT + 4 * OUTPUT, "complete"), endpoint
                charged += 2 * (3 * INPUT + 4 * OUTPUT)
            vector = await post(served, agent, "embeddings", model="m")
            assert vector.json()["data"][0]["embedding"] == [3.0, 1.0]
            assert int(vector.headers["x-arbstr-cost-msat"]) == 3 * INPUT
            assert (await served.receipt(vector.headers["x-request-id"]))["held_msat"] < 500 * INPUT
            assert (await served.show(agent))["posted_msat"] == 10**9 - charged - 3 * INPUT
            await served.verified()

    run(story())


def test_errors_are_in_the_words_of_the_endpoint(ready: Setup) -> None:
    async def story() -> None:
        async with serving(ready) as served:
            agent = await served.agent("b")
            for endpoint in BODIES:
                refused = await post(served, agent, endpoint, model="nobody")
                document = refused.json()
                assert (refused.status_code, document["error"]["code"]) == (404, "model_not_found"), document
                anthropic = endpoint == "messages"
                assert document["error"]["type"] == ("not_found_error" if anthropic else "invalid_request_error")
                assert document.get("type") == ("error" if anthropic else None)
                assert ("request-id" in refused.headers) is anthropic
                wrong = await post(served, {"token": "arb_no"}, endpoint)
                assert (wrong.status_code, wrong.json()["error"]["type"]) == (401, "authentication_error")
            for endpoint in STREAMED:
                broken = await post(served, agent, endpoint, model="fails", stream=True)
                *_, (kind, last) = events(broken.text)
                assert broken.status_code == 200
                match endpoint:
                    case "responses":
                        assert (kind, last["type"]) == ("error", "error")
                    case "messages":
                        assert (kind, last["type"]) == ("error", "error")
                        assert last["error"]["message"]
                    case _:
                        assert last["error"]["code"] == "upstream_cut"
                ended = await served.ended(broken.headers["x-request-id"])
                assert (ended["ending"], ended["state"]) == ("cut", "settled"), endpoint
                assert 0 < ended["charged_msat"] <= ended["held_msat"]
            await served.verified()

    run(story())


def test_without_a_report_the_bytes_are_counted_everywhere(ready: Setup) -> None:
    async def story() -> None:
        async with serving(ready) as served:
            agent = await served.agent("c")
            for endpoint in BODIES:
                for stream in (False, True) if endpoint in STREAMED else (False,):
                    more = {"stream": True} if stream else {}
                    found = await post(served, agent, endpoint, model="silent", **more)
                    ended = await served.ended(found.headers["x-request-id"])
                    assert ended["usage"]["source"] == "counted", (endpoint, stream)
                    assert ended["usage"]["output_tokens"] == (0 if endpoint == "embeddings" else 5)
                    assert ended["charged_msat"] > 0
            await served.verified()

    run(story())


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("completions", {"prompt": None}, "prompt"),
    ("completions", {"prompt": 7}, "prompt"),
    ("completions", {"best_of": 0}, "best_of"),
    ("embeddings", {"input": {}}, "input"),
    ("responses", {"max_output_tokens": "many"}, "max_output_tokens"),
    ("responses", {"input": [[]], "tools": 3}, "tools"),
    ("messages", {"max_tokens": None}, "max_tokens"),
    ("messages", {"system": 5}, "system"),
    ("messages", {"mcp_servers": [{"url": "https://example.com"}]}, "mcp_servers"),
    ("responses", {"tools": [{"type": "web_search"}]}, "tools"),
    ("responses", {"background": True}, "background"),
    ("messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
    ("chat/completions", {"best_of": 4}, "best_of"),
]


def test_what_is_wrong_is_named(ready: Setup) -> None:
    async def story() -> None:
        async with serving(ready) as served:
            agent = await served.agent("d")
            for endpoint, fields, param in WRONG:
                refused = await post(served, agent, endpoint, **fields)
                error = refused.json()["error"]
                assert (refused.status_code, error["param"]) == (400, param), error

    run(story())


TRANSLATED = """
[[plugins.providers_mock.models]]
name = "chats"
endpoints = ["chat/completions"]
input = "1000 sat"
output = "4000 sat"
"""


def test_messages_reach_a_provider_that_speaks_chat_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(setup(tmp_path, TRANSLATED)) as served:
            agent = await served.agent()
            system = {"model": "chats", "system": "Be short"}
            whole = await post(served, agent, "messages", **system)
            message = whole.json()
            assert (message["type"], message["role"], message["stop_reason"]) == ("message", "assistant", "end_turn")
            assert message["content"] == [{"type": "text", "text": "one two three four"}]
            assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (5, 4)
            assert int(whole.headers["x-arbstr-cost-msat"]) == 5 * INPUT + 4 * OUTPUT
            cut = (await post(served, agent, "messages", **system, max_tokens=2)).json()
            assert (cut["stop_reason"], cut["content"][0]["text"]) == ("max_tokens", "one two")
            stream = await post(served, agent, "messages", **system, stream=True)
            found = list(events(stream.text))
            assert [kind for kind, _ in found] == [each["type"] for _, each in found]
            assert [kind for kind, _ in found if kind != "content_block_delta"] == [
                *("message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop")
            ]
            assert streamed("messages", stream.text) == "one two three four"
            assert found[-2][1]["usage"] == {
                "input_tokens": 5,
                "output_tokens": 4,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
            }
            ended = await served.ended(stream.headers["x-request-id"])
            assert ended["charged_msat"] == 5 * INPUT + 4 * OUTPUT
            wordless = await post(served, agent, "messages", **system, container="c_1")
            assert (wordless.status_code, wordless.json()["error"]["param"]) == (400, "container")
            nobody = await post(served, agent, "completions", model="chats")
            assert (nobody.status_code, "does not speak" in nobody.text) == (400, True)
            await served.verified()

    run(story())


def test_paths_methods_and_counting(ready: Setup) -> None:
    async def story() -> None:
        async with serving(ready) as served:
            agent = await served.agent("e")
            key, url = {"x-api-key": agent["token"]}, served.setup.url  # httpx takes the v1 of a bare //v1 for a host
            asked = {key: value for key, value in BODIES["messages"].items() if key != "max_tokens"}
            counted = await served.http.post("/v1/messages/count_tokens", json={"model": "m", **asked}, headers=key)
            assert counted.json() == {"input_tokens": 3}
            for path in ("/messages/count_tokens", "//v1//messages/count_tokens/", "/v1/messages/count_tokens/"):
                again = await served.http.post(f"{url}{path}", json={"model": "m", **asked}, headers=key)
                assert (again.status_code, again.content) == (200, counted.content), path
                nobody = await served.http.post(f"{url}{path}", json={"model": "m", **asked})
                assert (nobody.status_code, nobody.json()["type"]) == (401, "error"), path
            unknown = await served.http.post("/v1/messages/count_tokens", json={"model": "no", **asked}, headers=key)
            assert (unknown.status_code, unknown.json()["type"]) == (404, "error")
            for endpoint in BODIES:
                for path in (f"/{endpoint}", f"//v1//{endpoint}/"):
                    body = {"model": "m", **BODIES[endpoint]}
                    answer = await served.http.post(f"{url}{path}", json=body, headers=key)
                    assert answer.status_code == 200, path
                options = await served.http.options(f"/v1/{endpoint}")
                assert (options.status_code, options.headers["allow"]) == (204, "POST, OPTIONS")
                wrong = await served.http.get(f"/v1/{endpoint}")
                assert (wrong.status_code, wrong.headers["x-request-id"][:4]) == (405, "req_")
                assert wrong.json().get("type") == ("error" if endpoint == "messages" else None)
            for path in ("/v1/models", "/v1/stats", "/health", "/readyz", "/v1/requests"):
                head = await served.http.head(path, headers=key)
                assert (head.status_code, head.content) == (200, b""), path
                assert int(head.headers["content-length"]) > 2
            for path in ("//v1/stats/", "/v1/stats/", "/v1//requests"):
                assert (await served.http.get(f"{url}{path}", headers=key)).status_code == 200, path
                assert (await served.http.get(f"{url}{path}")).status_code == 401, path
            assert (await served.http.options("/v1/receipts/x")).status_code == 204
            await served.verified()

    run(story())


SLOW = """
[plugins.providers_mock.instances.slow]
chunk_ms = 20
reply = "one two three four five six"
[[plugins.providers_mock.instances.slow.models]]
name = "slow"
input = "1000 sat"
output = "4000 sat"
[[plugins.providers_mock.instances.slow.models]]
name = "slowchat"
endpoints = ["chat/completions"]
input = "1000 sat"
output = "4000 sat"
"""


def test_responses_reach_a_provider_that_speaks_chat_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(setup(tmp_path, TRANSLATED)) as served:
            agent = await served.agent()
            asked = {"model": "chats", "instructions": "Be short", "metadata": {"a": "b"}}
            whole = (await post(served, agent, "responses", **asked)).json()
            assert (whole["object"], whole["status"], whole["metadata"]) == ("response", "completed", {"a": "b"})
            assert said("responses", whole) == "one two three four"
            assert (whole["usage"]["input_tokens"], whole["usage"]["output_tokens"]) == (5, 4)
            cut = (await post(served, agent, "responses", **asked, max_output_tokens=2)).json()
            assert (cut["status"], cut["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
            stream = await post(served, agent, "responses", **asked, stream=True)
            found = list(events(stream.text))
            assert [each["sequence_number"] for _, each in found] == list(range(len(found)))
            assert [kind for kind, _ in found if not kind.endswith(".delta")] == [
                *("response.created", "response.in_progress", "response.output_item.added"),
                *("response.content_part.added", "response.output_text.done", "response.content_part.done"),
                *("response.output_item.done", "response.completed"),
            ]
            assert streamed("responses", stream.text) == "one two three four"
            assert found[-1][1]["response"]["usage"]["total_tokens"] == 9
            ended = await served.ended(stream.headers["x-request-id"])
            assert ended["charged_msat"] == 5 * INPUT + 4 * OUTPUT
            wordless = await post(served, agent, "responses", **asked, previous_response_id="resp_1")
            assert (wordless.status_code, wordless.json()["error"]["param"]) == (400, "previous_response_id")
            await served.verified()

    run(story())


def test_who_leaves_is_charged_what_the_call_used(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(setup(tmp_path, SLOW)) as served:
            agent = await served.agent()
            for endpoint, model in [*((endpoint, "slow") for endpoint in STREAMED), ("messages", "slowchat")]:
                body = {"model": model, **BODIES[endpoint], "stream": True}
                headers = {"x-api-key": agent["token"]}
                async with served.http.stream("POST", f"/v1/{endpoint}", json=body, headers=headers) as answer:
                    async for _ in answer.aiter_raw():
                        break
                ended = await served.ended(answer.headers["x-request-id"], 60)
                assert (ended["ending"], ended["usage"]["source"]) == ("client_gone", "provider"), endpoint
                assert ended["charged_msat"] == 3 * INPUT + 6 * OUTPUT, (endpoint, model)
            await served.verified()

    run(story())
