"""Every statement of the reads, and of the writes, is answered by indexes, whatever the planner knows of the tables."""

from __future__ import annotations

import asyncio
import json

import pytest

from server.calendar.filter_plan import UidSearch
from server.domain.changes import ObjectState, PropertyChanges
from server.domain.objects import NewCollection, Target
from storage_plugins.postgres import check_ins, incoming_mail, mails
from storage_plugins.postgres import storage as statements
from storage_plugins.postgres.changes import views
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.reads import alarms as alarm_reads
from storage_plugins.postgres.reads import busy_times, dispatches, meetings, members, owners, resolve
from storage_plugins.postgres.reads import occurrences as occurrence_reads
from storage_plugins.postgres.reads.addressed import ADDRESSED
from storage_plugins.postgres.reads.group_members import GROUP_MEMBERS, MEETINGS_OF_GROUP
from storage_plugins.postgres.reads.mailboxes import INBOX_ITEMS, INBOXES, MAILBOXES, OLDEST_MEMBERS
from storage_plugins.postgres.upkeep import rederivation
from tests.integration.storage.conftest import make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.values import CAUSE, LIMITS, content, state

COLUMNS = ("name", "etag", "text", "deleted_revision")
STATEMENTS = {
    "page": (members.page(COLUMNS), 4),
    "etags": (members.page(("name", "etag")), 4),
    "named": (members.named(COLUMNS), 3),
    "named anywhere": (members.named_anywhere(COLUMNS), 3),
    "changed": (members.changed(COLUMNS), 5),
    "uid holder": (members.UID_HOLDER, 3),
    "by id": (members.by_id(COLUMNS), 3),
    "page of components": (members.page(COLUMNS, of_components=True), 5),
    "by id of components": (members.by_id(COLUMNS, of_components=True), 4),
    "uids": (members.uids(None)[0], 2),
    "scheduling object": (members.SCHEDULING_OBJECT, 3),
    "has moved": (members.HAS_MOVED, 4),
    "uid equals": (members.uids(UidSearch("a", "equals", ignore_case=False))[0], 3),
    "uid equals in any case": (members.uids(UidSearch("a", "equals", ignore_case=True))[0], 3),
    "uid contains": (members.uids(UidSearch("a", "contains", ignore_case=False))[0], 3),
    "timings": (occurrence_reads.TIMINGS, 6),
    "recurrences": (occurrence_reads.recurrences(viewed=False), 4),
    "recurrences in view": (occurrence_reads.recurrences(viewed=True), 5),
    "owner": (owners.OF_HOME, 1),
    "own name": (owners.OWN_NAME, 2),
    "addressed": (ADDRESSED, 3),
    "group members": (GROUP_MEMBERS, 3),
    "meetings of a group": (MEETINGS_OF_GROUP, 4),
    "mailboxes": (MAILBOXES, 4),
    "waiting dispatches": (dispatches.WAITING, 2),
    "failing dispatches": (dispatches.FAILING, 2),
    "inbox grants": (dispatches.INBOX_GRANTS, 3),
    "scheduled uid": (dispatches.SCHEDULED_UID, 2),
    "removed meetings": (dispatches.REMOVED_MEETINGS, 4),
    "mails of a uid": (meetings.MAILS, 1),
    "organized meetings": (meetings.ORGANIZED, 4),
    "uids of meetings": (meetings.UIDS, 3),
    "inboxes": (INBOXES, 2),
    "owner of a home": (incoming_mail.OWNER_OF_HOME, 1),
    "organizers after a hand-over": (incoming_mail.ORGANIZERS_AFTER, 3),
    "knows a sender": (incoming_mail.KNOWS_SENDER, 2),
    "held in an inbox": (incoming_mail.HELD_IN, 2),
    "held items": (incoming_mail.HELD_ITEMS, 3),
    "held item": (incoming_mail.HELD_ITEM, 1),
    "count of messages by mail": (incoming_mail.COUNT, 3),
    "mail that is sent": (mails.BEGIN, 4),
    "running bookings": (check_ins.RUNNING, 5),
    "bookings to check in": (check_ins.TO_CHECK_IN, 4),
    "booked object": (check_ins.BOOKED_BY_ID, 2),
    "booked object by name": (check_ins.BOOKED_BY_NAME, 2),
    "check in": (check_ins.CHECK_IN, 7),
    "miss": (check_ins.MISS, 7),
    "state of a check-in": (check_ins.STATE, 5),
    "misses": (check_ins.MISSES, 2),
    "missed": (check_ins.MISSED, 3),
    "link that was sent": (check_ins.LINK_SENT, 4),
    "mail outcomes": (mails.OUTCOMES, 2),
    "mailed since": (mails.MAILED_SINCE, 3),
    "oldest members": (OLDEST_MEMBERS, 3),
    "items of a UID": (INBOX_ITEMS, 3),
    "outdated": (rederivation._OUTDATED, 2),
    "ringing": (alarm_reads.RINGING, 4),
    "ringing in view": (alarm_reads.RINGING_IN_VIEW, 5),
    "overlapping": (occurrence_reads.OVERLAPPING, 6),
    "busy": (busy_times.BUSY_TIMES, 7),
    "own busy": (busy_times.OWN_BUSY_TIMES, 7),
    "page in view": (members.page(COLUMNS, "view"), 5),
    "etags in view": (members.page(("name", "etag"), "view"), 5),
    "named in view": (members.named(COLUMNS, "view"), 4),
    "named anywhere in view": (members.named_anywhere(COLUMNS, "view"), 4),
    "changed in view": (members.changed(COLUMNS, "view"), 6),
    "by id in view": (members.by_id(COLUMNS, "view"), 4),
    "page of components in view": (members.page(COLUMNS, "view", of_components=True), 6),
    "by id of components in view": (members.by_id(COLUMNS, "view", of_components=True), 5),
    "page with blocks": (members.page(COLUMNS, "part"), 4),
    "named with blocks": (members.named(COLUMNS, "part"), 3),
    "named anywhere with blocks": (members.named_anywhere(COLUMNS, "part"), 3),
    "changed with blocks": (members.changed(COLUMNS, "part"), 5),
    "by id with blocks": (members.by_id(COLUMNS, "part"), 3),
    "member with blocks": (resolve.in_mode("part", text=True), 3),
    "shared object": (views.SHARED_OBJECT, 3),
    "collections": (statements._COLLECTIONS, 2),
    "home changes": (statements._HOME_CHANGES, 3),
    **{
        f"resolve {'own ' if own else ''}{by} {depth}": (found[0], len(found[1]))
        for own in (False, True)
        for by in ("uid", "individual")
        for depth, target in enumerate(
            (
                Target("x", by),
                Target("x", by, "calendar"),
                Target("x", by, "calendar", "c"),
                Target("x", by, "calendar", "c", "o"),
            )
        )
        for found in (resolve.query(1, target, text=True, own=own),)
    },
}

