"""200 attendees answer at once, by two servers on one database (RFC 6638 §3.2.2.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import cycle

import pytest_asyncio

from server.domain.changes import Cause
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.embedded.server import Cluster
from storage_plugins.postgres.storage import PostgresStorage
from tests.fixtures.postgres import create_database, drop_database
from tests.integration.dav.conftest import Served, serving
from tests.integration.dav.person import Person
from tests.integration.dav.test_implicit_scheduling import line, meeting, settled, text_of
from tests.integration.storage.conftest import deadlocks

ATTENDEES = 200


@pytest_asyncio.fixture(loop_scope="session")
async def own_dsn(cluster: Cluster, migrated_template: str) -> AsyncIterator[str]:
    """A database whose jobs no other server runs."""
    name = await create_database(cluster, migrated_template)
    yield cluster.dsn(name)
    await drop_database(cluster, name)


async def people_of(*servers: Served) -> list[Person]:
    """An organizer and the attendees, each with one of the servers."""
    names = [f"person{number}" for number in range(ATTENDEES + 1)]
    changes = [
        PrincipalChange(
            uid=f"uid-{name}", kind="individual", name=name, display_name=name, addresses=(f"{name}@example.com",)
        )
        for name in names
    ]
    ids = await PostgresDirectory(servers[0].storage.database).write_principals(changes, Cause(None, "test"))
    return [
        Person(server.client(Remote_User=name), id_, f"uid-{name}", name, "individual")
        for server, name, id_ in zip(cycle(servers), names, ids, strict=False)
    ]


async def answer_at_once(attendees: list[Person], paths: list[str], partstat: str) -> None:
    """All write their answers, which they have prepared, at the same time."""
    texts = []
    for each, path in zip(attendees, paths, strict=True):
        text = await text_of(each, path)
        before = line(text, each)
        texts.append(text.replace(before, f"ATTENDEE;PARTSTAT={partstat}:mailto:{each.name}@example.com"))
    puts = (each.put(path, text) for each, path, text in zip(attendees, paths, texts, strict=True))
    assert {put.status for put in await asyncio.gather(*puts)} == {204}


async def test_200_answers_at_once(own_dsn: str) -> None:
    """Copies learn of others' answers only where the setting allows it for so many attendees."""
    settings = {"scheduling.refresh_delay": 0.5, "scheduling.max_refreshed": ATTENDEES - 2}
    async with PostgresStorage(own_dsn, DatabaseLimits(connections=2)) as storage:
        async with serving(own_dsn, storage, settings) as first, serving(own_dsn, storage, settings) as second:
            organizer, *attendees = people = await people_of(first, second)
            path = f"{organizer.calendar}m.ics"
            assert (await organizer.put(path, meeting(organizer, *attendees))).status == 201
            await settled(first)
            paths = [(await each.names(each.calendar))[0] for each in attendees]
            await answer_at_once(attendees, paths, "ACCEPTED")
            await settled(first)
            own = await text_of(organizer, path)
            assert [each.name for each in attendees if "PARTSTAT=ACCEPTED" not in line(own, each)] == []
            for each, copy in zip(attendees[:3], paths, strict=False):
                assert (await text_of(each, copy)).count("PARTSTAT=ACCEPTED") == 2
            for each in people:
                each.http.close()
        settings["scheduling.max_refreshed"] = ATTENDEES
        async with serving(own_dsn, storage, settings) as first, serving(own_dsn, storage, settings) as second:
            for each, server in zip(people, cycle((first, second)), strict=False):
                each.http.port = server.port
            await answer_at_once(attendees, paths, "TENTATIVE")
            await settled(first)
            own = await text_of(organizer, path)
            assert [each.name for each in attendees if "PARTSTAT=TENTATIVE" not in line(own, each)] == []
            for each, copy in zip(attendees, paths, strict=True):
                assert (await text_of(each, copy)).count("PARTSTAT=TENTATIVE") == ATTENDEES
            for each in people:
                each.http.close()
        assert await deadlocks(storage) == 0
