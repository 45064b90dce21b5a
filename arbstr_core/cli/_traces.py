"""A span for each call, after OpenTelemetry's conventions for generative AI, and one for each attempt below it.

Spans are made once a call has ended, from what the request log gets, so that none of it is on a call's way. They hold
no prompt, no answer and no credential. Source: OpenTelemetry semantic conventions, gen-ai spans.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from arbstr_core.journal import CallRow, Watcher
from arbstr_core.types import ConfigError, Endpoint, Outcome, Problem

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

_OPERATIONS = {
    Endpoint.CHAT: "chat",
    Endpoint.COMPLETIONS: "text_completion",
    Endpoint.EMBEDDINGS: "embeddings",
    Endpoint.RESPONSES: "chat",
    Endpoint.MESSAGES: "chat",
}
_WELL = frozenset({"complete", "replayed"})
_MS = 1_000_000


@contextmanager
def exporting() -> Iterator[Watcher]:
    """Sends spans over OTLP, to where OpenTelemetry's own variables say (OTEL_EXPORTER_OTLP_ENDPOINT, and so on)."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as missing:
        what = f"OpenTelemetry is not installed ({missing}): pip install 'arbstr-core[otel]'"
        raise ConfigError([Problem(f"[log] traces: {what}")]) from missing
    resource = Resource.create({"service.name": "arbstr", "service.version": version("arbstr-core")})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield spans(provider)
    finally:
        provider.shutdown()


def spans(provider: TracerProvider) -> Watcher:
    """What makes spans of calls."""
    tracer = provider.get_tracer("arbstr", version("arbstr-core"))
    return lambda row: _trace(tracer, row, time.time_ns())


def _trace(tracer: Tracer, row: CallRow, end: int) -> None:
    from opentelemetry.trace import SpanKind, set_span_in_context

    operation = _OPERATIONS.get(Endpoint(row.endpoint), "chat") if row.endpoint else "chat"
    began = end - row.total_ms * _MS
    name = f"{operation} {row.model}"
    span = tracer.start_span(name, kind=SpanKind.SERVER, attributes=_attributes(row, operation), start_time=began)
    if row.outcome not in _WELL:
        _failed(span, str(row.outcome))
    at = began + int((row.overhead_ms or 0) * _MS)
    inside = set_span_in_context(span)
    for attempt in row.attempts:
        said = {"gen_ai.operation.name": operation, "gen_ai.provider.name": attempt.provider}
        child = tracer.start_span(
            f"attempt {attempt.provider}", context=inside, kind=SpanKind.CLIENT, attributes=said, start_time=at
        )
        if attempt.outcome is not Outcome.SERVED:
            _failed(child, str(attempt.outcome))
        # One after the other, as far as is known: what was hedged overlaps, and when it began is not kept.
        at += attempt.ms * _MS
        child.end(max(at, began))
    span.end(end)


def _failed(span: Span, kind: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, kind))


def _attributes(row: CallRow, operation: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": row.provider or "arbstr",
        "gen_ai.request.model": row.model,
        "arbstr.request_id": row.id,
        "arbstr.outcome": str(row.outcome),
        "arbstr.charged_msat": row.charged_msat,
        "arbstr.stream": row.stream,
        "http.response.status_code": row.status,
    }
    if row.agent:
        found["arbstr.agent"] = row.agent
    if row.sold:
        found |= {
            "gen_ai.response.model": row.sold,
            "gen_ai.usage.input_tokens": row.input_tokens,
            "gen_ai.usage.output_tokens": row.output_tokens,
            "arbstr.cost_msat": row.cost_msat,
        }
    if row.overhead_ms is not None:
        found["arbstr.overhead_ms"] = row.overhead_ms
    if row.first_byte_ms:
        found["arbstr.first_byte_ms"] = row.first_byte_ms
    return found