EXPECTED = {
    "page": {"object_name", None},
    "etags": {"object_name", None},
    "named": {"object_name", None},
    "named anywhere": {"object_name", None},
    "changed": {"object_revision", None},
    "page with blocks": {"object_name", None},
    "named with blocks": {"object_name", None},
    "named anywhere with blocks": {"object_name", None},
    "changed with blocks": {"object_revision", None},
    "member with blocks": {"object_name", None},
    "uid holder": {"object_uid", None},
    "mailboxes": {
        "principal_pkey",
        "principal_address_pkey",
        "former_address_principal",
        "home_principal_id_kind_key",
        "binding_sharees",
        "binding_collection",
        "collection_pkey",
        "collection_view_pkey",
        "object_uid",
        "scheduling_dispatch_waiting",
        "room_pkey",
        "scheduling_memory_pkey",
        None,
    },
    "by id": {"object_pkey", None},
    "recurrences": {"object_pkey", None},
    "outdated": {"object_derived", None},
    "page of components": {"object_name", None},
    "by id of components": {"object_pkey", None},
    "uid equals": {"object_uid", None},
    "has moved": {"object_tombstone", "object_name", "object_uid_scheduling", "collection_pkey", None},
    "scheduling object": {"object_uid_scheduling", "binding_sharees", "binding_collection", "collection_pkey", None},
    **dict.fromkeys(("timings", "overlapping"), {"occurrence_window", "object_partial", None}),
    "busy": {"occurrence_window", "object_partial", "object_availability", "object_pkey", "object_view_pkey", None},
    "own busy": {"occurrence_window", "object_partial", "object_availability", None},
    "page in view": {"object_name", "object_view_pkey", None},
    "etags in view": {"object_name", "object_view_pkey", None},
    "changed in view": {"object_revision", "object_pkey", "object_view_pkey", "object_view_revision", None},
    "by id in view": {"object_pkey", "object_view_pkey", None},
    "page of components in view": {"object_name", "object_view_pkey", None},
    "by id of components in view": {"object_pkey", "object_view_pkey", None},
}
"""The indexes that a statement may use; None is a node without one."""


