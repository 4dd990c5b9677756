"""Alarms have the time of their next ring: at writes, as time passes, and for what was stored before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from server.calendar.iana import iana_zone
from server.calendar.zone_definition import definition
from server.domain.changes import ChangeSet, PropertyChanges, Put
from server.domain.contents import Views
from server.domain.objects import NewCollection
from server.domain.occurrences import DueAlarm
from server.services.views import decide, views_of
from storage_plugins.postgres.reads.due_alarms import FIRST, PAGE
from storage_plugins.postgres.upkeep import next_alarms
from storage_plugins.postgres.upkeep.deleted import deleted_collections, restore_collection
from storage_plugins.postgres.upkeep.next_alarms import KEPT, move_alarms_on
from storage_plugins.postgres.upkeep.occurrence_jobs import reexpand
from tests.integration.storage.conftest import make_person
from tests.integration.storage.values import CAUSE, LIMITS, read, state

NOW = datetime(2026, 3, 27, 12, tzinfo=UTC)
"""Summer time begins on the 29th in Berlin."""
EVERYTHING = "select next_at, floating from alarm where home_id = $1 order by object_id, viewer_id, component, alarm"


def text(uid, start, *triggers, rule=(), kind="VEVENT", more=()):
    """An event of an hour, with an alarm for each trigger."""
    alarms = [
        line
        for trigger in triggers
        for line in ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", *trigger.split("|"), "END:VALARM")
    ]
    body = (f"UID:{uid}", "DTSTAMP:20260101T000000Z", *((start,) if start else ()), *rule, *more, *alarms)
    return in_calendar(f"BEGIN:{kind}", *body, f"END:{kind}")


def in_calendar(*lines):
    return "\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//EN", *lines, "END:VCALENDAR", ""))


async def put(storage, calendar, name, written, now=NOW, expected=None):
    found = await read(storage, calendar, written, now=now)
    return await storage.put_object(calendar, name, found, expected, LIMITS, CAUSE)


async def due(storage, calendar, since, until, limit=2):
    """All that ring, in pages."""
    found, after = [], None
    while True:
        alarms, after = await storage.due_alarms(since, until, after=after, limit=limit)
        found += [each for each in alarms if each.home_id == calendar.home_id]
        if after is None:
            return sorted(found, key=lambda each: (each.at, each.viewer_id or 0, each.alarm))


def at(*parts):
    return datetime(2026, *parts, tzinfo=UTC)


async def times(storage, calendar):
    return [tuple(row) for row in await storage.database.fetch(EVERYTHING, calendar.home_id)]


@pytest.mark.parametrize(
    ("start", "trigger", "rule", "rings"),
    [
        ("DTSTART:20260328T090000Z", "TRIGGER:-PT15M", (), [at(3, 28, 8, 45)]),
        ("DTSTART:20260328T090000Z", "TRIGGER;RELATED=END:PT0S", ("DURATION:PT2H",), [at(3, 28, 11)]),
        ("DTSTART:20260327T090000Z", "TRIGGER:-PT15M", (), []),
        ("DTSTART:20260327T090000Z", "TRIGGER:-PT15M|REPEAT:3|DURATION:PT1H30M", (), [at(3, 27, 13, 15)]),
        ("DTSTART:20260401T090000Z", "TRIGGER;VALUE=DATE-TIME:20260328T070000Z", (), [at(3, 28, 7)]),
        # a day by the calendar of Berlin has 23 hours on the 29th
        ("DTSTART;TZID=Europe/Berlin:20260330T023000", "TRIGGER:-P1D", (), [at(3, 29, 1, 30)]),
        ("DTSTART;TZID=Europe/Berlin:20260330T090000", "TRIGGER:-P1DT1H", (), [at(3, 29, 6)]),
        (
            "DTSTART;TZID=Europe/Berlin:20200101T090000",
            "TRIGGER:-PT30M",
            ("RRULE:FREQ=DAILY",),
            [at(3, 28, 7, 30), at(3, 29, 6, 30), at(3, 30, 6, 30)],
        ),
        (
            "DTSTART;TZID=Europe/Berlin:20260310T090000",
            "TRIGGER:-P1W",
            ("RRULE:FREQ=WEEKLY;COUNT=5",),
            [at(3, 31, 7)],
        ),
    ],
)  # fmt: skip
async def test_an_alarm_rings_once_for_each_occurrence(storage, person, start, trigger, rule, rings):
    calendar = await person.collection()
    await put(storage, calendar, "a", text("a", start, trigger, rule=rule))
    now, found = NOW, []
    for _ in range(6):
        until = now + timedelta(days=1)
        found += await due(storage, calendar, now, until)
        now = until
        await move_alarms_on(storage.database, now)
        # nothing is left to be done
        assert await move_alarms_on(storage.database, now) == 0
        (row,) = await times(storage, calendar)
        assert row[0] is None or row[0] >= now - KEPT
    assert [each.at for each in found if each.at < at(4, 1)][: len(rings) or 1] == rings
    assert all((each.component, each.alarm, each.viewer_id) == (found[0].component, 0, None) for each in found)


async def test_a_ring_says_what_it_is_for(storage, person):
    calendar = await person.collection()
    rule = ("RRULE:FREQ=DAILY;COUNT=10",)
    made = await put(storage, calendar, "a", text("a", "DTSTART:20260325T090000Z", "TRIGGER:-PT1H", rule=rule))
    await put(storage, calendar, "b", text("b", "DTSTART:20260325T090000Z", "TRIGGER;VALUE=DATE-TIME:20260328T083000Z"))
    first, second = await due(storage, calendar, NOW, NOW + timedelta(days=1))
    place = calendar.home_id, calendar.id
    assert first == DueAlarm(*place, made.id, None, 0, 0, at(3, 28, 8), at(3, 28, 9), "20260328T090000Z")
    assert (second.at, second.start, second.recurrence_id) == (at(3, 28, 8, 30), None, "")


async def test_several_alarms_ring_by_themselves_and_pages_leave_none_out(storage, person):
    calendar = await person.collection()
    triggers = [f"TRIGGER:-PT{minutes}M" for minutes in (5, 10, 15, 15, 20)]
    await put(storage, calendar, "a", text("a", "DTSTART:20260328T090000Z", *triggers))
    found = await due(storage, calendar, at(3, 28, 8, 40), at(3, 28, 8, 51))
    assert [(each.at, each.alarm) for each in found] == [
        (at(3, 28, 8, 40), 4), (at(3, 28, 8, 45), 2), (at(3, 28, 8, 45), 3), (at(3, 28, 8, 50), 1),
    ]  # fmt: skip
    assert await due(storage, calendar, at(3, 28, 8, 51), at(3, 28, 8, 55)) == []


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "Europe/Berlin", None])
@pytest.mark.parametrize(
    ("start", "trigger", "local"),
    [
        ("DTSTART;VALUE=DATE:20260401", "TRIGGER:-PT15H", datetime(2026, 3, 31, 9)),
        ("DTSTART:20260401T090000", "TRIGGER:-P1D", datetime(2026, 3, 31, 9)),
    ],
)
async def test_floating_times_ring_in_the_zone_of_the_calendar(storage, person, zone, start, trigger, local):
    calendar = await person.collection()
    await put(storage, calendar, "a", text("a", start, trigger))
    if zone is not None:
        changes = PropertyChanges(timezone=in_calendar(definition(iana_zone(zone), zone).rstrip()))
        await storage.set_collection_properties(await person.home(), calendar, changes, person.id, LIMITS, CAUSE)
    offset = {"Pacific/Kiritimati": 14, "Etc/GMT+12": -12, "Europe/Berlin": 2, None: 0}[zone]
    ring = local.replace(tzinfo=UTC) - timedelta(hours=offset)
    # an hour at a time, and the job between
    now, found = at(3, 30, 18), []
    while now < at(4, 1, 12):
        await move_alarms_on(storage.database, now)
        found += await due(storage, calendar, now, now + timedelta(hours=1))
        now += timedelta(hours=1)
    assert [each.at for each in found] == [ring]
    assert found[0].start == ring + (timedelta(hours=15) if "DATE" in start else timedelta(days=1))
    await move_alarms_on(storage.database, at(4, 4))
    assert await times(storage, calendar) == [(None, False)]


async def test_a_task_without_time_has_no_alarm_and_one_with_a_due_time_has(storage, person):
    tasks = await person.collection("tasks")
    await put(storage, tasks, "a", text("a", "", "TRIGGER:PT0S", kind="VTODO", more=("CREATED:20260328T090000Z",)))
    await put(storage, tasks, "b", text("b", "DUE:20260328T100000Z", "TRIGGER;RELATED=END:-PT1H", kind="VTODO"))
    for uncomputed in (False, True):
        if uncomputed:
            await storage.database.fetch("update alarm set next_at = '-infinity' where home_id = $1", tasks.home_id)
        assert [each.at for each in await due(storage, tasks, NOW, at(3, 29))] == [at(3, 28, 9)]
    await move_alarms_on(storage.database, NOW)
    assert await times(storage, tasks) == [(None, False), (at(3, 28, 9), False)]


async def test_writes_replace_the_times(storage, person):
    calendar = await person.collection()
    first = await put(storage, calendar, "a", text("a", "DTSTART:20260328T090000Z", "TRIGGER:-PT15M"))
    second = await put(
        storage, calendar, "a", text("a", "DTSTART:20260329T090000Z", "TRIGGER:-PT15M"), expected=state(first)
    )
    assert await times(storage, calendar) == [(at(3, 29, 8, 45), False)]
    contents = [
        await read(storage, calendar, text(uid, start, "TRIGGER:-PT15M"), now=NOW)
        for uid, start in (("a", "DTSTART:20260330T090000Z"), ("b", "DTSTART;VALUE=DATE:20260331"))
    ]
    writes = Put(calendar, "a", contents[0], state(second)), Put(calendar, "b", contents[1], None)
    (third, _) = await storage.apply(ChangeSet(writes, LIMITS, CAUSE))
    assert await times(storage, calendar) == [(at(3, 30, 8, 45), False), (at(3, 30, 23, 45), True)]
    await storage.move_object(calendar, "a", state(third), calendar, "c", None, LIMITS, CAUSE)
    assert {each.at for each in await due(storage, calendar, NOW, at(3, 31))} == {at(3, 30, 8, 45), at(3, 30, 23, 45)}


async def test_alarms_of_before_and_of_other_zone_data_are_computed(storage, person):
    calendar = await person.collection()
    await put(storage, calendar, "a", text("a", "DTSTART:20260328T090000Z", "TRIGGER:-PT15M"))
    await put(storage, calendar, "b", text("b", "DTSTART;VALUE=DATE:20260329", "TRIGGER:-PT15M"))
    expected = [(at(3, 28, 8, 45), False), (at(3, 28, 23, 45), True)]
    assert await times(storage, calendar) == expected
    reset = "update alarm set next_at = default, floating = default where home_id = $1"
    await storage.database.fetch(reset, calendar.home_id)
    assert [each.at for each in await due(storage, calendar, NOW, at(3, 30))] == [at(3, 28, 8, 45), at(3, 28, 23, 45)]
    await move_alarms_on(storage.database, NOW)
    assert await times(storage, calendar) == expected
    await storage.database.fetch("update alarm set next_at = null where home_id = $1", calendar.home_id)
    await reexpand(storage.database, NOW, None)
    await move_alarms_on(storage.database, NOW)
    assert await times(storage, calendar) == expected


async def test_alarms_of_personal_copies(storage, person):
    calendar, sharee = await person.collection(), await make_person(storage)
    await storage.database.fetch(
        "update collection set views = true, views_rendered = true where home_id = $1 and id = $2",
        calendar.home_id,
        calendar.id,
    )
    calendar = await person.collection()

    async def written(start, expected=None, known=(0, 0)):
        own = text("a", start, "TRIGGER:-PT15M")
        theirs = text("a", start, "TRIGGER:-PT30M", "TRIGGER:-P1D")
        decided = await read(storage, calendar, own, now=NOW)
        view = decide(sharee.id, theirs, None, frozenset()).view
        rendered = views_of(own, {}, known, view, frozenset())
        assert isinstance(rendered, Views)
        return (await storage.apply(ChangeSet((Put(calendar, "a", decided, expected, rendered),), LIMITS, CAUSE)))[0]

    first = await written("DTSTART;TZID=Europe/Berlin:20260330T090000")
    found = await due(storage, calendar, NOW, at(3, 31))
    expected = [(at(3, 29, 7), sharee.id, 1), (at(3, 30, 6, 30), sharee.id, 0), (at(3, 30, 6, 45), None, 0)]
    assert [(each.at, each.viewer_id, each.alarm) for each in found] == expected
    await move_alarms_on(storage.database, NOW)
    assert [row[0] for row in await times(storage, calendar)] == [at(3, 30, 6, 45), at(3, 30, 6, 30), at(3, 29, 7)]
    # the owner moves the event: so do the alarms of all
    await written("DTSTART;TZID=Europe/Berlin:20260331T090000", state(first), (1, first.revision))
    await move_alarms_on(storage.database, NOW)
    assert [row[0] for row in await times(storage, calendar)] == [at(3, 31, 6, 45), at(3, 31, 6, 30), at(3, 30, 7)]


async def test_what_is_deleted_does_not_ring(storage, person):
    home = await person.home()
    work = await storage.create_collection(home, NewCollection("work", "calendar"), LIMITS, CAUSE)
    made = await put(storage, work, "a", text("a", "DTSTART:20260328T090000Z", "TRIGGER:-PT15M"))
    await put(storage, work, "b", text("b", "DTSTART:20260329T090000Z", "TRIGGER:-PT15M"))
    await storage.delete_object(work, "a", state(made), CAUSE)
    assert [each.at for each in await due(storage, work, NOW, at(3, 30))] == [at(3, 29, 8, 45)]
    await storage.delete_collection(home, work, CAUSE)
    assert await due(storage, work, NOW, at(3, 30)) == []
    await move_alarms_on(storage.database, NOW)
    (deleted,) = await deleted_collections(storage.database, person.id, 30)
    await restore_collection(storage.database, deleted, "again", 30, CAUSE)
    assert [each.at for each in await due(storage, work, NOW, at(3, 30))] == [at(3, 29, 8, 45)]


async def test_an_alarm_that_is_written_meanwhile_keeps_its_own_time(storage, person, monkeypatch):
    calendar = await person.collection()
    made = await put(storage, calendar, "a", text("a", "DTSTART:20260328T090000Z", "TRIGGER:-PT15M"))
    texts = next_alarms.read_texts

    async def overtaken(database, rows):
        if rows:
            later = text("a", "DTSTART:20260401T090000Z", "TRIGGER:-PT15M")
            await put(storage, calendar, "a", later, expected=state(made))
        return await texts(database, rows)

    monkeypatch.setattr(next_alarms, "read_texts", overtaken)
    await storage.database.fetch("update alarm set next_at = '-infinity' where home_id = $1", calendar.home_id)
    await move_alarms_on(storage.database, NOW)
    assert await times(storage, calendar) == [(at(4, 1, 8, 45), False)]


async def test_the_read_and_the_job_use_the_index(storage):
    async with storage.database.transaction() as connection:
        await connection.execute("set local enable_seqscan = off")
        arguments = f"false, now(), now(), null, {', '.join(map(str, FIRST[2:]))}, 500"
        await connection.execute(f"prepare due as {PAGE}")
        plan = "\n".join(row[0] for row in await connection.fetch(f"explain execute due({arguments})"))
        await connection.execute("deallocate due")
    assert "alarm_next" in plan
    assert "Seq Scan" not in plan
