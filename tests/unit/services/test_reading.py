"""What front ends read: listings, pages, changes, windows of time and free-busy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from server.calendar.filter_plan import UidSearch
from server.calendar.filters import TimeRange
from server.calendar.zones import UTC_ZONE
from server.domain.changes import PropertyChanges
from server.domain.errors import AccessDenied, InvalidData, NotFound
from server.domain.objects import NewCollection
from server.domain.occurrences import Busy
from server.domain.privileges import Privilege
from server.domain.rows import Row
from server.services import text_pages
from server.services.time import distant, time_ranges
from server.storage import reads
from tests.unit.services.memory_storage import seen
from tests.unit.services.world import ALARM, INSTALLATION, World, calendar, event

DAY = datetime(2026, 3, 1, tzinfo=UTC)
WINDOW = TimeRange(DAY, DAY + timedelta(days=1))
FAR = TimeRange(datetime(2090, 3, 1, tzinfo=UTC), datetime(2090, 3, 2, tzinfo=UTC))
BERLIN = calendar(
    "BEGIN:VTIMEZONE",
    "TZID:Europe/Berlin",
    "BEGIN:STANDARD",
    "DTSTART:19700101T000000",
    "TZOFFSETFROM:+0100",
    "TZOFFSETTO:+0100",
    "END:STANDARD",
    "END:VTIMEZONE",
)


async def rows(pages: AsyncIterator[Sequence[Row]]) -> list[tuple[object, ...]]:
    return [tuple(row) async for page in pages for row in page]


async def put(world: World, *names: str) -> dict[int, str]:
    """Events of these names in anna's calendar; returns their names by ids."""
    found = {}
    for name in names:
        found[(await world.put("anna", f"anna/calendar/{name}", event(name))).written.id] = name
    return found


async def test_the_collections_of_a_home(world: World) -> None:
    shown = await world.reading.collections(await world.actor("anna"), await world.find("anna", "anna"))
    assert [found.name for found in shown] == ["calendar", "inbox", "notification", "outbox", "tasks"]
    assert all(Privilege.WRITE in found.privileges for found in shown)
    home = await world.find("anna", "anna")
    with pytest.raises(AccessDenied):
        await world.reading.collections(await world.actor("anna"), replace(home, privileges=frozenset()))
    with pytest.raises(NotFound):
        await world.reading.collections(await world.actor("anna"), await world.principal("anna", "anna"))


async def test_the_owners_view_decides_when_they_are_busy(world: World) -> None:
    path = await world.share("anna/calendar", "ben")
    name = "{DAV:}displayname"
    changes = PropertyChanges({name: "<displayname>Mine</displayname>"})
    await world.collections.set_properties(await world.actor("ben"), await world.find("ben", path), changes)
    home = await world.find("cli", "ben")
    own, others = await world.reading.owners_collections(home), await world.reading.collections(INSTALLATION, home)
    for found in (own, others):
        (shared,) = [each.collection for each in found if f"ben/{each.name}" == path]
        assert shared is not None
        assert shared.properties[name] == "<displayname>Mine</displayname>"
    with pytest.raises(AccessDenied):
        await world.reading.owners_collections(replace(home, privileges=frozenset({Privilege.READ})))


async def test_the_changes_of_a_home(world: World) -> None:
    actor, before = await world.actor("anna"), await world.find("anna", "anna")
    assert before.home is not None
    await put(world, "a")
    now, changed = await world.reading.home_changes(actor, before, before.home.revision)
    assert now.home is not None
    assert now.home.revision == before.home.revision + 1
    assert [found.name for found in changed] == ["calendar"]
    await world.collections.delete(INSTALLATION, await world.find("cli", "anna/tasks"))
    _, changed = await world.reading.home_changes(actor, before, now.home.revision)
    assert [(found.name, found.collection is not None) for found in changed] == [("tasks", True)]
    await world.directory.delete_principal(world.ids["anna"], INSTALLATION.cause, purge=True)
    with pytest.raises(NotFound):
        await world.reading.home_changes(actor, before, 0)


