"""Secrets are put wherever there is room for one, and looked for wherever something is written or shown."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from collecting import collecting
from house import UNBROKEN, Process, Setup, chat, instance, run, write
from upstream import Act, Upstream

HEX = "0123456789abcdef"
CANARIES = {
    "providers key": "sk-canary-of-the-provider-7f3a9c",
    "internal token": "canary-internal-token-0123456789abcdef",
    "metrics token": "canary-metrics-token-0123456789abcdef",
    "webhook secret": "canary-webhook-secret-0123456789abcdef",
    "webhook's address": "canary-in-the-path-of-the-webhook-51f0",
    "anchor's address": "canary-in-the-path-of-the-anchor-9d24",
    "macaroon": "0201036c6e64" + "5ca1ab1e" * 12,
    "nostr key": "nsec1canary" + "q" * 50,
    "ecash": "cashuAcanary" + "eyJ0b2tlbiI6W10" * 3,
    "preimage": "0ddba11" * 9 + "f",
    "prompt": "the canary in the prompt sings of the rosebud sledge",
    "system prompt": "the canary in the system prompt keeps the launch codes",
    "answer": "the canary in the answer has said it",
}
"""What is nowhere to be found, but where its owner has put it."""


class Found:
    """Everything that was written or shown, by where."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}

    def add(self, where: str, text: str | bytes) -> None:
        self.texts[where] = self.texts.get(where, b"") + (text.encode() if isinstance(text, str) else text)

    def holds(self, secrets: dict[str, str]) -> list[str]:
        return [
            f"{name} in {where}"
            for where, text in self.texts.items()
            for name, secret in secrets.items()
            if any(form in text for form in forms(secret))
        ]


