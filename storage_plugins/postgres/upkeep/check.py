"""Checks whether derived values agree with their sources, for `koyomi db check`.

Every check is one statement, so that it reads one snapshot and may run while the server writes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from server.domain.contents import Views
from server.storage.reads import SharedObject, with_texts
from storage_plugins.postgres.changes.clocks import supplied
from storage_plugins.postgres.changes.views import busy_numbers, shared_object
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.reads import owners
from storage_plugins.postgres.reads.text_pages import fits


@dataclass(frozen=True, slots=True)
class Difference:
    """A stored value that differs from the computed one."""

    home_id: int
    subject: str
    """Table and key, such as `collection 17`."""
    what: str
    stored: str
    computed: str


_HOMES = "select id from home where id > $1 order by id limit $2"
_SAMPLE = "select id from home order by random() limit $1"
# Each returns home, subject, what, stored, computed, for the homes of $1.
_CHECKS = (
    """
    select c.home_id, 'collection ' || c.id, k.what, k.stored, k.computed
    from collection c
    cross join lateral (
        select count(*) as members, coalesce(sum(o.size), 0) as bytes, coalesce(max(o.revision), 0) as revision
        from object o where o.home_id = c.home_id and o.collection_id = c.id and o.deleted_revision is null
    ) as t
    cross join lateral (values
        ('member_count', c.member_count::text, t.members::text), ('used_bytes', c.used_bytes::text, t.bytes::text),
        ('revision', c.revision::text, greatest(c.revision, t.revision)::text)
    ) as k (what, stored, computed)
    where c.home_id = any($1::bigint[]) and k.stored <> k.computed
    """,
    """
    select h.id, 'home ' || h.id, k.what, k.stored, k.computed
    from home h
    cross join lateral (
        select coalesce(sum(c.used_bytes), 0) as bytes, coalesce(max(c.revision), 0) as revision
        from collection c where c.home_id = h.id and c.deleted_at is null
    ) as t
    cross join lateral (
        select coalesce(sum(b.bytes), 0) as bytes
        from (
            select o.size as bytes from object o
            where o.home_id = h.id and o.deleted_revision is not null and o.text is not null
            union all
            select octet_length(o.neutral_text) from object o where o.home_id = h.id and o.neutral_text is not null
            union all
            select v.size + octet_length(v.personal) from object_view v where v.home_id = h.id
            union all
            select octet_length(s.text) from trash s where s.home_id = h.id
            union all
            select o.size from collection c join object o on o.home_id = c.home_id and o.collection_id = c.id
            where c.home_id = h.id and c.deleted_at is not null and o.deleted_revision is null
        ) as b
    ) as kept
    cross join lateral (
        select coalesce(sum(s.bytes) filter (where s.live), 0) as live,
               coalesce(sum(s.bytes) filter (where not s.live), 0) as kept
        from (
            select true as live, koyomi_property_bytes_1(h.properties) as bytes
            union all
            select c.deleted_at is null, koyomi_collection_property_bytes_1(c.properties, c.timezone, c.source)
            from collection c where c.home_id = h.id
            union all
            select o.deleted_revision is null and c.deleted_at is null, koyomi_property_bytes_1(o.properties)
            from object o left join collection c on c.home_id = o.home_id and c.id = o.collection_id
            where o.home_id = h.id and o.properties is not null
            union all
            select false, koyomi_property_bytes_1(t.properties)
            from trash t where t.home_id = h.id and t.properties is not null
        ) as s
    ) as properties
    cross join lateral (
        select count(*) as bindings, coalesce(max(b.revision), 0) as revision
        from binding b where b.home_id = h.id and b.deleted_revision is null
    ) as n
    cross join lateral (values
        ('used_bytes', h.used_bytes::text, t.bytes::text),
        ('kept_bytes', h.kept_bytes::text, kept.bytes::text),
        -- An online step may not have counted yet what was stored before there were these counters.
        ('property_bytes', h.property_bytes::text,
         case when h.properties_counted then properties.live else h.property_bytes end::text),
        ('kept_property_bytes', h.kept_property_bytes::text,
         case when h.properties_counted then properties.kept else h.kept_property_bytes end::text),
        ('collection_count', h.collection_count::text, n.bindings::text),
        ('revision', h.revision::text, greatest(h.revision, t.revision, n.revision)::text)
    ) as k (what, stored, computed)
    where h.id = any($1::bigint[]) and k.stored <> k.computed
    """,
    """
    select o.home_id, 'object ' || o.id, 'collection', o.collection_id::text, 'none'
    from object o
    where o.home_id = any($1::bigint[])
      and not exists (select from collection c where c.home_id = o.home_id and c.id = o.collection_id)
    """,
    """
    select s.home_id, s.source || ' of object ' || s.object_id, 'collection', s.collection_id::text,
           coalesce(o.collection_id::text, 'none')
    from (
        select distinct home_id, object_id, collection_id, 'occurrence' as source from occurrence
        where home_id = any($1::bigint[])
        union all
        select distinct home_id, object_id, collection_id, 'alarm' from alarm where home_id = any($1::bigint[])
    ) as s
    left join object o on o.home_id = s.home_id and o.id = s.object_id and o.deleted_revision is null
    where o.id is null or o.collection_id <> s.collection_id
    """,
    """
    select r.home_id, 'reservation ' || r.id, 'object', r.object_id::text, 'one that is there'
    from reservation r
    where r.home_id = any($1::bigint[]) and not exists (
        select from object o
        where o.home_id = r.home_id and o.id = r.object_id and o.collection_id = r.collection_id
          and o.deleted_revision is null
    )
    """,
    """
    select h.id, 'object ' || w.object_id, 'reservation', 'none', w.starts_at::text
    from home h
    cross join lateral (
        select array(
            select o.id from object o
            where o.home_id = h.id and o.component = 'VEVENT' and o.deleted_revision is null and o.derived > 0
        ) as ids
    ) as o
    cross join lateral unnest(koyomi_wanted_reservations_1(h.id, o.ids)) as w
    where h.id = any($1::bigint[]) and h.reserves and w.ends_at > now() and not exists (
        select from reservation r
        where r.home_id = h.id and r.object_id = w.object_id and r.resource_id = w.resource_id and r.during = w.during
    )
    """,
    """
    select distinct a.home_id, 'alarm of object ' || a.object_id, 'viewer', a.viewer_id::text, 'none'
    from alarm a
    where a.home_id = any($1::bigint[]) and a.viewer_id <> 0 and not exists (
        select from object_view v
        where v.home_id = a.home_id and v.object_id = a.object_id and v.principal_id = a.viewer_id
    )
    """,
    """
    select b.home_id, 'binding ' || b.name, 'collection', b.collection_id::text, 'deleted'
    from binding b
    join collection c on c.home_id = b.collection_home_id and c.id = b.collection_id
    where b.home_id = any($1::bigint[]) and b.rights = 'owner' and b.deleted_revision is null
      and c.deleted_at is not null
    """,
    """
    select o.home_id, 'object ' || o.id, k.what, k.stored, k.computed
    from object o
    cross join lateral (values
        ('deleted_at', (o.deleted_at is not null)::text, (o.deleted_revision is not null)::text),
        ('deleted_revision', coalesce(o.deleted_revision, o.revision)::text, o.revision::text),
        ('text', (o.text is not null)::text, (o.text is not null or o.deleted_revision is null)::text),
        ('name', (o.name <> '')::text, 'true'),
        ('organizer', (o.organizer is not null or o.scheduling not in (1, 2))::text, 'true'),
        ('summary', coalesce(jsonb_typeof(o.summary), 'object'), 'object'),
        ('properties', coalesce(jsonb_typeof(o.properties), 'object'), 'object')
    ) as k (what, stored, computed)
    where o.home_id = any($1::bigint[]) and k.stored <> k.computed
    """,
    """
    select o.home_id, 'object ' || o.id, 'scheduling', o.scheduling::text,
           case when c.kind = 'inbox' then '3' else 'none of an inbox' end
    from object o join collection c on c.home_id = o.home_id and c.id = o.collection_id
    where o.home_id = any($1::bigint[]) and o.deleted_revision is null
      and (o.scheduling = 3) <> (c.kind = 'inbox')
    """,
    """
    select h.id, s.subject, s.what, s.stored, 'one of ours'
    from home h
    cross join lateral (
        select 'home ' || h.id as subject, 'kind' as what, h.kind as stored
        where h.kind not in ('calendar', 'addressbook')
        union all
        select 'home ' || h.id, 'properties', jsonb_typeof(h.properties) where jsonb_typeof(h.properties) <> 'object'
        union all
        select 'collection ' || c.id, 'kind', c.kind from collection c
        where c.home_id = h.id and c.kind not in ('calendar', 'addressbook', 'inbox', 'outbox', 'notification')
        union all
        select 'collection ' || c.id, 'properties', jsonb_typeof(c.properties) from collection c
        where c.home_id = h.id and jsonb_typeof(c.properties) <> 'object'
    ) as s
    where h.id = any($1::bigint[])
    """,
)
_TEXTS = f"""
    select o.home_id, o.id, o.size, o.etag, case when {fits("o.size", "o.id")} then o.text end from object o
    where o.home_id = $1 and o.id > $2 and o.deleted_revision is null order by o.id limit $3