async def fill(storage, members=10_000):
    """Give one home members, half of them tombstones, and others beside it."""
    for _ in range(50):
        await make_person(storage)
    person = await make_person(storage)
    calendar = await person.collection()
    await storage.database.fetch(
        """
        insert into object (home_id, collection_id, created_revision, revision, deleted_revision, created_at,
                            modified_at, deleted_at, size, name, uid, component, etag, time_key, text)
        select $1, $2, n, n, case when n % 2 = 0 then n end, now(), now(), case when n % 2 = 0 then now() end, 4,
               'name' || n, 'uid' || n, 'VEVENT', 'etag', '', 'text'
        from generate_series(1, $3) as n
        """,
        calendar.home_id,
        calendar.id,
        members,
    )
    await storage.database.fetch(
        """
        insert into occurrence (home_id, collection_id, object_id, ordinal, component, length_class, kind, busy,
                                matches, range_start, range_end, start_at, end_at, recurrence_id)
        select o.home_id, o.collection_id, o.id, 1, 0, 0, 0, 1, true, at, at + interval '1 hour', at,
               at + interval '1 hour', ''
        from object o cross join lateral (select timestamptz '2026-01-01' + o.revision * interval '1 hour' as at) as t
        where o.home_id = $1 and o.deleted_revision is null
        """,
        calendar.home_id,
    )
    await storage.database.fetch(
        """
        insert into object_view (home_id, object_id, principal_id, revision, etag, size, personal, text)
        select o.home_id, o.id, p.id, o.revision + p.id, 'etag', 4, '', 'text'
        from object o cross join (select id from principal order by id limit 5) as p
        where o.home_id = $1 and o.deleted_revision is null and o.revision % 3 = 0
        """,
        calendar.home_id,
    )
    return person, calendar


async def explain(connection, sql, arguments):
    """The nodes of a generic plan."""
    await connection.execute(f"prepare explained as {sql}")
    found = json.loads(await connection.fetchval(f"explain (format json) execute explained ({arguments})"))
    await connection.execute("deallocate explained")
    return list(nodes(found[0]["Plan"]))


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.parametrize("members", [200, 10_000])
async def test_reads_use_indexes(database, members):
    async with MemberStorage(database, notify=False) as storage:
        await fill(storage, members)
        await storage.database.fetch("analyze")
        for name, (sql, count) in STATEMENTS.items():
            async with storage.database.transaction() as connection:
                plan = await explain(connection, sql, ", ".join(["null"] * count))
            for node in plan:
                assert node["Node Type"] != "Seq Scan", (name, node)
                assert node.get("Index Name") in EXPECTED.get(name, {node.get("Index Name")}), (name, node)
                if node["Node Type"] in {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}:
                    assert "Index Cond" in node, (name, node)


async def test_pages_are_not_sorted(database):
    """A page costs what it holds, however large the collection is."""
    async with MemberStorage(database, notify=False) as storage:
        await fill(storage)
        await storage.database.fetch("analyze")
        for name in ("page", "etags", "changed", "page of components"):
            sql, count = STATEMENTS[name]
            async with storage.database.transaction() as connection:
                plan = await explain(connection, sql, ", ".join(["null"] * count))
            assert [node["Node Type"] for node in plan][0] == "Limit"
            assert "Sort" not in {node["Node Type"] for node in plan}, name