def forms(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    yield secret.encode().hex().encode()
    if re.fullmatch(r"[0-9a-f]{32,}", secret):
        yield bytes.fromhex(secret if len(secret) % 2 == 0 else secret[:-1])


def place(folder: Path, upstream: Upstream, format: str) -> Setup:
    for name in ("providers key", "internal token", "metrics token", "webhook secret", "macaroon"):
        (folder / name.replace(" ", "_")).write_text(CANARIES[name] + "\n")
    (folder / "tls.cert").write_text("no certificate")
    keyed = 'key = "file:providers_key"\n'
    rows = instance("x", upstream.url, more=keyed) + instance("dead", "http://127.0.0.1:1/v1", more=keyed)
    tables = f"""
[log]
format = "{format}"
calls = true
traces = true
[webhooks]
url = "http://127.0.0.1:1/{CANARIES["webhook's address"]}"
secret = "file:webhook_secret"
[audit]
anchors = ["http://127.0.0.1:1/{CANARIES["anchor's address"]}"]
[plugins.wallet_lnd]
address = "127.0.0.1:1"
cert = "file:tls.cert"
macaroon = "file:macaroon"
network = "regtest"
{rows}
{UNBROKEN}
"""
    plugins = ("providers_openai", "policy_price", "policy_keywords", "wallet_simulated", "wallet_lnd")
    server = 'internal_token = "file:internal_token"\nmetrics_token = "file:metrics_token"'
    return write(folder, tables, plugins=plugins, server=server)


def acts() -> list[Act]:
    """A provider that says back what it was told, in every way in which it can fail."""
    echo = json.dumps({"error": {"message": f"key {CANARIES['providers key']} said {CANARIES['prompt']}"}}).encode()
    # What a provider says of a wrong request goes to who has made it, but for the key.
    wrong = json.dumps({"error": {"message": f"key {CANARIES['providers key']} is not amused"}}).encode()
    said = {"role": "assistant", "content": CANARIES["answer"]}
    return [
        Act(message=said),
        Act(how="status", status=400, body=wrong),
        *(Act(how="status", status=status, body=echo) for status in (401, 429, 500, 503)),
        Act(how="raw", chunks=(echo, b"\xff\xfe not json")),
        Act(how="error_event", message=said),
        Act(how="cut", message=said),
        Act(message=said),
    ]


async def lived(setup: Setup, upstream: Upstream, found: Found) -> dict[str, str]:
    """A day in the life of this house; the secrets that were made on the way."""
    made: dict[str, str] = {"admin token": setup.token()}
    for name in ("master.key", "audit.key"):
        made[name] = (setup.folder / "data" / name).read_text().strip()
    async with httpx.AsyncClient(base_url=setup.url, trust_env=False, timeout=60) as http:

        async def ask(method: str, path: str, key: str, where: str = "answers", **more: Any) -> httpx.Response:
            answer = await http.request(method, path, headers={"authorization": f"Bearer {key}"}, **more)
            if where:
                found.add(f"{where} {method} {path}", repr(dict(answer.headers)) + answer.text)
            return answer

        admin = made["admin token"]
        named = (await ask("POST", "/admin/operators", admin, "", json={"name": "pat"})).json()
        limits = {"max_charge_msat": 10**9, "daily_msat": 10**11, "approval_seconds": 60, "realm": "sim"}
        new = {"name": "a", "fund_msat": 10**10, **limits}
        agent = (await ask("POST", "/admin/agents", admin, "", json=new)).json()
        key = (await ask("POST", "/wallet/keys", agent["token"], "", json={"name": "k"})).json()
        session = (await ask("POST", "/admin/session", "x", "", json={"token": named["token"]})).json()
        made |= {"agent's token": agent["token"], "key's token": key["token"], "operator's token": named["token"]}
        made |= {"page key": session["page_key"], "session": next(iter(http.cookies.values()))}
        http.cookies.clear()
        messages = [
            {"role": "system", "content": CANARIES["system prompt"]},
            {"role": "user", "content": CANARIES["prompt"]},
        ]
        for token in (agent["token"], key["token"]):
            upstream.script("m", *acts())
            for n in range(len(acts())):
                body = chat() | {"messages": messages, "stream": n % 2 == 1, "max_tokens": 50}
                answer = await ask("POST", "/v1/chat/completions", token, "", json=body)
                if not answer.is_success:
                    found.add("error pages", answer.text)
        wrong = [
            {"messages": [{"role": "user", "content": [{"type": "?", "text": CANARIES["prompt"]}]}], "model": "m"},
            {"messages": CANARIES["prompt"], "model": "m"},
            {"model": "none", "messages": messages},
            {"model": "m", "messages": messages, "max_tokens": CANARIES["prompt"]},
        ]
        for body in wrong:
            await ask("POST", "/v1/chat/completions", agent["token"], "error pages", json=body)
        for secret in (*CANARIES.values(), *made.values()):
            # Keys where no key belongs, and others' keys.
            await ask("GET", "/wallet/balance", f"{secret}x", "error pages")
            await ask("GET", "/admin/agents", f"{secret}x", "error pages")
            await ask("POST", "/admin/session", "x", "error pages", json={"token": f"{secret}x"})
            basic = await http.get(
                "/metrics", headers={"authorization": f"Basic {secret}", "cookie": f"arbstr={secret}"}
            )
            found.add("error pages", basic.text)
        for token in (CANARIES["ecash"], f"{CANARIES['ecash']}x"):
            for path in ("/wallet/deposits", "/admin/deposits"):
                door = agent["token"] if path.startswith("/wallet") else admin
                await ask("POST", path, door, "error pages", json={"token": token, "agent": agent["id"]})
        document = (await ask("GET", "/openapi.json", admin, "")).json()
        for path, ways in document["paths"].items():
            if "get" in ways and path not in ("/openapi.json",):
                whole = path.replace("{agent}", agent["id"]).replace("{key}", key["id"])
                for door in (admin, agent["token"], key["token"], CANARIES["metrics token"]):
                    await ask("GET", whole, door)
        await ask("POST", "/admin/reload", admin)
        await ask("POST", f"/admin/agents/{agent['id']}/rotate", admin, "")
    return made


@pytest.mark.parametrize("format", ["text", "json"])
def test_t27_no_secret_is_written_or_shown(tmp_path: Path, format: str) -> None:
    found = Found()
    with Upstream() as upstream, collecting() as collector:
        setup = place(tmp_path, upstream, format)
        running = Process(
            setup, env={**os.environ, "ARBSTR_LOG": "DEBUG", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        )
        try:
            made = run(lived(setup, upstream, found))
            for words in (
                ("doctor", "--json"),
                ("audit", "export", "a", "--format", "json"),
                ("audit", "checkpoint", "--json"),
                ("audit", "verify", "--json"),
                ("agent", "list", "--json"),
                ("approval", "list", "--json"),
                ("ledger", "--json"),
                ("plugin", "list", "--json"),
                ("offers", "--json"),
                ("route", "--model", "m", "--prompt", "Hello", "--json"),
            ):
                done = setup.command(*words)
                found.add(f"arbstr {' '.join(words)}", done.stdout + done.stderr)
            setup.arbstr("db", "backup", str(tmp_path / "backup"))
            found.add("the backup", (tmp_path / "backup").read_bytes())
        finally:
            assert running.stop() == 0
    assert len(collector.spans()) > 20
    found.add("traces", b"".join(collector.bodies))
    found.add("the log", (tmp_path / "serve.log").read_bytes())
    for file in (tmp_path / "data").glob("arbstr.db*"):
        found.add("the database", file.read_bytes())
    assert found.holds({**CANARIES, **made}) == []
    lines = (tmp_path / "serve.log").read_text().splitlines()
    assert len(lines) > 20, "it logs"
    if format == "json":
        for line in lines:
            record = json.loads(line)
            assert {"at", "level", "logger", "message"} <= record.keys(), line
        calls = [record for record in map(json.loads, lines) if record["logger"] == "arbstr.calls"]
        assert {record["outcome"] for record in calls} >= {"complete", "UpstreamFailed", "ModelNotFound"}
        assert all(re.fullmatch(r"req_[0-9a-f]{28}", record["request_id"]) for record in calls)
