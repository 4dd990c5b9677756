"""Views: each with whom a calendar is shared has alarms, transparency and the like of their own in its objects."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
import pytest_asyncio

from server.domain.etags import etag_of
from server.services.views import alarms_of, render
from storage_plugins.postgres.changes.principal_removal import hide, purge
from storage_plugins.postgres.changes.views import prune_views, render_shared, store_alarms
from storage_plugins.postgres.migrations import migrations
from storage_plugins.postgres.upkeep.check import check
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import caldav, dav
from tests.integration.dav.person import Person, calendar, event
from tests.integration.dav.sharing import CAUSE, Share, shown

ALARM = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-PT10M", "END:VALARM")
EARLY = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-P1D", "END:VALARM")
FREE = "TRANSP:TRANSPARENT"
WINDOW = '<C:time-range start="20260601T000000Z" end="20260602T000000Z"/>'


@dataclass(frozen=True, slots=True)
class Three:
    """The owner of a calendar, who may write in it, and who may read it; with the calendar's URL of each."""

    owner: Person
    writer: Person
    reader: Person
    owners: str
    writers: str
    readers: str

    @property
    def places(self) -> tuple[tuple[Person, str], ...]:
        return (self.owner, self.owners), (self.writer, self.writers), (self.reader, self.readers)

    async def texts(self, name: str = "1.ics") -> list[str]:
        """What each of the three sees."""
        return [(await who.http("GET", place + name)).text for who, place in self.places]

    async def states(self) -> list[tuple[str, str, str]]:
        """ETag of the object, ctag and sync token of the calendar, of each."""
        found = []
        for who, place in self.places:
            etag = await who.prop(f"{place}1.ics", "D:getetag")
            found.append((etag, await who.prop(place, "S:getctag"), await who.prop(place, "D:sync-token")))
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def three(person: Person, other: Person, new_person: NewPerson, share: Share) -> Three:
    third = await new_person()
    await person.has(f"{person.calendar}1.ics", event("1", "Meeting", FREE, *ALARM))
    await share(person, other, "write")
    await share(person, third, "read")
    (writers,), (readers,) = await shown(other), await shown(third)
    return Three(person, other, third, person.calendar, writers, readers)


async def test_who_has_no_view_sees_the_neutral_text(three: Three) -> None:
    assert await three.texts() == [event("1", "Meeting", FREE, *ALARM), event("1"), event("1")]
    for who, place in three.places[1:]:
        reply = await who.http("GET", f"{place}1.ics")
        found = (await who.propfind(f"{place}1.ics", "D:getetag", "D:getcontentlength")).only.found
        assert found == {dav("getetag"): reply.etag, dav("getcontentlength"): str(len(event("1")))}
    assert (await three.states())[0][0] != (await three.states())[1][0]


async def test_what_is_written_after_sharing_is_apart_too(three: Three) -> None:
    etag = await three.owner.has(f"{three.owners}2.ics", event("2", "New", *EARLY, "LOCATION:Here"))
    texts = await three.texts("2.ics")
    assert texts == [event("2", "New", *EARLY, "LOCATION:Here"), *[event("2", "New", "LOCATION:Here")] * 2]
    await three.owner.has(f"{three.owners}2.ics", event("2", "Newer", *EARLY), If_Match=etag)
    assert await three.texts("2.ics") == [event("2", "Newer", *EARLY), *[event("2", "Newer")] * 2]


@pytest.mark.parametrize("who", ["writer", "reader"])
async def test_own_parts_are_nobody_elses(three: Three, who: str) -> None:
    mover, place = (three.writer, three.writers) if who == "writer" else (three.reader, three.readers)
    before = await three.states()
    texts = await three.texts()
    mine = event("1", "Meeting", *EARLY)
    reply = await mover.put(f"{place}1.ics", mine, If_Match=before[1][0])
    assert reply.status == 204
    assert reply.etag
    after = await three.states()
    for index, (person, _) in enumerate(three.places):
        if person is mover:
            assert (await three.texts())[index] == mine
            assert after[index][0] == reply.etag
            assert all(old != new for old, new in zip(before[index], after[index], strict=True))
        else:
            assert (await three.texts())[index] == texts[index]
            assert after[index] == before[index]
    for (person, where), (_, _, token) in zip(three.places, before, strict=True):
        changed = await person.sync(where, token)
        if person is mover:
            assert changed.hrefs == [f"{where}1.ics"]
            assert changed[f"{where}1.ics"].found[dav("getetag")] == reply.etag
            assert (await person.sync(where, changed.token or "")).hrefs == []
        else:
            assert changed.hrefs == []
        limited = await person.sync(where, token, limit=1)
        assert limited.hrefs == changed.hrefs
        assert (await person.sync(where)).hrefs == [f"{where}1.ics"]


