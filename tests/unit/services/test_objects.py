"""Puts, deletions, copies, moves and dead properties of members."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from server.domain.changes import ObjectState, PropertyChanges, Unchanged
from server.domain.errors import (
    AccessDenied,
    InvalidCalendarData,
    NotFound,
    ParentMissing,
    QuotaExceeded,
    ResourceTooLarge,
    SameResource,
    SchedulingObjectExists,
    TooManyConflicts,
    TooManyMembers,
    UidConflict,
    UnsupportedComponent,
    WriteConflict,
)
from server.domain.limits import Limits
from server.domain.objects import NewCollection
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.services import member_transfers
from server.services.changing import change
from server.services.objects import state_of, write_limits
from tests.unit.services.world import CONTACTS, INSTALLATION, World, calendar, card, event

INVITATION = ("ORGANIZER:mailto:anna@example.com", "ATTENDEE:mailto:ben@example.com")
TODO = calendar("BEGIN:VTODO", "UID:t", "DTSTAMP:20260101T000000Z", "END:VTODO")


async def test_a_put_creates_and_replaces(world: World) -> None:
    first = await world.put("anna", "anna/calendar/a", event("a"))
    assert first.created
    assert first.as_sent
    second = await world.put("anna", "anna/calendar/a", event("a", "SUMMARY:new"))
    assert not second.created
    assert (second.written.id, second.written.revision) == (first.written.id, first.written.revision + 1)
    found = await world.member("anna", "anna/calendar/a")
    assert found is not None
    assert (found.text, found.etag) == (event("a", "SUMMARY:new"), second.etag)
    assert second.etag != first.etag


async def test_a_card(world: World) -> None:
    path = f"{CONTACTS}anna/addressbook/a"
    await world.put("anna", path, card("a"))
    found = await world.member("anna", path)
    assert found is not None
    assert (found.uid, found.component, found.text) == ("a", "VCARD", card("a"))


async def test_a_line_folded_inside_a_character_is_not_stored_as_sent(world: World) -> None:
    sent = event("a", "SUMMARY:x").encode().replace(b"SUMMARY:x", b"SUMMARY:\xc3\r\n \xa9")
    put = await world.objects.put(await world.actor("anna"), await world.find("anna", "anna/calendar/a"), sent)
    assert not put.as_sent
    assert "é" in (await world.text("anna", "anna/calendar/a") or "").replace("\r\n ", "")


@pytest.mark.parametrize(
    ("path", "text", "error"),
    [
        ("anna/calendar/a", "no calendar", InvalidCalendarData),
        ("anna/calendar/a", TODO, UnsupportedComponent),
        ("anna/calendar/a", event("a", "SUMMARY:" + "x" * 3000), ResourceTooLarge),
        ("anna/absent/a", event("a"), ParentMissing),
        ("anna/inbox/a", event("a"), AccessDenied),
        ("ben/calendar/a", event("a"), AccessDenied),
    ],
)
async def test_what_a_put_refuses(path: str, text: str, error: type[Exception]) -> None:
    world = World(Limits(max_resource_size=2000))
    await world.add("anna", "ben")
    with pytest.raises(error):
        await world.put("anna", path, text)


async def test_a_uid_that_another_member_has(world: World) -> None:
    """The error names the member that has it."""
    await world.put("anna", "anna/calendar/a", event("u"))
    with pytest.raises(UidConflict) as raised:
        await world.put("anna", "anna/calendar/b", event("u"))
    assert raised.value.name == "a"
    with pytest.raises(UidConflict) as raised:
        await world.put("anna", "anna/calendar/a", event("other"))
    assert raised.value.name == "a"
    assert await world.names("anna/calendar") == ["a"]


async def test_a_second_scheduling_object_of_a_uid_in_a_home() -> None:
    """The error names the first; an import keeps the second as a plain object, which may then be changed."""
    world = World()
    await world.add("anna", addresses=("anna@example.com",))
    actor = await world.actor("anna")
    await world.put("anna", "anna/calendar/a", event("u", *INVITATION))
    await make(world, "anna/more")
    with pytest.raises(SchedulingObjectExists) as raised:
        await world.put("anna", "anna/more/b", event("u", *INVITATION))
    assert (raised.value.collection, raised.value.name) == ("calendar", "a")
    with pytest.raises(UidConflict):
        await world.put("anna", "anna/calendar/b", event("u", *INVITATION))
    found = await world.find("anna", "anna/more/b")
    await world.objects.put(actor, found, event("u", *INVITATION).encode(), plain_if_taken=True)
    await world.put("anna", "anna/more/b", event("u", "SUMMARY:changed", *INVITATION))
    collection = (await world.find("anna", "anna/more")).collection
    assert collection is not None
    rows = await world.storage.members(collection, ("scheduling",), after=None, limit=1)
    assert rows[0][0] == SchedulingRole.NONE


async def make(world: World, path: str, *components: str) -> None:
    found = await world.find("cli", path)
    await world.collections.create(INSTALLATION, found, NewCollection(found.name, "calendar", components))


async def test_limits_of_a_home_and_a_collection() -> None:
    world = World(Limits(quota_bytes=1000, max_members=2))
    await world.add("anna")
    with pytest.raises(QuotaExceeded):
        await world.put("anna", "anna/calendar/a", event("a", "DESCRIPTION:" + "x" * 1000))
    await world.put("anna", "anna/calendar/a", event("a"))
    await world.put("anna", "anna/calendar/b", event("b"))
    with pytest.raises(TooManyMembers):
        await world.put("anna", "anna/calendar/c", event("c"))
    await world.put("anna", "anna/calendar/b", event("b", "SUMMARY:changed"))


def test_collections_that_nobody_made_do_not_count() -> None:
    assert write_limits(Limits(max_collections=3)).max_collections == 5


async def test_the_time_key_decides_whether_occurrences_are_computed(world: World) -> None:
    await world.put("anna", "anna/calendar/a", event("a", "SUMMARY:one"))
    found = await world.find("anna", "anna/calendar/a")
    same = await world.objects.read(found, event("a", "SUMMARY:two").encode())
    later = await world.objects.read(found, event("a", start="20260302T090000Z").encode())
    assert same.materialised is None
    assert later.materialised is not None
    assert same.time_key != later.time_key


async def test_an_event_that_the_owner_has_declined_makes_nobody_busy() -> None:
    world = World()
    await world.add("anna", addresses=("anna@example.com",))
    answer = "ATTENDEE;PARTSTAT=DECLINED:mailto:anna@example.com"
    found = await world.find("anna", "anna/calendar/a")
    content = await world.objects.read(found, event("a", answer).encode())
    assert content.materialised is not None
    assert [row.busy for row in content.materialised.occurrences] == ["FREE"]


async def test_a_deletion(world: World) -> None:
    put = await world.put("anna", "anna/calendar/a", event("a"))
    assert await world.delete("anna", "anna/calendar/a") == put.written.revision + 1
    assert await world.names("anna/calendar") == []
    with pytest.raises(NotFound):
        await world.delete("anna", "anna/calendar/a")
    assert (await world.put("anna", "anna/calendar/a", event("a"))).created


async def test_a_decision_on_an_older_state_conflicts(world: World) -> None:
    actor = await world.actor("anna")
    await world.put("anna", "anna/calendar/a", event("a"))
    read = await world.find("anna", "anna/calendar/a")
    await world.put("anna", "anna/calendar/a", event("a", "SUMMARY:by somebody else"))
    for decided in (
        world.objects.put(actor, read, event("a").encode()),
        world.objects.delete(actor, read),
        world.objects.set_properties(actor, read, PropertyChanges({"{x}y": "<y/>"})),
        world.objects.put(actor, read.new_member("a"), event("a").encode()),
    ):
        with pytest.raises(WriteConflict):
            await decided
    assert "somebody else" in (await world.text("anna", "anna/calendar/a") or "")


async def test_a_write_rests_on_states_that_were_read(world: World) -> None:
    calendar = (await world.find("anna", "anna/tasks")).collection
    assert calendar is not None
    state = Unchanged(calendar.home_id, calendar.id, calendar.revision, world.ids["anna"])
    actor, found = await world.actor("anna"), await world.find("anna", "anna/calendar/a")
    await world.put("anna", "anna/tasks/t", TODO)
    with pytest.raises(WriteConflict):
        await world.objects.put(actor, found, event("a").encode(), unchanged=(state,))
    assert await world.names("anna/calendar") == []


async def test_a_collection_that_is_deleted_meanwhile(world: World) -> None:
    """The next lookup finds that it is gone."""
    await make(world, "anna/new")
    found = await world.find("anna", "anna/new/a")
    await world.collections.delete(INSTALLATION, await world.find("cli", "anna/new"))
    with pytest.raises(WriteConflict):
        await world.objects.put(await world.actor("anna"), found, event("a").encode())


async def test_a_conflict_repeats_the_decision(world: World) -> None:
    """Two writers add a line each; none is lost."""
    await world.put("anna", "anna/calendar/a", event("a"))

    async def add(who: str, line: str) -> None:
        actor = await world.actor(who)

        async def decide(found: object) -> None:
            text = (await world.text("anna", "anna/calendar/a") or "").replace("END:VEVENT", f"{line}\r\nEND:VEVENT")
            await world.objects.put(actor, found, text.encode())  # type: ignore[arg-type]

        await change(partial(world.find, who, "anna/calendar/a"), decide)

    await asyncio.gather(*(add("anna", f"X-LINE:{number}") for number in range(5)))
    text = await world.text("anna", "anna/calendar/a")
    assert text is not None
    assert [f"X-LINE:{number}" in text for number in range(5)] == [True] * 5


async def test_rivals_that_are_always_faster(world: World) -> None:
    await world.put("anna", "anna/calendar/a", event("a"))
    rounds = iter(range(1000))

    async def rival() -> None:
        await world.put("anna", "anna/calendar/a", event("a", f"SUMMARY:{next(rounds)}"))

    async def decide(found: object) -> None:
        world.meanwhile(rival)
        await world.objects.delete(INSTALLATION, found)  # type: ignore[arg-type]

    with pytest.raises(TooManyConflicts):
        await change(partial(world.find, "cli", "anna/calendar/a"), decide)
    assert await world.names("anna/calendar") == ["a"]


async def transfer(world: World, who: str, path: str, to: str, *, keep: bool) -> object:
    actor, found, target = await world.actor(who), await world.find(who, path), await world.find(who, to)
    return await member_transfers.transfer(world.objects, actor, found, target, keep=keep)


async def test_a_copy_and_a_move(world: World) -> None:
    put = await world.put("anna", "anna/calendar/a", event("a"))
    await make(world, "anna/new")
    await transfer(world, "anna", "anna/calendar/a", "anna/new/b", keep=True)
    copied = await world.member("anna", "anna/new/b")
    assert copied is not None
    assert copied.id != put.written.id
    assert copied.text == event("a")
    await transfer(world, "anna", "anna/calendar/a", "anna/new/b", keep=False)
    moved = await world.member("anna", "anna/new/b")
    assert moved is not None
    assert moved.id == put.written.id
    assert await world.names("anna/calendar") == []
    assert await world.names("anna/new") == ["b"]


async def test_what_a_transfer_refuses(world: World) -> None:
    await world.put("anna", "anna/calendar/a", event("a"))
    await world.put("anna", "anna/calendar/b", event("b"))
    await make(world, "anna/new")
    await world.put("anna", "anna/new/c", event("a"))
    for to, error in (
        ("anna/calendar/a", SameResource),
        ("anna/tasks/a", UnsupportedComponent),
        ("anna/calendar/b", UidConflict),
        ("anna/new/d", UidConflict),
        ("anna/inbox/a", AccessDenied),
        ("anna/absent/a", ParentMissing),
    ):
        with pytest.raises(error) as raised:
            await transfer(world, "anna", "anna/calendar/a", to, keep=True)
        if to == "anna/new/d":
            assert isinstance(raised.value, UidConflict)
            assert raised.value.name == "c"
    with pytest.raises(UidConflict) as raised:
        await transfer(world, "anna", "anna/calendar/a", "anna/calendar/b", keep=False)
    assert raised.value.name == "b"
    await world.share("anna/calendar", "ben", "read")
    with pytest.raises(AccessDenied):
        await transfer(world, "ben", "anna/calendar/a", "ben/calendar/a", keep=False)
    await transfer(world, "ben", "anna/calendar/a", "ben/calendar/a", keep=True)


async def test_dead_properties(world: World) -> None:
    put = await world.put("anna", "anna/calendar/a", event("a"))
    actor, found = await world.actor("anna"), await world.find("anna", "anna/calendar/a")
    revision = await world.objects.set_properties(actor, found, PropertyChanges({"{x}y": "<y/>", "{x}z": "<z/>"}))
    found = await world.find("anna", "anna/calendar/a")
    assert revision == put.written.revision + 1
    await world.objects.set_properties(actor, found, PropertyChanges({"{x}y": None}))
    member = await world.member("anna", "anna/calendar/a")
    assert member is not None
    assert (member.properties, member.etag) == ({"{x}z": "<z/>"}, put.etag)
    await world.granting.set_acl(actor, await world.find("anna", "anna/calendar"), [])
    with pytest.raises(AccessDenied):
        await world.objects.set_properties(
            actor, replace(found, privileges=frozenset({Privilege.READ})), PropertyChanges()
        )


async def test_a_state(world: World) -> None:
    assert state_of(None) is None
    put = await world.put("anna", "anna/calendar/a", event("a"))
    assert state_of(await world.member("anna", "anna/calendar/a")) == ObjectState(put.written.id, put.written.revision)
