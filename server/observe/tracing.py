"""OpenTelemetry traces: a span for each request, and in it one for each statement and each expansion.

Where they are sent, and how many of them, is said by OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_TRACES_SAMPLER, …). Needs the package's extra `otel`. Spans carry what the access log carries: nothing that anybody
named or wrote.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server.observe.costs import Costs


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

    def request(
        self, costs: Costs, began: float, ended: float, facts: Mapping[str, object], parent: Mapping[str, str] | None
    ) -> None:
        """Send the span of a request; times are of `time.perf_counter`. `parent`: headers that name the caller's."""
        offset = time.time_ns() - int(time.perf_counter() * 1e9)

        def at(moment: float) -> int:
            return offset + int(moment * 1e9)

        context = None if parent is None else self._propagator.extract(parent)
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
        name = " ".join(str(facts[part]) for part in ("method", "report") if facts[part])
        span = self._tracer.start_span(name, context, self._server, attributes, start_time=at(began))
        if int(str(facts["status"])) >= 500:
            span.set_status(self._error)
        inside = self._in_span(span)
        for kind, start, seconds, rows in costs.timeline or ():
            inner: dict[str, Any] = {"db.system.name": "postgresql"} if kind == "SQL" else {}
            inner |= {"db.response.returned_rows": rows} if kind == "SQL" else {}
            child = self._tracer.start_span(kind, inside, self._client, inner, start_time=at(start))
            child.end(at(start + seconds))
        span.end(at(ended))

    def close(self) -> None:
        """Send what is left; blocks for as long as that takes."""
        self._provider.shutdown()
