"""The walk-throughs of docs/scheduling.md, delegation.md and rooms.md, as printed, on the demo organisation."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.interop.walk_through import perform
from tests.server_process import COMMAND, ServerProcess, running


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, dict[str, str]]]:
    """The demo organisation, and the names and passwords that were printed, as curl takes them."""
    folder = tmp_path_factory.mktemp("walk-through")
    server = ServerProcess(folder / "data", folder / "server.log", {"network.workers": 2})
    printed = server.command("demo")
    people = {name: f"{name}:{password}" for name, password in re.findall(r"^  (\w+) +(\S+) ", printed, re.MULTILINE)}
    with running(server):
        yield server, people


def test_the_walk_through_of_scheduling(demo: tuple[ServerProcess, dict[str, str]]) -> None:
    server, people = demo
    printed = "URL=http://127.0.0.1:5232 CLARA=clara:PASSWORD BEN=ben:PASSWORD"
    perform("scheduling.md", printed, f"URL={server.url} CLARA={people['clara']} BEN={people['ben']}")


def test_the_walk_through_of_delegation(demo: tuple[ServerProcess, dict[str, str]]) -> None:
    server, people = demo
    printed = (
        "URL=http://127.0.0.1:5232 CLARA=clara:PASSWORD BEN=ben:PASSWORD JUN=jun:PASSWORD\n"
        'koyomi() { .venv/bin/koyomi "$@" --data var; }'
    )
    given = (
        f"URL={server.url} CLARA={people['clara']} BEN={people['ben']} JUN={people['jun']}\n"
        f'koyomi() {{ {COMMAND} "$@" --data {server.data}; }}'
    )
    perform("delegation.md", printed, given)


def test_the_walk_through_of_rooms(demo: tuple[ServerProcess, dict[str, str]]) -> None:
    server, people = demo
    printed = (
        "URL=http://127.0.0.1:5232 CLARA=clara:PASSWORD BEN=ben:PASSWORD JUN=jun:PASSWORD\n"
        'koyomi() { .venv/bin/koyomi "$@" --data var; }'
    )
    given = (
        f"URL={server.url} CLARA={people['clara']} BEN={people['ben']} JUN={people['jun']}\n"
        f'koyomi() {{ {COMMAND} "$@" --data {server.data}; }}'
    )
    perform("rooms.md", printed, given)