async def test_the_home_of_who_changes_their_view_shows_it_at_once(three: Three) -> None:
    token = (await three.reader.sync(three.reader.home)).token or ""
    others = (await three.writer.sync(three.writer.home)).token or ""
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *EARLY))
    assert three.readers in (await three.reader.sync(three.reader.home, token)).hrefs
    owner = await three.owner.sync(three.owner.home, level="infinite")
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *ALARM))
    assert (await three.owner.sync(three.owner.home, owner.token or "", level="infinite")).hrefs == []
    # What the outbox's consumer touches reaches the last before the one that was put after it.
    await three.owner.has(f"{three.owners}2.ics", event("2"))
    async with asyncio.timeout(30):
        while three.writers not in (changed := await three.writer.sync(three.writer.home, others)).hrefs:
            await asyncio.sleep(0.05)
    assert changed.hrefs == [three.writers]


async def test_the_owners_change_reaches_every_view(three: Three) -> None:
    await three.writer.has(f"{three.writers}1.ics", event("1", "Meeting", *EARLY))
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", FREE))
    before = await three.states()
    etag = await three.owner.has(f"{three.owners}1.ics", event("1", "Changed", *ALARM), If_Match=before[0][0])
    assert await three.texts() == [
        event("1", "Changed", *ALARM),
        event("1", "Changed", *EARLY),
        event("1", "Changed", FREE),
    ]
    after = await three.states()
    assert after[0][0] == etag
    for index, (person, place) in enumerate(three.places):
        assert all(old != new for old, new in zip(before[index], after[index], strict=True))
        assert (await person.sync(place, before[index][2])).hrefs == [f"{place}1.ics"]


async def test_a_sharee_changes_what_is_shared_and_what_is_not(three: Three) -> None:
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *ALARM))
    before = await three.states()
    mine = event("1", "By the writer", "LOCATION:There", *EARLY)
    reply = await three.writer.put(f"{three.writers}1.ics", mine, If_Match=before[1][0])
    assert reply.status == 204
    owners, writers, readers = await three.texts()
    assert writers == mine
    assert reply.etag == (await three.states())[1][0]
    assert owners == event("1", "By the writer", FREE, *ALARM, "LOCATION:There")
    assert readers == event("1", "By the writer", *ALARM, "LOCATION:There")
    (await three.writer.put(f"{three.writers}1.ics", mine, If_Match=before[1][0])).refused(412)


async def test_a_new_object_of_a_sharee(three: Three) -> None:
    mine = event("2", "New", FREE, *ALARM)
    etag = await three.writer.has(f"{three.writers}2.ics", mine, If_None_Match="*")
    assert await three.texts("2.ics") == [event("2", "New"), mine, event("2", "New")]
    assert etag == await three.writer.prop(f"{three.writers}2.ics", "D:getetag")
    (await three.reader.put(f"{three.readers}3.ics", event("3"))).refused(403, dav("need-privileges"))


async def test_who_may_read_changes_own_parts_only(three: Three) -> None:
    before = await three.states()
    reply = await three.reader.put(f"{three.readers}1.ics", event("1", "Changed", *ALARM))
    reply.refused(403, dav("need-privileges"))
    assert dav("write-content") in reply.text.replace("D:", "{DAV:}") or "write-content" in reply.text
    assert await three.states() == before
    # Written by a client that puts lines in an order of its own, and says when.
    again = calendar(
        "BEGIN:VEVENT",
        "SUMMARY:Meeting",
        "DTSTART:20260601T090000Z",
        "DTEND:20260601T100000Z",
        "UID:1",
        "SEQUENCE:3",
        "DTSTAMP:20260303T000000Z",
        *EARLY,
        "END:VEVENT",
    ).replace("//CalDAV Client//", "//Other//")
    assert (await three.reader.put(f"{three.readers}1.ics", again)).status == 204
    assert (await three.texts())[2] == again
    assert (await three.states())[:2] == before[:2]
    (await three.reader.http("DELETE", f"{three.readers}1.ics")).refused(403, dav("need-privileges"))


async def test_if_match_is_of_the_view(three: Three) -> None:
    owners = await three.owner.prop(f"{three.owners}1.ics", "D:getetag")
    (await three.reader.put(f"{three.readers}1.ics", event("1", "Meeting", *EARLY), If_Match=owners)).refused(412)
    (await three.reader.http("GET", f"{three.readers}1.ics", If_Match=owners)).refused(412)
    etag = await three.reader.prop(f"{three.readers}1.ics", "D:getetag")
    assert (await three.reader.http("GET", f"{three.readers}1.ics", If_None_Match=etag)).status == 304


