"""Adding, changing and importing rooms, and their policies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.actors import Actor
from server.domain.errors import AccessDenied, InvalidPrincipal, NameTaken, NotFound
from server.domain.rooms import Position, Room
from server.services.principals.loading import Loaded, load_principals
from server.services.rooms import policies
from server.services.rooms.missing_addresses import give_addresses
from server.services.rooms.rooms import Rooms, add_room, delete_room, import_rooms, rename_room, set_room
from server.services.rooms.rows import COLUMNS, read_sheet
from server.services.rooms.settings import RoomSettings
from tests.unit.auth.directory_in_memory import CountingHasher
from tests.unit.services.world import INSTALLATION, World

FILE = """\
name;type;building;floor;capacity;features;groups;policy.max_duration_minutes;metadata.carpet
Blue Room;ROOM;Main;3;12;video, whiteboard;rooms, large;120;blue
"Van; grey";PARKING;;;;;;;
"""


class Office:
    def __init__(self, **settings: Any) -> None:
        self.world = World()
        self.rooms = Rooms(self.world.directory, CountingHasher(), RoomSettings(**settings))

    async def add(self, name: str, actor: Actor = INSTALLATION, **given: str) -> Any:
        return await add_room(actor, self.rooms, name, given)

    async def set(self, name: str, actor: Actor = INSTALLATION, **given: str) -> bool:
        return await set_room(actor, self.rooms, name, given)

    async def load(self, text: str) -> tuple[tuple[int, int, int, int], list[str]]:
        """Created, changed, unchanged, groups made; and what was refused or left out."""
        loaded, groups = await import_rooms(INSTALLATION, self.rooms, text.splitlines(keepends=True))
        problems = [f"{each.who}: {each.reason}" for each in (*loaded.refused, *loaded.left_out)]
        return (loaded.created, loaded.changed, loaded.unchanged, groups), problems

    async def load_json(self, *entries: dict[str, Any]) -> Loaded:
        document = {"principals": list(entries)}
        rooms = self.rooms
        return await load_principals(INSTALLATION, rooms.directory, rooms.hasher, document, rooms=rooms.settings)

    async def room(self, name: str) -> Room:
        record = await self.rooms.directory.principal(name)
        assert record is not None
        assert record.room is not None
        return record.room

    async def members(self, group: str) -> list[str]:
        record = await self.rooms.directory.principal(group)
        assert record is not None
        return [each.name for each in (await self.rooms.directory.members_of([record.id]))[record.id]]


async def test_a_room_is_added_and_changed() -> None:
    office = Office()
    made = await office.add("Blue Room", building="Main", capacity="12", email="blue@example.com b@example.com")
    assert (made.kind, made.addresses) == ("room", ("blue@example.com", "b@example.com"))
    assert await office.set("Blue Room", capacity="14", building="", display_name="Blue", floor="3")
    assert not await office.set("blue@example.com", capacity="14")
    room = await office.room("Blue Room")
    assert (room.capacity, room.building, room.floor) == (14, "", "3")
    assert (await office.add("Van", type="PARKING")).kind == "resource"


async def test_what_cannot_be_added_or_changed_is_refused_in_words() -> None:
    office = Office(features=["video"])
    await office.world.add("ann")
    await office.add("Blue Room")
    with pytest.raises(NameTaken):
        await office.add("blue room")
    with pytest.raises(InvalidPrincipal, match="no feature sauna"):
        await office.set("Blue Room", features="sauna")
    with pytest.raises(InvalidPrincipal, match="kind stays"):
        await office.set("Blue Room", kind="resource")
    with pytest.raises(InvalidPrincipal, match="parent nowhere is not known"):
        await office.set("Blue Room", parent="nowhere")
    with pytest.raises(InvalidPrincipal, match="of which it is to be a part"):
        await office.set("Blue Room", parent="ann")
    with pytest.raises(InvalidPrincipal, match="is the principal itself"):
        await office.set("Blue Room", parent="Blue Room")
    with pytest.raises(NotFound):
        await office.set("ann", capacity="1")
    with pytest.raises(NotFound):
        await office.set("nobody", capacity="1")


async def test_only_administrators_change_rooms() -> None:
    office = Office()
    await office.world.add("ann")
    ann = await office.world.actor("ann")
    await office.add("Blue Room")
    for call in (
        office.add("Other", ann),
        office.set("Blue Room", ann, capacity="2"),
        policies.set_policy(ann, office.rooms.directory, "Blue Room", {}),
        policies.remove_policy(ann, office.rooms.directory, "Blue Room"),
        import_rooms(ann, office.rooms, ["name\n", "x\n"]),
    ):
        with pytest.raises(AccessDenied):
            await call
    assert await office.rooms.directory.principal("x") is None


async def test_an_address_is_made_of_the_name_unless_one_is_given() -> None:
    office = Office(mail_domain="Rooms.example.com")
    assert (await office.add("Blue Room")).addresses == ("blue-room@rooms.example.com",)
    assert (await office.add("Red", email="red@example.com")).addresses == ("red@example.com",)
    with pytest.raises(InvalidPrincipal, match=r"blue-room@rooms\.example\.com is taken"):
        await office.add("Blue-Room")
    # An empty one says that it is to have none.
    assert (await office.add("Green", email="")).addresses == ()
    assert not await office.set("Blue Room", capacity="")
    assert (await Office().add("Blue Room")).addresses == ()


async def test_rooms_that_were_there_get_addresses_when_they_are_loaded_again() -> None:
    office = Office()
    await office.load("name\nBlue Room\n")
    office.rooms = Rooms(office.rooms.directory, office.rooms.hasher, RoomSettings(mail_domain="example.com"))
    assert (await office.load("name\nBlue Room\n"))[0] == (0, 1, 0, 0)
    assert (await office.load("name\nBlue Room\n"))[0] == (0, 0, 1, 0)


async def test_rooms_that_were_there_get_the_addresses_of_their_names_by_a_job() -> None:
    office = Office()
    for name in ("Blue Room", "Blue-Room", "会議室", "Red"):
        await office.add(name, **({"email": "red@example.com"} if name == "Red" else {}))
    await office.add("Van", kind="resource")
    directory = office.rooms.directory
    office.world.meanwhile(lambda: office.set("Van", email="grey@example.com"))
    assert await give_addresses(office.world.storage, directory, "example.com") == 1
    names = ("Blue Room", "Blue-Room", "会議室", "Red", "Van")
    found = {name: record.addresses for name in names if (record := await directory.principal(name)) is not None}
    assert found == {
        "Blue Room": ("blue-room@example.com",),
        "Blue-Room": (),
        "会議室": (),
        "Red": ("red@example.com",),
        "Van": ("grey@example.com",),
    }


async def test_a_file_is_imported_and_a_second_run_changes_nothing() -> None:
    office = Office()
    assert await office.load(FILE) == ((2, 0, 0, 2), [])
    room = await office.room("Blue Room")
    assert (room.type, room.capacity, room.features) == ("ROOM", 12, {"video", "whiteboard"})
    assert room.policy == {"automation": "accept", "max_duration_minutes": 120}
    assert room.metadata == {"carpet": "blue"}
    assert (await office.room("Van; grey")).type == "PARKING"
    assert await office.members("rooms") == ["Blue Room"]
    version = room.version
    assert await office.load(FILE) == ((0, 0, 2, 0), [])
    assert (await office.room("Blue Room")).version == version


async def test_empty_cells_say_nothing_and_groups_keep_their_members() -> None:
    office = Office()
    await office.load(FILE)
    changed = (
        FILE.replace(";12;", ";;")
        .replace(";3;", ";4;")
        .replace('Van; grey";PARKING;;;;;', 'Van; grey";PARKING;;;;;rooms')
    )
    assert await office.load(changed) == ((0, 2, 0, 0), [])
    room = await office.room("Blue Room")
    assert (room.capacity, room.floor) == (12, "4")
    assert await office.members("rooms") == ["Blue Room", "Van; grey"]


async def test_refused_rows_are_told_with_line_and_reason_and_the_others_are_loaded() -> None:
    office = Office()
    await office.world.add("ann", addresses=("taken@example.com",))
    text = (
        "name,capacity,email,parent,groups\r\n"
        '"Two\r\nlines",5,,,\r\n'
        "Blue,many,,,\r\n"
        "Red,5,taken@example.com,,\r\n"
        "\r\n"
        "Green,5,,Nowhere,\r\n"
        "Green,6,,,\r\n"
        ",5,,,\r\n"
        "Grey,5,,,ann\r\n"
        "Long,5,,,,more\r\n"
        "ann,5,,,\r\n"
    )
    counts, problems = await office.load(text)
    assert counts == (2, 0, 0, 0)
    assert [problem.partition(":")[0] for problem in problems] == [
        "line 2 (Two\r\nlines)",
        "line 4 (Blue)",
        "line 5 (Red)",
        "line 8 (Green)",
        "line 9",
        "line 11 (Long)",
        "line 12 (ann)",
        "line 7 (Green)",
        "line 10 (Grey)",
    ]
    reasons = ("control", "whole number", "taken", "in the same document", "text", "more cells", "individual")
    for problem, reason in zip(problems, (*reasons, "Nowhere is not known", "ann is not known"), strict=True):
        assert reason in problem


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "first line"),
        ("\n\n", "first line"),
        ("building,floor\nx,y\n", "first line"),
        ("name,colour\nx,y\n", "no column 'colour'"),
        ("name,Name\nx,y\n", "twice"),
        ('name\n"x\n', "no CSV file: line 2"),
        ('name\n"x"y\n', "no CSV file: line 2"),
        (f"name\n{'x' * 200_000}\n", "no CSV file: line 2"),
    ],
)
async def test_a_file_that_cannot_be_read_changes_nothing(text: str, reason: str) -> None:
    with pytest.raises(InvalidPrincipal, match=reason):
        await Office().load(text)


@given(st.lists(st.lists(st.text(max_size=5), max_size=4), max_size=4), st.sampled_from([",", ";", "\t"]))
def test_any_file_is_read_or_refused_in_words(rows: Iterable[list[str]], separator: str) -> None:
    lines = [separator.join(COLUMNS[:3]) + "\n", *(separator.join(row) + "\n" for row in rows)]
    try:
        sheet = read_sheet(lines)
    except InvalidPrincipal as error:
        assert error.message
    else:
        assert all(number >= 2 for _, number, _ in sheet.items)


async def test_parts_may_come_before_the_whole() -> None:
    office = Office()
    text = "name,parent\nWest,Hall\nEast,Hall\nHall,\n"
    assert await office.load(text) == ((3, 0, 0, 0), [])
    assert await office.load(text) == ((0, 0, 3, 0), [])
    hall = (await office.room("Hall")).principal_id
    assert (await office.room("West")).parent == (await office.room("East")).parent == hall
    counts, problems = await office.load("name,parent\nHall,West\n")
    assert (counts, len(problems)) == ((0, 0, 1, 0), 1)
    assert await office.set("West", parent="")
    assert (await office.room("West")).parent is None


async def test_a_document_has_rooms_with_attributes_and_people_with_offices() -> None:
    office = Office()
    entries: tuple[dict[str, Any], ...] = (
        {"kind": "room", "name": "Blue", "room": {"capacity": 5, "position": "1,2", "policy": {}}, "groups": ["all"]},
        {"kind": "individual", "name": "ann", "office": {"building": "Main", "floor": "2"}},
        {"kind": "group", "name": "all"},
    )
    assert (await office.load_json(*entries)).created == 3
    assert (await office.load_json(*entries)).unchanged == 3
    room = await office.room("Blue")
    assert (room.capacity, room.position) == (5, Position(1, 2))
    assert await office.members("all") == ["Blue"]
    record = await office.rooms.directory.principal("ann")
    assert record is not None
    assert record.office is not None
    assert record.office.building == "Main"
    loaded = await office.load_json({**entries[0], "room": {"capacity": "x"}}, {**entries[1], "room": {}})
    assert [each.reason.partition(" ")[0] for each in loaded.refused] == ["capacity", "room"]


async def test_a_policy_is_set_by_texts_shown_and_removed() -> None:
    office = Office()
    await office.add("Blue")

    async def policy(**given: str) -> dict[str, Any]:
        return dict((await policies.set_policy(INSTALLATION, office.rooms.directory, "Blue", given)).policy)

    assert await policy() == {"automation": "accept"}
    given = {"allow_recurring": "no", "max_duration_minutes": "none", "book_in_policy": "staff, ann"}
    assert await policy(**given) == {
        "automation": "accept",
        "allow_recurring": False,
        "max_duration_minutes": None,
        "book_in_policy": ["staff", "ann"],
    }
    assert await policy(book_in_policy="Everyone", max_duration_minutes="") == {
        "automation": "accept",
        "allow_recurring": False,
    }
    for name, text in (("allow_recurring", "maybe"), ("max_duration_minutes", "-1"), ("nonsense", "1")):
        with pytest.raises(InvalidPrincipal, match=name):
            await policy(**{name: text})
    removed = await policies.remove_policy(INSTALLATION, office.rooms.directory, "Blue")
    assert removed.policy == {}
    assert (await office.room("Blue")).policy == {}


async def test_a_room_is_renamed_and_deleted() -> None:
    office = Office(mail_domain="example.com")
    made = await office.add("Blue")
    await office.add("Red", display_name="The red one")
    await office.world.add("ann")
    rooms = office.rooms
    assert (await rename_room(INSTALLATION, rooms, "Blue", "Green")).uid == made.uid
    renamed = await rooms.directory.principal("Green")
    assert renamed is not None
    assert (renamed.display_name, renamed.addresses) == ("Green", ("blue@example.com",))
    await rename_room(INSTALLATION, rooms, "Red", "Ruby")
    red = await rooms.directory.principal("Ruby")
    assert red is not None
    assert red.display_name == "The red one"
    for call in (rename_room(INSTALLATION, rooms, "ann", "x"), delete_room(INSTALLATION, rooms, "ann", purge=True)):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(NameTaken):
        await rename_room(INSTALLATION, rooms, "Green", "Ruby")
    await delete_room(INSTALLATION, rooms, "Green", purge=False)
    assert await rooms.directory.principal("Green") is None
    await delete_room(INSTALLATION, rooms, made.uid, purge=True)
    assert await rooms.directory.principal(made.uid) is None
    ann = await office.world.actor("ann")
    for denied in (rename_room(ann, rooms, "Ruby", "x"), delete_room(ann, rooms, "Ruby", purge=True)):
        with pytest.raises(AccessDenied):
            await denied
