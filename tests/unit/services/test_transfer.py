"""Import and export, and that an import of an export is the same."""

from __future__ import annotations

import io
import json
import re
from functools import partial
from pathlib import Path

import pytest

from server.domain.errors import AccessDenied, BadRequest, NotFound
from server.services.principals import changes
from server.services.transfer.exporting import Exporter
from server.services.transfer.importing import Imported, Importer
from server.services.transfer.sources import Refused
from server.storage.directory import RelationChange
from tests.unit.auth.directory_in_memory import CountingHasher
from tests.unit.services.world import CONTACTS, INSTALLATION, World, calendar, card, event

HASHER = CountingHasher()
INVITATION = ("ORGANIZER:mailto:anna@example.com", "ATTENDEE:mailto:ben@example.com")


class Import:
    def __init__(self, world: World) -> None:
        self.refused: list[Refused] = []
        self.notes: list[str] = []
        self.octets: list[int] = []
        self.importer = Importer(
            world.storage,
            world.directory,
            HASHER,
            world.limits,
            INSTALLATION,
            self.refused.append,
            self.notes.append,
            self.octets.append,
        )

    async def run(self, *paths: Path, owner: str | None = "anna", collection: str | None = None) -> Imported:
        return await self.importer.run(paths, owner, collection)


def counts(found: Imported) -> tuple[int, int, int, int]:
    return found.created, found.changed, found.unchanged, found.refused


def file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


async def test_a_file_goes_into_the_collections_of_its_components(world: World, tmp_path: Path) -> None:
    todo = ("BEGIN:VTODO", "UID:t", "DTSTAMP:20260101T000000Z", "END:VTODO")
    body = event("a").splitlines()[3:-1]
    both = file(tmp_path, "both.ics", calendar(*body, *todo))
    cards = file(tmp_path, "cards.vcf", card("c") + card("d"))
    run = Import(world)
    assert counts(await run.run(both, cards)) == (4, 0, 0, 0)
    assert sum(run.octets) == both.stat().st_size + cards.stat().st_size
    for path, number in (("anna/calendar", 1), ("anna/tasks", 1), (f"{CONTACTS}anna/addressbook", 2)):
        assert len(await world.names(path)) == number
    assert counts(await Import(world).run(both, cards)) == (0, 0, 4, 0)


async def test_what_is_not_taken_is_told_and_the_rest_is_taken(world: World, tmp_path: Path) -> None:
    bad = file(tmp_path, "bad.ics", calendar("BEGIN:VEVENT", "UID:x", "END:VEVENT", *event("a").splitlines()[3:-1]))
    run = Import(world)
    assert counts(await run.run(bad)) == (1, 0, 0, 1)
    assert run.refused[0].place == f"{bad}:4"
    with pytest.raises(BadRequest):
        await Import(world).run(file(tmp_path, "a.txt", ""))
    with pytest.raises(BadRequest):
        await Import(world).run(bad, owner=None)


async def test_what_a_room_has_no_time_for_is_not_taken(world: World, tmp_path: Path) -> None:
    await world.add("hall", kind="room")
    bodies = (
        event(uid, start=f"20300105T{hour}0000Z").splitlines()[3:-1] for uid, hour in (("a", 10), ("b", 10), ("c", 11))
    )
    events = file(tmp_path, "hall.ics", calendar(*(line for body in bodies for line in body)))
    run = Import(world)
    assert counts(await run.run(events, owner="hall")) == (2, 0, 0, 1)
    assert "taken at this time" in run.refused[0].reason


async def test_an_object_is_found_by_its_uid(world: World, tmp_path: Path) -> None:
    await world.put("anna", "anna/calendar/mine.ics", event("a"))
    changed = file(tmp_path, "a.ics", event("a", "SUMMARY:new"))
    assert counts(await Import(world).run(changed)) == (0, 1, 0, 0)
    assert await world.names("anna/calendar") == ["mine.ics"]
    assert "SUMMARY:new" in (await world.text("anna", "anna/calendar/mine.ics") or "")