SERIES = (
    "BEGIN:VEVENT",
    "UID:s",
    "DTSTAMP:20260101T000000Z",
    "DTSTART:20260601T090000Z",
    "DTEND:20260601T100000Z",
    "RRULE:FREQ=DAILY;COUNT=5",
    "SUMMARY:Daily",
)
LATER = (
    "BEGIN:VEVENT",
    "UID:s",
    "RECURRENCE-ID:20260602T090000Z",
    "DTSTAMP:20260101T000000Z",
    "DTSTART:20260602T110000Z",
    "DTEND:20260602T120000Z",
    "SUMMARY:Later",
)
END = "END:VEVENT"


async def test_exceptions_of_a_series(three: Three) -> None:
    await three.owner.has(f"{three.owners}s.ics", calendar(*SERIES, *ALARM, END, *LATER, FREE, END))
    assert (await three.texts("s.ics"))[1] == calendar(*SERIES, END, *LATER, END)
    mine = calendar(*SERIES, FREE, END, *LATER, *EARLY, END)
    await three.reader.has(f"{three.readers}s.ics", mine)
    # The owner gives the series another name and adds an exception, which is to the reader as the rest of it.
    added = tuple(line.replace("20260602", "20260603").replace("Later", "Third") for line in LATER)
    series = tuple(line.replace("Daily", "Every day") for line in SERIES)
    await three.owner.has(f"{three.owners}s.ics", calendar(*series, *ALARM, END, *LATER, FREE, END, *added, END))
    _, writers, readers = await three.texts("s.ics")
    assert writers == calendar(*series, END, *LATER, END, *added, END)
    assert readers == calendar(*series, FREE, END, *LATER, *EARLY, END, *added, FREE, END)
    # The writer drops both; the owner's alarm stays with the series.
    await three.writer.has(f"{three.writers}s.ics", calendar(*SERIES, END))
    assert await three.texts("s.ics") == [
        calendar(*SERIES, *ALARM, END),
        calendar(*SERIES, END),
        calendar(*SERIES, FREE, END),
    ]


@pytest.mark.parametrize(
    "spelling",
    ["RECURRENCE-ID:20240109T100000Z", "RECURRENCE-ID;TZID=W. Europe Standard Time:20240109T110000"],
)
async def test_an_exception_written_in_another_way_is_the_same(three: Three, spelling: str) -> None:
    """The owner's alarm stays with the exception; that a reader writes it in another way changes nothing shared."""
    first = ("BEGIN:VEVENT", "UID:s", "DTSTAMP:20240101T000000Z", "DTSTART;TZID=Europe/Berlin:20240101T110000")
    series = (*first, "RRULE:FREQ=DAILY;COUNT=20", "SUMMARY:Daily")
    moved = ("BEGIN:VEVENT", "UID:s", "DTSTAMP:20240101T000000Z", "DTSTART:20240109T150000Z", "SUMMARY:Moved")
    owners = "RECURRENCE-ID;TZID=Europe/Berlin:20240109T110000"
    await three.owner.has(f"{three.owners}s.ics", calendar(*series, *EARLY, END, *moved, owners, *ALARM, END))
    await three.writer.has(f"{three.writers}s.ics", calendar(*series, END, *moved, "LOCATION:Here", spelling, END))
    assert (await three.texts("s.ics"))[0] == calendar(
        *series, *EARLY, END, *moved, "LOCATION:Here", spelling, *ALARM, END
    )
    mine = calendar(*series, END, *moved, "LOCATION:Here", owners, *EARLY, END)
    await three.reader.has(f"{three.readers}s.ics", mine)
    assert (await three.texts("s.ics"))[2] == mine


async def test_reports_read_the_view(three: Three) -> None:
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *EARLY))
    expected = [event("1", "Meeting", FREE, *ALARM), event("1"), event("1", "Meeting", *EARLY)]
    data = "<D:prop><D:getetag/><C:calendar-data/></D:prop>"
    every = (
        '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">{}</C:comp-filter>'
        "</C:comp-filter></C:filter>"
    )
    for (person, place), text, (etag, _, _) in zip(three.places, expected, await three.states(), strict=True):
        href = f"<D:href>{place}1.ics</D:href>"
        replies = [
            await person.report(place, "C:calendar-multiget", data + href),
            await person.report(place, "C:calendar-query", data + every.format(WINDOW)),
            await person.report(place, "C:calendar-query", data + every.format("")),
        ]
        found = [reply.multistatus.only.found for reply in replies]
        assert [item[caldav("calendar-data")].split() for item in found] == [text.split()] * 3
        found.append((await person.sync(place)).only.found)
        found.append((await person.propfind(place, "D:getetag", depth="1"))[f"{place}1.ics"].found)
        assert [item[dav("getetag")] for item in found] == [etag] * 5
        expand = "<C:expand start='20260601T000000Z' end='20260602T000000Z'/>"
        expanded = f"<D:prop><C:calendar-data>{expand}</C:calendar-data></D:prop>"
        reply = await person.report(place, "C:calendar-query", expanded + every.format(WINDOW))
        shown_alarms = reply.text.count("BEGIN:VALARM"), reply.text.count("-P1D"), reply.text.count(FREE)
        assert shown_alarms == (text.count("BEGIN:VALARM"), text.count("-P1D"), text.count(FREE))
        whole = (await person.http("GET", place)).text
        assert (whole.count("BEGIN:VALARM"), whole.count("-P1D")) == (text.count("BEGIN:VALARM"), text.count("-P1D"))


