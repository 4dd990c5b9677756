"""A real server whose changes go through a real Kafka: sharees hear of them, and Kafka's absence stops nobody."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.fixtures.kafka import MISSING, Kafka, kafka
from tests.integration.test_monitoring import EVENT, ask
from tests.server_process import COMMAND, ServerProcess, free_port, running

PATIENCE = 120.0
TOKEN = "<propfind xmlns='DAV:'><prop><sync-token/></prop></propfind>"
PEOPLE = {
    "principals": [
        {"kind": "individual", "name": "ada", "password": "pw-ada"},
        {"kind": "individual", "name": "bob", "password": "pw-bob"},
    ]
}


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def broker() -> Iterator[Kafka]:
    if MISSING:
        pytest.skip(MISSING)
    with kafka() as running_:
        yield running_


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, broker: Kafka, settings_of_a_database: dict[str, object]
) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("kafka")
    (folder / "people.json").write_text(json.dumps(PEOPLE))
    settings = {
        **settings_of_a_database,
        "network.workers": 2,
        "monitoring.port": free_port(),
        "events.bus": "kafka",
        "events.kafka.servers": broker.servers,
        "events.kafka.partitions": 3,
        "events.kafka.replication": 1,
        "events.kafka.min_in_sync": 1,
        "events.kafka.timeout": 5,
    }
    made = ServerProcess(folder / "data", folder / "server.log", settings)
    made.command("principals", "load", str(folder / "people.json"))
    made.command("share", "ada/calendar", "--with", "bob", "--rights", "read")
    with running(made):
        yield made


def readiness(server: ServerProcess) -> tuple[int, dict[str, object]]:
    port = server.settings["monitoring.port"]
    assert isinstance(port, int)
    status, _, body = ask(port, "GET", "/readyz")
    return status, json.loads(body)


def doctor(server: ServerProcess) -> str:
    words = [COMMAND, "doctor"]
    return subprocess.run(words, env=server.environment, capture_output=True, text=True, check=False).stdout


def put(server: ServerProcess, name: str) -> None:
    path = f"/calendars/users/ada/calendar/{name}.ics"
    assert ask(server.port, "PUT", path, EVENT.replace("UID:a", f"UID:{name}"), who="ada")[0] == 201


def home_of_bob(server: ServerProcess) -> str:
    """The token of Bob's home, which changes with everything that it shows."""
    answer = ask(server.port, "PROPFIND", "/calendars/users/bob/", TOKEN, who="bob", Depth="0", Content_Type="text/xml")
    token = answer[2].decode().partition("sync-token>")[2].partition("<")[0]
    assert answer[0] == 207, answer
    assert token, answer
    return token


def test_sharees_hear_of_changes_by_kafka_and_its_absence_stops_nobody(server: ServerProcess, broker: Kafka) -> None:
    until(lambda: "relay" in server.command("events", "positions"))
    until(lambda: "partition 2" in server.command("events", "positions"))
    assert readiness(server) == (200, {"status": "ready"})
    assert "Kafka: answers; the topic has 3 partitions" in doctor(server)

    before = home_of_bob(server)
    put(server, "by-kafka")
    until(lambda: home_of_bob(server) != before)

    # The servers run, and take the new partitions up.
    before = home_of_bob(server)
    assert "5 partitions" in server.command("events", "repartition", "5")
    until(lambda: "partition 4" in server.command("events", "positions"))
    put(server, "with-more-partitions")
    until(lambda: home_of_bob(server) != before)
    with pytest.raises(RuntimeError, match="can only grow"):
        server.command("events", "repartition", "5")

    broker.kill()
    before = home_of_bob(server)
    for number in range(5):
        put(server, f"while-{number}")
    until(lambda: readiness(server) == (200, {"status": "degraded", "unavailable": ["kafka"]}))
    assert "Kafka" in doctor(server)
    broker.start()
    until(lambda: readiness(server) == (200, {"status": "ready"}))
    until(lambda: home_of_bob(server) != before)