async def test_others_write_during_an_import(world: World, tmp_path: Path) -> None:
    """Somebody puts the same UID first, or takes the name that was free; the object is imported all the same."""
    path = file(tmp_path, "a.ics", event("a", "SUMMARY:imported"))
    world.meanwhile(partial(world.put, "anna", "anna/calendar/mine.ics", event("a")))
    assert counts(await Import(world).run(path)) == (0, 1, 0, 0)
    path = file(tmp_path, "b.ics", event("b"))
    world.meanwhile(partial(world.put, "anna", "anna/calendar/b.ics", event("other")))
    assert counts(await Import(world).run(path)) == (1, 0, 0, 0)
    uids = sorted(
        [(await world.member("anna", f"anna/calendar/{name}")).uid for name in await world.names("anna/calendar")]  # type: ignore[union-attr]
    )
    assert uids == ["a", "b", "other"]


async def test_a_second_meeting_of_a_uid_is_imported_as_a_plain_object(tmp_path: Path) -> None:
    world = World()
    await world.add("anna", addresses=("anna@example.com",))
    await world.put("anna", "anna/calendar/a", event("u", *INVITATION))
    path = file(tmp_path, "more.ics", event("u", *INVITATION))
    assert counts(await Import(world).run(path, collection="more")) == (1, 0, 0, 0)
    assert len(await world.names("anna/more")) == 1


async def test_people_who_are_missing(world: World, tmp_path: Path) -> None:
    run = Import(world)
    await run.importer.add_people(["dora", "anna", "a:b"])
    result = await run.run(file(tmp_path, "a.ics", event("a")), owner="emil")
    assert (result.made.people, result.refused) == (2, 1)
    assert result.made.without_password == {"dora", "anna", "emil"}
    assert len(await world.names("anna/calendar")) == 0
    with pytest.raises(BadRequest):
        await Import(world).importer._places.person("team")


def exporter(world: World, actor: object = INSTALLATION) -> Exporter:
    return Exporter(world.storage, world.directory, actor)  # type: ignore[arg-type]


async def person(world: World, name: str) -> changes.PrincipalRecord:
    return await changes.find(INSTALLATION, world.directory, name)


async def fill(world: World) -> None:
    await world.put("anna", "anna/calendar/a.ics", event("a"))
    await world.put("anna", "anna/calendar/b.ics", event("b"))
    await world.put("anna", f"{CONTACTS}anna/addressbook/c.vcf", card("c"))
    await world.put("ben", "ben/calendar/d.ics", event("d"))


async def test_an_export_that_is_imported_again_is_the_same(world: World, tmp_path: Path) -> None:
    await fill(world)
    out = exporter(world)
    everybody = [each async for each in out.everybody()]
    assert [each.name for each in everybody] == ["anna", "ben", "cleo", "root", "team"]
    assert await out.count(everybody, []) == 4
    await out.everything(everybody, tmp_path / "all")
    assert (out.result.objects, out.result.collections) == (4, 12)
    other = World()
    result = await Import(other).run(tmp_path / "all", owner=None)
    assert (result.created, result.made.people) == (4, 5)
    for path, uid in (("anna/calendar/a.ics", "a"), ("ben/calendar/d.ics", "d")):
        assert await other.text("cli", path) == event(uid)
    assert await other.text("cli", f"{CONTACTS}anna/addressbook/c.vcf") == card("c")
    again = await Import(other).run(tmp_path / "all", owner=None)
    assert counts(again) == (0, 0, 4, 0)
    documents = json.loads((tmp_path / "all" / "principals.json").read_text())
    assert [entry["name"] for entry in documents["principals"]] == ["anna", "ben", "cleo", "root", "team"]