async def test_several_calendars_at_once(three: Three) -> None:
    await three.reader.has(f"{three.reader.calendar}own.ics", event("own", "Mine", *ALARM))
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *EARLY))
    hrefs = f"<D:href>{three.reader.calendar}own.ics</D:href><D:href>{three.readers}1.ics</D:href>"
    body = f"<D:prop><C:calendar-data/></D:prop>{hrefs}"
    reply = await three.reader.report(three.reader.home, "C:calendar-multiget", body)
    assert reply.text.count("TRIGGER:-PT10M") == 1
    assert reply.text.count("TRIGGER:-P1D") == 1


async def rings(person: Person, place: str) -> list[bool]:
    """Whether ALARM and EARLY are found where they ring."""
    filters = (
        '<D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">'
        '<C:comp-filter name="VALARM"><C:time-range start="{}" end="{}"/></C:comp-filter>'
        "</C:comp-filter></C:comp-filter></C:filter>"
    )
    at_ten_to_nine = ("20260601T084500Z", "20260601T085500Z")
    the_day_before = ("20260531T085500Z", "20260531T090500Z")
    return [
        bool((await person.report(place, "C:calendar-query", filters.format(*window))).multistatus.hrefs)
        for window in (at_ten_to_nine, the_day_before)
    ]


async def test_filters_on_alarms_read_the_view(three: Three) -> None:
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *EARLY))
    assert [await rings(*place) for place in three.places] == [[True, False], [False, False], [False, True]]
    await three.owner.has(f"{three.owners}1.ics", event("1", "Changed", *EARLY))
    assert [await rings(*place) for place in three.places] == [[False, True], [False, False], [False, True]]
    await three.reader.has(f"{three.readers}1.ics", event("1", "Changed", *ALARM))
    assert [await rings(*place) for place in three.places] == [[False, True], [False, False], [True, False]]


async def test_alarms_of_personal_copies_are_stored(three: Three, served: Served) -> None:
    """Those of copies that an earlier version wrote are found at once, and stored by a job."""
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *EARLY, *ALARM))
    database = served.storage.database
    sql = "select count(*) from alarm where viewer_id = $1"
    assert await database.fetchval(sql, three.reader.id) == 2
    await database.fetch("delete from alarm where viewer_id = $1", three.reader.id)
    await database.fetch("update object_view set alarms_etag = null where principal_id = $1", three.reader.id)
    assert await rings(three.reader, three.readers) == [True, True]
    assert await store_alarms(database, alarms_of) == 1
    assert await store_alarms(database, alarms_of) == 0
    assert await database.fetchval(sql, three.reader.id) == 2
    assert await rings(three.reader, three.readers) == [True, True]
    await three.owner.http("DELETE", f"{three.owners}1.ics")
    assert await database.fetchval(sql, three.reader.id) == 0


async def test_the_owners_home_stays_when_somebody_changes_their_copy(three: Three) -> None:
    async def state() -> list[str]:
        return [await three.owner.prop(three.owner.home, name) for name in ("D:getetag", "S:getctag", "D:sync-token")]

    before = await state()
    for alarm in (EARLY, ALARM):
        await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *alarm))
        assert await state() == before
    await three.owner.has(f"{three.owners}2.ics", event("2"))
    changed = await state()
    assert all(now != then for now, then in zip(changed, before, strict=True))
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *EARLY))
    assert await state() == changed
    assert (await three.owner.sync(three.owner.home, before[2], level="infinite")).hrefs == [
        three.owners,
        f"{three.owners}2.ics",
    ]


async def test_free_busy_reads_the_view(three: Three) -> None:
    async def busy(person: Person, place: str) -> bool:
        return "20260601T090000Z" in (await person.report(place, "C:free-busy-query", WINDOW)).text

    assert [await busy(*place) for place in three.places] == [False, True, True]
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", FREE))
    assert [await busy(*place) for place in three.places] == [False, True, False]
    await three.owner.has(f"{three.owners}1.ics", event("1", "Meeting"))
    assert [await busy(*place) for place in three.places] == [True, True, False]
    await three.owner.has(f"{three.owners}1.ics", event("1", "Meeting", FREE, "RRULE:FREQ=DAILY"))
    assert [await busy(*place) for place in three.places] == [False, True, False]