"""  # noqa: S608 - no value of anybody's
_IN_VIEWS = "(select count(*) from object_view v where v.home_id = o.home_id and v.object_id = o.id)"
_SHARED = f"""
    select o.neutral_etag, o.neutral_text, o.neutral_busy, s.* from (
        select o.id, {fits(f"o.size * (2 + {_IN_VIEWS})", "o.id")} as fits
        from object o join collection c on c.home_id = o.home_id and c.id = o.collection_id
        where o.home_id = $1 and o.id > $2 and o.deleted_revision is null and c.views and c.views_rendered
        order by o.id limit $3
    ) as n
    join object o on o.home_id = $1 and o.id = n.id
    cross join (
        select {owners.COLUMNS} from home h join principal p on p.id = h.principal_id where h.id = $1
    ) as w
    cross join lateral (
        select o.id, o.revision, o.text, o.neutral_text, coalesce(max(v.revision), 0),
               array_agg(v.principal_id), array_agg(v.personal), w.uid, w.name, w.addresses,
               array_agg(v.principal_id) as viewers, array_agg(v.etag), array_agg(v.size), array_agg(v.text),
               jsonb_agg(v.busy),
               -- Null: they are not stored yet.
               array_agg(case when v.alarms_etag = v.etag then (
                   select count(*) from alarm a
                   where a.home_id = o.home_id and a.object_id = o.id and a.viewer_id = v.principal_id
               ) end)
        from object_view v where v.home_id = o.home_id and v.object_id = o.id
    ) as s
    where n.fits order by o.id
