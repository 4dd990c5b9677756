"""Views of objects: SQL that reads an object in a view, and the rendering of shared calendars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from server.domain.contents import ObjectView, Others, Views
from server.domain.errors import InvalidCalendarData
from server.domain.objects import Collection
from server.domain.occurrences import AlarmTrigger, Busy
from server.process.computing import computed
from server.storage.reads import SharedObject, with_texts
from storage_plugins.postgres.changes.occurrence_rows import alarm, busy_number
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.reads import owners
from storage_plugins.postgres.reads.text_pages import fits
from storage_plugins.postgres.upkeep.pruning import repeat_in_homes

Mode = Literal["whole", "view", "part"]
"""How members are read: the owner's texts, in a person's view, or the owner's texts with blocks for what is private."""
PRIVATE = "coalesce(o.summary ? 'others', false)"
"""Whether others see a part of the object `o` at most."""
SHOWN = f"(o.neutral_text is not null or not {PRIVATE})"
"""Whether what others see of it has been rendered, as a condition of the mode `part`."""
_BESIDE = {
    column: f"case when not {PRIVATE} then o.{column} end" for column in ("schedule_tag", "properties", "organizer")
}
"""A block is no scheduling object, and what the owner keeps beside the text is not shown either."""
_VIEWED = {
    "etag": "coalesce(v.etag, o.neutral_etag, o.etag)",
    "size": "coalesce(v.size, octet_length(o.neutral_text), o.size)",
    "text": "coalesce(v.text, o.neutral_text, o.text)",
    "revision": "greatest(o.revision, v.revision)",
    "modified_at": "greatest(o.modified_at, v.modified_at)",
    **_BESIDE,
}
_PART = {
    "etag": f"case when {PRIVATE} then o.neutral_etag else o.etag end",
    "size": f"case when {PRIVATE} then octet_length(o.neutral_text) else o.size end",
    "text": f"case when {PRIVATE} then o.neutral_text else o.text end",
    **_BESIDE,
}
_VALUES: Mapping[Mode, Mapping[str, str]] = {"whole": {}, "view": _VIEWED, "part": _PART}
_PERSONAL = (
    "array_agg(v.principal_id) filter (where v.principal_id is not null), "
    "array_agg(v.personal) filter (where v.principal_id is not null)"
)
SHARED_OBJECT = (
    f"select o.id, o.revision, o.text, o.neutral_text, coalesce(max(v.revision), 0), {_PERSONAL}, {owners.COLUMNS} "  # noqa: S608
    "from object o join home h on h.id = o.home_id join principal p on p.id = h.principal_id "
    "left join object_view v on v.home_id = o.home_id and v.object_id = o.id "
    "where o.home_id = $1 and o.collection_id = $2 and o.id = $3 and o.deleted_revision is null "
    "group by o.home_id, o.id, p.id"
)
"""Arguments: home, collection, id."""
_UNRENDERED = (
    f"select o.id, o.revision, o.text, null::text, coalesce(max(v.revision), 0), {_PERSONAL}, {owners.COLUMNS} "  # noqa: S608
    f"from (select o.*, {fits('o.size', 'o.id')} as fits from object o where home_id = $1 and collection_id = $2 "
    "and id > $3 and deleted_revision is null and neutral_etag is null order by id limit $4) as o "
    "join home h on h.id = o.home_id join principal p on p.id = h.principal_id "
    "left join object_view v on v.home_id = o.home_id and v.object_id = o.id "
    "where o.fits group by o.home_id, o.id, o.revision, o.text, p.id order by o.id"
)
_RENDERED = "update collection set views_rendered = true where home_id = $1 and id = $2 and views"
_NOT_RENDERED = """
    select distinct c.home_id, c.id from share s join collection c on c.home_id = s.home_id and c.id = s.collection_id
    where s.rights <> 'free-busy' and c.kind = 'calendar' and c.deleted_at is null
      and not (c.views and c.views_rendered)
"""
_ENDED = """
    from binding b
    join home h on h.id = b.home_id
    join object_view v on v.home_id = b.collection_home_id and v.principal_id = h.principal_id
    join object o on o.home_id = v.home_id and o.id = v.object_id and o.collection_id = b.collection_id
    where b.deleted_at < clock_timestamp() - $1::interval and b.home_id <> b.collection_home_id
      and not exists (
          select from binding l
          where l.home_id = b.home_id and l.collection_home_id = b.collection_home_id
            and l.collection_id = b.collection_id and l.deleted_revision is null
      )
"""
_HOMES_OF_ENDED = f"""
    select h.id from home h where h.id in (select v.home_id {_ENDED} limit $2)
    order by h.id for no key update skip locked
"""  # noqa: S608
# A write of a personal copy locks the home. So no copy is deleted that was written after the calendar was shared again.
_PRUNE = f"""
    with old as materialized (
        select v.home_id, v.object_id, v.principal_id {_ENDED} and v.home_id = any($3::bigint[]) limit $2
    ), alarms as (
        delete from alarm where (home_id, object_id, viewer_id) in (select home_id, object_id, principal_id from old)
    )
    delete from object_view where (home_id, object_id, principal_id) in (
        select home_id, object_id, principal_id from old
    )
"""  # noqa: S608
_RENDER = f"select koyomi_render_2({', '.join(f'${n}' for n in range(1, 16))})"
_NONE = (False, *(None,) * 12)
# Personal copies that were written before their alarms were rows.
_WITHOUT_ALARMS = f"""
    select v.home_id, v.object_id, v.principal_id, v.etag,
           case when {fits("v.size", "v.home_id, v.principal_id, v.object_id")} then v.text end
    from object_view v
    where v.alarms_etag is distinct from v.etag and (v.home_id, v.principal_id, v.object_id) > ($1, $2, $3)
    order by v.home_id, v.principal_id, v.object_id limit $4
"""  # noqa: S608 - no value of anybody's
_STORE_ALARMS = "select koyomi_store_view_alarms_1($1, $2, $3, $4, $5)"


