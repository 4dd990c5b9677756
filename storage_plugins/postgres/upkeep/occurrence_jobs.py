"""Computing stored occurrences again: those of endless series as time passes, and those in changed zones.

Nothing that clients synchronise changes, so this takes no revision. Objects are read in pages and computed outside a
transaction. An object that was changed or deleted meanwhile is skipped: its writer has computed its occurrences.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from server.calendar import derivation, iana
from server.calendar.attendance import declined
from server.calendar.calendar_object import time_key
from server.calendar.component import parse_calendar
from server.calendar.materialise import materialise
from server.calendar.roles import message, scheduling
from server.calendar.visibility import others_of
from server.domain.contents import Others
from server.domain.errors import DatabaseError, SchedulingObjectExists
from server.domain.occurrences import Materialised
from server.domain.scheduling import Scheduling
from storage_plugins.postgres.changes import clocks, occurrence_rows
from storage_plugins.postgres.changes.clocks import supplied
from storage_plugins.postgres.changes.views import busy_numbers
from storage_plugins.postgres.database import Connection, Database
from storage_plugins.postgres.reads import owners

PAGE = 500
"""Objects that are looked up at once."""
_TEXTS_AT_ONCE = 50
_BYTES_AT_ONCE = 4 * 1024 * 1024
"""Bytes of the texts that are read at once, unless one alone has more."""
_COLUMNS = "o.home_id, o.id, o.size"
# At least a third of the time that the stored occurrences cover is in the future: one of three years.
_HORIZON = f"""
    select {_COLUMNS}, o.expanded_until from object o
    where o.expanded_until < $1::timestamptz + interval '366 days' and o.deleted_revision is null
      and o.expanded_until > o.expanded_from
      and o.expanded_until - $1::timestamptz < (o.expanded_until - o.expanded_from) / 3
      and (o.expanded_until, o.home_id, o.id) > ($2, $3, $4)
    order by o.expanded_until, o.home_id, o.id limit $5
"""  # noqa: S608 - no value of anybody's
_OF_ZONES = f"""
    select {_COLUMNS} from object o
    where o.tzids && $1::text[] and o.deleted_revision is null and (o.home_id, o.id) > ($2, $3)
    order by o.home_id, o.id limit $4
"""  # noqa: S608
_ALL = f"""
    select {_COLUMNS} from object o
    where o.component <> 'VCARD' and o.deleted_revision is null and (o.home_id, o.id) > ($1, $2)
    order by o.home_id, o.id limit $3
"""  # noqa: S608
_TEXTS = f"""
    select o.home_id, o.id, o.collection_id, c.kind, o.uid as object_uid, o.revision, o.text, o.time_key, o.derived,
           h.reserves, {owners.COLUMNS}
    from unnest($1::bigint[], $2::bigint[]) as wanted (home_id, id)
    join object o on o.home_id = wanted.home_id and o.id = wanted.id and o.deleted_revision is null
    join collection c on c.home_id = o.home_id and c.id = o.collection_id
    join home h on h.id = o.home_id join principal p on p.id = h.principal_id
"""  # noqa: S608
_AFFECTED = """
    select p.name, count(*) as objects from object o
    join home h on h.id = o.home_id join principal p on p.id = h.principal_id
    where o.tzids && $1::text[] and o.deleted_revision is null group by p.name order by p.name
"""
_LOCK = """
    select from object o
    where o.home_id = $1 and o.id = $2 and o.revision = $3 and o.deleted_revision is null for no key update
"""
_UPDATE = """
    update object set span_start = $3, span_end = $4, endless = $5, expanded_from = $6, expanded_until = $7, tzids = $8,
        recurrence = $9, time_key = $10, derived = $11, scheduling = $12, organizer = $13, sequence = $14
    where home_id = $1 and id = $2
"""
_ROLE = "select koyomi_derived_role_1($1, $2, $3, $4, $5)"
_GIVE_UP = "update object set time_key = $4, derived = $5 where home_id = $1 and id = $2 and revision = $3"
_REPLACE = "select koyomi_store_occurrences_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
_RESERVE = "select koyomi_reserve_1($1, array[$2::bigint], true)"
_RESERVE_ON = "select koyomi_reserve_on_1($1, $2)"
_REMOVE_ALARMS = "delete from alarm where home_id = $1 and object_id = $2 and viewer_id = 0"
# The next rings of alarms in personal copies are computed later, for the new occurrences.
# What others see of a private object. In a calendar with views it is rendered anew, with the views, where no server of
# this version has written it.
_SET_OTHERS = """
    update object set summary = coalesce(summary, '{}') || '{"others": "part"}', neutral_etag = $3, neutral_text = $4,
        neutral_busy = $5
    where home_id = $1 and id = $2
"""
_MARK_PRIVATE = """
    update object set summary = coalesce(summary, '{}') || '{"others": "part"}', neutral_etag = null
    where home_id = $1 and id = $2 and not coalesce(summary ? 'others', false) returning id
