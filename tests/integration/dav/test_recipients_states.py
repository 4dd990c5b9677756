"""No recipient's state fails the sender (RFC 6638 §3.2.9): at attendee 7 of 20, each cause is that attendee's
SCHEDULE-STATUS."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from itertools import starmap

import pytest

from server.domain.changes import Cause
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.client import Client
from tests.integration.dav.conftest import NewPerson, Serve, Served
from tests.integration.dav.person import Person, calendar, event, xml

SEVENTH = 6
CAUSE = Cause(None, "test")
LIMITS = {"limits.max_members": 100, "limits.max_collections": 10, "limits.max_resource_size": 20_000}

Prepare = Callable[[Person, Person, Served], Awaitable[None]]
"""Brings the seventh attendee into a state; gets the organizer, too."""


def address(person: Person) -> str:
    return f"mailto:{person.name}@example.com"


def meeting(organizer: Person, people: list[Person], *lines: str, component: str = "VEVENT") -> str:
    return calendar(
        f"BEGIN:{component}",
        "UID:m",
        "DTSTAMP:20260101T000000Z",
        "DTSTART:20260601T090000Z",
        "DURATION:PT1H",
        f"ORGANIZER:{address(organizer)}",
        *(f"ATTENDEE:{address(each)}" for each in people),
        *lines,
        f"END:{component}",
    )


async def text_of(person: Person, path: str) -> str:
    return (await person.http("GET", path)).text.replace("\r\n ", "")


async def statuses(organizer: Person, path: str) -> Mapping[str, str]:
    """SCHEDULE-STATUS by address; empty without one."""
    lines = [line for line in (await text_of(organizer, path)).splitlines() if line.startswith("ATTENDEE")]
    found = {}
    for line in lines:
        status = re.search('SCHEDULE-STATUS="?([0-9.,]+)', line)
        found[line[line.rindex("mailto:") :]] = "" if status is None else status[1]
    return found


async def copies(person: Person, path: str) -> list[str]:
    """The names of the objects of the meeting in a calendar."""
    return [name for name in await person.names(path) if "UID:m\r\n" in await text_of(person, name)]


async def set_quota(served: Served, person: Person, quota_bytes: int) -> None:
    change = PrincipalChange(person.id, quota_bytes=quota_bytes)
    await PostgresDirectory(served.storage.database).write_principals([change], CAUSE)


async def full(attendee: Person, organizer: Person, served: Served) -> None:
    await set_quota(served, attendee, 10)


async def full_of_members(attendee: Person, organizer: Person, served: Served) -> None:
    for number in range(100):
        await attendee.has(f"{attendee.calendar}{number}.ics", event(f"{number}"))


async def with_a_full_inbox(attendee: Person, organizer: Person, served: Served) -> None:
    """An inbox as full as the limit on members lets it be makes room."""
    for number in range(100):
        text = meeting(organizer, [attendee]).replace("UID:m\r\n", f"UID:{number}\r\n")
        await organizer.has(f"{organizer.calendar}{number}.ics", text)
        assert (await organizer.http("DELETE", f"{organizer.calendar}{number}.ics")).status == 204
        for name in await attendee.names(attendee.calendar):
            assert (await attendee.http("DELETE", name)).status == 204


async def refusing(attendee: Person, organizer: Person, served: Served) -> None:
    ace = (
        f"<D:ace><D:principal><D:href>{organizer.principal}</D:href></D:principal>"
        "<D:deny><D:privilege><C:schedule-deliver-invite/></D:privilege></D:deny></D:ace>"
    )
    assert (await attendee.http("ACL", f"{attendee.home}inbox/", xml("D:acl", ace))).status == 200


async def without_calendars(attendee: Person, organizer: Person, served: Served) -> None:
    for target in await served.storage.database.fetch(
        "select b.* from binding b join home h on h.id = b.home_id join collection c on c.id = b.collection_id "
        "where h.principal_id = $1 and h.kind = 'calendar' and c.kind = 'calendar'",
        attendee.id,
    ):
        await served.storage.database.fetch(
            "select koyomi_delete_collection_1($1, $2, $1, $3, $4, "
            "null, null, null, null, null, null, null, 'test', '')",
            target["home_id"],
            target["name"],
            target["collection_id"],
            target["incarnation"],
        )


async def without_calendars_and_room_for_one(attendee: Person, organizer: Person, served: Served) -> None:
    await without_calendars(attendee, organizer, served)
    for number in range(9):
        new = f"{attendee.home}{number}/"
        body = xml(
            "C:mkcalendar",
            "<D:set><D:prop><C:supported-calendar-component-set><C:comp name='VJOURNAL'/>"
            "</C:supported-calendar-component-set></D:prop></D:set>",
        )
        assert (await attendee.http("MKCALENDAR", new, body)).status == 201


async def invited_by_another(attendee: Person, organizer: Person, served: Served) -> None:
    other = replace(organizer, name="somebody")
    await attendee.has(f"{attendee.calendar}own.ics", meeting(other, [attendee]))


@pytest.mark.parametrize(
    ("prepare", "status"),
    [
        (full, "5.1"),
        (full_of_members, "5.1"),
        (with_a_full_inbox, "1.2"),
        (refusing, "3.8"),
        (without_calendars, "1.2"),
        (without_calendars_and_room_for_one, "5.1"),
        (invited_by_another, "5.3"),
    ],
)
async def test_an_invitation(serve: Serve, new_person: NewPerson, prepare: Prepare, status: str) -> None:
    async with serve(LIMITS) as served:
        organizer, *people = [await new_person() for _ in range(21)]
        (organizer, seventh), opened = with_clients(served, organizer, people[SEVENTH])
        await prepare(seventh, organizer, served)
        path = f"{organizer.calendar}m.ics"
        reply = await organizer.put(path, meeting(organizer, people))
        assert reply.status == 201, reply.body
        expected = {address(each): status if number == SEVENTH else "1.2" for number, each in enumerate(people)}
        assert await statuses(organizer, path) == expected
        for each in people:
            if each.id != seventh.id:
                assert len(await copies(each, each.calendar)) == 1
        if status == "1.2":
            assert len(await copies(seventh, seventh.calendar)) == 1
        for client in opened:
            client.close()


async def test_a_home_with_room_within_the_grace(served: Served, new_person: NewPerson) -> None:
    """A tenth beyond the quota is for what others send: the attendee could not put it themselves."""
    organizer, *people = [await new_person() for _ in range(21)]
    seventh = people[SEVENTH]
    await seventh.has(f"{seventh.calendar}own.ics", event("own", "x" * 95_000))
    await set_quota(served, seventh, 97_000)
    (await seventh.put(f"{seventh.calendar}more.ics", event("more", "x" * 3000))).refused(507)
    path, sent = f"{organizer.calendar}m.ics", meeting(organizer, people)
    for number in range(4):
        await organizer.has(path, sent.replace("DURATION:PT1H", f"DURATION:PT{number + 1}H"))
        assert set((await statuses(organizer, path)).values()) == {"1.2"}
    (copy,) = await copies(seventh, seventh.calendar)
    assert "DURATION:PT4H" in await text_of(seventh, copy)
    for number in range(4, 8):
        await organizer.has(path, sent.replace("DURATION:PT1H", f"DURATION:PT{number + 1}H"))
    found = await statuses(organizer, path)
    assert found.pop(address(seventh)) == "5.1"
    assert set(found.values()) == {"1.2"}
    used = await served.storage.database.fetchval(
        "select used_bytes from home where principal_id = $1 and kind = 'calendar'", seventh.id
    )
    assert 97_000 < used <= 97_000 * 1.1


async def test_a_copy_that_becomes_too_large(serve: Serve, new_person: NewPerson) -> None:
    async with serve(LIMITS) as served:
        organizer, *people = [await new_person() for _ in range(21)]
        (organizer, seventh), opened = with_clients(served, organizer, people[SEVENTH])
        path = f"{organizer.calendar}m.ics"
        await organizer.has(path, meeting(organizer, people))
        (copy,) = await copies(seventh, seventh.calendar)
        text = await text_of(seventh, copy)
        await seventh.has(copy, text.replace("END:VEVENT", f"X-OWN:{'x' * 15_000}\r\nEND:VEVENT"))
        await organizer.has(path, meeting(organizer, people, f"DESCRIPTION:{'x' * 10_000}"))
        found = await statuses(organizer, path)
        assert found.pop(address(seventh)) == "5.3"
        assert set(found.values()) == {"1.2"}
        assert "DESCRIPTION" not in await text_of(seventh, copy)
        for client in opened:
            client.close()


async def test_somebody_who_was_deleted(served: Served, new_person: NewPerson) -> None:
    organizer, *people = [await new_person() for _ in range(21)]
    await PostgresDirectory(served.storage.database).delete_principal(people[SEVENTH].id, CAUSE, purge=False)
    path = f"{organizer.calendar}m.ics"
    # Nothing would be mailed about what is over.
    await organizer.has(path, meeting(organizer, people).replace("DTSTART:2026", "DTSTART:2099"))
    found = await statuses(organizer, path)
    # The address is one of somebody elsewhere now.
    assert found.pop(address(people[SEVENTH])) in ("1.0", "1.1")
    assert set(found.values()) == {"1.2"}


async def test_an_answer_to_a_full_home_of_the_organizer(served: Served, new_person: NewPerson) -> None:
    """The attendee's own copy says what they answered, and that nobody heard of it."""
    organizer, ben = await new_person(), await new_person()
    path = f"{organizer.calendar}m.ics"
    await organizer.has(path, meeting(organizer, [ben]))
    await full(organizer, ben, served)
    (copy,) = await ben.names(ben.calendar)
    text = await text_of(ben, copy)
    await ben.has(copy, re.sub(f"ATTENDEE.*:{address(ben)}", f"ATTENDEE;PARTSTAT=ACCEPTED:{address(ben)}", text))
    (line,) = [each for each in (await text_of(ben, copy)).splitlines() if each.startswith("ORGANIZER")]
    assert "SCHEDULE-STATUS=5.1" in line