async def test_deleting_and_unsharing(three: Three, share: Share, served: Served) -> None:
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *EARLY))
    await share(three.owner, three.reader, None)
    await three.owner.has(f"{three.owners}1.ics", event("1", "Changed"))
    await share(three.owner, three.reader, "read")
    assert await three.texts() == [event("1", "Changed"), event("1", "Changed"), event("1", "Changed", *EARLY)]
    # Nobody has it for a while, and what is written then is written as if nobody ever had.
    await share(three.owner, three.reader, None)
    await share(three.owner, three.writer, None)
    await three.owner.has(f"{three.owners}1.ics", event("1", "Alone", *ALARM))
    await share(three.owner, three.reader, "read")
    assert (await three.reader.http("GET", f"{three.readers}1.ics")).text == event("1", "Alone", *EARLY)
    token = (await three.reader.sync(three.readers)).token or ""
    assert (await three.owner.http("DELETE", f"{three.owners}1.ics")).status == 204
    assert (await three.reader.sync(three.readers, token))[f"{three.readers}1.ics"].status == 404
    left = await served.storage.database.fetchval(
        "select count(*) from object_view where principal_id = $1", three.reader.id
    )
    assert left == 0


async def test_moving_and_copying(three: Three) -> None:
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *EARLY))
    # A new name in the same calendar changes nobody's view.
    token = (await three.reader.sync(three.readers)).token or ""
    moved = await three.owner.http("MOVE", f"{three.owners}1.ics", Destination=f"{three.owners}2.ics")
    assert moved.status == 201
    assert await three.texts("2.ics") == [
        event("1", "Meeting", FREE, *ALARM),
        event("1"),
        event("1", "Meeting", *EARLY),
    ]
    changes = await three.reader.sync(three.readers, token)
    assert {href: changes[href].status for href in changes.hrefs if changes[href].status == 404} == {
        f"{three.readers}1.ics": 404
    }
    assert f"{three.readers}2.ics" in changes.hrefs
    # Who copies it into a calendar of their own copies what they see.
    copied = await three.reader.http("COPY", f"{three.readers}2.ics", Destination=f"{three.reader.calendar}mine.ics")
    assert copied.status == 201
    assert (await three.reader.http("GET", f"{three.reader.calendar}mine.ics")).text == event("1", "Meeting", *EARLY)
    # What comes from elsewhere into the shared calendar is the others' without the alarms.
    await three.writer.has(f"{three.writer.calendar}3.ics", event("3", "From me", *ALARM))
    source = f"{three.writer.calendar}3.ics"
    assert (await three.writer.http("MOVE", source, Destination=f"{three.writers}3.ics")).status == 201
    assert await three.texts("3.ics") == [event("3", "From me"), event("3", "From me", *ALARM), event("3", "From me")]
    assert not await three.writer.exists(source)
    # And back.
    assert (await three.writer.http("MOVE", f"{three.writers}3.ics", Destination=source)).status == 201
    assert (await three.writer.http("GET", source)).text == event("3", "From me", *ALARM)
    assert not await three.owner.exists(f"{three.owners}3.ics")
    # The owner takes it out.
    await three.owner.http("MKCALENDAR", f"{three.owner.home}private/")
    private = f"{three.owner.home}private/2.ics"
    assert (await three.owner.http("MOVE", f"{three.owners}2.ics", Destination=private)).status == 201
    assert (await three.owner.http("GET", private)).text == event("1", "Meeting", FREE, *ALARM)
    assert (await three.reader.http("GET", f"{three.readers}2.ics")).status == 404


@pytest.mark.parametrize("mover", [0, 1])
async def test_a_move_between_shared_calendars_of_one_owner_keeps_all_views(
    three: Three, share: Share, served: Served, mover: int
) -> None:
    second = f"{three.owner.home}second/"
    assert (await three.owner.http("MKCALENDAR", second)).status == 201
    await share(three.owner, three.writer, "write", "second")
    await share(three.owner, three.reader, "read", "second")
    (writers,) = set(await shown(three.writer)) - {three.writers}
    (readers,) = set(await shown(three.reader)) - {three.readers}
    await three.writer.has(f"{three.writers}1.ics", event("1", "Meeting", *ALARM))
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *EARLY))
    before = await three.texts()
    assert len(set(before)) == 3
    who, place = three.places[mover]
    moved = await who.http("MOVE", f"{place}1.ics", Destination=f"{[second, writers][mover]}2.ics")
    assert moved.status == 201
    assert await replace(three, owners=second, writers=writers, readers=readers).texts("2.ics") == before
    assert not await three.owner.exists(f"{three.owners}1.ics")
    assert [each async for each in check(served.storage.database, etag_of, render)] == []