"""
_HAS_VIEWS = "select views from collection where home_id = $1 and id = $2"
_RENDER_LATER = "update collection set views_rendered = false where home_id = $1 and id = $2"
_RESET_ALARMS = """
    update alarm set next_at = '-infinity', floating = false
    where home_id = $1 and object_id = $2 and viewer_id <> 0 and next_at is distinct from '-infinity'
"""
_BUSY_WITHOUT = (
    "(select array_agg(case when n = any($3::int[]) then 0 else b end order by n) "
    "from unnest({column}) with ordinality as t (b, n))"
)
# The busy types in views, without the components (numbered from 1) that the owner has declined.
_FREE_FOR_OTHERS = (
    f"update object set neutral_busy = {_BUSY_WITHOUT.format(column='neutral_busy')} "  # noqa: S608
    "where home_id = $1 and id = $2 and neutral_busy is not null",
    f"update object_view set busy = {_BUSY_WITHOUT.format(column='busy')} "  # noqa: S608
    "where home_id = $1 and object_id = $2 and busy is not null",
)

log = structlog.get_logger()


# -- the horizon ------------------------------------------------------------------------------------------------------


async def roll_horizon(database: Database, now: datetime, *, seconds: float | None = None) -> int:
    """Compute the series again whose stored occurrences end soon. Returns their number.

    Stops after `seconds`; the next call continues.
    """
    rolled, end = 0, None if seconds is None else time.monotonic() + seconds
    place: tuple[object, ...] = (datetime.min.replace(tzinfo=UTC), 0, 0)
    while True:
        rows = await database.fetch(_HORIZON, now, *place, PAGE)
        for group in groups(rows):
            rolled += await compute(database, group, now, end, grows=True)
            if end is not None and time.monotonic() >= end:
                return rolled
        if len(rows) < PAGE:
            return rolled
        place = (rows[-1]["expanded_until"], rows[-1]["home_id"], rows[-1]["id"])


# -- zone data --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ZoneData:
    """The zone data of this server, compared with the data of the stored occurrences."""

    stored: str
    """Version that they were computed from."""
    newest: str
    """The newest version that a server has started with."""
    changed: frozenset[str]
    """Names of zones that differ between the stored version and this server's."""

    @property
    def current(self) -> bool:
        """Whether no object must be computed again."""
        return self.stored == iana.version()


async def zone_data(database: Database) -> ZoneData:
    """Compare, without changing anything."""
    row = await database.fetchrow("select tz_version, tz_newest, tz_digests from installation")
    if row is None:
        raise DatabaseError("The database has no row in `installation`.")
    stored, newest, digests = row
    ours = iana.version()
    changed: frozenset[str] = frozenset()
    if stored is not None and stored != ours:
        known = digests or {}
        changed = frozenset(name for name, digest in iana.digests().items() if known.get(name) != digest)
    return ZoneData(stored or ours, max(newest or "", stored or "", ours), changed)


async def use_zone_data(database: Database) -> ZoneData:
    """Begin to use this server's zone data.

    After that, servers with older data refuse to start, so that two servers do not answer differently for long. Raises
    `DatabaseError` if the occurrences were computed with newer data.
    """
    found = await zone_data(database)
    ours = iana.version()
    if found.newest > ours:
        raise DatabaseError(
            f"The database was used with zone data {found.newest}, and this server has {ours} only; "
            "update it: pip install --upgrade tzdata"
        )
    await database.fetch(
        "update installation set tz_newest = $1, tz_version = coalesce(tz_version, $1), "
        "tz_digests = case when tz_version is null then $2 else tz_digests end "
        "where tz_newest is distinct from $1 or tz_version is null",
        ours,
        iana.digests(),
    )
    return found


async def affected(database: Database, zones: Collection[str]) -> list[tuple[str, int]]:
    """Names of the principals that have objects in these zones, with the number of objects."""
    return [(str(row[0]), int(row[1])) for row in await database.fetch(_AFFECTED, sorted(zones))]


