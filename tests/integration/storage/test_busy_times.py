"""When many calendars are busy, in one statement: the same as each of them alone says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from server.domain.contents import ObjectView, Views
from server.domain.occurrences import Busy
from server.services.time.free_busy import busy_periods
from storage_plugins.postgres.access import PostgresAccess
from tests.found import collection_found
from tests.integration.storage.conftest import make_person
from tests.integration.storage.values import CAUSE, LIMITS, event_text, read

DAY = timedelta(days=1)
START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
WIDE = START - 2 * DAY, END + 2 * DAY
TIMES = {
    "timed": ("DTSTART:20260305T090000Z",),
    "overlapping": ("DTSTART:20260305T093000Z",),
    "floating": ("DTSTART:20260306T090000",),
    "date": ("DTSTART;VALUE=DATE:20260307",),
    "tentative": ("DTSTART:20260308T090000Z", "STATUS:TENTATIVE"),
    "free": ("DTSTART:20260309T090000Z", "TRANSP:TRANSPARENT"),
    "long": ("DTSTART:20260110T090000Z", "DTEND:20260302T090000Z"),
    "endless": ("DTSTART:20000101T120000Z", "RRULE:FREQ=WEEKLY"),
    "outside": ("DTSTART:20260501T090000Z",),
}
AVAILABILITY = "\r\n".join(
    (
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//EN", "BEGIN:VAVAILABILITY", "UID:a",
        "DTSTAMP:20260101T000000Z", "DTSTART:20260310T000000Z", "DTEND:20260311T000000Z", "END:VAVAILABILITY",
        "END:VCALENDAR", "",
    )
)  # fmt: skip


def event(uid, lines):
    text = event_text(uid, *lines)
    return text.replace("DURATION:PT1H\r\n", "") if any("DTEND" in line or "DATE:" in line for line in lines) else text


async def put(storage, calendar, name, text):
    made = await read(storage, replace(calendar, components=()), text)
    await storage.put_object(calendar, name, made, None, LIMITS, CAUSE)


async def test_many_calendars_are_as_busy_as_each_alone(storage):
    """Calendars of several people, others' calendars in personal copies, and the same calendar twice."""
    access = PostgresAccess(storage)
    calendars = []
    for number in range(3):
        person = await make_person(storage)
        calendar = await person.collection()
        for name in list(TIMES)[number:]:
            await put(storage, calendar, name, event(name, TIMES[name]))
        calendars.append(calendar)
    await put(storage, calendars[1], "availability", AVAILABILITY)

    owner, sharee = await make_person(storage), await make_person(storage)
    home = await owner.home()
    shared = await owner.collection()
    await access.render_views(home, shared, lambda each: Views(each.text, None, None))
    shared = await owner.collection()
    assert shared.views
    made = await read(storage, shared, event("timed", TIMES["timed"]))
    view = ObjectView(sharee.id, "etag", made.text, len(made.text), "", busy=(Busy.FREE,))
    views = Views("neutral", None, (Busy.TENTATIVE,), (view,))
    await storage.put_object(shared, "timed", made, None, LIMITS, CAUSE, views)
    in_copies = [replace(shared, view=sharee.id), shared, replace(shared, view=owner.id + 10**6)]

    asked = [calendars[0], in_copies[0], calendars[1], in_copies[1], calendars[2], in_copies[2], calendars[0]]
    together = await storage.busy_times(asked, (START, END), WIDE)
    assert len(together) == len(asked)
    for calendar, found in zip(asked, together, strict=True):
        (alone,) = await storage.busy_times([calendar], (START, END), WIDE)
        assert [sorted(item) for item in (found.merged, found.floating)] == [
            sorted(item) for item in (alone.merged, alone.floating)
        ]
        assert (sorted(found.unexpanded), found.availability) == (sorted(alone.unexpanded), alone.availability)

    def types(found):
        return {busy for busy, _, _ in found.merged}

    nine = datetime(2026, 3, 5, 9, tzinfo=UTC)
    assert (Busy.BUSY, nine, nine + timedelta(hours=1.5)) in together[0].merged
    assert [types(together[at]) for at in (1, 3, 5)] == [set(), {Busy.BUSY}, {Busy.TENTATIVE}]
    assert len(together[2].availability) == 1
    assert [len(found.floating) for found in together[::2][:3]] == [2, 2, 2]
    readable = [collection_found(calendar) for calendar in asked]
    everything = await busy_periods(storage, readable, START, END)
    assert everything == await busy_periods(storage, [*readable[1:], readable[0]], START, END)
    assert await busy_periods(storage, [], START, END) == []
