from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from server.domain.objects import Collection, Home, HomeKind, Target
from server.domain.principals import PrincipalKind
from storage_plugins.postgres.changes.homes import create_homes
from storage_plugins.postgres.embedded.server import Cluster
from storage_plugins.postgres.storage import PostgresStorage
from storage_plugins.postgres.upkeep.check import check
from tests.fixtures.postgres import create_database, drop_database
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.values import etag_of

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Person:
    """A principal with homes, and short ways to what they have."""

    storage: PostgresStorage
    id: int
    uid: str
    name: str

    async def home(self, kind: HomeKind = "calendar") -> Home:
        found = (await self.storage.resolve(self.id, Target(self.uid, "uid", kind))).home
        assert found is not None
        return found

    async def collection(self, name: str = "calendar", kind: HomeKind = "calendar") -> Collection:
        found = (await self.storage.resolve(self.id, Target(self.uid, "uid", kind, name))).collection
        assert found is not None
        return found

    async def value(self, sql: str) -> Any:
        """The first value that a statement gives, whose $1 is the calendar home."""
        return await self.storage.database.fetchval(sql, (await self.home()).id)


async def make_person(storage: PostgresStorage, kind: PrincipalKind = "individual", name: str = "") -> Person:
    name = name or f"person{next(_numbers)}"
    async with storage.database.transaction() as connection:
        id_ = await connection.fetchval(
            "insert into principal (uid, kind, name, name_key, display_name) values ($1, $2, $3, $3, $4) returning id",
            f"uid-{name}",
            kind,
            name,
            name.title(),
        )
        await create_homes(connection, id_, kind)
    return Person(storage, id_, f"uid-{name}", name)


async def assert_consistent(storage: PostgresStorage) -> None:
    assert [difference async for difference in check(storage.database, etag_of)] == []


async def deadlocks(storage: PostgresStorage) -> int:
    """How many deadlocks there were in the storage's database. All writes lock in one order: there must be none."""
    await storage.database.fetch("select pg_stat_force_next_flush()")
    sql = "select deadlocks from pg_stat_database where datname = current_database()"
    return await storage.database.fetchval(sql)


@pytest_asyncio.fixture(loop_scope="session", scope="package")
async def storage_dsn(cluster: Cluster, migrated_template: str) -> AsyncIterator[str]:
    name = await create_database(cluster, migrated_template)
    yield cluster.dsn(name)
    await drop_database(cluster, name)


@pytest_asyncio.fixture(loop_scope="session", scope="package")
async def storage(storage_dsn: str) -> AsyncIterator[PostgresStorage]:
    """A storage that the tests share, each with people of its own; what is derived in it is checked at the end."""
    async with MemberStorage(storage_dsn) as opened:
        yield opened
        await assert_consistent(opened)
        assert await deadlocks(opened) == 0


@pytest_asyncio.fixture(loop_scope="session")
async def person(storage: PostgresStorage) -> Person:
    return await make_person(storage)


@pytest.fixture
def new_person(storage: PostgresStorage):
    return lambda kind="individual": make_person(storage, kind)
