"""Streams that are kept alive: something comes while the provider is silent, and nothing where it is not asked for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from house import Served, chat, instance, run, serving, until_true, write
from upstream import Act, Upstream

ENDPOINTS = 'endpoints = ["chat/completions", "messages", "responses", "completions"]'


@asynccontextmanager
async def kept_alive(
    folder: Path, upstream: Upstream, mode: str, patience: int = 60
) -> AsyncIterator[tuple[Served, dict[str, Any]]]:
    server = f'keep_alive = "{mode}"\nkeep_alive_seconds = 0.02'
    tables = instance("x", upstream.url, more=ENDPOINTS)
    tables += f"[dispatch]\ndrain_seconds = 0.2\nfirst_byte_seconds = {patience}\n"
    setup = write(folder, tables, server=server)
    async with serving(setup) as served:
        yield served, await served.agent()


async def first(answer: httpx.Response, parts: AsyncIterator[bytes]) -> bytes:
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    return await anext(parts)


EMPTY = {"index": 0, "delta": {}, "finish_reason": None}


@pytest.mark.parametrize("mode", ["comment", "chunk"])
def test_while_the_provider_is_silent_something_comes(tmp_path: Path, mode: str) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="gate"), Act(how="stall"))
            async with kept_alive(tmp_path, upstream, mode) as (served, agent):
                headers = {"authorization": f"Bearer {agent['token']}"}
                asked = {"json": chat(stream=True), "headers": headers}
                async with served.http.stream("POST", "/v1/chat/completions", **asked) as answer:
                    parts = answer.aiter_raw()
                    begin = await first(answer, parts)
                    assert "x-arbstr-provider" not in answer.headers
                    if mode == "comment":
                        assert begin.startswith(b": keep-alive\n")
                    else:
                        chunk = json.loads(begin.split(b"\n\n")[0].removeprefix(b"data: "))
                        assert (chunk["object"], chunk["choices"]) == ("chat.completion.chunk", [EMPTY])
                    upstream.open_gate()
                    whole = begin + b"".join([part async for part in parts])
                    assert whole.endswith(b"data: [DONE]\n\n")
                    lines = [line for line in whole.split(b"\n") if line.startswith(b"data: ")]
                    texts = [json.loads(line[6:])["choices"][0]["delta"] for line in lines[:-1]]
                    assert "".join(text.get("content", "") for text in texts) == " word" * 5
                assert (await served.ended(answer.headers["x-request-id"]))["ending"] == "complete"
                # In the middle of a stream as well.
                async with served.http.stream("POST", "/v1/chat/completions", **asked) as answer:
                    seen = b""
                    async for part in answer.aiter_raw():
                        seen += part
                        if b"word" in seen and part.startswith((b": keep", b'data: {"id":"req_')):
                            break
                await served.ended(answer.headers["x-request-id"])
                await served.verified()

    run(story())


def test_what_fails_after_that_is_the_last_event(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="hang"))
            async with kept_alive(tmp_path, upstream, "chunk", patience=2) as (served, agent):
                body = {**chat(stream=True), "max_tokens": 5}
                asked = {"json": body, "headers": {"x-api-key": agent["token"]}}
                async with served.http.stream("POST", "/v1/messages", **asked) as answer:
                    parts = answer.aiter_raw()
                    begin = await first(answer, parts)
                    assert begin.startswith(b'event: ping\ndata: {"type":"ping"}\n\n')
                    whole = begin + b"".join([part async for part in parts])
                    last = whole.decode().removesuffix("\n\n").split("\n\n")[-1].split("\n")
                    assert last[0] == "event: error"
                    assert json.loads(last[1].removeprefix("data: "))["error"]["code"] == "upstream_timed_out"
                await served.ended(answer.headers["request-id"])
                await served.verified()

    run(story())


def test_a_call_that_is_refused_has_its_status(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(how="status", status=500))
            async with kept_alive(tmp_path, upstream, "comment") as (served, agent):
                poor = await served.agent("poor", fund=0)
                assert (await served.call(poor, stream=True)).status_code == 402
                assert (await served.call(agent, stream=True)).status_code == 502
                await until_true(lambda: not served.task.done())
                await served.verified()

    run(story())