async def test_a_calendar_that_a_sharee_copies(three: Three) -> None:
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *EARLY))
    reply = await three.reader.http("COPY", three.readers, Destination=f"{three.reader.home}copy/")
    assert reply.status == 201
    assert (await three.reader.http("GET", f"{three.reader.home}copy/1.ics")).text == event("1", "Meeting", *EARLY)
    assert await rings(three.reader, f"{three.reader.home}copy/") == [False, True]


async def test_delegates_have_the_view_of_whom_they_act_for(three: Three, new_person: NewPerson) -> None:
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *EARLY))
    reading, writing = await new_person(), await new_person()
    for delegate, group in ((reading, "calendar-proxy-read"), (writing, "calendar-proxy-write")):
        members = f"<D:group-member-set><D:href>{delegate.principal}</D:href></D:group-member-set>"
        await three.reader.set(f"{three.reader.principal}{group}/", members)
        assert (await delegate.http("GET", f"{three.readers}1.ics")).text == event("1", "Meeting", *EARLY)
    mine = event("1", "Meeting", *ALARM)
    (await reading.put(f"{three.readers}1.ics", mine)).refused(403, dav("need-privileges"))
    token = (await writing.sync(three.readers)).token or ""
    await writing.has(f"{three.readers}1.ics", mine)
    assert (await three.texts())[2] == mine
    assert (await writing.sync(three.readers, token)).hrefs == [f"{three.readers}1.ics"]


async def test_by_the_owners_url_a_sharee_sees_their_view(three: Three) -> None:
    mine = event("1", "Meeting", *EARLY)
    assert (await three.writer.http("GET", f"{three.owners}1.ics")).text == event("1")
    before = await three.states()
    token = (await three.writer.sync(three.owners)).token or ""
    etag = await three.writer.has(f"{three.owners}1.ics", mine, If_Match=before[1][0])
    assert await three.texts() == [event("1", "Meeting", FREE, *ALARM), mine, event("1")]
    after = await three.states()
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1][0] == etag
    assert (await three.writer.http("GET", f"{three.owners}1.ics")).etag == etag
    assert (await three.writer.sync(three.owners, token)).hrefs == [f"{three.owners}1.ics"]
    assert (await three.writer.sync(three.writers, before[1][2])).hrefs == [f"{three.writers}1.ics"]
    (await three.reader.put(f"{three.owners}1.ics", event("1", "Changed"))).refused(403, dav("need-privileges"))


async def test_who_acts_for_the_owner_sees_what_the_owner_sees(three: Three, new_person: NewPerson) -> None:
    delegate = await new_person()
    members = f"<D:group-member-set><D:href>{delegate.principal}</D:href></D:group-member-set>"
    await three.owner.set(f"{three.owner.principal}calendar-proxy-write/", members)
    assert (await delegate.http("GET", f"{three.owners}1.ics")).text == event("1", "Meeting", FREE, *ALARM)
    await delegate.has(f"{three.owners}1.ics", event("1", "Moved", *EARLY))
    assert await three.texts() == [event("1", "Moved", *EARLY), event("1", "Moved"), event("1", "Moved")]


def function_of(migration: int, name: str) -> str:
    """The definition of a function that a migration made, and that servers of long ago called."""
    found = re.search(
        rf"^create (or replace )?function {name}\(.*?^end \$\$;", migrations()[migration - 1].sql, re.M | re.S
    )
    assert found is not None
    return found[0]


def audit_table() -> str:
    """The definition of the table into which these functions write."""
    found = re.search(r"^create table audit \(.*?^\);", migrations()[1].sql, re.M | re.S)
    assert found is not None
    return found[0]


async def test_calendars_that_were_shared_before_there_were_views(
    person: Person, other: Person, served: Served
) -> None:
    await person.has(f"{person.calendar}1.ics", event("1", "Meeting", *ALARM))
    database = served.storage.database
    await database.fetch(audit_table())
    await database.fetch(function_of(15, "koyomi_bind_shared_1"))
    await database.fetch(function_of(10, "koyomi_share_1"))
    await database.fetch(
        """
        select koyomi_share_1(c.home_id, c.id, $2, 'read', null, 'test', '')
        from home h join collection c on c.home_id = h.id join binding b on b.home_id = h.id and b.collection_id = c.id
        where h.principal_id = $1 and h.kind = 'calendar' and b.name = 'calendar'
        """,
        person.id,
        other.id,
    )
    await database.fetch("drop table audit")
    (place,) = await shown(other)
    assert (await other.http("GET", f"{place}1.ics")).text == event("1", "Meeting", *ALARM)
    assert await render_shared(database, render) >= 1
    assert (await other.http("GET", f"{place}1.ics")).text == event("1")
    await other.has(f"{place}1.ics", event("1", "Meeting", *EARLY))
    assert await render_shared(database, render) == 0