async def test_one_collection(world: World, tmp_path: Path) -> None:
    await fill(world)
    out = exporter(world)
    anna = await person(world, "anna")
    (found,) = await out.named(anna, "calendar")
    assert await out.count([], [found]) == 2
    stream = io.BytesIO()
    await out.stream(found, stream)
    text = stream.getvalue().decode()
    assert (text.count("BEGIN:VCALENDAR"), text.count("BEGIN:VEVENT")) == (1, 2)
    (book,) = await out.named(anna, "addressbook", "addressbook")
    stream = io.BytesIO()
    await out.stream(book, stream)
    assert stream.getvalue().decode() == card("c")
    await out.folder(found, tmp_path / "folder")
    assert (tmp_path / "folder" / "a.ics").read_bytes() == event("a").encode()
    await out.person(anna, tmp_path / "person")
    assert sorted(each.name for each in (tmp_path / "person").iterdir()) == ["addressbook", "calendar", "tasks"]
    with pytest.raises(NotFound):
        await out.named(anna, "absent")


async def test_what_others_share_has_the_owners_name_too(world: World) -> None:
    await fill(world)
    await world.share("anna/calendar", "ben", "read")
    ben = await person(world, "ben")
    (found,) = await exporter(world).named(ben, "anna/calendar")
    assert found.collection is not None
    assert found.collection.rights == "read"
    assert "calendar" in [each.name for each in await exporter(world).collections(ben)]
    assert found.name not in [each.name for each in await exporter(world).collections(ben)]
    with pytest.raises(NotFound):
        await exporter(world).named(ben, "nobody/calendar")


async def test_only_administrators_export_everybody(world: World) -> None:
    with pytest.raises(AccessDenied):
        [each async for each in exporter(world, await world.actor("ben")).everybody()]


async def test_imported_meetings_follow_the_members_of_their_groups(world: World, tmp_path: Path) -> None:
    """Nothing is sent by the import. Whom a meeting does not name beside other members was removed."""
    await world.add("crew", kind="group")

    async def crew(*members: str) -> None:
        change = RelationChange(world.ids["crew"], frozenset(world.ids[each] for each in members))
        await world.directory.write_relations([change], INSTALLATION.cause)

    async def stored() -> dict[str, str]:
        """The texts of Anna's meetings, by UID."""
        texts = [await world.text("anna", f"anna/calendar/{name}") or "" for name in await world.names("anna/calendar")]
        return {uid: text.replace("\r\n ", "") for text in texts for uid in re.findall("UID:([a-z]+)", text)}

    await crew("ben", "cleo")
    await world.run_jobs()
    group = "urn:x-uid:id-crew"
    people = ("ORGANIZER:urn:x-uid:id-anna", f"ATTENDEE;CUTYPE=GROUP:{group}")
    named = f'ATTENDEE;PARTSTAT=ACCEPTED;MEMBER="{group}":urn:x-uid:id-ben'
    texts = {
        "group.ics": event("group", *people, start="20270301T090000Z"),
        "named.ics": event("named", *people, named, start="20270302T090000Z"),
        "past.ics": event("past", *people, start="20250301T090000Z"),
        "theirs.ics": event("theirs", people[0].replace("anna", "ben"), people[1], start="20270303T090000Z"),
    }
    run = Import(world)
    assert counts(await run.run(*(file(tmp_path, *each) for each in texts.items()))) == (4, 0, 0, 0)
    await world.run_jobs()
    for who in ("ben", "cleo"):
        assert await world.names(f"{who}/calendar") == await world.names(f"{who}/inbox") == []
    before = await stored()
    await crew("ben", "cleo", "root")
    await world.run_jobs()
    after = await stored()
    assert {uid for uid in after if after[uid] != before[uid]} == {"group", "named"}
    assert [f"id-{who}\r" in after["group"] for who in ("ben", "cleo", "root")] == [True, True, True]
    assert [f"id-{who}\r" in after["named"] for who in ("ben", "cleo", "root")] == [True, False, True]
    assert "PARTSTAT=ACCEPTED" in after["named"]
    assert len(await world.names("cleo/inbox")) == 1
