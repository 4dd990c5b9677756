"""Settings of the log and of monitoring."""

from __future__ import annotations

from typing import Literal

from server.settings.option import Part, option


class LogSettings(Part):
    """Log."""

    level: Literal["debug", "info", "warning", "error"] = option("info", "How much is logged.")
    format: Literal["auto", "console", "json"] = option(
        "auto",
        "Lines for people (console) or one JSON object a line; auto is console on a terminal, JSON elsewhere.",
    )
    slow_request: float = option(
        1.0,
        "Requests that take longer are logged as a warning, with what they cost.",
        unit="seconds",
        gt=0,
        le=3600,
    )
    access_log: bool = option(
        False,
        "Log every request: who (by id), as whose delegate, from where with what kind of client, "
        "method and report, status, bytes and "
        "what it cost. Neither paths nor contents.",
    )
    traces: bool = option(
        False,
        "Send OpenTelemetry traces of requests and statements, as OTEL_EXPORTER_OTLP_ENDPOINT and other variables of "
        "OpenTelemetry say. Needs the package's extra otel.",
    )


class MonitoringSettings(Part):
    """Monitoring."""

    host: str = option(
        "127.0.0.1",
        "Address of the port for monitoring.",
        allowed="a host name or an IP address",
        min_length=1,
    )
    port: int = option(
        0,
        "TCP port on which /metrics, /healthz and /readyz answer everyone, by plain HTTP; 0 is none. On the main port "
        "/metrics is for administrators who sign in.",
        ge=0,
        le=65535,
    )