async def test_views_end_some_time_after_the_sharing(three: Three, share: Share, served: Served) -> None:
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", *EARLY))
    await three.writer.has(f"{three.writers}1.ics", event("1", "Meeting", *EARLY))
    database = served.storage.database
    await share(three.owner, three.reader, None)

    ids = three.reader.id, three.writer.id

    async def who_has_views() -> set[int]:
        rows = await database.fetch("select principal_id from object_view where principal_id in ($1, $2)", *ids)
        return {row[0] for row in rows}

    await prune_views(database, timedelta(days=1))
    assert await who_has_views() == {three.reader.id, three.writer.id}
    await database.fetch(
        """
        update binding b set deleted_at = deleted_at - interval '2 days'
        from home h where h.id = b.home_id and h.principal_id = $1 and deleted_at is not null
        """,
        three.reader.id,
    )
    await prune_views(database, timedelta(days=1))
    assert await who_has_views() == {three.writer.id}
    viewers = await database.fetch("select distinct viewer_id from alarm where viewer_id in ($1, $2)", *ids)
    assert [row[0] for row in viewers] == [three.writer.id]


async def test_views_end_with_the_person(three: Three, served: Served) -> None:
    """The home gets their bytes back, and keeps none of their alarms."""
    await three.owner.has(f"{three.owners}2.ics", event("2"))
    for name in ("1.ics", "2.ics"):
        await three.reader.has(three.readers + name, event(name[0], "Meeting", *EARLY))
    database = served.storage.database
    home = "from home h where h.principal_id = $1 and h.kind = 'calendar'"
    before = await database.fetchval(f"select kept_bytes {home}", three.owner.id)
    async with database.transaction() as connection:
        await hide(connection, three.reader.id, CAUSE)
    await purge(database, three.reader.id, CAUSE)
    seen = sum(len(event(n, "Meeting", *EARLY)) for n in "12")
    assert await database.fetchval(f"select kept_bytes {home}", three.owner.id) < before - seen
    assert await database.fetchval("select count(*) from alarm where viewer_id = $1", three.reader.id) == 0
    assert [each async for each in check(database, etag_of, render)] == []


async def test_the_check_compares_views(three: Three, served: Served) -> None:
    await three.reader.has(f"{three.readers}1.ics", event("1", "Meeting", FREE))
    await three.owner.has(f"{three.owners}2.ics", event("2", "Other", *ALARM))
    database = served.storage.database
    home = await database.fetchval("select home_id from share where principal_id = $1", three.reader.id)

    async def found() -> set[str]:
        return {each.what async for each in check(database, etag_of, render) if each.home_id == home}

    assert [each async for each in check(database, etag_of, render)] == [], "also what other tests left"
    changed = "update object_view set text = text || 'x', busy = '{1}' where principal_id = $1"
    await database.fetch(changed, three.reader.id)
    assert await found() == {"etag", "size", "busy"}
    await three.owner.has(f"{three.owners}1.ics", event("1"))
    assert await found() == set()
    await database.fetch("update object set neutral_text = null, neutral_busy = '{1}' where home_id = $1", home)
    assert await found() == {"neutral_text", "neutral_busy"}
    await three.owner.http("DELETE", f"{three.owners}2.ics")
    await three.owner.has(f"{three.owners}1.ics", event("1", "Meeting", *ALARM))
    assert await found() == set()


async def test_sharing_while_others_write(person: Person, other: Person, share: Share, served: Served) -> None:
    names = [f"{number}.ics" for number in range(40)]
    for name in names:
        await person.has(person.calendar + name, event(name, "First", *ALARM))

    async def write(name: str) -> None:
        # A connection of its own.
        same = replace(person, http=served.client(Remote_User=person.name))
        for turn in range(3):
            await same.has(person.calendar + name, event(name, f"Turn {turn}", *ALARM))
        same.http.close()

    await asyncio.gather(share(person, other, "write"), *(write(name) for name in names[:10]))
    (place,) = await shown(other)
    for name in names:
        expected = "Turn 2" if name in names[:10] else "First"
        assert (await other.http("GET", place + name)).text == event(name, expected)


