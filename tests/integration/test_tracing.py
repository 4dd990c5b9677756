"""Traces of a real server arrive at a collector."""

from __future__ import annotations

import base64
import gzip
import http.client
import http.server
import json
import threading
import time
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.server_process import ServerProcess, running

PATIENCE = 30.0
PEOPLE = {"principals": [{"kind": "individual", "name": "ada", "password": "pw"}]}
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Collector(http.server.BaseHTTPRequestHandler):
    spans: list[object]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        found = ExportTraceServiceRequest.FromString(body)
        for resource in found.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_request_is_a_span_with_its_statements_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[object] = []
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Mine", (Collector,), {"spans": spans}))
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_address[1]}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    (tmp_path / "people.json").write_text(json.dumps(PEOPLE))
    settings = {"network.workers": 1, "log.traces": "true", "network.trusted_proxies": "127.0.0.1"}
    server = ServerProcess(tmp_path / "data", tmp_path / "server.log", settings)
    server.command("principals", "load", str(tmp_path / "people.json"))
    try:
        with running(server):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
            headers = {
                "Authorization": "Basic " + base64.b64encode(b"ada:pw").decode(),
                "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
                "User-Agent": "Thunderbird/128.0",
                "Depth": "1",
            }
            connection.request("PROPFIND", "/calendars/users/ada/calendar/", None, headers)
            answer = connection.getresponse()
            assert answer.status == 207
            request_id = answer.headers["X-Request-Id"]
            deadline = time.monotonic() + PATIENCE
            while not any(span.name == "PROPFIND" for span in spans):  # type: ignore[attr-defined]
                assert time.monotonic() < deadline, "no span came"
                time.sleep(0.1)
    finally:
        collector.shutdown()
        collector.server_close()
    (request,) = [span for span in spans if span.name == "PROPFIND"]  # type: ignore[attr-defined]
    attributes = {each.key: each.value.string_value or each.value.int_value for each in request.attributes}  # type: ignore[attr-defined]
    assert request.trace_id.hex() == TRACE  # type: ignore[attr-defined]
    assert attributes["koyomi.request_id"] == request_id
    assert (attributes["http.response.status_code"], attributes["koyomi.client"]) == (207, "thunderbird")
    inside = [span for span in spans if span.parent_span_id == request.span_id]  # type: ignore[attr-defined]
    assert inside
    assert {span.name for span in inside} == {"SQL"}  # type: ignore[attr-defined]
    for span in inside:
        begin, end = span.start_time_unix_nano, span.end_time_unix_nano  # type: ignore[attr-defined]
        assert request.start_time_unix_nano <= begin <= end <= request.end_time_unix_nano  # type: ignore[attr-defined]
    assert "ada" not in str(spans)
