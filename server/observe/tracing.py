"""OpenTelemetry traces: a span for each request, and in it one for each statement and each expansion.

OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, …) say where spans are sent, and how
many. Needs the package's extra `otel`. Spans have the fields of the access log: no names and no texts of people.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from server.observe.costs import Costs

TRACE_CONTEXT = "traceparent"
"""The header that names the caller's span (W3C Trace Context §3.2)."""
_VALID = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def context_of(headers: Mapping[str, str]) -> str:
    """The trace context that a caller sent; empty for none, and for one that is not of version 00."""
    value = headers.get(TRACE_CONTEXT, "")
    return value if value and _VALID.fullmatch(value) else ""


@dataclass(frozen=True, slots=True)
class RequestSpan:
    """The span of a request under way."""

    span: Span
    offset: int
    """Nanoseconds from the beginning of `time.perf_counter` to 1970."""

    def at(self, moment: float) -> int:
        """Nanoseconds since 1970 of a time of `time.perf_counter`."""
        return self.offset + int(moment * 1e9)

    @property
    def context(self) -> str:
        """The trace context of what happens within the span."""
        context = self.span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


class Tracing:
    """Sends the spans of one worker."""

    def __init__(self) -> None:
        # Not at the top: OpenTelemetry is an extra, and `server.process.preparation` refuses the setting without it.
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        # The environment's OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override this.
        self._provider = TracerProvider(resource=Resource({"service.name": "koyomi"}).merge(Resource.create()))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("koyomi")
        self._propagator = TraceContextTextMapPropagator()
        self._server, self._client = trace.SpanKind.SERVER, trace.SpanKind.CLIENT
        self._in_span = trace.set_span_in_context
        self._error = trace.Status(trace.StatusCode.ERROR)

    def begin(self, began: float, parent: Mapping[str, str] | None) -> RequestSpan:
        """Begin the span of a request; the time is of `time.perf_counter`. `parent`: headers that name the caller's."""
        offset = time.time_ns() - int(time.perf_counter() * 1e9)
        context = None if parent is None else self._propagator.extract(parent)
        start = offset + int(began * 1e9)
        return RequestSpan(self._tracer.start_span("request", context, self._server, start_time=start), offset)

    def end(self, request: RequestSpan, costs: Costs, ended: float, facts: Mapping[str, object]) -> None:
        """Send the span of a request; the time is of `time.perf_counter`."""
        span = request.span
        attributes: dict[str, Any] = {
            "http.request.method": facts["method"],
            "http.response.status_code": facts["status"],
            "koyomi.request_id": facts["request_id"],
            "koyomi.client": facts["client"],
            "koyomi.tree": facts["tree"],
        }
        if facts["report"]:
            attributes["koyomi.report"] = facts["report"]
        if facts["principal_id"] is not None:
            attributes["koyomi.principal_id"] = facts["principal_id"]
        span.update_name(" ".join(str(facts[part]) for part in ("method", "report") if facts[part]))
        span.set_attributes(attributes)
        if int(str(facts["status"])) >= 500:
            span.set_status(self._error)
        inside = self._in_span(span)
        for kind, start, seconds, rows in costs.timeline or ():
            inner: dict[str, Any] = {"db.system.name": "postgresql"} if kind == "SQL" else {}
            inner |= {"db.response.returned_rows": rows} if kind == "SQL" else {}
            child = self._tracer.start_span(kind, inside, self._client, inner, start_time=request.at(start))
            child.end(request.at(start + seconds))
        span.end(request.at(ended))

    def close(self) -> None:
        """Send the remaining spans; blocks until they are sent."""
        self._provider.shutdown()