async def test_a_listing_of_etags_reads_the_index_alone(database):
    async with MemberStorage(database, notify=False) as storage:
        _, calendar = await fill(storage)
        await storage.database.fetch("analyze")
        async with storage.database.transaction() as connection:
            plan = await explain(connection, STATEMENTS["etags"][0], f"{calendar.home_id}, {calendar.id}, '', 1000")
        assert [node["Node Type"] for node in plan] == ["Limit", "Index Only Scan"]


async def test_an_exact_uid_is_one_lookup(database):
    async with MemberStorage(database, notify=False) as storage:
        await fill(storage)
        await storage.database.fetch("analyze")
        sql, count = STATEMENTS["uid equals"]
        async with storage.database.transaction() as connection:
            (node,) = await explain(connection, sql, ", ".join(["null"] * count))
        assert node["Index Name"] == "object_uid"
        assert "uid = $3" in node["Index Cond"]


async def test_writes_use_indexes(database):
    limits = DatabaseLimits(connections=1)
    async with MemberStorage(database, limits, notify=False) as storage:
        person, calendar = await fill(storage)
        tasks = await person.collection("tasks")
        # Each row that was filled in has counted, and left a version of the home's row.
        await storage.database.fetch("vacuum home")
        await storage.database.fetch("analyze")

        async def scanned():
            await storage.database.fetch("select pg_stat_force_next_flush()")
            rows = await storage.database.fetch(
                "select relname, seq_scan from pg_stat_user_tables where schemaname = 'public'"
            )
            read = await storage.database.fetchval("select sum(idx_tup_read)::bigint from pg_stat_user_indexes")
            return dict(rows), read

        scans_before, read_before = await scanned()
        first = await storage.put_object(calendar, "a", content("a"), None, LIMITS, CAUSE)
        second = await storage.put_object(calendar, "a", content("a"), state(first), LIMITS, CAUSE)
        copied = await storage.copy_object(calendar, "a", state(second), tasks, "a", None, LIMITS, CAUSE)
        moved = await storage.move_object(calendar, "a", state(second), tasks, "a", state(copied), LIMITS, CAUSE)
        changes = PropertyChanges({"{x}y": "<y/>"})
        revision = await storage.set_object_properties(tasks, "a", state(moved), changes, CAUSE)
        await storage.delete_object(tasks, "a", ObjectState(moved.id, revision), CAUSE)
        await storage.put_object(tasks, "a", content("a"), None, LIMITS, CAUSE)
        home = await person.home()
        made = await storage.create_collection(home, NewCollection("new", "calendar"), LIMITS, CAUSE)
        await storage.set_collection_properties(home, made, changes, person.id, LIMITS, CAUSE)
        await storage.move_collection(home, made, "newer", None, CAUSE)
        await storage.delete_collection(home, await person.collection("newer"), CAUSE)
        scans, read = await scanned()
        assert scans == scans_before
        assert read - read_before < 1000, "an index was walked"


async def test_plans_follow_a_database_that_grows_from_nothing(database):
    """What was planned for empty tables is planned anew soon after the first writes, in every connection."""
    limits = DatabaseLimits(connections=1)
    async with (
        MemberStorage(database, limits, notify=False) as storage,
        MemberStorage(database, limits, notify=False) as other,
    ):
        person = await make_person(storage)
        calendar = await person.collection()
        sql, count = STATEMENTS["resolve uid 3"]
        async with other.database.transaction() as connection:
            await connection.execute(f"prepare early as {sql}")
            execute = f"execute early ({', '.join(['null'] * count)})"
            await connection.fetch(execute)
        for number in range(120):
            await storage.put_object(calendar, f"{number}", content(f"{number}"), None, LIMITS, CAUSE)
        async with asyncio.timeout(30):
            while await storage.database.fetchval(
                "select coalesce(last_analyze, last_autoanalyze) is null from pg_stat_user_tables "
                "where relname = 'object'"
            ):
                await asyncio.sleep(0.05)
        async with other.database.transaction() as connection:
            found = json.loads(await connection.fetchval(f"explain (format json) {execute}"))
        (lookup,) = [node for node in nodes(found[0]["Plan"]) if node.get("Relation Name") == "object"]
        assert lookup["Index Name"] == "object_name"
        assert "name = $5" in lookup["Index Cond"]
