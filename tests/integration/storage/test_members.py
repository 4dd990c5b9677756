"""Members: writing, reading, and every condition under which a write is refused."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from server.domain.changes import ObjectState, PropertyChanges
from server.domain.errors import (
    BadRequest,
    NotFound,
    QuotaExceeded,
    SameResource,
    TooManyMembers,
    UidConflict,
    WriteConflict,
)
from server.domain.objects import Target
from tests.integration.storage.sequenced import sequence
from tests.integration.storage.values import CAUSE, LIMITS, content, etag_of, state


async def changes(storage, collection, after=0, up_to=10**9, limit=1000):
    rows = await storage.members_changed(
        collection, ("name", "deleted_revision", "revision"), after=after, up_to=up_to, limit=limit
    )
    return [tuple(row) for row in rows]


async def names(storage, collection):
    return [row[0] for row in await storage.members(collection, ("name",), after=None, limit=1000)]


async def test_what_is_put_is_what_is_read(storage, person):
    calendar = await person.collection()
    text = "BEGIN:VCALENDAR\nSUMMARY:Größe ☃ 𝄞\n"
    written = await storage.put_object(calendar, "a b.ics", content("u1", text), None, LIMITS, CAUSE)
    found = await storage.resolve(person.id, Target(person.uid, "uid", "calendar", "calendar", "a b.ics"), text=True)
    member = found.object
    assert member is not None
    assert (member.id, member.revision, member.modified_at) == (written.id, written.revision, written.modified_at)
    assert (member.text, member.size, member.etag) == (text, len(text.encode()), etag_of(text.encode()))
    assert (member.name, member.uid, member.component) == ("a b.ics", "u1", "VEVENT")
    assert member.time_key == content("u1").time_key
    assert found.collection.revision == found.home.revision == written.revision
    assert (found.collection.member_count, found.collection.used_bytes) == (1, len(text.encode()))
    assert found.home.used_bytes == len(text.encode())
    assert found.collection.modified_at == found.home.modified_at == written.modified_at


async def test_a_replaced_member_keeps_its_id_and_creation(storage, person):
    calendar = await person.collection()
    first = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    second = await storage.put_object(calendar, "a.ics", content("u1", "changed"), state(first), LIMITS, CAUSE)
    assert second.id == first.id
    assert second.revision == first.revision + 1
    (row,) = await storage.members(calendar, ("created_at", "modified_at", "text"), after=None, limit=5)
    assert tuple(row) == (first.modified_at, second.modified_at, "changed")
    assert (await person.collection()).used_bytes == len("changed")


async def test_writes_are_refused_when_the_state_is_another(storage, person):
    calendar = await person.collection()
    first = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    second = await storage.put_object(calendar, "a.ics", content("u1"), state(first), LIMITS, CAUSE)
    stale = state(first)
    with pytest.raises(WriteConflict):
        await storage.put_object(calendar, "a.ics", content("u1"), stale, LIMITS, CAUSE)
    with pytest.raises(WriteConflict):
        await storage.put_object(calendar, "a.ics", content("u2"), None, LIMITS, CAUSE)
    with pytest.raises(WriteConflict):
        await storage.put_object(calendar, "b.ics", content("u1"), state(second), LIMITS, CAUSE)
    with pytest.raises(WriteConflict):
        await storage.delete_object(calendar, "a.ics", stale, CAUSE)
    with pytest.raises(WriteConflict):
        await storage.delete_object(calendar, "b.ics", state(second), CAUSE)
    with pytest.raises(WriteConflict):
        await storage.set_object_properties(calendar, "a.ics", stale, PropertyChanges({"{x}y": "<y/>"}), CAUSE)
    with pytest.raises(WriteConflict):
        await storage.move_object(calendar, "a.ics", stale, calendar, "b.ics", None, LIMITS, CAUSE)
    with pytest.raises(WriteConflict):
        await storage.copy_object(calendar, "a.ics", stale, calendar, "b.ics", None, LIMITS, CAUSE)
    assert await changes(storage, calendar) == [("a.ics", None, second.revision)]
    assert (await person.home()).revision == second.revision


async def test_a_uid_is_unique_in_its_collection_only(storage, person):
    calendar, tasks = await person.collection(), await person.collection("tasks")
    first = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    await storage.put_object(tasks, "a.ics", content("u1"), None, LIMITS, CAUSE)
    other = await storage.put_object(calendar, "b.ics", content("u2"), None, LIMITS, CAUSE)
    with pytest.raises(UidConflict):
        await storage.put_object(calendar, "c.ics", content("u1"), None, LIMITS, CAUSE)
    with pytest.raises(UidConflict):
        await storage.put_object(calendar, "b.ics", content("u1"), state(other), LIMITS, CAUSE)
    with pytest.raises(UidConflict):
        await storage.copy_object(calendar, "a.ics", state(first), calendar, "c.ics", None, LIMITS, CAUSE)
    assert await storage.uid_holder(calendar, "u1") == "a.ics"
    await storage.delete_object(calendar, "a.ics", state(first), CAUSE)
    assert await storage.uid_holder(calendar, "u1") is None
    await storage.put_object(calendar, "c.ics", content("u1"), None, LIMITS, CAUSE)


async def test_a_removal_is_reported_whatever_the_created_revision_is(storage, person):
    calendar = await person.collection()
    token = calendar.revision
    written = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    deleted = await storage.delete_object(calendar, "a.ics", state(written), CAUSE)
    assert await changes(storage, calendar, after=token) == [("a.ics", deleted, deleted)]
    assert await names(storage, calendar) == []
    assert (await person.home()).used_bytes == 0
    again = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    assert again.id != written.id
    assert await changes(storage, calendar, after=deleted) == [("a.ics", None, again.revision)]
    assert await person.value("select count(*) from object where home_id = $1") == 1


async def test_a_deleted_text_can_be_restored_though_its_name_is_used_again(storage, person):
    calendar = await person.collection()
    for text in ("first", "second"):
        written = await storage.put_object(calendar, "a.ics", content("u1", text), None, LIMITS, CAUSE)
        await storage.delete_object(calendar, "a.ics", state(written), CAUSE)
    assert await person.value("select text from object where home_id = $1") == "second"
    assert await person.value("select text from trash where home_id = $1") == "first"
    assert await person.value("select count(*) from occurrence where home_id = $1") == 0


async def test_occurrences_and_alarms_are_replaced_or_left_alone(storage, person):
    calendar = await person.collection()

    async def starts():
        rows = await storage.database.fetch(
            "select start_at, object_id from occurrence where home_id = $1 order by 1", calendar.home_id
        )
        return [row[0].day for row in rows]

    written = await storage.put_object(calendar, "a.ics", content("u1", occurrences=3), None, LIMITS, CAUSE)
    assert await starts() == [1, 2, 3]
    written = await storage.put_object(
        calendar, "a.ics", content("u1", "x", occurrences=None), state(written), LIMITS, CAUSE
    )
    assert await starts() == [1, 2, 3]
    assert await person.value("select count(*) from alarm where home_id = $1") == 1
    assert await person.value("select span_end from object where home_id = $1") == datetime(2026, 3, 3, 9, tzinfo=UTC)
    written = await storage.put_object(calendar, "a.ics", content("u1", occurrences=1), state(written), LIMITS, CAUSE)
    assert await starts() == [1]
    await storage.delete_object(calendar, "a.ics", state(written), CAUSE)
    assert await starts() == []
    assert await person.value("select count(*) from alarm where home_id = $1") == 0


async def test_the_length_class_covers_what_a_row_can_match(storage, person):
    calendar = await person.collection()
    base = content("u1")
    assert base.materialised is not None
    (row,) = base.materialised.occurrences
    day, month = 24, 24 * 31
    cases = [(1, 0), (day, 0), (day + 1, 1), (month, 1), (month + 1, 2)]
    for number, (hours, expected) in enumerate(cases):
        end = row.start + (row.end - row.start) * hours
        occurrence = replace(row, end=end, matches_until=end)
        times = replace(base.materialised, occurrences=(occurrence,))
        await storage.put_object(
            calendar, f"{number}.ics", replace(base, uid=f"u{number}", materialised=times), None, LIMITS, CAUSE
        )
        found = await storage.database.fetchrow(
            "select length_class, range_start, range_end from occurrence where home_id = $1 order by object_id desc",
            calendar.home_id,
        )
        assert tuple(found) == (expected, row.start, end)
    unbounded = replace(row, matches_from=None, matches_until=None)
    times = replace(base.materialised, occurrences=(unbounded,))
    await storage.put_object(calendar, "u.ics", replace(base, uid="u", materialised=times), None, LIMITS, CAUSE)
    found = await storage.database.fetchrow(
        "select length_class, range_start = '-infinity', range_end = 'infinity', matches_from, matches_until, start_at "
        "from occurrence where home_id = $1 order by object_id desc",
        calendar.home_id,
    )
    assert tuple(found) == (2, True, True, None, None, row.start)


async def test_pages_come_in_order_of_code_points(storage, person):
    calendar = await person.collection()
    put = ["b.ics", "B.ics", "a.ics", "ä.ics", "z.ics", "𝄞.ics", "～.ics", "_.ics", "0.ics", "a.ics2", "A b.ics"]
    for name in put:
        await storage.put_object(calendar, name, content(name), None, LIMITS, CAUSE)
    found, after = [], None
    while rows := await storage.members(calendar, ("name", "etag"), after=after, limit=3):
        found += [row[0] for row in rows]
        after = found[-1]
    assert found == sorted(put)


async def test_changes_come_by_revision_and_bounded(storage, person):
    calendar = await person.collection()
    written = {}
    for number in range(5):
        written[number] = await storage.put_object(
            calendar, f"{number}.ics", content(f"u{number}"), None, LIMITS, CAUSE
        )
    first, last = written[0].revision, written[4].revision
    await storage.delete_object(calendar, "1.ics", state(written[1]), CAUSE)
    assert [row[0] for row in await changes(storage, calendar, after=first, up_to=last)] == ["2.ics", "3.ics", "4.ics"]
    assert [row[0] for row in await changes(storage, calendar, after=first, limit=2)] == ["2.ics", "3.ics"]
    assert (await changes(storage, calendar, after=last))[0][:2] == ("1.ics", last + 1)


async def test_members_are_found_by_name_in_several_collections(storage, person):
    calendar, tasks = await person.collection(), await person.collection("tasks")
    await storage.put_object(calendar, "a.ics", content("u1", "one"), None, LIMITS, CAUSE)
    await storage.put_object(tasks, "a.ics", content("u2", "two"), None, LIMITS, CAUSE)
    asked = [(calendar, "a.ics"), (tasks, "a.ics"), (tasks, "absent"), (calendar, "a.ics")]
    found = await storage.members_named(asked, ("text", "uid"))
    assert {key: tuple(row) for key, row in found.items()} == {
        (calendar.id, "a.ics"): ("one", "u1"),
        (tasks.id, "a.ics"): ("two", "u2"),
    }
    found = await storage.members_named([(tasks, "a.ics"), (tasks, "b.ics")], ("text",))
    assert {key: tuple(row) for key, row in found.items()} == {(tasks.id, "a.ics"): ("two",)}
    assert await storage.members_named([], ("text",)) == {}


async def test_the_quota_holds_for_what_grows(storage, person):
    calendar, tasks = await person.collection(), await person.collection("tasks")
    tight = replace(LIMITS, quota_bytes=20)
    first = await storage.put_object(calendar, "a.ics", content("u1", "x" * 15), None, tight, CAUSE)
    with pytest.raises(QuotaExceeded):
        await storage.put_object(tasks, "b.ics", content("u2", "x" * 6), None, tight, CAUSE)
    with pytest.raises(QuotaExceeded):
        await storage.put_object(calendar, "a.ics", content("u1", "x" * 21), state(first), tight, CAUSE)
    with pytest.raises(QuotaExceeded):
        await storage.copy_object(calendar, "a.ics", state(first), tasks, "b.ics", None, tight, CAUSE)
    moved = await storage.move_object(calendar, "a.ics", state(first), tasks, "b.ics", None, tight, CAUSE)
    full = await storage.put_object(tasks, "b.ics", content("u1", "x" * 20), state(moved), tight, CAUSE)
    # What is over a quota that was lowered can still shrink.
    await storage.put_object(tasks, "b.ics", content("u1", "x" * 19), state(full), replace(tight, quota_bytes=5), CAUSE)
    assert (await person.home()).used_bytes == 19
    await storage.database.fetch("update principal set quota_bytes = 30 where id = $1", person.id)
    assert (await person.home()).quota_bytes == 30
    await storage.put_object(tasks, "c.ics", content("u3", "x" * 11), None, tight, CAUSE)
    with pytest.raises(QuotaExceeded):
        await storage.put_object(tasks, "d.ics", content("u4", "x"), None, LIMITS, CAUSE)


async def test_the_number_of_members_is_limited(storage, person):
    calendar, tasks = await person.collection(), await person.collection("tasks")
    two = replace(LIMITS, max_members=2)
    first = await storage.put_object(calendar, "a.ics", content("u1"), None, two, CAUSE)
    await storage.put_object(calendar, "b.ics", content("u2"), None, two, CAUSE)
    with pytest.raises(TooManyMembers):
        await storage.put_object(calendar, "c.ics", content("u3"), None, two, CAUSE)
    first = await storage.put_object(calendar, "a.ics", content("u1", "new"), state(first), two, CAUSE)
    other = await storage.put_object(tasks, "c.ics", content("u3"), None, two, CAUSE)
    with pytest.raises(TooManyMembers):
        await storage.move_object(tasks, "c.ics", state(other), calendar, "c.ics", None, two, CAUSE)
    await storage.move_object(calendar, "a.ics", state(first), calendar, "c.ics", None, two, CAUSE)
    assert await names(storage, calendar) == ["b.ics", "c.ics"]


async def test_a_moved_member_keeps_its_id_and_properties(storage, person, new_person):
    other = await new_person()
    source, destination = await person.collection(), await other.collection("tasks")
    written = await storage.put_object(source, "a.ics", content("u1", occurrences=2), None, LIMITS, CAUSE)
    revision = await storage.set_object_properties(
        source, "a.ics", state(written), PropertyChanges({"{x}a": "<a/>", "{x}b": "<b/>"}), CAUSE
    )
    moved = await storage.move_object(
        source, "a.ics", ObjectState(written.id, revision), destination, "b.ics", None, LIMITS, CAUSE
    )
    assert moved.id == written.id
    assert await names(storage, source) == []
    assert (await changes(storage, source, after=revision))[0][0] == "a.ics"
    (row,) = await storage.members(destination, ("id", "name", "uid", "properties", "text"), after=None, limit=5)
    assert tuple(row) == (
        written.id,
        "b.ics",
        "u1",
        {"{x}a": "<a/>", "{x}b": "<b/>"},
        content("u1", occurrences=2).text,
    )
    found = await storage.database.fetch(
        "select home_id, collection_id from occurrence where object_id = $1 union "
        "select home_id, collection_id from alarm where object_id = $1",
        written.id,
    )
    assert [tuple(row) for row in found] == [(destination.home_id, destination.id)]
    assert (await person.home()).used_bytes == 0
    # Nothing can be restored of what was moved away.
    again = await storage.put_object(source, "a.ics", content("u1"), None, LIMITS, CAUSE)
    assert again.id != written.id
    assert await person.value("select count(*) from trash where home_id = $1") == 0


async def test_move_and_copy_replace_what_has_the_name(storage, person):
    calendar, tasks = await person.collection(), await person.collection("tasks")
    first = await storage.put_object(calendar, "a.ics", content("u1", "one"), None, LIMITS, CAUSE)
    target = await storage.put_object(tasks, "t.ics", content("u1", "old text"), None, LIMITS, CAUSE)
    copied = await storage.copy_object(calendar, "a.ics", state(first), tasks, "t.ics", state(target), LIMITS, CAUSE)
    assert copied.id not in {first.id, target.id}
    assert await person.value("select count(*) from occurrence where home_id = $1") == 2
    with pytest.raises(WriteConflict):
        await storage.move_object(calendar, "a.ics", state(first), tasks, "t.ics", None, LIMITS, CAUSE)
    moved = await storage.move_object(calendar, "a.ics", state(first), tasks, "t.ics", state(copied), LIMITS, CAUSE)
    assert moved.id == first.id
    assert [tuple(row) for row in await storage.members(tasks, ("name", "text"), after=None, limit=5)] == [
        ("t.ics", "one")
    ]
    texts = await storage.database.fetch("select text from trash where home_id = $1 order by id", calendar.home_id)
    assert [row[0] for row in texts] == ["old text", "one"]
    assert (await person.home()).used_bytes == 3
    with pytest.raises(SameResource):
        await storage.move_object(tasks, "t.ics", state(moved), tasks, "t.ics", state(moved), LIMITS, CAUSE)


async def test_a_member_renamed_in_its_collection_reports_both_names(storage, person):
    calendar = await person.collection()
    written = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    moved = await storage.move_object(calendar, "a.ics", state(written), calendar, "b.ics", None, LIMITS, CAUSE)
    assert await changes(storage, calendar, after=written.revision) == [
        ("a.ics", moved.revision - 1, moved.revision - 1),
        ("b.ics", None, moved.revision),
    ]
    back = await storage.move_object(calendar, "b.ics", state(moved), calendar, "a.ics", None, LIMITS, CAUSE)
    assert [row[:2] for row in await changes(storage, calendar, after=moved.revision)] == [
        ("b.ics", back.revision - 1),
        ("a.ics", None),
    ]


async def test_properties_move_the_revision_and_nothing_else(storage, person):
    calendar = await person.collection()
    written = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    one = await storage.set_object_properties(
        calendar, "a.ics", state(written), PropertyChanges({"{x}a": "<a/>", "{x}b": "<b/>"}), CAUSE
    )
    two = await storage.set_object_properties(
        calendar, "a.ics", ObjectState(written.id, one), PropertyChanges({"{x}a": None, "{x}c": "<c>ä</c>"}), CAUSE
    )
    columns = ("revision", "etag", "modified_at", "properties")
    (row,) = await storage.members(calendar, columns, after=None, limit=5)
    assert tuple(row) == (two, content("u1").etag, written.modified_at, {"{x}b": "<b/>", "{x}c": "<c>ä</c>"})
    three = await storage.set_object_properties(
        calendar, "a.ics", ObjectState(written.id, two), PropertyChanges({"{x}b": None, "{x}c": None}), CAUSE
    )
    (row,) = await storage.members(calendar, ("revision", "properties"), after=None, limit=5)
    assert tuple(row) == (three, None)
    # A text put anew keeps them.
    four = await storage.set_object_properties(
        calendar, "a.ics", ObjectState(written.id, three), PropertyChanges({"{x}a": "<a/>"}), CAUSE
    )
    await storage.put_object(calendar, "a.ics", content("u1", "new"), ObjectState(written.id, four), LIMITS, CAUSE)
    (row,) = await storage.members(calendar, ("properties",), after=None, limit=5)
    assert tuple(row) == ({"{x}a": "<a/>"},)


async def test_a_write_into_a_collection_that_is_gone(storage, person):
    home, calendar = await person.home(), await person.collection()
    written = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    await storage.move_collection(home, calendar, "renamed", None, CAUSE)
    with pytest.raises(WriteConflict):
        await storage.put_object(calendar, "b.ics", content("u2"), None, LIMITS, CAUSE)
    with pytest.raises(WriteConflict):
        await storage.delete_object(calendar, "a.ics", state(written), CAUSE)
    renamed = await person.collection("renamed")
    await storage.put_object(renamed, "b.ics", content("u2"), None, LIMITS, CAUSE)
    await storage.delete_collection(home, renamed, CAUSE)
    with pytest.raises(NotFound):
        await storage.put_object(renamed, "c.ics", content("u3"), None, LIMITS, CAUSE)
    with pytest.raises(NotFound):
        await storage.set_object_properties(renamed, "a.ics", state(written), PropertyChanges({"{x}a": "<a/>"}), CAUSE)


async def test_every_write_leaves_its_entry(storage, person):
    calendar, tasks = await person.collection(), await person.collection("tasks")
    first = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    second = await storage.put_object(calendar, "a.ics", content("u1"), state(first), LIMITS, CAUSE)
    moved = await storage.move_object(calendar, "a.ics", state(second), tasks, "a.ics", None, LIMITS, CAUSE)
    deleted = await storage.delete_object(tasks, "a.ics", state(moved), CAUSE)
    expected = [
        (first.revision, "created", calendar.id, first.id),
        (second.revision, "updated", calendar.id, first.id),
        (moved.revision - 1, "moved-out", calendar.id, first.id),
        (moved.revision, "moved-in", tasks.id, first.id),
        (deleted, "deleted", tasks.id, first.id),
    ]
    await sequence(storage.database)
    rows = await storage.database.fetch(
        "select revision, kind, collection_id, object_id from journal where home_id = $1 order by seq", calendar.home_id
    )
    assert [tuple(row) for row in rows] == expected


@pytest.mark.parametrize(
    "name", ["a\0b", "\ud800", "".join(map(chr, random.Random(1).choices(range(0x4E00, 0x9FA0), k=2500)))]
)
async def test_names_that_cannot_be_stored(storage, person, name):
    calendar = await person.collection()
    with pytest.raises(BadRequest):
        await storage.put_object(calendar, name, content("u1"), None, LIMITS, CAUSE)
    with pytest.raises(BadRequest):
        await storage.put_object(calendar, "a.ics", replace(content("u1", "text"), uid=name), None, LIMITS, CAUSE)
    assert await names(storage, calendar) == []


async def test_a_put_drops_the_neutral_text_of_a_calendar_that_is_no_longer_shared(storage, person):
    calendar = await person.collection()
    for timed, number in ((None, 1), (2, 2)):
        written = await storage.put_object(calendar, f"{number}.ics", content(f"u{number}"), None, LIMITS, CAUSE)
        before = (await person.home()).kept_bytes
        await storage.database.fetch(
            "update object set neutral_etag = 'e', neutral_text = 'nine char', neutral_busy = '{1}'"
            " where home_id = $1 and id = $2",
            calendar.home_id,
            written.id,
        )
        assert (await person.home()).kept_bytes == before + 9
        changed = content(f"u{number}", occurrences=timed)
        await storage.put_object(calendar, f"{number}.ics", changed, state(written), LIMITS, CAUSE)
        assert (await person.home()).kept_bytes == before
        left = await storage.database.fetch(
            "select neutral_etag, neutral_text, neutral_busy, expanded_from, tzids is not null from object"
            " where home_id = $1 and id = $2",
            calendar.home_id,
            written.id,
        )
        assert tuple(left[0]) == (None, None, None, None, True)
