"""What TLS costs: `.venv/bin/python -m benchmarks.tls`.

Two servers with the same data, one of them with a certificate of its own, are asked the same in turn; what counts is
the CPU time of their worker processes for each request. A new connection is a full handshake (TLS 1.3), as an app
makes it when it wakes up.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import trustme

from tests.server_process import ServerProcess, running

EVENTS = 1000
ROUNDS = 7
SIGNED = {"Authorization": f"Basic {base64.b64encode(b'someone:a password for TLS').decode()}"}
PEOPLE = {
    "principals": [
        {"id": "someone", "name": "someone", "kind": "individual", "emails": [], "password": "a password for TLS"}
    ]
}
CALENDAR = "/calendars/users/someone/calendar/"
ETAGS = '<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><D:resourcetype/></D:prop></D:propfind>'
EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Koyomi//benchmarks//EN
BEGIN:VEVENT
UID:{number}
DTSTAMP:20260101T000000Z
DTSTART:2026{month:02}{day:02}T090000Z
DURATION:PT1H
SUMMARY:Talk number {number} about the state of things
DESCRIPTION:{text}
END:VEVENT
END:VCALENDAR
"""

Connect = Callable[[], http.client.HTTPConnection]


class SecuredServer(ServerProcess):
    """A server whose port speaks TLS."""

    def answers(self) -> bool:
        """Whether it takes connections."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: str = "", **headers: str) -> bytes:
    """One request; fails when it is not answered as it should be."""
    connection.request(method, path, body or None, {**SIGNED, **headers})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status not in (200, 201, 207):
        raise RuntimeError(f"{method} {path} was answered with {answer.status}")
    return content


def worker_seconds(server: ServerProcess) -> float:
    """CPU time of the worker processes so far."""
    times = [
        process.cpu_times()
        for root in server.root_pids()
        for process in psutil.Process(root).children(recursive=True)
        if any("server.process.worker" in word for word in process.cmdline())
    ]
    return sum(spent.user + spent.system for spent in times)


def fill(connection: http.client.HTTPConnection) -> None:
    """Put the events into the calendar."""
    for number in range(EVENTS):
        text = EVENT.format(number=number, month=number % 12 + 1, day=number % 28 + 1, text="More about it. " * 40)
        ask(connection, "PUT", f"{CALENDAR}{number}.ics", text, **{"Content-Type": "text/calendar"})


def work(connect: Connect) -> Iterator[tuple[str, int, Callable[[], object]]]:
    """What is measured: its name, how often in a round, and the work."""
    kept = connect()
    yield "get", 1000, lambda: ask(kept, "GET", f"{CALENDAR}500.ics")
    yield "PROPFIND of 1,000 ETags", 200, lambda: ask(kept, "PROPFIND", CALENDAR, ETAGS, Depth="1")

    def anew() -> None:
        connection = connect()
        ask(connection, "GET", f"{CALENDAR}500.ics")
        connection.close()

    yield "get, each on a new connection", 300, anew


def main() -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        authority = trustme.CA()
        made = authority.issue_cert("127.0.0.1", "localhost")
        certificate, key = folder / "cert.pem", folder / "key.pem"
        key.write_bytes(made.private_key_pem.bytes())
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        context = ssl.create_default_context()
        authority.configure_trust(context)
        (folder / "people.json").write_text(json.dumps(PEOPLE))
        plain = ServerProcess(folder / "plain", folder / "plain.log", {"network.workers": 1})
        secured = SecuredServer(
            folder / "secured",
            folder / "secured.log",
            {"network.workers": 1, "network.tls_cert": certificate, "network.tls_key": key},
        )
        servers: list[tuple[ServerProcess, Connect]] = [
            (plain, lambda: http.client.HTTPConnection("127.0.0.1", plain.port)),
            (secured, lambda: http.client.HTTPSConnection("localhost", secured.port, context=context)),
        ]
        for server, connect in servers:
            server.command("principals", "load", str(folder / "people.json"))
            stack.enter_context(running(server))
            fill(connect())
        print("| worker's CPU time per request, ms | plain | TLS | more |\n| --- | --: | --: | --: |")
        for (title, times, on_plain), (_, _, on_tls) in zip(*(work(connect) for _, connect in servers), strict=True):
            spent: list[list[float]] = [[], []]
            for _ in range(ROUNDS):
                for (server, _), act, seconds in zip(servers, (on_plain, on_tls), spent, strict=True):
                    before = worker_seconds(server)
                    for _ in range(times):
                        act()
                    seconds.append((worker_seconds(server) - before) / times * 1000)
            without, within = map(statistics.median, spent)
            print(f"| {title} | {without:.2f} | {within:.2f} | {within - without:.2f} |", flush=True)


if __name__ == "__main__":
    main()
