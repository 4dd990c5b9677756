"""Administrators who read what is others', and refusals, are recorded: once an hour, and for nobody else."""

from __future__ import annotations

import pytest

from server.domain.changes import Cause
from server.domain.errors import Unavailable
from server.domain.principals import DIRECTORY
from server.domain.privileges import Privilege
from server.services import watching
from server.services.lookup import Lookup
from server.services.watching import Watching
from server.storage.acts import Act
from tests.unit.services.world import World, event, target_of


class Record:
    """Keeps acts, or is out of order."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self.error: Exception | None = None

    async def record(self, act: Act) -> None:
        if self.error is not None:
            raise self.error
        self.acts.append(act)


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def watched(world: World, record: Record) -> World:
    world.lookup = Lookup(world.storage, watching=Watching(record))
    return world


async def test_an_administrator_who_reads_is_recorded_once_for_each_home(watched: World, record: Record) -> None:
    await watched.put("anna", "anna/calendar/a", event("a"))
    for path in ("anna", "anna/calendar", "anna/calendar/a", "anna/calendar/none"):
        await watched.find("root", path)
    await watched.find("root", "ben/calendar")
    assert [(act.kind, act.cause.principal_id, act.subject_id, act.details) for act in record.acts] == [
        ("administrator-read", watched.ids["root"], watched.ids[name], {"home": "calendar"}) for name in ("anna", "ben")
    ]
    assert record.acts[0].cause.request_id == "request-1"


async def test_nobody_else_is_recorded(watched: World, record: Record) -> None:
    await watched.find("root", "root/calendar")
    await watched.find("cli", "anna/calendar")
    await watched.find("anna", "anna/calendar")
    await watched.find("root", "anna/calendar", Privilege.WRITE_CONTENT)
    await watched.find("root", "anna/calendar", Privilege.READ_FREE_BUSY)
    await watched.principal("root", "anna")
    await watched.lookup.find(await watched.actor("root"), target_of(f"{DIRECTORY}/book"), Privilege.READ)
    assert record.acts == []


async def test_what_cannot_be_recorded_is_not_read(watched: World, record: Record) -> None:
    record.error = Unavailable()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await watched.find("root", "anna/calendar")
    record.error = None
    await watched.find("root", "anna/calendar")
    assert len(record.acts) == 1


async def test_a_flood_of_refusals_is_recorded_in_part(record: Record) -> None:
    watcher = Watching(record)
    anna = Cause(1, "caldav", "one")
    for concerned in range(100, 200):
        for _ in range(3):
            await watcher.refused(anna, concerned, Privilege.READ, "GET")
    assert len(record.acts) == watching.REFUSALS
    first = record.acts[0]
    assert (first.kind, first.cause, first.subject_id) == ("access-refused", anna, 100)
    assert first.details == {"need": "read", "method": "GET"}
    await watcher.refused(Cause(2, "caldav"), None, Privilege.WRITE_ACL, "ACL")
    await watcher.refused(Cause(None, "caldav"), None, Privilege.READ, "GET")
    assert [act.cause.principal_id for act in record.acts[watching.REFUSALS :]] == [2]


async def test_a_refusal_that_cannot_be_recorded_stays_one(record: Record) -> None:
    record.error = Unavailable()
    await Watching(record).refused(Cause(1, "caldav"), 2, Privilege.READ, "GET")
    assert record.acts == []