def mode_of(collection: Collection) -> Mode:
    """How the members of a collection are read."""
    return "view" if collection.view is not None else "part" if collection.blocks else "whole"


def value(column: str, mode: Mode) -> str:
    """The value of a column of the object `o`; in a view, which is `v`."""
    return _VALUES[mode].get(column, f"o.{column}")


def joined(viewer: str) -> str:
    """The join that follows `object o` in a statement, with the view `v` of a principal."""
    # The limit keeps this a lookup for each object, even in a plan that was made while the tables were empty.
    return (
        " left join lateral (select v.* from object_view v where v.home_id = o.home_id and v.object_id = o.id "  # noqa: S608
        f"and v.principal_id = {viewer} limit 1) as v on true"
    )


def shared_object(row: Any) -> SharedObject:
    """An object from the columns of `SHARED_OBJECT`."""
    id_, revision, text, neutral_text, views_revision, viewers, personal, *owner = row
    known = dict(zip(viewers or (), personal or (), strict=True))
    return SharedObject(id_, revision, text, neutral_text, known, views_revision, owners.addresses(*owner))


def arguments(views: Views | None, others: Others | None) -> tuple[Any, ...]:
    """The last arguments of `koyomi_put_object_4`, from `p_views` on.

    `others`: what others see, of a private object in a calendar without views.
    """
    if views is not None:
        return True, *rendered(views)
    if others is None:
        return _NONE
    return False, others.etag, others.text, busy_numbers(others.busy), *_NONE[4:]


def rendered(views: Views) -> tuple[Any, ...]:
    """Neutral ETag, text and busy types, the state that it is based on, and the views, one array for each column."""
    rows = views.views
    return (
        views.neutral_etag,
        views.neutral_text,
        busy_numbers(views.neutral_busy),
        *views.based_on,
        *columns(rows),
        alarms(rows),
    )


def columns(rows: Sequence[ObjectView]) -> tuple[list[Any] | None, ...]:
    """Personal copies as arguments, from `p_viewers` to `p_view_busy`; None if there are none."""
    return (
        [view.principal_id for view in rows] or None,
        [view.etag for view in rows] or None,
        [view.size for view in rows] or None,
        [view.personal for view in rows] or None,
        [view.text for view in rows] or None,
        [busy_numbers(view.busy) for view in rows] or None,
    )


def alarms(views: Sequence[ObjectView]) -> list[dict[str, Any]] | None:
    """The alarms of personal copies as rows; None where they have none."""
    return [{"viewer": view.principal_id, **alarm(trigger)} for view in views for trigger in view.alarms] or None


def busy_numbers(busy: Sequence[Busy] | None) -> list[int] | None:
    """Busy types as a column holds them."""
    return None if busy is None else [busy_number(item) for item in busy]


async def render_all(
    database: Database, home_id: int, collection_id: int, render: Callable[[SharedObject], Views], *, batch: int = 100
) -> int:
    """Give a calendar views, and render its objects. Returns the number of objects that were rendered.

    An object that changes meanwhile is rendered by the request that changes it.
    """
    await database.fetchval("select koyomi_begin_views_1($1, $2)", home_id, collection_id)
    done, last = 0, 0
    while rows := await database.fetch(_UNRENDERED, home_id, collection_id, last, batch):
        for row in rows:
            found = shared_object(row)
            views = await computed(render, found)
            stored = await database.fetchval(_RENDER, home_id, found.id, found.revision, *rendered(views))
            done += bool(stored)
        last = rows[-1][0]
    await database.fetch(_RENDERED, home_id, collection_id)
    return done


async def render_shared(database: Database, render: Callable[[SharedObject], Views]) -> int:
    """Render calendars that were shared before views existed, or whose rendering was interrupted. Returns their
    number."""
    found = await database.fetch(_NOT_RENDERED)
    for home_id, collection_id in found:
        await render_all(database, home_id, collection_id, render)
    return len(found)


async def store_alarms(
    database: Database, alarms_of: Callable[[str], Sequence[AlarmTrigger]], *, batch: int = 50
) -> int:
    """Store the alarms of personal copies without stored alarms. Returns the number of copies."""
    done, place = 0, (0, 0, 0)
    while rows := with_texts(await database.fetch(_WITHOUT_ALARMS, *place, batch), 4):
        for home_id, object_id, viewer, etag, text in rows:
            try:
                triggers = [alarm(trigger) for trigger in await computed(alarms_of, text)]
            except InvalidCalendarData:
                triggers = []
            done += bool(await database.fetchval(_STORE_ALARMS, home_id, object_id, viewer, etag, triggers))
        place = (rows[-1][0], rows[-1][2], rows[-1][1])
    return done


async def prune_views(database: Database, age: timedelta, *, batch: int = 500) -> int:
    """Delete the views of former sharees whose binding ended longer than `age` ago. Returns the number of views."""
    return await repeat_in_homes(database, _HOMES_OF_ENDED, _PRUNE, age, batch)