async def test_calendars_are_made_anew(served: Served, new_person: NewPerson) -> None:
    """For events and for tasks; each is the default calendar from then on."""
    organizer, ben = await new_person(), await new_person()
    await without_calendars(ben, organizer, served)
    for component, place, name in (
        ("VEVENT", ben.calendar, "C:schedule-default-calendar-URL"),
        ("VTODO", ben.tasks, "S:schedule-default-tasks-URL"),
    ):
        text = meeting(organizer, [ben], component=component).replace("UID:m", f"UID:m-{component}")
        await organizer.has(f"{organizer.calendar if component == 'VEVENT' else organizer.tasks}m.ics", text)
        assert len(await ben.names(place)) == 1
        assert place in await ben.prop(f"{ben.home}inbox/", name)


async def test_invitations_at_once_make_one_calendar(served: Served, new_person: NewPerson) -> None:
    ben, *organizers = [await new_person() for _ in range(6)]
    await without_calendars(ben, ben, served)

    async def invite(number: int, organizer: Person) -> int:
        text = meeting(organizer, [ben]).replace("UID:m\r\n", f"UID:m{number}\r\n")
        return (await organizer.put(f"{organizer.calendar}m.ics", text)).status

    assert set(await asyncio.gather(*starmap(invite, enumerate(organizers)))) == {201}
    assert [name for name in await ben.names(ben.home) if name.startswith(ben.calendar.rstrip("/"))] == [ben.calendar]
    assert len(await ben.names(ben.calendar)) == len(organizers)


async def test_a_calendar_that_is_made_anew_has_a_free_name(served: Served, new_person: NewPerson) -> None:
    organizer, ben = await new_person(), await new_person()
    await without_calendars(ben, organizer, served)
    body = xml(
        "C:mkcalendar",
        "<D:set><D:prop><C:supported-calendar-component-set><C:comp name='VJOURNAL'/>"
        "</C:supported-calendar-component-set></D:prop></D:set>",
    )
    assert (await ben.http("MKCALENDAR", ben.calendar, body)).status == 201
    await organizer.has(f"{organizer.calendar}m.ics", meeting(organizer, [ben]))
    (made,) = [name for name in await ben.names(ben.home) if name.startswith(f"{ben.home}calendar-")]
    assert len(await ben.names(made)) == 1


def with_clients(served: Served, *people: Person) -> tuple[list[Person], list[Client]]:
    """The people, as they ask another server, and what is to be closed."""
    clients = [served.client(Remote_User=each.name) for each in people]
    return [replace(each, http=client) for each, client in zip(people, clients, strict=True)], clients
