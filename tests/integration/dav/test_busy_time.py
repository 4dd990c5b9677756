"""What counts in free-busy besides the times of events: attendance, transparent calendars, windows far away."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from server.domain.changes import Cause
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.upkeep.rederivation import follow_owners, rederive
from tests.integration.dav.conftest import Served
from tests.integration.dav.person import Person, calendar, event
from tests.integration.dav.sharing import Share, eventually, shown
from tests.integration.dav.test_rfc4791_time import busy, data_of, found, in_component, window

JUNE = ("20260601T000000Z", "20260701T000000Z")
FAR = ("20560601T000000Z", "20560608T000000Z")
BUSY = ["FREEBUSY:20260601T090000Z/PT1H"]


def invited(attendee: str, *lines: str) -> str:
    """A meeting of somebody else."""
    return event(
        "1", "Meeting", "ORGANIZER:mailto:boss@example.org", "ATTENDEE:mailto:boss@example.org", attendee, *lines
    )


@pytest.mark.parametrize(
    "address",
    [
        "mailto:{name}@example.com",
        "MAILTO:{name}@EXAMPLE.COM",
        "urn:x-uid:{uid}",
        "/principals/users/{name}/",
        "https://calendar.example.org/prefix/principals/__uids__/{uid}",
    ],
)
async def test_what_the_owner_has_declined_is_free(person: Person, address: str) -> None:
    path = f"{person.calendar}1.ics"
    address = address.format(name=person.name, uid=person.uid)
    for answer, expected in (("NEEDS-ACTION", BUSY), ("DECLINED", []), ("ACCEPTED", BUSY), ("declined", [])):
        await person.has(path, invited(f"ATTENDEE;PARTSTAT={answer}:{address}"))
        assert await busy(person, person.calendar, *JUNE) == expected, answer
        assert await busy(person, person.home, *JUNE, depth="infinity") == expected, answer
        assert await found(person, person.calendar, *JUNE) == ["1.ics"]


async def test_an_address_in_a_parameter_a_folded_line_and_two_invitations(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    own = f"mailto:{person.name}@example.com"
    await person.has(path, invited(f"ATTENDEE;EMAIL={person.name}@example.com;PARTSTAT=DECLINED:urn:uuid:1"))
    assert await busy(person, person.calendar, *JUNE) == []
    await person.has(path, invited(f"ATTENDEE;PARTSTAT=DECL\r\n INED:{own}"))
    assert await busy(person, person.calendar, *JUNE) == []
    accepted = f"ATTENDEE;PARTSTAT=ACCEPTED:urn:x-uid:{person.uid}"
    await person.has(path, invited(f"ATTENDEE;PARTSTAT=DECLINED:{own}", accepted))
    assert await busy(person, person.calendar, *JUNE) == BUSY


async def test_what_others_have_declined_is_busy(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", invited("ATTENDEE;PARTSTAT=DECLINED:mailto:other@example.org"))
    assert await busy(person, person.calendar, *JUNE) == BUSY


async def test_a_copy_for_somebody_else_is_busy_for_them(
    person: Person, other: Person, share: Share, served: Served
) -> None:
    """What one person declined another may attend: the copy is computed for its owner."""
    await person.has(f"{person.calendar}1.ics", invited(f"ATTENDEE;PARTSTAT=DECLINED:mailto:{person.name}@example.com"))
    await share(person, other, "read")
    await eventually(lambda: shown(other))
    (place,) = await shown(other)
    assert await busy(other, place, *JUNE) == []
    reply = await other.http("COPY", f"{place}1.ics", Destination=f"{other.calendar}2.ics")
    assert reply.status == 201
    assert await busy(other, other.calendar, *JUNE) == BUSY


async def test_one_declined_instance_of_a_series_and_a_declined_series(person: Person) -> None:
    own = f"ATTENDEE;PARTSTAT={{}}:mailto:{person.name}@example.com"
    series = ("DTSTART:20260601T090000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY")
    override = ("RECURRENCE-ID:20260608T090000Z", "DTSTART:20260608T120000Z", "DURATION:PT1H")
    far_override = ("RECURRENCE-ID:20560605T090000Z", "DTSTART:20560605T120000Z", "DURATION:PT1H")

    def text(first: str, second: str) -> str:
        parts = ((series, first), (override, second), (far_override, second))
        head = ("BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z")
        return calendar(*(line for part, answer in parts for line in (*head, *part, own.format(answer), "END:VEVENT")))

    path = f"{person.calendar}1.ics"
    await person.has(path, text("ACCEPTED", "DECLINED"))
    near = ("20260601T000000Z", "20260616T000000Z")
    assert await busy(person, person.calendar, *near) == ["FREEBUSY:20260601T090000Z/PT1H,20260615T090000Z/PT1H"]
    assert await busy(person, person.calendar, *FAR) == []
    await person.has(path, text("DECLINED", "ACCEPTED"))
    assert await busy(person, person.calendar, *near) == ["FREEBUSY:20260608T120000Z/PT1H"]
    assert await busy(person, person.calendar, *FAR) == ["FREEBUSY:20560605T120000Z/PT1H"]


async def test_what_the_owner_has_declined_is_free_for_sharees_with_a_text_of_their_own(
    person: Person, other: Person, share: Share
) -> None:
    path = f"{person.calendar}1.ics"
    await person.has(path, invited(f"ATTENDEE;PARTSTAT=ACCEPTED:mailto:{person.name}@example.com"))
    await share(person, other, "write")
    await eventually(lambda: shown(other))
    (place,) = await shown(other)
    alarm = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-PT5M", "END:VALARM")
    seen = (await other.http("GET", f"{place}1.ics")).text
    theirs = seen.replace("END:VEVENT", "\r\n".join((*alarm, "END:VEVENT")))
    assert (await other.put(f"{place}1.ics", theirs)).status == 204
    assert await busy(other, place, *JUNE) == BUSY
    await person.has(path, invited(f"ATTENDEE;PARTSTAT=DECLINED:mailto:{person.name}@example.com"))
    assert await busy(person, person.calendar, *JUNE) == []
    assert await busy(other, place, *JUNE) == []


async def test_deriving_again_frees_what_the_owner_declined_for_sharees_too(
    person: Person, other: Person, share: Share, served: Served
) -> None:
    """A sharee who changed one instance for themselves has busy types of their own for the whole object."""
    declined = f"ATTENDEE;PARTSTAT=DECLINED:mailto:{person.name}@example.com"
    head = ("BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z", "DURATION:PT1H")
    series = (*head, "DTSTART:20260601T090000Z", "RRULE:FREQ=DAILY;COUNT=3", declined, "END:VEVENT")
    override = (*head, "RECURRENCE-ID:20260602T090000Z", "DTSTART:20260602T120000Z")
    await person.has(f"{person.calendar}1.ics", calendar(*series, *override, "END:VEVENT"))
    await share(person, other, "write")
    await eventually(lambda: shown(other))
    (place,) = await shown(other)
    await other.has(f"{place}1.ics", calendar(*series, *override, "TRANSP:TRANSPARENT", "END:VEVENT"))
    assert await busy(other, place, *JUNE) == []
    assert await busy(person, person.calendar, *JUNE) == ["FREEBUSY:20260602T120000Z/PT1H"]
    # as a server of an older version stored it
    database = served.storage.database
    home = await database.fetchval("select id from home where principal_id = $1 and kind = 'calendar'", person.id)
    await database.fetch("update occurrence set busy = 1 where home_id = $1", home)
    await database.fetch("update object_view set busy = '{1,0}' where home_id = $1", home)
    await database.fetch("update object set derived = 0 where home_id = $1", home)
    assert len(await busy(other, place, *JUNE)) == len(await busy(person, person.calendar, *JUNE)) == 1
    await rederive(database, datetime.now(UTC))
    assert await busy(other, place, *JUNE) == []
    assert await busy(person, person.calendar, *JUNE) == ["FREEBUSY:20260602T120000Z/PT1H"]


async def test_what_was_declined_by_a_former_address_stays_free_until_another_has_it(
    person: Person, other: Person, served: Served
) -> None:
    directory, database = PostgresDirectory(served.storage.database), served.storage.database
    cause = Cause(None, "test")

    async def has(who: Person, *addresses: str) -> None:
        await directory.write_principals([PrincipalChange(id=who.id, addresses=addresses)], cause)
        await follow_owners(database, seconds=60)
        await rederive(database, datetime.now(UTC))

    old = f"{person.name}@example.com"
    await person.has(f"{person.calendar}1.ics", invited(f"ATTENDEE;PARTSTAT=DECLINED:mailto:{old}"))
    await has(person, f"{person.name}@example.net")
    assert await busy(person, person.calendar, *JUNE) == []
    text = invited(f"ATTENDEE;PARTSTAT=DECLINED:mailto:{old}", "LOCATION:There")
    await person.has(f"{person.calendar}1.ics", text)
    assert await busy(person, person.calendar, *JUNE) == []
    await has(other, f"{other.name}@example.com", old)
    assert await busy(person, person.calendar, *JUNE) == BUSY
    # it returns, and is a former one again
    await has(other, f"{other.name}@example.com")
    await has(person, old)
    assert await busy(person, person.calendar, *JUNE) == []


async def test_travel_counts_for_who_travels_alone(person: Person, other: Person, share: Share) -> None:
    """Far away, too, and in a copy that a sharee makes."""
    own = event("1", "Meeting", "X-APPLE-TRAVEL-DURATION;VALUE=DURATION:PT45M", "RRULE:FREQ=YEARLY")
    await person.has(f"{person.calendar}1.ics", own)
    await share(person, other, "write")
    (theirs,) = await shown(other)
    far = ["FREEBUSY:20560601T090000Z/PT1H"]
    travelled = ["FREEBUSY:20260601T081500Z/PT1H45M"], ["FREEBUSY:20560601T081500Z/PT1H45M"]
    for place, expected in ((person.calendar, travelled), (person.home, travelled)):
        depth = "1" if place == person.calendar else "infinity"
        assert (await busy(person, place, *JUNE, depth=depth), await busy(person, place, *FAR, depth=depth)) == expected
    assert (await busy(other, theirs, *JUNE), await busy(other, theirs, *FAR)) == (BUSY, far)
    assert await busy(other, theirs, "20260601T080000Z", "20260601T090000Z") == []
    assert await busy(other, theirs, "20560601T080000Z", "20560601T090000Z") == []
    copy = f"{other.home}copy/"
    assert (await other.http("COPY", theirs, Destination=copy)).status == 201
    assert (await busy(other, copy, *JUNE), await busy(other, copy, *FAR)) == (BUSY, far)
    assert await found(person, person.calendar, "20260601T080000Z", "20260601T090000Z") == []


def transparency(value: str) -> str:
    return f"<C:schedule-calendar-transp><C:{value}/></C:schedule-calendar-transp>"


async def test_transparent_calendars_do_not_count_in_a_home(person: Person, other: Person, share: Share) -> None:
    """RFC 6638 §9.1."""
    await person.has(f"{person.calendar}1.ics", event("1"))
    assert await busy(person, person.home, *JUNE, depth="infinity") == BUSY
    assert list((await person.set(person.calendar, transparency("transparent"))).props) == [200]
    assert await busy(person, person.home, *JUNE, depth="infinity") == []
    # who asks for the calendar itself asks for its events
    assert await busy(person, person.calendar, *JUNE) == BUSY
    assert list((await person.set(person.calendar, transparency("opaque"))).props) == [200]
    assert await busy(person, person.home, *JUNE, depth="infinity") == BUSY
    # sharing makes a calendar transparent for whom it is shared with
    await share(person, other, "read")
    await eventually(lambda: shown(other))
    (place,) = await shown(other)
    assert await busy(other, other.home, *JUNE, depth="infinity") == []
    assert await busy(other, place, *JUNE) == BUSY
    assert list((await other.set(place, transparency("opaque"))).props) == [200]
    assert await busy(other, other.home, *JUNE, depth="infinity") == BUSY
    assert await busy(person, person.home, *JUNE, depth="infinity") == BUSY


SERIES = {
    "utc": ("DTSTART:20260601T090000Z", "DURATION:PT30M", "RRULE:FREQ=DAILY"),
    "zone": (
        "DTSTART;TZID=Europe/Berlin:20260601T090000",
        "DTEND;TZID=Europe/Berlin:20260601T100000",
        "RRULE:FREQ=WEEKLY",
    ),
    "floating": ("DTSTART:20260601T230000", "DURATION:PT2H", "RRULE:FREQ=WEEKLY;BYDAY=MO,TH"),
    "dates": ("DTSTART;VALUE=DATE:20260601", "RRULE:FREQ=MONTHLY;BYMONTHDAY=3"),
    "tentative": ("DTSTART:20260601T120000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY", "STATUS:TENTATIVE"),
    "never": ("DTSTART:20260601T120000Z", "DURATION:PT1H", "RRULE:FREQ=YEARLY;BYMONTH=2"),
    "excluded": (
        "DTSTART:20260601T150000Z",
        "DURATION:PT1H",
        "RRULE:FREQ=DAILY",
        "EXDATE:20560602T150000Z,20560603T150000Z",
        "RDATE:20560602T180000Z",
    ),
}
"""DTSTART, length and rule of events without end."""


async def test_windows_far_away_are_answered_alike_from_recurrences_and_from_texts(
    person: Person, served: Served
) -> None:
    for name, lines in SERIES.items():
        parts = ("BEGIN:VEVENT", f"UID:{name}", "DTSTAMP:20260101T000000Z", *lines, "SUMMARY:x", "END:VEVENT")
        await person.has(f"{person.calendar}{name}.ics", calendar(*parts))

    async def answers() -> tuple[object, ...]:
        condition = in_component(window(*FAR))
        expanded = await data_of(person, person.calendar, window(*FAR, "C:expand"), condition)
        return (
            await found(person, person.calendar, *FAR),
            expanded,
            await busy(person, person.calendar, *FAR),
            await found(person, person.calendar, "20560602T233000Z", "20560603T003000Z"),
        )

    database = served.storage.database
    stored = await answers()
    assert stored[0] == sorted(f"{name}.ics" for name in SERIES if name != "never")
    home = await database.fetchval("select id from home where principal_id = $1 and kind = 'calendar'", person.id)
    # without the recurrences, the texts are read
    await database.fetch("update object set recurrence = null where home_id = $1", home)
    assert await answers() == stored


async def test_no_text_is_read_for_what_lies_far_away(person: Person, served: Served) -> None:
    for name, lines in SERIES.items():
        parts = ("BEGIN:VEVENT", f"UID:{name}", "DTSTAMP:20260101T000000Z", *lines, "SUMMARY:x", "END:VEVENT")
        await person.has(f"{person.calendar}{name}.ics", calendar(*parts))
    database = served.storage.database
    home = await database.fetchval("select id from home where principal_id = $1 and kind = 'calendar'", person.id)
    before = await found(person, person.calendar, *FAR), await busy(person, person.calendar, *FAR)
    await database.fetch("update object set text = 'nothing' where home_id = $1", home)
    after = await found(person, person.calendar, *FAR), await busy(person, person.calendar, *FAR)
    assert after == before
    # Other tests compare everything that is stored with its text.
    await PostgresDirectory(served.storage.database).delete_principal(person.id, Cause(None, "test"), purge=True)


async def test_a_recurrence_that_an_older_server_left_behind_is_not_used(person: Person, served: Served) -> None:
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1", "x", "RRULE:FREQ=DAILY"))
    assert await found(person, person.calendar, *FAR) == ["1.ics"]
    # it changes the text and the occurrences, and does not know of the column
    await served.storage.database.fetch(
        "update object set text = replace(text, 'FREQ=DAILY', 'FREQ=YEARLY;BYMONTH=1'), derived = 0 "
        "where home_id = (select id from home where principal_id = $1 and kind = 'calendar')",
        person.id,
    )
    assert await found(person, person.calendar, *FAR) == []
    # Other tests compare everything that is stored with its text.
    await PostgresDirectory(served.storage.database).delete_principal(person.id, Cause(None, "test"), purge=True)