async def test_both_write_at_the_same_time(three: Three) -> None:
    """Nobody's change is lost: the owner's summaries and the sharees' alarms are parts of one object."""

    async def owner() -> None:
        for turn in range(15):
            await three.owner.has(f"{three.owners}1.ics", event("1", f"Turn {turn}", *ALARM))

    async def reader() -> None:
        turn = 0
        while turn < 15:
            reply = await three.reader.http("GET", f"{three.readers}1.ics")
            summary = next(line for line in reply.text.splitlines() if line.startswith("SUMMARY:"))
            alarm = ("BEGIN:VALARM", "ACTION:DISPLAY", f"DESCRIPTION:{turn}", "TRIGGER:-PT5M", "END:VALARM")
            mine = event("1", summary.removeprefix("SUMMARY:"), *alarm)
            put = await three.reader.put(f"{three.readers}1.ics", mine, If_Match=reply.etag)
            assert put.status in (204, 412, 403), put.body
            turn += put.status == 204

    await asyncio.gather(owner(), reader())
    owners, writers, readers = await three.texts()
    assert owners == event("1", "Turn 14", *ALARM)
    assert writers == event("1", "Turn 14")
    last = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:14", "TRIGGER:-PT5M", "END:VALARM")
    assert readers == event("1", "Turn 14", *last)


class Copy:
    """What a client knows of a calendar by RFC 6578."""

    def __init__(self, person: Person, place: str) -> None:
        self.person = person
        self.place = place
        self.token = ""
        self.known: dict[str, str] = {}

    async def sync(self, limit: int | None = None) -> bool:
        """Ask once; gives whether there is more."""
        reply = await self.person.sync(self.place, self.token, limit=limit)
        more = False
        for href in reply.hrefs:
            if href == self.place:
                more = True
            elif reply[href].status == 404:
                self.known.pop(href, None)
            else:
                self.known[href] = reply[href].found[dav("getetag")]
        self.token = reply.token or ""
        return more


@pytest.mark.parametrize("seed", [1, 2, random.SystemRandom().randrange(10, 10**6)])
async def test_everybodys_copy_becomes_what_they_see(three: Three, served: Served, seed: int) -> None:
    """Whatever the three write at the same time: by synchronisation each learns of their own state, and all of it."""
    names = [f"{number}.ics" for number in range(4)]
    fine = {200, 201, 204, 403, 404, 412}
    over = asyncio.Event()
    done: Counter[tuple[int, str, int]] = Counter()
    for who, _ in three.places:
        assert (await who.http("MKCALENDAR", f"{who.home}private/")).status == 201

    async def write(number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        who, place = three.places[number]
        who = replace(who, http=served.client(Remote_User=who.name))
        for turn in range(60):
            name = chance.choice(names)
            own = chance.choice([(), ALARM, EARLY, (FREE,), (FREE, *ALARM)])
            act = chance.choice(["both", "own", "own", "own", "delete", "move", "copy"])
            if act == "delete" and chance.random() < 0.5:
                reply = await who.http("DELETE", place + name)
            elif act in ("move", "copy"):
                other = chance.choice([place, f"{who.home}private/"]) + chance.choice(names)
                source, destination = chance.sample([place + name, other], 2)
                if source == destination:
                    continue
                reply = await who.http(act.upper(), source, Destination=destination)
            elif act == "own":
                seen = await who.http("GET", place + name)
                if seen.status == 404:
                    continue
                summary = next(line for line in seen.text.splitlines() if line.startswith("SUMMARY:"))
                text = event(name, summary.removeprefix("SUMMARY:"), *own)
                reply = await who.put(place + name, text, If_Match=seen.etag)
            else:
                reply = await who.put(place + name, event(name, f"{number} {turn}", *own))
            assert reply.status in fine, (seed, act, reply.status, reply.body)
            done[number, act, reply.status] += 1
        who.http.close()

    async def read(number: int) -> Copy:
        chance = random.Random(f"{seed} reader {number}")
        who, place = three.places[number]
        copy = Copy(replace(who, http=served.client(Remote_User=who.name)), place)
        while not over.is_set():
            await copy.sync(chance.choice([None, 1, 2]))
        while await copy.sync(1):
            pass
        seen = await copy.person.propfind(place, "D:getetag", depth="1")
        assert copy.known == {href: seen[href].found[dav("getetag")] for href in seen.hrefs if href != place}, seed
        copy.person.http.close()
        return copy

    readers = [asyncio.create_task(read(number)) for number in range(3)]
    await asyncio.gather(*(write(number) for number in range(3)))
    over.set()
    await asyncio.gather(*readers)
    changed = Counter(act for _, act, status in done.elements() if status in (201, 204))
    assert changed["own"], (seed, done)
    assert changed["both"], (seed, done)
    assert [each async for each in check(served.storage.database, etag_of, render)] == []
