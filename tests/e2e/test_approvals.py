"""A call that an operator has to approve, over HTTP, and the webhook that asks."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from pathlib import Path

import pytest
from house import chat, instance, run, serving, until, write
from upstream import Upstream

_DEFAULTS = """
[vault.defaults]
approval_seconds = 60
"""


class Inbox:
    """Takes webhooks; refuses the first one that comes."""

    def __init__(self) -> None:
        self.events: list[tuple[dict[str, str], bytes]] = []
        self._refused = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        status = b"200 OK" if self._refused else b"503 Not yet"
        if self._refused:
            self.events.append((headers, body))
        self._refused = True
        writer.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
        await writer.drain()
        writer.close()

    async def named(self, name: str) -> dict[str, object]:
        async def look() -> dict[str, object] | None:
            found = [json.loads(body) for headers, body in self.events if headers["x-arbstr-event"] == name]
            return found[0] if found else None

        return await until(look)


def test_an_operator_is_asked_and_grants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "both know it")
    inbox = Inbox()

    async def story() -> None:
        hook = await asyncio.start_server(inbox, "127.0.0.1", 0)
        port = hook.sockets[0].getsockname()[1]
        tables = f'[webhooks]\nurl = "http://127.0.0.1:{port}/hook"\nsecret = "env:HOOK_SECRET"\n{_DEFAULTS}'
        with Upstream() as upstream:
            setup = write(tmp_path, instance("x", upstream.url) + tables)
            async with hook, serving(setup) as served:
                agent = await served.agent(max_charge_msat=1)
                refused = await served.call(agent, max_tokens=10)
                error = refused.json()["error"]
                assert (refused.status_code, error["type"], error["code"]) == (
                    403,
                    "permission_error",
                    "approval_required",
                )
                assert refused.headers["x-should-retry"] == "false"
                assert upstream.seen == []
                asked = await inbox.named("approval_required")
                assert asked["data"]["approval"] == error["approval"]

                headers = {"authorization": f"Bearer {agent['token']}", "prefer": "wait=60"}
                waiting = asyncio.create_task(
                    served.http.post("/v1/chat/completions", json=chat(max_tokens=10), headers=headers)
                )
                granted = await served.admin.post(f"/admin/approvals/{error['approval']}/grant")
                # The call that waits may have used it before the answer was made.
                assert granted.json()["state"] in ("granted", "held", "used")
                answer = await waiting
                assert answer.status_code == 200, answer.text
                assert int(answer.headers["x-arbstr-cost-msat"]) > 1
                assert (await inbox.named("approval_granted"))["data"]["decided_by"]
                await served.verified()

    run(story())
    for headers, body in inbox.events:
        signed = hmac.new(b"both know it", headers["x-arbstr-timestamp"].encode() + b"." + body, hashlib.sha256)
        assert headers["x-arbstr-signature"] == f"sha256={signed.hexdigest()}"
