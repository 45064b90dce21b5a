"""The log: what is taken out of it, its two formats, and traces."""

from __future__ import annotations

import base64
import json
import logging
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from collecting import collecting
from house import Process, chat, instance, run, serving, write
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from upstream import Act, Upstream

from arbstr_core.cli._logs import _Json, _Text
from arbstr_core.cli._redact import GONE, Redactor
from arbstr_core.cli._traces import spans
from arbstr_core.journal import CallRow
from arbstr_core.types import Attempt, Outcome

REQUEST = "req_" + "0123456789abcdef0123456789ab"


def record(message: str, *args: Any, **more: Any) -> logging.LogRecord:
    return logging.LogRecord("arbstr.test", logging.WARNING, __file__, 1, message, args, more.get("exc_info"))


@pytest.mark.parametrize(
    "secret",
    [
        "Authorization: Bearer whatever-it-is",
        "{'authorization': 'Basic dXNlcjpwYXNz'}",
        '{"x-api-key":"whatever"}',
        "arb_" + "aB3_-" * 8,
        "adm_" + "x" * 43,
        "opr_" + "x" * 43,
        "sk-proj-0123456789",
        "cashuBo2FteB5odHRwczovL21pbnQ",
        "nsec1" + "q" * 58,
        "0201036c6e6402f801030a10" + "00" * 40,
        "AgEDbG5kAvgBAwoQ" + "A" * 40,
        "postgresql://arbstr:hunter2-hunter2@host/arbstr",
        "preimage=" + "ab" * 32,
        "password = correct-horse",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(secret: str) -> None:
    said = Redactor()(f"before {secret} after")
    assert said.startswith("before ")
    assert said.endswith(" after")
    assert GONE in said
    for part in (
        "whatever",
        "dXNlcjpwYXNz",
        "hunter2",
        "0123456789",
        "ababab",
        "correct-horse",
        "xxxx",
        "qqqq",
        "AAAA",
    ):
        assert part not in said


@pytest.mark.parametrize(
    "plain",
    [
        f"{REQUEST}: the reply did not end after its end",
        "payment " + "ab" * 32 + " has failed",
        'write secret = "env:NAME", or token: "file:PATH"',
        "an operator's token is needed; tokens: 17",
        "http://127.0.0.1:8080/v1 answers, and a@example.com as well",
        "master key 0011223344556677",
    ],
)
def test_what_is_none_stays(plain: str) -> None:
    assert Redactor()(plain) == plain


def test_what_is_known_is_taken_out_in_every_form() -> None:
    redact = Redactor()
    for secret in (b"correct horse battery\n", bytes(range(200, 232)), b"short", b""):
        redact.learn(secret)
    known = b"correct horse battery"
    forms = ["correct horse battery", known.hex(), known.hex().upper(), base64.b64encode(known).decode().rstrip("=")]
    for form in [*forms, bytes(range(200, 232)).hex()]:
        assert redact(f"a {form} b").replace("=", "") == f"a {GONE} b"
    assert redact("a short b") == "a short b", "what is that short is no secret"


def test_a_line_is_one_line_and_says_which_call() -> None:
    redact = Redactor()
    forged = record("%s: no model %r, or %s", REQUEST, "m", "x\n2026-01-01 INFO forged\x1b[31m")
    (line,) = _Text(redact).format(forged).splitlines()
    assert "\\x0a2026-01-01 INFO forged\\x1b[31m" in line
    said = json.loads(_Json(redact).format(forged))
    assert said["request_id"] == REQUEST
    assert (said["level"], said["logger"]) == ("warning", "arbstr.test")
    assert said["at"].endswith("Z")
    odd = json.loads(_Json(redact).format(record("\ud800 %s", "arb_" + "x" * 43)))
    assert odd["message"] == f"? {GONE}"


def test_a_traceback_is_kept_without_what_is_secret() -> None:
    redact = Redactor()
    redact.learn(b"the-key-of-a-provider")
    try:
        raise ValueError("no: the-key-of-a-provider")
    except ValueError:
        failed = record("it failed", exc_info=sys.exc_info())
    text = _Text(redact).format(failed)
    assert "Traceback" in text
    assert text.count("\n") > 2
    error = json.loads(_Json(redact).format(failed))["error"]
    for said in (text, error):
        assert f"ValueError: no: {GONE}" in said
        assert "the-key" not in said


# -- traces ----------------------------------------------------------------------------------------------------------


def traced(*rows: CallRow) -> list[Any]:
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    watch = spans(provider)
    for row in rows:
        watch(row)
    provider.shutdown()
    return list(kept.get_finished_spans())


def test_a_call_is_a_span_after_the_conventions() -> None:
    attempts = [
        Attempt(provider="p.dead", outcome=Outcome.TIMED_OUT, ms=300),
        Attempt(provider="p.x", outcome=Outcome.SERVED, ms=100),
    ]
    row = CallRow(
        id=REQUEST,
        agent="ag_1",
        model="auto",
        status=200,
        outcome="complete",
        provider="p.x",
        sold="m",
        endpoint="chat/completions",
        input_tokens=11,
        output_tokens=5,
        charged_msat=31,
        total_ms=1000,
        first_byte_ms=410,
        overhead_ms=2.5,
        attempts=attempts,
    )
    first, second, whole = traced(row)
    assert (whole.name, whole.kind, whole.status.status_code) == ("chat auto", SpanKind.SERVER, StatusCode.UNSET)
    assert dict(whole.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "p.x",
        "gen_ai.request.model": "auto",
        "gen_ai.response.model": "m",
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 5,
        "http.response.status_code": 200,
        "arbstr.request_id": REQUEST,
        "arbstr.agent": "ag_1",
        "arbstr.outcome": "complete",
        "arbstr.charged_msat": 31,
        "arbstr.cost_msat": 0,
        "arbstr.stream": False,
        "arbstr.overhead_ms": 2.5,
        "arbstr.first_byte_ms": 410,
    }
    assert whole.end_time - whole.start_time == 1_000_000_000
    for child, attempt in zip((first, second), attempts, strict=True):
        assert child.parent.span_id == whole.context.span_id
        assert child.attributes["gen_ai.provider.name"] == attempt.provider
        assert child.end_time - child.start_time == attempt.ms * 1_000_000
    assert (first.status.status_code, first.attributes["error.type"]) == (StatusCode.ERROR, "timed_out")
    assert first.start_time - whole.start_time == 2_500_000
    assert second.start_time == first.end_time


def test_a_call_that_is_refused_says_why() -> None:
    (span,) = traced(CallRow(id=REQUEST, agent="", model="none", status=404, outcome="ModelNotFound"))
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "ModelNotFound")
    assert "arbstr.agent" not in span.attributes
    assert "gen_ai.response.model" not in span.attributes


def test_traces_arrive_where_opentelemetrys_variables_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(upstream: Upstream) -> None:
        async with serving(write(tmp_path, instance("x", upstream.url) + "[log]\ntraces = true\n")) as served:
            agent = await served.agent()
            upstream.script("m", Act(), Act(how="status", status=500))
            asked = [(await served.call(agent)).headers["x-request-id"] for _ in range(2)]
        names = [span.name for span in collector.spans()]
        assert sorted(names) == ["attempt providers_openai.x", "attempt providers_openai.x", "chat m", "chat m"]
        ids = {each.value.string_value for s in collector.spans() for each in s.attributes if "request_id" in each.key}
        assert ids == set(asked)

    with Upstream() as upstream, collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        run(story(upstream))


def test_without_opentelemetry_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    setup = write(tmp_path, instance("x", "http://127.0.0.1:1/v1") + "[log]\ntraces = true\n")
    done = setup.command("serve")
    assert done.returncode == 1
    assert "pip install 'arbstr-core[otel]'" in done.stderr


def test_calls_are_logged_where_that_is_wanted(tmp_path: Path) -> None:
    with Upstream() as upstream:
        setup = write(tmp_path, instance("x", upstream.url) + '[log]\ncalls = true\nformat = "json"\n')
        running = Process(setup)
        try:
            agent = setup.json("agent", "create", "a", "--fund", "100sat")
            headers = {"authorization": f"Bearer {agent['token']}"}
            answer = httpx.post(
                f"{setup.url}/v1/chat/completions", json=chat(), headers=headers, trust_env=False, timeout=60
            )
        finally:
            assert running.stop() == 0
    (line,) = [
        record
        for record in map(json.loads, (tmp_path / "serve.log").read_text().splitlines())
        if record["logger"] == "arbstr.calls"
    ]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["agent"], line["provider"], line["outcome"]) == (agent["id"], "providers_openai.x", "complete")
    assert line["charged_msat"] == int(answer.headers["x-arbstr-cost-msat"])
