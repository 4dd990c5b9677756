"""Health, metrics and logs of a real server with two workers."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server_process import ServerProcess, free_port, running

PATIENCE = 30.0
RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "koyomi.rules.yml"
PEOPLE = {
    "principals": [
        {"kind": "individual", "name": "ada", "display_name": "Secret Name", "password": "pw-ada"},
        {"kind": "individual", "name": "root", "password": "pw-root", "roles": ["admin"]},
    ]
}
PROPFIND = "<propfind xmlns='DAV:'><prop><getetag/></prop></propfind>"
SYNC = "<sync-collection xmlns='DAV:'><sync-token>{}</sync-token><sync-level>1</sync-level><prop/></sync-collection>"
EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Test//EN\r\nBEGIN:VEVENT\r\nUID:a\r\nDTSTAMP:20260101T000000Z\r\n"
    "DTSTART:20260101T100000Z\r\nSUMMARY:Very Private\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def ask(
    port: int, method: str, path: str, body: str = "", *, who: str = "", agent: str = "", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if who:
        sent["Authorization"] = "Basic " + base64.b64encode(f"{who}:pw-{who}".encode()).decode()
    if agent:
        sent["User-Agent"] = agent
    try:
        connection.request(method, path, body.encode() or None, sent)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


class Monitored:
    """A server with a port for monitoring."""

    def __init__(self, process: ServerProcess) -> None:
        self.process = process
        self.port = process.port
        self.monitoring = int(str(process.settings["monitoring.port"]))

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        status, headers, body = ask(self.monitoring, "GET", "/metrics")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    def has(self, name: str, **labels: str) -> bool:
        """Whether there is a sample of a name that has these labels."""
        wanted = set(labels.items())
        return any(found == name and wanted <= has for found, has in self.metrics())

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of a name that have these labels."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.metrics().items() if found == name and wanted <= has)

    def grows(self, name: str, by: float, **labels: str) -> Callable[[], bool]:
        before = self.value(name, **labels)
        return lambda: self.value(name, **labels) == before + by

    def workers(self) -> list[psutil.Process]:
        assert self.process.process is not None
        children = psutil.Process(self.process.process.pid).children()
        return [child for child in children if "server.process.worker" in " ".join(child.cmdline())]

    def log(self) -> str:
        return self.process.log.read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    folder = tmp_path_factory.mktemp("monitoring")
    (folder / "people.json").write_text(json.dumps(PEOPLE))
    settings = {
        "network.workers": 2,
        "monitoring.port": free_port(),
        "log.access_log": True,
        "log.slow_request": 0.000001,
    }
    made = ServerProcess(folder / "data", folder / "server.log", settings)
    made.command("principals", "load", str(folder / "people.json"))
    with running(made):
        yield Monitored(made)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("own", [True, False])
def test_health_is_told_to_everyone(server: Monitored, path: str, own: bool) -> None:
    port = server.monitoring if own else server.port
    status, headers, body = ask(port, "GET", path)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body)["status"] in ("alive", "ready")
    assert ask(port, "HEAD", path)[::2] == (200, b"")
    status, headers, _ = ask(port, "PUT", path, "x")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert headers["Content-Type"] == "application/problem+json"


def test_errors_are_problems(server: Monitored) -> None:
    for port, path, who, status, problem in (
        (server.port, "/metrics", "", 401, "sign-in-required"),
        (server.port, "/metrics", "ada", 403, "access-denied"),
        (server.monitoring, "/nowhere", "", 404, "not-found"),
    ):
        answered, headers, body = ask(port, "GET", path, who=who)
        assert (answered, headers["Content-Type"]) == (status, "application/problem+json")
        assert json.loads(body)["type"] == f"/problems/{problem}"
        assert ("WWW-Authenticate" in headers) == (status == 401)


@pytest.mark.parametrize("own", [True, False])
def test_a_body_is_not_waited_for(server: Monitored, own: bool) -> None:
    """The answer comes before the body, and one that is long is not received."""
    with socket.create_connection(("127.0.0.1", server.monitoring if own else server.port), timeout=30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                connection.sendall(bytes(100_000))


def test_metrics_are_for_administrators_on_the_main_port(server: Monitored) -> None:
    assert ask(server.port, "GET", "/metrics")[0] == 401
    assert ask(server.port, "GET", "/metrics", who="ada")[0] == 403
    status, _, body = ask(server.port, "GET", "/metrics", who="root")
    assert status == 200
    assert b"koyomi_requests_total" in body


def test_requests_are_counted_over_all_workers(server: Monitored) -> None:
    kinds = {"method": "PROPFIND", "report": "", "client": "davx5"}
    counted = server.grows("koyomi_requests_total", 40, **kinds, status="207")
    timed = server.grows("koyomi_request_duration_seconds_count", 40, **kinds)
    statements = server.value("koyomi_request_statements_total", method="PROPFIND")
    connections = []
    for _ in range(4):  # each of the two workers has some of them
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        connection.connect()
        connections.append(connection)
    token = base64.b64encode(b"ada:pw-ada").decode()
    for _ in range(10):
        for connection in connections:
            connection.request(
                "PROPFIND", "/calendars/users/ada/calendar/", PROPFIND,
                {"Depth": "1", "Authorization": f"Basic {token}", "User-Agent": "DAVx5/4.4 (dav4jvm; okhttp/4.12.0)"},
            )  # fmt: skip
            answer = connection.getresponse()
            assert answer.status == 207
            answer.read()
    until(counted)
    until(timed)
    assert server.value("koyomi_request_statements_total", method="PROPFIND") >= statements + 40
    until(lambda: server.value("koyomi_connections") >= 4)
    for connection in connections:
        connection.close()
    assert server.value("koyomi_request_database_seconds_total", method="PROPFIND") > 0
    assert server.value("koyomi_database_up") == 1


def test_counts_survive_a_worker_and_its_end_is_counted(server: Monitored) -> None:
    refused = server.grows("koyomi_refusals_total", 3, error="InvalidSyncToken")
    for _ in range(3):
        status, _, _ = ask(
            server.port, "REPORT", "/calendars/users/ada/calendar/", SYNC.format("koyomi-sync:c-1-1-999999"), who="ada"
        )
        assert status == 403
    until(refused)
    requests = server.value("koyomi_requests_total", report="sync-collection")
    assert requests >= 3
    died = server.grows("koyomi_worker_starts_total", 1, reason="died")
    os.kill(server.workers()[0].pid, signal.SIGKILL)
    until(died)
    assert server.value("koyomi_requests_total", report="sync-collection") == requests
    assert refused()
    replaced = server.grows("koyomi_worker_starts_total", 2, reason="replaced")
    assert server.process.process is not None
    server.process.process.send_signal(signal.SIGUSR2)
    until(replaced)
    assert server.value("koyomi_requests_total", report="sync-collection") == requests


def test_wrong_passwords_are_counted(server: Monitored) -> None:
    failed = server.grows("koyomi_sign_in_failures_total", 1)
    header = "Basic " + base64.b64encode(b"ada:no").decode()
    assert ask(server.port, "GET", "/", Authorization=header)[0] == 401
    until(failed)


def test_recording_rules_read_what_is_measured(server: Monitored) -> None:
    rules = RULES.read_text(encoding="utf-8")
    selected = re.findall(r"(koyomi_\w+)(?:\{([^}]*)\})?", rules)
    assert len(selected) == rules.count("expr:")
    path = "/calendars/users/ada/calendar/ruled.ics"
    assert (
        ask(server.port, "PUT", path, EVENT.replace("UID:a", "UID:ruled"), who="ada", Content_Type="text/calendar")[0]
        == 201
    )
    for name, labels in selected:
        wanted = dict(re.findall(r'(\w+)="(\w+)"', labels))
        until(lambda name=name, wanted=wanted: server.has(name, **wanted))
    until(lambda: server.value("koyomi_events_created_total") >= 1)
    assert server.value("koyomi_active_people", within="day") >= 1


def test_unknown_methods_and_reports_make_no_new_labels(server: Monitored) -> None:
    for n, method in enumerate(("PATCH", "LINK", "SEARCH", "NOTIFY", "PURGE")):
        ask(server.port, method, "/", who="ada")
        ask(server.port, "REPORT", "/calendars/users/ada/calendar/", f"<x{n} xmlns='urn:x'/>", who="ada")
    until(lambda: server.value("koyomi_requests_total", method="other") >= 5)
    until(lambda: server.value("koyomi_requests_total", report="other") >= 5)
    assert not [labels for _, labels in server.metrics() if "PATCH" in str(labels) or "x1" in str(labels)]


def test_the_log_has_what_was_done_and_nothing_that_is_secret(server: Monitored) -> None:
    agent = "Thunderbird/128.0"
    place = "/calendars/users/ada/calendar/private-name.ics"
    status, headers, _ = ask(server.port, "PUT", place, EVENT, who="ada", agent=agent, Content_Type="text/calendar")
    assert status == 201
    request_id = headers["X-Request-Id"]
    ask(server.port, "GET", place, who="ada")

    def lines() -> list[dict[str, object]]:
        found = (json.loads(line) for line in server.log().splitlines() if line.startswith("{"))
        return [line for line in found if line.get("request_id") == request_id]

    until(lambda: len(lines()) >= 2)
    access, slow = sorted(lines(), key=lambda line: str(line["event"]))
    assert (access["event"], slow["event"], slow["level"]) == ("request", "slow_request", "warning")
    expected = {"method": "PUT", "client": "thunderbird", "status": 201, "report": "create", "tree": "calendars"}
    assert {name: access[name] for name in expected} == expected
    assert isinstance(access["principal_id"], int)
    assert access["acting_for"] is None
    assert access["address"] == "127.0.0.1"
    assert int(str(access["statements"])) >= 1
    assert float(str(access["database_ms"])) > 0
    assert float(str(access["ms"])) > float(str(access["database_ms"]))
    for secret in ("pw-ada", "pw-root", "Very Private", "private-name", "Secret Name", "/users/ada"):
        assert secret not in server.log()


def test_readiness_tells_that_the_database_is_away(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = ServerProcess(data, tmp_path / "server.log", {"network.workers": 1, "monitoring.port": free_port()})
    with running(server):
        monitoring = int(str(server.settings["monitoring.port"]))
        assert ask(monitoring, "GET", "/readyz")[0] == 200
        (postmaster,) = [int(path.read_text().split()[0]) for path in data.rglob("postmaster.pid")]
        # Suspended, not ended: the server would start it again.
        os.kill(postmaster, signal.SIGSTOP)
        suspended = [postmaster]
        try:
            for child in psutil.Process(postmaster).children():
                child.suspend()
                suspended.append(child.pid)
            until(lambda: ask(monitoring, "GET", "/readyz")[0] == 503)
            assert json.loads(ask(monitoring, "GET", "/readyz")[2])["reasons"]
            assert ask(server.port, "GET", "/readyz")[0] == 503
            assert ask(monitoring, "GET", "/healthz")[0] == 200
            status, _, body = ask(monitoring, "GET", "/metrics")
            assert (status, b"koyomi_database_up 0.0" in body) == (200, True)
        finally:
            for pid in suspended:
                os.kill(pid, signal.SIGCONT)
        until(lambda: ask(monitoring, "GET", "/readyz")[0] == 200)


def test_what_is_no_http_is_counted_and_logged_without_its_content(server: Monitored) -> None:
    counted = server.grows("koyomi_malformed_requests_total", 2)
    for data in (b"hidden\r\n\r\n", b"GET http://[hidden HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
            connection.sendall(data)
            assert connection.recv(100).startswith(b"HTTP/1.0 400")
    until(counted)
    log = server.log()
    assert "hidden" not in log
    assert "Traceback" not in log
    lines = [json.loads(line) for line in log.splitlines() if "request_malformed" in line]
    assert [(line["level"], line["address"], line["error"]) for line in lines] == [
        ("info", "127.0.0.1", "BadHttpMethod"),
        ("info", "127.0.0.1", "InvalidURLError"),
    ]


def test_the_lag_of_the_event_loops_is_measured(server: Monitored) -> None:
    def late() -> float:
        """Samples above a quarter of a second."""
        found = server.metrics()
        counts = [value for (name, _), value in found.items() if name == "koyomi_event_loop_lag_seconds_count"]
        bound = ("koyomi_event_loop_lag_seconds_bucket", frozenset({("le", "0.25")}))
        return sum(counts) - found[bound]

    before = late()
    for worker in server.workers():
        worker.suspend()
        time.sleep(0.4)
        worker.resume()
    until(lambda: late() >= before + 2)


def test_jobs_are_counted(server: Monitored) -> None:
    until(lambda: server.value("koyomi_job_runs_total", kind="seals", outcome="succeeded") >= 1)
    found = server.metrics()
    for state in ("queued", "running", "failed"):
        assert ("koyomi_jobs", frozenset({("kind", "seals"), ("state", state)})) in found
    seals = frozenset({("kind", "seals")})
    assert found["koyomi_jobs_held", seals] == found["koyomi_jobs_failing", seals] == 0
    assert found["koyomi_jobs_oldest_seconds", seals] < 60
    assert found["koyomi_job_last_success_timestamp_seconds", seals] > 0
    assert server.value("koyomi_job_duration_seconds_count", kind="seals") >= 1
