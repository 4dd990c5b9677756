"""A server for the clients."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.fixtures.postgres import (
    cluster,
    migrated_template,
    postgres_binaries,
    settings_of_a_database,
    short_folder,
)
from tests.server_process import ServerProcess, running

__all__ = ["cluster", "migrated_template", "postgres_binaries", "settings_of_a_database", "short_folder"]

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Account:
    """A person of the server, with nothing in their home but what every home has."""

    url: str
    name: str
    password: str

    @property
    def email(self) -> str:
        """The address that others invite them by."""
        return f"{self.name}@example.com"

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


def make_accounts(server: ServerProcess, count: int, *others: dict[str, object]) -> list[Account]:
    """Make people, and other principals as the document of `koyomi principals load` has them."""
    names, password = [f"person{next(_numbers)}" for _ in range(count)], "a password"
    made = [Account(server.url, name, password) for name in names]
    people: list[dict[str, object]] = [
        {
            "kind": "individual",
            "name": each.name,
            "display_name": each.name.title(),
            "emails": [each.email],
            "password": password,
        }
        for each in made
    ]
    file = server.log.with_name(f"{names[0]}.json")
    file.write_text(json.dumps({"principals": [*people, *others]}))
    server.command("principals", "load", str(file))
    return made


@pytest.fixture(scope="session")
def new_accounts(interop_server: ServerProcess) -> Callable[[int], list[Account]]:
    """Makes people."""
    return lambda count: make_accounts(interop_server, count)


@pytest.fixture
def account(new_accounts: Callable[[int], list[Account]]) -> Account:
    """A person."""
    return new_accounts(1)[0]


@pytest.fixture
def three(new_accounts: Callable[[int], list[Account]]) -> list[Account]:
    """Three people, who can invite one another."""
    return new_accounts(3)