"""  # noqa: S608


async def check(
    database: Database,
    etag_of: Callable[[bytes], str],
    render: Callable[[SharedObject], Views] | None = None,
    *,
    sample: int | None = None,
    batch: int = 200,
) -> AsyncIterator[Difference]:
    """Yield every difference in all homes, or in `sample` random homes.

    `etag_of` computes the ETag of a text, `render` the views of an object; without it views are not compared. Holds at
    most `batch` texts, and those of one page, in memory.
    """
    async for homes in homes_of(database, sample, batch):
        for sql in _CHECKS:
            for row in await supplied(database, partial(database.fetch, sql, homes)):
                yield Difference(*row)
        for home in homes:
            async for difference in _check_texts(database, home, etag_of, batch):
                yield difference
            if render is not None:
                async for difference in _check_views(database, home, etag_of, render, batch):
                    yield difference


async def homes_of(database: Database, sample: int | None, batch: int) -> AsyncIterator[list[int]]:
    """The ids of all homes in batches, or of `sample` random homes."""
    if sample is not None:
        yield [row[0] for row in await database.fetch(_SAMPLE, sample)]
        return
    last = 0
    while homes := [row[0] for row in await database.fetch(_HOMES, last, batch)]:
        yield homes
        last = homes[-1]


async def _check_texts(
    database: Database, home: int, etag_of: Callable[[bytes], str], batch: int
) -> AsyncIterator[Difference]:
    last = 0
    while rows := with_texts(await database.fetch(_TEXTS, home, last, batch), 4):
        for home_id, id_, size, etag, text in rows:
            data = text.encode()
            if len(data) != size:
                yield Difference(home_id, f"object {id_}", "size", str(size), str(len(data)))
            if (computed := etag_of(data)) != etag:
                yield Difference(home_id, f"object {id_}", "etag", etag, computed)
        last = rows[-1][1]


async def _check_views(
    database: Database,
    home: int,
    etag_of: Callable[[bytes], str],
    render: Callable[[SharedObject], Views],
    batch: int,
) -> AsyncIterator[Difference]:
    """Differences in the views of an object. The text of a view may be formatted in another way than a rendered one."""
    last = 0
    while rows := await database.fetch(_SHARED, home, last, batch):
        for etag, text, busy, *columns in rows:
            found = shared_object(columns[:10])
            seen_by = {row[0]: row[1:] for row in zip(*(column or () for column in columns[10:]), strict=True)}
            should_be = render(found)
            subject = f"object {found.id}"
            for what, stored, computed in (
                ("neutral_etag", etag, should_be.neutral_etag),
                ("neutral_text", text, should_be.neutral_text),
                ("neutral_busy", busy, busy_numbers(should_be.neutral_busy)),
            ):
                if stored != computed:
                    yield Difference(home, subject, what, str(stored), str(computed))
            for view in should_be.views:
                seen_etag, size, seen, seen_busy, alarms = seen_by[view.principal_id]
                subject = f"object {found.id} as principal {view.principal_id} sees it"
                data = seen.encode()
                for what, stored, computed in (
                    ("etag", seen_etag, etag_of(data)),
                    ("size", str(size), str(len(data))),
                    ("busy", seen_busy, busy_numbers(view.busy)),
                    ("alarms", str(alarms), str(alarms if alarms is None else len(view.alarms))),
                ):
                    if stored != computed:
                        yield Difference(home, subject, what, str(stored), str(computed))
            last = found.id
