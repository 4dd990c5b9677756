"""The attributes of rooms: written with the principal, read together, and named by change sets."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio

from server.domain.changes import ChangeSet, Put, UnchangedRoom
from server.domain.errors import NotFound, WriteConflict
from server.domain.principal_search import PrincipalSearch, Term
from server.domain.principals import Office
from server.domain.rooms import Position, Room, RoomSearch
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.changes.homes import create_homes
from storage_plugins.postgres.database import connect
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.migrations import migrate, migrations
from tests.integration.storage.conftest import Person
from tests.integration.storage.values import CAUSE, LIMITS, content
from tests.unit.services.memory_storage.storage import memory

NUMBERS = itertools.count(1)
WHOLE = Room(
    0,
    "PARKING",
    "Zürich",
    "Main building",
    "3",
    "3.14",
    12,
    frozenset({"video", "whiteboard"}),
    "wheelchair",
    Position(47.376888, 8.541694),
    "https://example.com/room.jpg",
    "mailto:desk@example.com",
    "Europe/Zurich",
    "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
    {"carpet": "blue"},
    timedelta(minutes=5),
    timedelta(minutes=10),
    4,
    2,
    None,
    {"allow_recurring": False},
)


class Rooms:
    def __init__(self, storage, directory, access):
        self.storage, self.directory, self.access = storage, directory, access
        self.run = f"run{next(NUMBERS)}"
        """A building that no other test has."""

    async def add(self, name="room", room=None, kind="room"):
        change = PrincipalChange(kind=kind, name=f"{self.run}-{name}", room=room)
        return (await self.directory.write_principals([change], CAUSE))[0]

    async def set(self, id_, **fields):
        await self.directory.write_principals([PrincipalChange(id_, **fields)], CAUSE)

    async def room(self, id_):
        return (await self.storage.rooms([id_]))[id_]

    async def names(self, **wanted):
        found = await self.storage.rooms_found(RoomSearch(**{"building": self.run, **wanted}))
        return [each.principal.name.removeprefix(f"{self.run}-") for each in found]


@pytest.fixture(params=["database", "memory"])
def storages(request):
    return request.param


@pytest_asyncio.fixture
async def rooms(storages, storage):
    if storages == "database":
        return Rooms(storage, PostgresDirectory(storage.database), PostgresAccess(storage))
    found = memory()
    return Rooms(found.storage, found.directory, found.access)


async def test_all_attributes_are_kept(rooms):
    id_ = await rooms.add(room=WHOLE)
    there = await rooms.room(id_)
    assert replace(there, principal_id=0, version=0) == WHOLE
    assert there.principal_id == id_
    assert there.version > 0


async def test_what_has_no_attributes_has_the_type_of_its_kind(rooms):
    one, other = await rooms.add(), await rooms.add("other", kind="resource")
    assert [(await rooms.room(id_)).type for id_ in (one, other)] == ["ROOM", "EQUIPMENT"]
    assert (await rooms.room(one)).capacity is None


async def test_a_write_on_an_older_state_is_refused(rooms):
    id_ = await rooms.add(room=WHOLE)
    read = await rooms.room(id_)
    await rooms.set(id_, room=replace(read, capacity=20))
    with pytest.raises(WriteConflict):
        await rooms.set(id_, room=replace(read, capacity=30))
    assert (await rooms.room(id_)).capacity == 20


async def test_every_change_of_the_principal_moves_the_version(rooms):
    id_ = await rooms.add(room=WHOLE)
    versions = [(await rooms.room(id_)).version]
    for fields in ({"auto_schedule": {"mode": "automatic"}}, {"display_name": "Hall"}, {"addresses": ()}):
        await rooms.set(id_, **fields)
        versions.append((await rooms.room(id_)).version)
    assert versions == sorted(set(versions))


async def test_people_have_no_attributes_of_rooms(rooms):
    person = await rooms.add("person", kind="individual")
    assert await rooms.storage.rooms([person]) == {}
    with pytest.raises(NotFound):
        await rooms.set(person, room=WHOLE)


async def test_an_office_is_kept_until_it_is_removed(rooms):
    person = await rooms.add("person", kind="individual")

    async def office():
        return (await rooms.directory.principal(f"{rooms.run}-person")).office

    assert await office() is None
    await rooms.set(person, office=Office("Main building", "3"))
    await rooms.set(person, display_name="Ann")
    assert await office() == Office("Main building", "3")
    await rooms.set(person, office=Office())
    assert await office() is None


async def test_a_change_set_on_an_older_room_is_refused(rooms):
    id_ = await rooms.add(room=WHOLE)
    read = await rooms.room(id_)
    found = await rooms.directory.principal(f"{rooms.run}-room")
    calendar = await Person(rooms.storage, id_, found.uid, found.name).collection()

    async def write(name, version):
        put = Put(calendar, name, content(name), None)
        await rooms.storage.apply(ChangeSet((put,), LIMITS, CAUSE, unchanged=(UnchangedRoom(id_, version),)))

    await write("a", read.version)
    await rooms.set(id_, room=replace(read, capacity=20))
    with pytest.raises(WriteConflict):
        await write("b", read.version)
    await write("b", (await rooms.room(id_)).version)
    await rooms.directory.delete_principal(id_, CAUSE, purge=False)
    with pytest.raises(WriteConflict):
        await write("c", read.version + 1)


async def test_rooms_are_found_by_what_they_must_have(rooms):
    features = frozenset({"video"})
    place = Room(0, site="North", building=rooms.run.upper(), floor="1")
    await rooms.add("large", replace(place, capacity=20, features=features | {"whiteboard"}))
    await rooms.add("small", replace(place, capacity=4, features=features, floor="2"))
    await rooms.add("unknown", place)
    await rooms.add("car", replace(place, type="PARKING", site="South"))
    assert await rooms.names() == ["car", "large", "small", "unknown"]
    assert await rooms.names(least_capacity=5) == ["large"]
    assert await rooms.names(least_capacity=4, features=features) == ["large", "small"]
    assert await rooms.names(features=frozenset({"video", "whiteboard"})) == ["large"]
    assert await rooms.names(types=frozenset({"PARKING", "EQUIPMENT"})) == ["car"]
    assert await rooms.names(site="nORTH", floor="1") == ["large", "unknown"]
    first = await rooms.storage.rooms_found(RoomSearch(building=rooms.run), limit=2)
    rest = await rooms.storage.rooms_found(RoomSearch(building=rooms.run), after=first[-1].principal.name)
    assert [each.principal.name for each in (*first, *rest)] == [
        f"{rooms.run}-{name}" for name in ("car", "large", "small", "unknown")
    ]


async def test_deleted_rooms_are_not_found(rooms):
    id_ = await rooms.add(room=Room(0, building=rooms.run))
    await rooms.directory.delete_principal(id_, CAUSE, purge=False)
    assert await rooms.names() == []
    assert await rooms.storage.rooms([id_]) == {}


async def test_a_hall_has_parts_and_none_of_itself(rooms):
    hall = await rooms.add("hall")
    west, east = await rooms.add("west", Room(0, parent=hall)), await rooms.add("east", Room(0, parent=hall))
    assert await rooms.storage.parts_of([hall, west]) == {hall: [west, east], west: []}
    for room, parent in ((hall, hall), (hall, west)):
        with pytest.raises(NotFound):
            await rooms.set(room, room=replace(await rooms.room(room), parent=parent))
    person = await rooms.add("person", kind="individual")
    with pytest.raises(NotFound):
        await rooms.set(west, room=replace(await rooms.room(west), parent=person))
    await rooms.directory.delete_principal(east, CAUSE, purge=False)
    assert await rooms.storage.parts_of([hall]) == {hall: [west]}
    # The parts of a hall that is gone are rooms of their own, which can be changed.
    read = await rooms.room(west)
    await rooms.directory.delete_principal(hall, CAUSE, purge=False)
    there = await rooms.room(west)
    assert (there.parent, there.version > read.version) == (None, True)
    await rooms.set(west, room=replace(there, capacity=7))


async def test_a_room_that_the_version_before_made_gets_attributes_with_its_next_change(storage):
    """Servers of the version before make principals without a row in `room`."""
    async with storage.database.transaction() as connection:
        id_ = await connection.fetchval(
            "insert into principal (uid, kind, name, name_key) values ($1, 'resource', $1, $1) returning id", "older"
        )
        await create_homes(connection, id_, "resource")
    directory = PostgresDirectory(storage.database)
    read = (await storage.rooms([id_]))[id_]
    assert (read.type, read.version) == ("EQUIPMENT", 0)
    await directory.write_principals([PrincipalChange(id_, room=replace(read, capacity=3))], CAUSE)
    assert (await storage.rooms([id_]))[id_].capacity == 3
    with pytest.raises(WriteConflict):
        await directory.write_principals([PrincipalChange(id_, room=read)], CAUSE)


def _term(attribute: str, text: str, match: str = "contains", *, caseless: bool = True) -> Term:
    return Term("room", text, match, caseless, attribute)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (_term("type", "parking", "equals"), {"car"}),
        (_term("type", "ROOM"), {"hall"}),
        (_term("type", "equip"), {"bare"}),
        (_term("site", "ZÜR", "starts-with"), {"hall"}),
        (_term("site", "rich"), {"hall"}),
        (_term("site", "rich", "starts-with"), set()),
        (_term("site", "ZÜR", "starts-with", caseless=False), set()),
        (_term("site", "Zür", "starts-with", caseless=False), {"hall"}),
        (_term("building", "north wing"), {"hall"}),
        (_term("building", "50%_"), {"car"}),
        (_term("building", "5%0"), set()),
        (_term("floor", "3", "equals"), {"hall"}),
        (_term("floor", "3", "equals", caseless=False), {"hall"}),
        (_term("number", "3.14", "equals"), {"hall"}),
        (_term("capacity", "12", "equals"), {"hall"}),
        (_term("capacity", "12", "equals", caseless=False), {"hall"}),
        (_term("features", "VIDEO", "equals"), {"hall"}),
        (_term("features", "white", "starts-with", caseless=False), {"hall"}),
        (_term("accessibility", "wheel"), {"hall"}),
        (_term("contact", "desk@"), {"hall"}),
        (_term("position", "geo:47.3"), {"hall"}),
        (_term("photograph", "room.jpg", caseless=False), {"hall"}),
        (_term("time_zone", "europe/"), {"hall"}),
        (_term("time_zone", "europe/", caseless=False), set()),
        (Term("word", "wing"), {"hall"}),
        (Term("word", "ing"), set()),
        (Term("word", "VIDEO"), {"hall"}),
        (Term("word", "blue carp"), {"hall"}),
        (Term("word", "3.1"), {"hall"}),
    ],
    ids=str,
)
async def test_rooms_are_searched_by_every_attribute(rooms, term, expected):
    building = f"{rooms.run} North Wing"
    whole = replace(WHOLE, type="ROOM", site="Zürich", building=building, metadata={"carpet": "blue carpet"})
    await rooms.add("hall", whole)
    await rooms.add("car", Room(0, "PARKING", building=f"{rooms.run} 50%_"))
    await rooms.add("bare", kind="resource")
    await rooms.add("person", kind="individual")
    mine = Term("name", rooms.run, "starts-with")
    found = await rooms.access.search(PrincipalSearch(((mine,), (term,)), ("room", "resource", "individual")), 100)
    assert {each.name.removeprefix(f"{rooms.run}-") for each in found} == expected


async def test_rooms_that_were_there_before_get_attributes_and_cards(empty_database):
    before = [each for each in migrations() if each.number < 62]
    await migrate(empty_database, finish=True, known=before)
    connection = await connect(empty_database)
    make = "insert into principal (uid, kind, name, name_key) values ($1, $2, $1, $1)"
    for name, kind in (("hall", "room"), ("van", "resource"), ("ann", "individual")):
        await connection.execute(make, name, kind)
    await migrate(empty_database)
    types = "select p.name, r.type from room r join principal p on p.id = r.principal_id order by 1"
    assert list(map(tuple, await connection.fetch(types))) == [("hall", "ROOM"), ("van", "EQUIPMENT")]
    count = "select count(*) from job where kind = 'room_cards'"
    assert await connection.fetchval(count) == 1
    # A server of the version in between may have stored the job.
    (step,) = (each for each in migrations() if each.name == "room_cards")
    await connection.execute(step.sql)
    assert await connection.fetchval(count) == 1
    await connection.close()
