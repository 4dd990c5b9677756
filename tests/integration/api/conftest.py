"""The JSON API on the server of the tests of the protocol: people with service tokens."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from admin_api import openapi
from admin_api.operations import BASE, Operation
from admin_api.table import OPERATIONS
from server.domain.actors import Actor
from server.domain.scopes import SCOPES
from server.services.principals import tokens
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.service_tokens import PostgresServiceTokens
from tests.integration.dav.client import Client, Reply
from tests.integration.dav.conftest import (
    NewPerson,
    Served,
    dav_dsn,
    dav_storage,
    new_person,
    serve,
    served,
)
from tests.integration.dav.person import Person

__all__ = ["dav_dsn", "dav_storage", "new_person", "serve", "served"]

ACTOR = Actor(None, "test")
_numbers = itertools.count(1)
DOCUMENT = openapi.document(OPERATIONS)
_REGISTRY: Registry[Any] = Registry().with_resource(
    "urn:koyomi:api", Resource.from_contents({**DOCUMENT, "$schema": "https://json-schema.org/draft/2020-12/schema"})
)
ROWS = {row.id: row for row in OPERATIONS}


def demand_schema(value: object, pointer: str) -> None:
    """Asserts that a value is as the schema at a pointer into the document says."""
    validator = Draft202012Validator({"$ref": f"urn:koyomi:api#{pointer}"}, registry=_REGISTRY)
    errors = [error.message for error in validator.iter_errors(value)]
    assert errors == [], errors


def demand_described(row: Operation, reply: Reply) -> None:
    """Asserts that a reply is one that the document describes."""
    described = DOCUMENT["paths"][row.path][row.method.lower()]["responses"]
    assert str(reply.status) in described, (row.id, reply.status, reply.body)
    assert reply.headers["X-Request-Id"]
    if reply.status >= 400:
        assert reply.headers["Content-Type"] == "application/problem+json"
        demand_schema(json.loads(reply.body), "/components/schemas/Problem")
        assert json.loads(reply.body)["status"] == reply.status
    elif row.response is None or reply.status == 304:
        assert reply.body == b""
    else:
        assert reply.headers["Content-Type"] == "application/json"
        escaped = row.path.replace("/", "~1")
        place = f"/paths/{escaped}/{row.method.lower()}/responses/{reply.status}/content/application~1json/schema"
        demand_schema(json.loads(reply.body), place)


@dataclass
class Caller:
    """Somebody who calls the API."""

    person: Person
    http: Client

    async def __call__(self, method: str, path: str, body: object = None, /, **headers: str) -> Reply:
        """A request to a path below the base."""
        if body is None:
            return await self.http(method, BASE + path, **headers)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        return await self.http(method, BASE + path, json.dumps(body), **{"Content_Type": kind, **headers})

    async def json(self, method: str, path: str, body: object = None, /, status: int = 200, **headers: str) -> Any:
        """The JSON of a reply that has a status."""
        reply = await self(method, path, body, **headers)
        assert reply.status == status, reply.body
        return json.loads(reply.body) if reply.body else None


NewCaller = Callable[..., Awaitable[Caller]]


async def token_of(served: Served, person: Person, *scopes: str, days: float = 1) -> str:
    """A service token of a person, with all scopes if none is named."""
    database = served.storage.database
    made = await tokens.add(
        ACTOR,
        PostgresDirectory(database),
        PostgresServiceTokens(database),
        person.uid,
        f"token {next(_numbers)}",
        frozenset(scopes or SCOPES),
        timedelta(days=days),
    )
    return made.token


@pytest_asyncio.fixture(loop_scope="session")
async def new_caller(served: Served, new_person: NewPerson) -> AsyncIterator[NewCaller]:
    """Makes people who call the API."""
    made: list[Caller] = []

    async def make(*scopes: str, of: Person | None = None, **options: object) -> Caller:
        person = of or await new_person(**options)
        client = Client(served.port, {"Authorization": f"Bearer {await token_of(served, person, *scopes)}"})
        made.append(Caller(person, client))
        return made[-1]

    yield make
    for caller in made:
        caller.http.close()


@pytest_asyncio.fixture(loop_scope="session")
async def anna(new_caller: NewCaller) -> Caller:
    """Somebody."""
    return await new_caller()


@pytest_asyncio.fixture(loop_scope="session")
async def root(new_caller: NewCaller) -> Caller:
    """An administrator."""
    return await new_caller(roles=frozenset({"admin"}))


@pytest.fixture
def anonymous(served: Served) -> Client:
    """Nobody."""
    return Client(served.port, {})