async def test_pages_of_members(world: World) -> None:
    ids = await put(world, "c", "a", "b")
    found = await world.find("anna", "anna/calendar")
    assert await rows(world.reading.pages(found, ("name",))) == [("a",), ("b",), ("c",)]
    assert await rows(world.reading.pages(found, ("name",), components=("VTODO",))) == []
    by_id = world.reading.pages_by_id(found, [*ids, -1], ("id", "text"))
    assert [row[0] for row in await rows(by_id)] == sorted(ids, key=ids.__getitem__)
    with pytest.raises(AccessDenied):
        await rows(world.reading.pages(replace(found, privileges=frozenset()), ("name",)))
    with pytest.raises(AccessDenied):
        await rows(world.reading.pages_by_id(replace(found, privileges=frozenset()), list(ids), ("id",)))


async def test_pages_end_where_texts_fill_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text comes, once, whatever fits into a page."""
    ids = await put(world, *"abcdefg")
    for limit, pages in ((1, 7), (len(event("a")) + 1, 4), (10**6, 1)):
        monkeypatch.setattr(seen, "TEXT_PAGE", limit)
        found = await world.find("anna", "anna/calendar")
        by_name = [page async for page in text_pages.member_pages(world.storage, found, ("name", "text"), 100)]
        by_id = [page async for page in text_pages.members_by_id(world.storage, found, list(ids), ("id", "text"), 100)]
        for read in (by_name, by_id):
            assert len(read) == pages
            assert [row[1] for page in read for row in page] == [event(name) for name in "abcdefg"]
    assert reads.TEXT_PAGE > 1


async def test_pages_of_rows(world: World) -> None:
    await put(world, *"abcde")
    found = await world.find("anna", "anna/calendar")
    pages = [len(page) async for page in text_pages.member_pages(world.storage, found, ("name",), 2)]
    assert pages == [2, 2, 1]


def test_a_page_with_texts_has_fewer_rows() -> None:
    assert text_pages.page_size(("name",), 1000) == 1000
    assert text_pages.page_size(("name", "text"), 500) == 100
    assert text_pages.page_size(("name", "text"), 10**6) == text_pages.TEXTS
    assert text_pages.page_size(("name", "text"), 10) == 10


async def test_single_members(world: World) -> None:
    await put(world, "a", "b")
    found = await world.find("anna", "anna/calendar/a")
    assert [tuple(row) for row in await world.reading.member(found, ("name",))] == [("a",)]
    assert await world.reading.member(found, ("name",), components=("VTODO",)) == []
    calendar = await world.find("anna", "anna/calendar")
    assert calendar.collection is not None
    named = await world.reading.members_named([(calendar, "b"), (calendar, "absent")], ("uid",))
    assert {key: tuple(row) for key, row in named.items()} == {(calendar.collection.id, "b"): ("b",)}
    with pytest.raises(NotFound):
        await world.reading.member(calendar, ("name",))
    for reading in (
        world.reading.member(replace(found, privileges=frozenset()), ("name",)),
        world.reading.members_named([(replace(calendar, privileges=frozenset()), "a")], ("uid",)),
    ):
        with pytest.raises(AccessDenied):
            await reading


async def test_changes_of_members(world: World) -> None:
    await put(world, "a", "b")
    before = (await world.find("anna", "anna/calendar")).collection
    assert before is not None
    await world.delete("anna", "anna/calendar/a")
    found = await world.find("anna", "anna/calendar")
    assert found.collection is not None
    columns = ("name", "deleted_revision")
    changed = await world.reading.members_changed(
        found, columns, after=before.revision, up_to=found.collection.revision, limit=9
    )
    assert [tuple(row) for row in changed] == [("a", before.revision + 1)]
    assert await world.reading.members_changed(found, columns, after=0, up_to=0, limit=9) == []
    with pytest.raises(AccessDenied):
        await world.reading.members_changed(replace(found, privileges=frozenset()), columns, after=0, up_to=9, limit=9)


async def test_uids(world: World) -> None:
    ids = await put(world, "abc", "b")
    found = await world.find("anna", "anna/calendar")
    for search, expected in (
        (None, {"abc", "b"}),
        (UidSearch("B", "contains", True), {"abc", "b"}),
        (UidSearch("B", "contains", False), set()),
        (UidSearch("b", "equals", False), {"b"}),
    ):
        assert {ids[row[0]] for row in await world.reading.uids(found, search)} == expected
    with pytest.raises(AccessDenied):
        await world.reading.uids(replace(found, privileges=frozenset()), None)


# -- windows of time --------------------------------------------------------------------------------------------------


async def series(world: World, name: str, *lines: str) -> int:
    text = event(name, "RRULE:FREQ=DAILY", *lines)
    return (await world.put("anna", f"anna/calendar/{name}", text)).written.id


async def test_objects_in_a_window(world: World) -> None:
    single = (await world.put("anna", "anna/calendar/a", event("a"))).written.id
    endless = await series(world, "b")
    await world.put("anna", "anna/calendar/c", event("c", start="20260401T090000Z"))
    found = await world.find("anna", "anna/calendar")
    assert await world.reading.objects_in(found, WINDOW, UTC_ZONE, None, components=("VEVENT",)) == {single, endless}
    assert await world.reading.objects_in(found, FAR, UTC_ZONE, None, components=("VEVENT",)) == {endless}
    assert await world.reading.objects_in(found, FAR, UTC_ZONE, None, components=("VTODO",)) == frozenset()
    stored = await world.reading.stored_in(found, WINDOW, UTC_ZONE)
    assert stored is not None
    assert set(stored.by_object) == {single, endless}
    assert await world.reading.objects_in(found, WINDOW, UTC_ZONE, stored, components=("VEVENT",)) == {single, endless}
    blind = replace(found, privileges=frozenset())
    for reading in (
        world.reading.objects_in(blind, WINDOW, UTC_ZONE, None, components=("VEVENT",)),
        world.reading.stored_in(blind, WINDOW, UTC_ZONE),
        world.reading.ringing_in(blind, WINDOW),
    ):
        with pytest.raises(AccessDenied):
            await reading


async def test_stored_occurrences_of_an_object_that_has_changed_are_not_used(world: World) -> None:
    put = await world.put("anna", "anna/calendar/a", event("a"))
    stored = await world.reading.stored_in(await world.find("anna", "anna/calendar"), WINDOW, UTC_ZONE)
    assert stored is not None
    times = stored.of(put.written.id, put.written.revision)
    assert times is not None
    assert [timing.start.hour for timing in times] == [9]
    assert stored.of(put.written.id, stored.revision + 1) is None
    assert stored.of(-1, 0) == ()


async def test_far_windows_follow_the_rule(world: World) -> None:
    id_ = await series(world, "a")
    found = await world.find("anna", "anna/calendar")
    assert FAR.start is not None
    assert FAR.end is not None
    window = distant.Window(FAR.start, FAR.end, UTC_ZONE)
    assert await distant.overlapping(world.storage, found, [id_], window, None) == {id_: True}
    (timing,) = (await distant.timings(world.storage, found, [id_], window))[id_]
    assert timing.start == datetime(2090, 3, 1, 9, tzinfo=UTC)
    periods, known = await distant.busy(world.storage, found, [id_], window)
    assert [(period.start.hour, period.end.hour) for period in periods] == [(9, 10)]
    assert known == {id_}


async def test_alarms_in_a_window(world: World) -> None:
    await put(world, "a")
    id_ = (await world.put("anna", "anna/calendar/b", event("b", *ALARM))).written.id
    found = await world.find("anna", "anna/calendar")
    assert await world.reading.ringing_in(found, TimeRange(DAY + timedelta(hours=8), DAY + timedelta(hours=9))) == {id_}
    assert await world.reading.ringing_in(found, TimeRange(DAY + timedelta(days=3), None)) == frozenset()


async def test_floating_times_lie_where_a_zone_places_them(world: World) -> None:
    id_ = (await world.put("anna", "anna/calendar/a", event("a", start="20260301T000000"))).written.id
    found = await world.find("anna", "anna/calendar")
    berlin = await time_ranges.zone_of_text(BERLIN)
    before = TimeRange(DAY - timedelta(hours=2), DAY)
    assert await world.reading.objects_in(found, before, UTC_ZONE, None, components=("VEVENT",)) == frozenset()
    assert await world.reading.objects_in(found, before, berlin, None, components=("VEVENT",)) == {id_}
    stored = await world.reading.stored_in(found, before, berlin)
    assert stored is not None
    assert set(stored.by_object) == {id_}


async def test_the_zone_of_a_calendar(world: World) -> None:
    found = await world.find("anna", "anna/calendar")
    assert found.collection is not None
    assert await time_ranges.zone_of_calendar(found.collection) is UTC_ZONE
    local = datetime(2026, 3, 1, 12)
    for timezone, hour in ((BERLIN, 11), ("no calendar", 12)):
        zone = await time_ranges.zone_of_calendar(replace(found.collection, timezone=timezone))
        assert zone.to_utc(local).hour == hour
    with pytest.raises(InvalidData):
        await time_ranges.zone_of_text("no calendar")


def test_a_text_in_a_window() -> None:
    assert time_ranges.text_overlaps(event("a"), WINDOW, UTC_ZONE)
    assert not time_ranges.text_overlaps(event("a"), FAR, UTC_ZONE)


async def test_free_busy_of_several_calendars(world: World) -> None:
    """What is busy in any of them, also where occurrences are not stored; nothing of what is free."""
    await world.put("anna", "anna/calendar/a", event("a"))
    await world.put("anna", "anna/calendar/b", event("b", "TRANSP:TRANSPARENT", start="20260301T150000Z"))
    await world.put("ben", "ben/calendar/c", event("c", "STATUS:TENTATIVE", start="20260301T110000Z"))
    await series(world, "d")
    calendars = [await world.find("cli", "anna/calendar"), await world.find("cli", "ben/calendar")]
    periods = await world.reading.busy_periods(calendars, DAY, DAY + timedelta(days=1), ())
    assert [(period.start.hour, period.end.hour, period.busy) for period in periods] == [
        (9, 10, Busy.BUSY),
        (11, 12, Busy.TENTATIVE),
    ]
    assert FAR.start is not None
    assert FAR.end is not None
    assert len(await world.reading.busy_periods(calendars, FAR.start, FAR.end, ())) == 1
    with pytest.raises(AccessDenied):
        await world.reading.busy_periods([replace(calendars[0], privileges=frozenset())], DAY, DAY, ())


async def test_availability(world: World) -> None:
    await world.collections.create(
        INSTALLATION, await world.find("cli", "anna/new"), NewCollection("new", "calendar", ("VAVAILABILITY",))
    )
    lines = ("BEGIN:VAVAILABILITY", "UID:v", "DTSTAMP:20260101T000000Z", "DTSTART:20260301T100000Z")
    text = calendar(*lines, "DTEND:20260301T120000Z", "END:VAVAILABILITY")
    await world.put("anna", "anna/new/v", text)
    stored = await world.reading.busy_periods([await world.find("anna", "anna/new")], DAY, DAY + timedelta(days=1), ())
    given = await world.reading.busy_periods(
        [await world.find("anna", "anna/calendar")], DAY, DAY + timedelta(days=1), (text,)
    )
    for periods in (stored, given):
        assert [(each.start.hour, each.end.hour, each.busy) for each in periods] == [(10, 12, Busy.UNAVAILABLE)]
