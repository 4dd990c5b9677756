"""What the storage knows of scheduling messages that arrive by mail: on PostgreSQL, and in memory alike."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from server.domain.actors import Actor
from server.domain.objects import HomeKind, Target
from server.domain.privileges import Privilege
from server.services.lookup import Lookup
from server.services.mail.incoming_effects import Outcome
from server.services.mail.incoming_settings import IncomingMailSettings
from server.services.objects import Objects
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.memberships import Memberships
from server.services.scheduling.sent import Sent
from server.storage.directory import PrincipalChange, RelationChange
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.incoming_mail import PostgresIncomingMail
from tests.integration.storage.conftest import make_person
from tests.integration.storage.values import CAUSE
from tests.unit.services.incoming_mail_world import DORA, GUS, HERE, MailWorld, mail, meeting, reply, request
from tests.unit.services.world import NOW, card

SETTINGS = IncomingMailSettings(authserv_id=HERE, messages_per_hour=1000)


class StoredWorld(MailWorld):
    """The same on PostgreSQL."""

    def __init__(self, storage: Any) -> None:
        super().__init__()
        self.storage, self.incoming = storage, PostgresIncomingMail(storage.database)  # type: ignore[assignment]
        self.objects = Objects(storage, self.limits, lambda: NOW)
        self.scheduling = Scheduling(storage, self.objects, self.limits, now=lambda: NOW)
        self.mails = self.receiver(SETTINGS)


@pytest_asyncio.fixture(loop_scope="session", params=["postgres", "memory"])
async def place(request: pytest.FixtureRequest, storage: Any) -> tuple[MailWorld, int, str]:
    """Who receives mails, the id of a person, and their mail address."""
    if request.param == "memory":
        world = MailWorld(SETTINGS)
        await world.add("anna", addresses=("anna@example.com",))
        return world, world.ids["anna"], "anna@example.com"
    person = await make_person(storage)
    address = f"{person.name}@example.com"
    await PostgresDirectory(storage.database).write_principals(
        [PrincipalChange(person.id, addresses=(address,))], CAUSE
    )
    return StoredWorld(storage), person.id, address


async def put(world: MailWorld, principal: int, kind: HomeKind, name: str, text: str) -> None:
    """Store a text of a person as an app does."""
    viewer = (await world.storage.resolve(principal, None)).viewer
    assert viewer is not None
    actor, target = Actor(viewer, "caldav"), Target(viewer.uid, "uid", kind, name, "x")
    found = await Lookup(world.storage).find(actor, target, Privilege.READ)
    if kind == "calendar":
        await world.scheduling.put(actor, found, text.encode(), Sent())
    else:
        await world.objects.put(actor, found, text.encode())


async def test_who_is_known(place: tuple[MailWorld, int, str]) -> None:
    world, principal, address = place
    assert not await world.incoming.knows_sender(principal, DORA)
    await put(world, principal, "calendar", "calendar", meeting(f"{DORA}m", DORA, by=address))
    await put(
        world,
        principal,
        "addressbook",
        "addressbook",
        card("g").replace("END:", "EMAIL:Gus@Gmail.example\r\nEMAIL:a@b.example\r\nEND:"),
    )
    known = {
        each: await world.incoming.knows_sender(principal, each)
        for each in (DORA, GUS, "a@b.example", "b.example", DORA[:-1])
    }
    assert known == {DORA: True, GUS: True, "a@b.example": True, "b.example": False, DORA[:-1]: False}


async def test_an_organizer_of_an_earlier_meeting_is_known(place: tuple[MailWorld, int, str]) -> None:
    world, principal, address = place
    text = request(address, uid="first")
    assert await world.receive(text, address) is Outcome.HELD
    assert not await world.incoming.knows_sender(principal, DORA)
    (item,) = [each for each in await world.incoming.held_items(limit=1000) if each.owner.id == principal]
    assert await world.mails.held.accept(CAUSE, item) == "1.2"
    assert await world.incoming.knows_sender(principal, DORA)
    assert await world.receive(request(address, uid="second"), address) is Outcome.APPLIED


async def test_held_items_are_listed_accepted_and_dropped(place: tuple[MailWorld, int, str]) -> None:
    world, principal, address = place
    for number in range(3):
        assert await world.receive(request(address, uid=f"u{number}"), address, results="") is Outcome.HELD
    inbox = (await world.storage.inboxes(principal, [principal]))[0].inbox
    assert inbox is not None
    assert await world.incoming.held_in(inbox) == 3
    first, *_ = items = [each for each in await world.incoming.held_items(limit=1000) if each.owner.id == principal]
    after = await world.incoming.held_items((first.home_id, first.state.id), 1)
    assert list(after) == items[1:2]
    found = await world.incoming.held_item(first.state.id)
    assert found == first
    assert (first.uid, "REQUEST" in first.text, "untrusted" in first.held) == ("u0", True, True)
    await world.mails.held.drop(CAUSE, first)
    assert await world.incoming.held_item(first.state.id) is None
    owner = await world.incoming.owner_of_home(first.home_id)
    assert owner is not None
    assert owner.id == principal
    assert await world.incoming.owner_of_home(10**9) is None


async def test_messages_are_counted(place: tuple[MailWorld, int, str]) -> None:
    world, _, address = place
    sender = address.encode()
    assert await world.incoming.count_messages(sender, 2, 3)
    assert not await world.incoming.count_messages(sender, 2, 3)
    assert await world.incoming.count_messages(sender, 1, 3)
    assert not await world.incoming.count_messages(sender, 1, 3)
    assert not await world.incoming.count_messages(b"another", 4, 3)
    await world.incoming.forget_senders()
    assert not await world.incoming.count_messages(sender, 1, 3)


async def test_what_no_column_holds_is_no_failure(place: tuple[MailWorld, int, str]) -> None:
    world, _, address = place
    for number, odd in enumerate(("\0", "\udcff", "\x85", "\ufffe", "%00", "\U0001f600")):
        text = request(address, uid=f"odd{number}", more=(f"X-A:{odd}", f"ATTENDEE:mailto:{odd}@x.example"))
        data = mail("TEXT", message_id=f"<{odd}@contoso.example>".encode(errors="replace").decode(), results="")
        data = data.replace(b"TEXT", text.encode(errors="surrogatepass"))
        outcomes = await world.deliver(data, address, f"{odd}@x.example", f"<{odd}>", sender=f"{odd}@y.example")
        assert set(outcomes) <= {Outcome.HELD, Outcome.UNREADABLE}, odd


async def test_an_answer_by_mail_is_merged(place: tuple[MailWorld, int, str]) -> None:
    world, principal, address = place
    await put(world, principal, "calendar", "calendar", meeting(DORA, by=address))
    assert await world.deliver(mail(reply(organizer=address)), address) == (Outcome.APPLIED,)
    (mailbox,) = await world.storage.mailboxes(principal, [principal], "m")
    assert mailbox.object is not None
    assert (
        "PARTSTAT=ACCEPTED"
        in [x for x in (mailbox.object.text or "").replace("\r\n ", "").splitlines() if x.endswith(DORA)][0]
    )


async def test_who_leaves_a_group_of_an_organizer_elsewhere_has_a_cancelled_copy(storage: Any) -> None:
    world, group, person = StoredWorld(storage), await make_person(storage, "group"), await make_person(storage)
    directory, address = PostgresDirectory(storage.database), f"{group.name}@example.com"
    await directory.write_principals([PrincipalChange(group.id, addresses=(address,))], CAUSE)
    memberships = Memberships(world.scheduling, timedelta(minutes=10), lambda: NOW)

    async def status() -> list[str]:
        (mailbox,) = await storage.mailboxes(person.id, [person.id], f"{address}m")
        assert mailbox.object is not None
        return re.findall("STATUS:([A-Z]+)", mailbox.object.text or "")

    await directory.write_relations([RelationChange(group.id, members=frozenset((person.id,)))], CAUSE)
    await directory.write_principals([PrincipalChange(person.id, addresses=(f"{person.name}@example.com",))], CAUSE)
    world.mails = world.receiver(IncomingMailSettings(authserv_id=HERE, invitations="all"))
    text = request(address, uid=f"{address}m").replace("DTSTART:2026", "DTSTART:2099")
    assert await world.deliver(mail(text), address) == (Outcome.APPLIED,)
    ((home_id, object_id),) = await storage.meetings_of_group(group.id, after=(0, 0), limit=10)
    assert not await memberships.follow(home_id, object_id)
    assert await status() == []
    await directory.write_relations([RelationChange(group.id, members=frozenset())], CAUSE)
    assert await memberships.follow(home_id, object_id)
    assert await status() == ["CANCELLED"]
    assert not await memberships.follow(home_id, object_id)
