"""A server for the clients."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.fixtures.postgres import cluster, postgres_binaries, short_folder
from tests.server_process import ServerProcess, running

__all__ = ["cluster", "postgres_binaries", "short_folder"]

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Account:
    """A person of the server, with nothing in their home but what every home has."""

    url: str
    name: str
    password: str

    def home(self, tree: str = "calendars") -> str:
        """The URL of a home, with a slash at its end."""
        return f"{self.url}/{tree}/users/{self.name}/"


@pytest.fixture(scope="session")
def interop_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of two workers, as clients meet it."""
    folder = tmp_path_factory.mktemp("interop")
    server = ServerProcess(folder / "data", folder / "server.log", {"network.workers": 2})
    with running(server):
        yield server
    errors = [line for line in server.log.read_text().splitlines() if "Traceback" in line or '"level": "error"' in line]
    assert not errors, f"{errors[:5]} in {server.log}"


@pytest.fixture(scope="session")
def new_account(interop_server: ServerProcess) -> Callable[[], Account]:
    """Makes a person."""

    def make() -> Account:
        name, password = f"person{next(_numbers)}", "a password"
        person = {"kind": "individual", "name": name, "display_name": name.title(), "password": password}
        file = interop_server.log.with_name(f"{name}.json")
        file.write_text(json.dumps({"principals": [person]}))
        interop_server.command("principals", "load", str(file))
        return Account(interop_server.url, name, password)

    return make


@pytest.fixture
def account(new_account: Callable[[], Account]) -> Account:
    """A person."""
    return new_account()
