"""Every read of two databases, compared."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import get_args

from server.calendar.filter_plan import UidSearch
from server.domain.objects import Collection, HomeKind
from server.domain.occurrences import FLOATING_MARGIN
from server.domain.principal_search import PrincipalSearch, Term
from server.domain.rows import MemberColumn
from server.storage.reads import BusyTimes
from server.storage.scheduling import AddressSearch, BusyCalendar
from tests.integration.storage.alike import Alike, by_id
from tests.integration.storage.one_of_two import GROUP, PEOPLE, Database

COLUMNS: tuple[MemberColumn, ...] = get_args(MemberColumn)
HOMES: tuple[HomeKind, ...] = ("calendar", "addressbook")
_DAY = datetime(2026, 3, 1, tzinfo=UTC)
WINDOWS = [
    (_DAY, _DAY + timedelta(hours=9)),
    (_DAY + timedelta(hours=8, minutes=30), _DAY + timedelta(days=1)),
    (_DAY + timedelta(days=400), _DAY + timedelta(days=401)),
    (_DAY + timedelta(days=4000), _DAY + timedelta(days=4001)),
]
_SEARCHES = (
    UidSearch("U1", "equals", True),
    UidSearch("U1", "equals", False),
    UidSearch("u", "contains", False),
)


async def require_same_reads(one: Database, other: Database, alike: Alike, people: Sequence[str] = PEOPLE) -> None:
    """Raise `AssertionError` where any read of the two differs. `people` are those who have homes."""
    for name in (*PEOPLE, GROUP):
        await _principals(one, other, alike, name)
    for owner in people:
        for kind in HOMES:
            for viewer in people:
                await _home(one, other, alike, owner, viewer, kind)
    inboxes = [
        await each.storage.inboxes(each.ids["anna"], [each.ids[name] for name in people]) for each in (one, other)
    ]
    alike.require(*inboxes, "inboxes")
    for uid in ("u1", "u2", "u3"):
        mailboxes = [
            await each.storage.mailboxes(each.ids["anna"], [each.ids[name] for name in people], uid)
            for each in (one, other)
        ]
        alike.require(*mailboxes, f"mailboxes for {uid}")
    for owner in people:
        for viewer in people:
            await _lookups(one, other, alike, owner, viewer)
    for owner in people:
        for kind in HOMES:
            pairs = zip(await one.shown(owner, kind), await other.shown(owner, kind), strict=True)
            for calendar, same in pairs:
                await _members(one, other, alike, calendar, same)
                await _times(one, other, alike, calendar, same)
    # Members come first: they say which object of one is which of the other.
    await _busy_people(one, other, alike)


async def _home(one: Database, other: Database, alike: Alike, owner: str, viewer: str, kind: HomeKind) -> None:
    where = f"{kind} home of {owner} for {viewer}"
    first = await one.storage.resolve(one.ids[viewer], one.target(owner, None, kind=kind))
    second = await other.storage.resolve(other.ids[viewer], other.target(owner, None, kind=kind))
    alike.require([first.viewer, first.owner, first.home], [second.viewer, second.owner, second.home], where)
    assert first.home is not None
    assert second.home is not None
    alike.require(
        by_id(await one.storage.collections(first.home, one.ids[viewer])),
        by_id(await other.storage.collections(second.home, other.ids[viewer])),
        f"collections of {where}",
    )
    alike.require(first.grants, second.grants, f"grants in {where}")
    for after in (0, first.home.revision - 2, first.home.revision):
        home, changed = await one.storage.home_changes(first.home, one.ids[viewer], after)
        same, also = await other.storage.home_changes(second.home, other.ids[viewer], after)
        alike.require([home, by_id(changed)], [same, by_id(also)], f"changes of {where} after {after}")
    assert await one.storage.owner_addresses(first.home.id) == await other.storage.owner_addresses(second.home.id)
    lists = await one.access.access_list(first.home, None), await other.access.access_list(second.home, None)
    alike.require(lists[0].entries, lists[1].entries, f"access list of {where}")
    shares = [sorted(each.shares, key=lambda share: (share.collection_id, share.whom.id)) for each in lists]
    alike.require(*shares, f"shares of {where}")


async def _lookups(one: Database, other: Database, alike: Alike, owner: str, viewer: str) -> None:
    """What is found of each member by its owner's URL, and in a sharee's view."""
    for calendar, counterpart in zip(await one.shown(owner), await other.shown(owner), strict=True):
        if calendar.rights != "owner":
            continue
        names = await one.storage.members(calendar, ("name",), after=None, limit=10)
        for name in [*(row[0] for row in names), "absent"]:
            where = f"{owner}/{calendar.name}/{name} for {viewer}"
            target, same = one.target(owner, calendar.name, name), other.target(owner, counterpart.name, name)
            first = await one.storage.resolve(one.ids[viewer], target, text=True)
            second = await other.storage.resolve(other.ids[viewer], same, text=True)
            alike.require(first, second, where)
            first = await one.storage.seen_by(first, one.ids[viewer], text=True)
            second = await other.storage.seen_by(second, other.ids[viewer], text=True)
            alike.require(first, second, f"{where}, seen as a sharee")


async def _members(one: Database, other: Database, alike: Alike, first: Collection, second: Collection) -> None:
    where = f"members of {first.name}"
    rows = await one.storage.members(first, COLUMNS, after=None, limit=3)
    same = await other.storage.members(second, COLUMNS, after=None, limit=3)
    alike.require_rows(rows, same, COLUMNS, where)
    if rows:
        ids = [row[COLUMNS.index("id")] for row in rows]
        components = ("VEVENT",)
        alike.require_rows(
            await one.storage.members(first, COLUMNS, after=rows[0][0], limit=9, components=components),
            await other.storage.members(second, COLUMNS, after=rows[0][0], limit=9, components=components),
            COLUMNS,
            f"{where} behind the first",
        )
        alike.require_rows(
            await one.storage.members_by_id(first, ids, COLUMNS),
            await other.storage.members_by_id(second, alike.ids("object", ids), COLUMNS),
            COLUMNS,
            f"{where} by id",
        )
        asked = [(first, "a"), (first, "b"), (first, "absent")]
        named = await one.storage.members_named(asked, COLUMNS)
        also = await other.storage.members_named([(second, name) for _, name in asked], COLUMNS)
        keys = [key for key in ((first.id, "a"), (first.id, "b")) if key in named]
        assert {(second.id, name) for _, name in keys} == set(also)
        alike.require_rows(
            [named[key] for key in keys], [also[second.id, name] for _, name in keys], COLUMNS, f"{where} by name"
        )
        for id_ in ids:
            stored = await one.storage.shared_object(first, id_)
            alike.require(
                stored, await other.storage.shared_object(second, alike.id("object", id_)), f"{where}: stored"
            )
        for uid in ("u1", "u2", "u3"):
            holders = await one.storage.uid_holder(first, uid), await other.storage.uid_holder(second, uid)
            assert holders[0] == holders[1], where
            scheduled = await one.storage.scheduling_object(first, uid)
            alike.require(scheduled, await other.storage.scheduling_object(second, uid), f"{where}: scheduling {uid}")
    for search in (None, *_SEARCHES):
        found, counterpart = await one.storage.uids(first, search), await other.storage.uids(second, search)
        assert sorted(row[1] for row in found) == sorted(row[1] for row in counterpart), f"{where}: {search}"
    for after, limit in ((0, 100), (first.revision - 2, 1)):
        alike.require_rows(
            await one.storage.members_changed(first, COLUMNS, after=after, up_to=first.revision, limit=limit),
            await other.storage.members_changed(second, COLUMNS, after=after, up_to=second.revision, limit=limit),
            COLUMNS,
            f"changed {where} after {after}",
        )


async def _times(one: Database, other: Database, alike: Alike, first: Collection, second: Collection) -> None:
    def mapped(pairs: object) -> list[tuple[int, object]]:
        assert isinstance(pairs, (list, tuple))
        return sorted(((alike.id("object", id_), each) for id_, each in pairs), key=repr)

    for start, end in WINDOWS:
        where = f"{first.name} from {start}"
        window, wide = (start, end), (start - FLOATING_MARGIN, end + FLOATING_MARGIN)
        times = await one.storage.timings(first, window, wide)
        same = await other.storage.timings(second, window, wide)
        assert times is not None
        assert same is not None
        assert mapped(times.timed) == sorted(same.timed, key=repr), where
        assert mapped(times.floating) == sorted(same.floating, key=repr), where
        assert alike.ids("object", times.unexpanded) == sorted(same.unexpanded), where
        over, also = (
            await one.storage.overlapping(first, window, wide),
            await other.storage.overlapping(second, window, wide),
        )
        assert alike.ids("object", over.objects) == sorted(also.objects), where
        assert mapped(over.floating) == sorted(also.floating, key=repr), where
        assert alike.ids("object", over.unexpanded) == sorted(also.unexpanded), where
        ringing = await one.storage.ringing(first, window)
        assert alike.ids("object", ringing) == sorted(await other.storage.ringing(second, window)), where
        busy = (await one.storage.busy_times([first], window, wide))[0]
        assert _busy(busy, alike) == _busy((await other.storage.busy_times([second], window, wide))[0]), where
        recurrences = await one.storage.recurrences(first, times.unexpanded)
        counterparts = await other.storage.recurrences(second, same.unexpanded)
        alike.require(
            sorted(recurrences, key=lambda each: each.object_id),
            sorted(counterparts, key=lambda each: each.object_id),
            where,
        )


async def _busy_people(one: Database, other: Database, alike: Alike) -> None:
    for start, end in WINDOWS:
        window, wide = (start, end), (start - FLOATING_MARGIN, end + FLOATING_MARGIN)
        masked: list[tuple[str, int]] = []
        for _ in range(2):
            of_one = [(one.ids[name], object_id) for name, object_id in masked]
            of_other = [(other.ids[name], alike.ids("object", [object_id])[0]) for name, object_id in masked]
            people = await one.storage.busy_people([one.ids[name] for name in PEOPLE], window, wide, of_one)
            same = await other.storage.busy_people([other.ids[name] for name in PEOPLE], window, wide, of_other)
            for name, first, second in zip(PEOPLE, people, same, strict=True):
                where = f"{name} from {start} without {masked}"
                assert sorted(first.merged) == sorted(second.merged), where
                calendars = sorted(first.calendars, key=_name), sorted(second.calendars, key=_name)
                assert [(_name(each), each.timezone, _busy(each.times, alike)) for each in calendars[0]] == [
                    (_name(each), each.timezone, _busy(each.times)) for each in calendars[1]
                ], where
                # The second time without the first series of each calendar that reaches beyond what is stored.
                masked += [(name, each.times.unexpanded[0]) for each in calendars[0] if each.times.unexpanded]


def _name(calendar: BusyCalendar) -> str:
    return calendar.place.collection or ""


def _busy(found: BusyTimes, alike: Alike | None = None) -> tuple[object, ...]:
    def ids(of: object) -> list[int]:
        assert isinstance(of, (list, tuple))
        return sorted(of) if alike is None else alike.ids("object", of)

    return sorted(found.merged), sorted(found.floating), ids(found.unexpanded), ids(found.availability)


async def _principals(one: Database, other: Database, alike: Alike, name: str) -> None:
    whole = one.prefix + name
    alike.require(await one.directory.principal(whole), await other.directory.principal(whole), name)
    mine, theirs = one.ids[name], other.ids[name]
    for first, second in zip_longest(
        (
            await one.directory.groups_of([mine]),
            await one.directory.members_of([mine]),
            await one.access.all_groups_of([mine]),
            await one.access.all_members_of([mine]),
            await one.access.delegates([mine]),
            await one.access.delegators([mine], through_groups=True),
            await one.access.delegators([mine], through_groups=False),
        ),
        (
            await other.directory.groups_of([theirs]),
            await other.directory.members_of([theirs]),
            await other.access.all_groups_of([theirs]),
            await other.access.all_members_of([theirs]),
            await other.access.delegates([theirs]),
            await other.access.delegators([theirs], through_groups=True),
            await other.access.delegators([theirs], through_groups=False),
        ),
    ):
        alike.require(first[mine], second[theirs], f"relations of {name}")
    addresses = [f"{one.prefix}{each}" for each in ("x@example.com", f"{name}@example.com")]
    addressed = AddressSearch(frozenset([one.uids[name]]), frozenset([whole]), frozenset(addresses))
    alike.require(await one.storage.addressed(addressed), await other.storage.addressed(addressed), f"users of {name}")
    asked = [await each.storage.group_members([each.ids[name]], 0, "u1") for each in (one, other)]
    alike.require(*asked, f"members of the group {name}")
    of_group = [await each.storage.meetings_of_group(each.ids[name], after=(0, 0), limit=9) for each in (one, other)]
    assert of_group == [[], []], f"meetings of the group {name}"
    for term in (Term("word", whole), Term("address", whole, "starts-with"), Term("display-name", name, "starts-with")):
        search = PrincipalSearch(((term,), (Term("uid", one.prefix, "starts-with"),)), ("individual", "group"))
        alike.require(await one.access.search(search, 5), await other.access.search(search, 5), f"search for {name}")
