"""The care of principals: people, passwords, names, deleting, handing over, loading many."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from server.domain.actors import Actor
from server.domain.errors import AccessDenied, AlreadyExists, InvalidPrincipal, NameTaken, NotFound
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.services.principals import changes
from server.services.principals.loading import Loaded, load_principals
from server.services.scheduling.sent import Sent
from server.storage.directory import PrincipalChange
from tests.unit.auth.directory_in_memory import CountingHasher
from tests.unit.services.world import INSTALLATION, World, event

HASHER = CountingHasher()
PASSWORD = "a long enough secret"


async def add(world: World, name: str, **fields: Any) -> int:
    return await changes.add_person(INSTALLATION, world.directory, HASHER, name, PASSWORD, **fields)


async def find(world: World, name: str) -> Any:
    return await changes.find(INSTALLATION, world.directory, name)


async def test_a_new_person(world: World) -> None:
    id_ = await add(world, " dora ", display_name="Dora", addresses=("mailto:Dora@example.com",), quota_bytes=10)
    for name in ("DORA", "dora@example.com"):
        found = await find(world, name)
        assert (found.id, found.name, found.display_name, found.has_password) == (id_, "dora", "Dora", True)
        assert (found.addresses, found.quota_bytes) == (("Dora@example.com",), 10)
    for name in ("Dora", "dora@EXAMPLE.com"):
        with pytest.raises(NameTaken):
            await add(world, name)
    for name in ("", "a/b", "a:b", "..", "a\nb", "x" * 256):
        with pytest.raises(InvalidPrincipal):
            await add(world, name)
    with pytest.raises(InvalidPrincipal):
        await add(world, "emil", roles=frozenset({"king"}))
    with pytest.raises(InvalidPrincipal):
        await add(world, "emil", addresses=("no address",))
    with pytest.raises(InvalidPrincipal):
        await changes.add_person(INSTALLATION, world.directory, HASHER, "emil", "short")


def test_texts_of_principals() -> None:
    assert changes.text_of(" e\u0301 ", "A text", 10) == "é"
    assert changes.segment_of("a", "A name") == "a"
    assert changes.name_of("a:b", "group") == "a:b"
    assert changes.address_of("MAILTO:a@b") == "a@b"
    assert changes.addresses_of(("a@b", "A@B")) == ("A@B",)
    assert changes.roles_of(frozenset({"admin"})) == {"admin"}
    with pytest.raises(InvalidPrincipal):
        changes.text_of("ééé", "A text", 5)


async def test_who_may_care_for_principals(world: World) -> None:
    ben = await world.actor("ben")
    for refused in (
        changes.add_person(ben, world.directory, HASHER, "dora", None),
        changes.set_disabled(ben, world.directory, "anna", True),
        changes.rename(ben, world.directory, "ben", "benno"),
        changes.delete(ben, world.directory, "anna", purge=False),
        changes.hand_over(ben, world.directory, "anna", "ben"),
        changes.set_password(ben, world.directory, HASHER, "anna", PASSWORD),
        changes.add_app_password(ben, world.directory, HASHER, "anna", "phone"),
        changes.list_app_passwords(ben, world.directory, "anna"),
        changes.revoke_app_password(ben, world.directory, "anna", "phone"),
        load_principals(ben, world.directory, HASHER, {"principals": []}),
    ):
        with pytest.raises(AccessDenied):
            await refused
    await changes.set_password(ben, world.directory, HASHER, "ben", PASSWORD)
    await changes.rename(await world.actor("root"), world.directory, "ben", "benno")


async def test_finding_a_principal(world: World) -> None:
    with pytest.raises(NotFound, match="no person named team"):
        await changes.find(INSTALLATION, world.directory, "team", "individual")
    await changes.delete(INSTALLATION, world.directory, "anna", purge=False)
    with pytest.raises(NotFound):
        await find(world, "id-anna")
    assert (await changes.find(INSTALLATION, world.directory, "id-anna", deleted=True)).deleted


async def version(world: World, name: str) -> int:
    actor: Actor = await world.actor(name)
    assert actor.principal is not None
    return actor.principal.credential_version


async def test_passwords_and_the_right_to_sign_in(world: World) -> None:
    """Each change ends what was signed in before."""
    first = await version(world, "anna")
    await changes.set_password(INSTALLATION, world.directory, HASHER, "anna", PASSWORD)
    assert await version(world, "anna") == first + 1
    with pytest.raises(InvalidPrincipal):
        await changes.set_password(INSTALLATION, world.directory, HASHER, "anna", "short")
    assert await changes.set_disabled(INSTALLATION, world.directory, "anna", True)
    assert not await changes.set_disabled(INSTALLATION, world.directory, "anna", True)
    assert await version(world, "anna") == first + 2
    assert await changes.set_disabled(INSTALLATION, world.directory, "anna", False)


async def test_another_name(world: World) -> None:
    await changes.rename(INSTALLATION, world.directory, "anna", "annika", display_name="Annika")
    assert (await find(world, "annika")).display_name == "Annika"
    with pytest.raises(NotFound):
        await find(world, "anna")
    with pytest.raises(NameTaken):
        await changes.rename(INSTALLATION, world.directory, "annika", "BEN")
    await world.put("anna", "anna/calendar/a", event("a"))


async def test_a_deleted_person_leaves_what_they_had_until_it_is_purged(world: World) -> None:
    path = await world.share("anna/calendar", "ben")
    await changes.delete(INSTALLATION, world.directory, "anna", purge=False)
    assert (await world.find("cli", "anna/calendar")).owner is None
    assert (await world.find("ben", path)).collection is not None
    await changes.delete(INSTALLATION, world.directory, "id-anna", purge=True)
    assert (await world.find("ben", path)).collection is None
    with pytest.raises(NotFound):
        await changes.delete(INSTALLATION, world.directory, "id-anna", purge=True)


async def test_handing_over(world: World) -> None:
    await world.put("anna", "anna/calendar/a", event("a"))
    path = await world.share("anna/calendar", "cleo")
    told: list[str | None] = []
    copied: list[int] = []
    await changes.hand_over(
        INSTALLATION,
        world.directory,
        "anna",
        "ben",
        tell=lambda handover: told.append(handover.name),
        progress=copied.append,
    )
    assert told == ["calendar", "tasks", "addressbook"]
    assert sum(copied) == 1
    assert await world.names("ben/calendar-2") == ["a"]
    assert await world.text("cleo", f"{path}/a") == event("a")
    with pytest.raises(NotFound):
        await find(world, "anna")
    with pytest.raises(InvalidPrincipal):
        await changes.hand_over(INSTALLATION, world.directory, "ben", "ben")


async def test_app_passwords(world: World) -> None:
    actor = await world.actor("anna")
    made = await changes.add_app_password(actor, world.directory, HASHER, "anna", "phone", valid_for=timedelta(days=1))
    assert (made.name, made.expires_at is not None) == ("phone", True)
    with pytest.raises(AlreadyExists):
        await changes.add_app_password(actor, world.directory, HASHER, "anna", "phone")
    await changes.add_app_password(actor, world.directory, HASHER, "anna", "laptop")
    await changes.revoke_app_password(actor, world.directory, "anna", "phone")
    with pytest.raises(NotFound):
        await changes.revoke_app_password(actor, world.directory, "anna", "phone")
    assert [app.name for app in await changes.list_app_passwords(actor, world.directory, "anna")] == ["laptop"]


async def load(world: World, *entries: dict[str, Any]) -> Loaded:
    return await load_principals(INSTALLATION, world.directory, HASHER, {"principals": list(entries)})


def counts(loaded: Loaded) -> tuple[int, int, int]:
    return loaded.created, loaded.changed, loaded.unchanged


async def test_loading_is_repeatable(world: World) -> None:
    dora = {"id": "d", "kind": "individual", "name": "dora", "password": "dora", "emails": ["dora@example.com"]}
    staff = {"kind": "group", "name": "staff", "members": ["d", "anna", "nobody"]}
    first = await load(world, dora, staff)
    assert counts(first) == (2, 0, 0)
    assert [each.reason for each in first.left_out] == ["The member nobody is not known."]
    hashed = world.memory.tables.principals[(await find(world, "dora")).id].password_hash
    assert counts(await load(world, dora, staff)) == (0, 0, 2)
    assert counts(await load(world, dora | {"display_name": "Dora"}, staff | {"members": ["d"]})) == (0, 2, 0)
    assert world.memory.tables.principals[(await find(world, "dora")).id].password_hash == hashed
    assert (await find(world, "staff")).members == {(await find(world, "d")).id}


async def test_entries_that_are_not_loaded(world: World) -> None:
    """The others of their batch are."""
    await world.add("zoe", addresses=("z@example.com",))
    done: list[tuple[int, int]] = []
    document = {
        "principals": [
            {"kind": "individual", "name": "dora"},
            {"kind": "individual", "name": "emil", "emails": ["z@example.com"]},
            {"kind": "individual", "name": "fred", "emails": ["f@example.com"]},
            {"kind": "individual", "name": "gerd", "emails": ["f@example.com"]},
            {"kind": "group", "name": "anna"},
        ]
    }
    loaded = await load_principals(
        INSTALLATION, world.directory, HASHER, document, progress=lambda *step: done.append(step)
    )
    assert loaded.created == 2
    assert sorted(each.who for each in loaded.refused) == ["anna", "emil", "principal 4 (gerd)"]
    assert done == [(4, 4)]
    with pytest.raises(InvalidPrincipal):
        await load_principals(INSTALLATION, world.directory, HASHER, [])


async def test_an_address_that_meetings_name_goes_to_nobody_else_before_they_are_over(world: World) -> None:
    for name in ("dora", "emil"):
        world.ids[name] = await add(world, name, addresses=(f"{name}@example.com",))
    people = ("ORGANIZER:mailto:dora@example.com", "ATTENDEE:mailto:emil@example.com")
    meeting = event("m", *people, "RRULE:FREQ=DAILY", start="20260301T090000Z")
    record = await find(world, "dora")
    path = Target(record.uid, "uid", "calendar", "calendar", "m.ics")
    found = await world.lookup.find(INSTALLATION, path, Privilege.WRITE)
    await world.scheduling.put(INSTALLATION, found, meeting.encode(), Sent())

    async def give(name: str, address: str, *, take_over: bool = False) -> None:
        change = PrincipalChange(world.ids[name], addresses=(address,))
        await world.directory.write_principals([change], INSTALLATION.cause, take_over=take_over)

    await give("dora", "d@example.com")
    with pytest.raises(NameTaken):
        await give("emil", "dora@example.com")
    await give("dora", "dora@example.com")
    await give("dora", "d@example.com")
    await give("emil", "dora@example.com", take_over=True)
    # The meeting names this address, too.
    with pytest.raises(NameTaken):
        await add(world, "fred", addresses=("emil@example.com",))
    await changes.delete(INSTALLATION, world.directory, "emil", purge=True)
    with pytest.raises(NameTaken):
        await add(world, "fred", addresses=("dora@example.com",))
    await add(world, "fred", addresses=("d2@example.com",))


async def test_the_auto_schedule_mode_of_people_and_rooms(world: World) -> None:
    await world.add("hall", kind="room")
    await world.add("staff", kind="group")
    set_mode = changes.set_auto_schedule
    await set_mode(INSTALLATION, world.directory, "hall", "automatic", "staff")
    assert (await find(world, "hall")).auto_schedule == {"mode": "automatic", "auto_accept_group": "id-staff"}
    await set_mode(INSTALLATION, world.directory, "hall", "none")
    assert (await find(world, "hall")).auto_schedule is None
    await set_mode(INSTALLATION, world.directory, "anna", "accept-if-free")
    assert (await find(world, "anna")).auto_schedule == {"mode": "accept-if-free"}
    with pytest.raises(InvalidPrincipal):
        await set_mode(INSTALLATION, world.directory, "staff", "automatic")
    with pytest.raises(NotFound):
        await set_mode(INSTALLATION, world.directory, "hall", "automatic", "anna")
    with pytest.raises(AccessDenied):
        await set_mode(await world.actor("anna"), world.directory, "anna", "automatic")