async def reexpand(
    database: Database,
    now: datetime,
    zones: Collection[str] | None,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Compute the objects of these zones again; None: all objects. Returns their number.

    `progress` is called with the number of computed objects. Can be interrupted at any point and repeated.
    """
    done = 0
    async for rows in _pages(database, zones):
        done += await compute(database, rows, now)
        progress(done)
    return done


async def follow_zone_data(database: Database, now: datetime) -> int:
    """Compute the objects again that an update of the zone data concerns, and store that this is done. Returns their
    number."""
    found = await zone_data(database)
    if found.current or found.newest > iana.version():
        return 0
    done = await reexpand(database, now, found.changed)
    await clocks.follow_zone_data(database)
    await database.fetch(
        "update installation set tz_version = $1, tz_digests = $2 where tz_newest = $1", iana.version(), iana.digests()
    )
    return done


async def _pages(database: Database, zones: Collection[str] | None) -> AsyncIterator[Sequence[Any]]:
    place = (0, 0)
    while True:
        if zones is None:
            rows = await database.fetch(_ALL, *place, PAGE)
        else:
            rows = await database.fetch(_OF_ZONES, sorted(zones), *place, PAGE)
        yield rows
        if len(rows) < PAGE:
            return
        place = (rows[-1]["home_id"], rows[-1]["id"])


# -- computing --------------------------------------------------------------------------------------------------------


def groups(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Objects whose texts are read together."""
    group: list[Any] = []
    size = 0
    for row in rows:
        if group and (len(group) == _TEXTS_AT_ONCE or size + row["size"] > _BYTES_AT_ONCE):
            yield group
            group, size = [], 0
        group.append(row)
        size += row["size"]
    if group:
        yield group


async def compute(
    database: Database, rows: Sequence[Any], now: datetime, end: float | None = None, *, grows: bool = False
) -> int:
    """Compute objects again, none after a time of `time.monotonic`; returns how many.

    `grows`: the stored part of series, which takes no time of a room from those who have it.
    """
    done = 0
    for group in groups(rows):
        homes, ids = [row["home_id"] for row in group], [row["id"] for row in group]
        for row in await database.fetch(_TEXTS, homes, ids):
            if end is not None and time.monotonic() >= end:
                return done
            try:
                found = await asyncio.to_thread(_derived, row, now)
            except Exception as error:
                # The other objects are computed.
                reason = type(error).__name__
                log.warning("object_not_expanded", home_id=row["home_id"], object_id=row["id"], reason=reason)
                key = derivation.versioned("")
                place = row["home_id"], row["id"], row["revision"]
                await database.fetch(_GIVE_UP, *place, key, derivation.VERSION)
                continue
            # Another object of the UID may become a scheduling object at the same moment: the next call finds that.
            with contextlib.suppress(SchedulingObjectExists):
                done += await supplied(database, partial(_store, database, row, found, grows=grows))
    return done


@dataclass(frozen=True, slots=True)
class _Derived:
    """The values that are derived from a text."""

    materialised: Materialised
    declined: frozenset[int]
    time_key: str
    scheduling: Scheduling
    others: Others | None


def _derived(row: Any, now: datetime) -> _Derived:
    owner = owners.addresses(row["uid"], row["name"], row["addresses"])
    calendar = parse_calendar(row["text"])
    free = declined(calendar, owner)
    key = time_key(row["text"], calendar, free)
    role = message(calendar) if row["kind"] == "inbox" else scheduling(calendar, owner)
    others = others_of(row["text"], calendar, owner)
    return _Derived(materialise(calendar, now, free), free, key, role, others)


async def _store(database: Database, row: Any, found: _Derived, *, grows: bool) -> bool:
    """Replace the stored occurrences. Returns False if the object has changed since it was read."""
    home_id, object_id = row["home_id"], row["id"]
    arguments = occurrence_rows.arguments(found.materialised)
    async with database.transaction() as connection:
        if await connection.fetchrow(_LOCK, home_id, object_id, row["revision"]) is None:
            return False
        await connection.execute("delete from occurrence where home_id = $1 and object_id = $2", home_id, object_id)
        await connection.execute(_REMOVE_ALARMS, home_id, object_id)
        await connection.execute(_REPLACE, home_id, row["collection_id"], object_id, *arguments[6:16])
        await connection.execute(_RESET_ALARMS, home_id, object_id)
        zones, recurrence = occurrence_rows.derived(found.materialised)
        keys = found.time_key, derivation.VERSION
        # The rule for several objects of one UID decides where another version derived the columns.
        anew = row["derived"] != derivation.VERSION and row["time_key"] != ""
        role = await connection.fetchval(_ROLE, home_id, object_id, row["object_uid"], found.scheduling.role, anew)
        roles = role, found.scheduling.organizer, found.scheduling.sequence
        await connection.execute(_UPDATE, home_id, object_id, *arguments[1:6], zones, recurrence, *keys, *roles)
        if found.declined:
            components = [index + 1 for index in sorted(found.declined)]
            for statement in _FREE_FOR_OTHERS:
                await connection.execute(statement, home_id, object_id, components)
        if found.others is not None:
            await _set_others(connection, row, found.others)
        if row["reserves"]:
            await connection.execute("select from home where id = $1 for no key update", home_id)
            await connection.execute(_RESERVE_ON if grows else _RESERVE, home_id, object_id)
    return True


async def _set_others(connection: Connection, row: Any, others: Others) -> None:
    home_id, object_id = row["home_id"], row["id"]
    # Texts beside that of the owner count in the home.
    await connection.execute("select from home where id = $1 for no key update", home_id)
    views = await connection.fetchval(_HAS_VIEWS, home_id, row["collection_id"])
    if not views:
        busy = busy_numbers(others.busy)
        await connection.execute(_SET_OTHERS, home_id, object_id, others.etag, others.text, busy)
    elif await connection.fetchval(_MARK_PRIVATE, home_id, object_id) is not None:
        await connection.execute(_RENDER_LATER, home_id, row["collection_id"])
