"""Views of objects: how statements read what a person sees, and what is stored of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from server.calendar.occurrences import Busy
from server.storage import ObjectView, SharedObject, Views
from storage_plugins.postgres import owners
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.occurrence_rows import busy_number
from storage_plugins.postgres.text_pages import fits

_VIEWED = {
    "etag": "coalesce(v.etag, o.neutral_etag, o.etag)",
    "size": "coalesce(v.size, octet_length(o.neutral_text), o.size)",
    "text": "coalesce(v.text, o.neutral_text, o.text)",
    "revision": "greatest(o.revision, v.revision)",
    "modified_at": "greatest(o.modified_at, v.modified_at)",
}
_PERSONAL = "jsonb_object_agg(v.principal_id, v.personal) filter (where v.principal_id is not null)"
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
# A view that its person writes while this runs has another revision then, and stays.
_PRUNE = """
    with old as materialized (
        select v.home_id, v.object_id, v.principal_id, v.revision
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
        limit $2
    )
    delete from object_view v using old
    where v.home_id = old.home_id and v.object_id = old.object_id and v.principal_id = old.principal_id
      and v.revision = old.revision
"""
_RENDER = "select koyomi_render_1($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_NONE = (False, None, None, None, None, None, None)


def viewed(column: str) -> str:
    """A column of the object `o` as it is in the view `v`."""
    return _VIEWED.get(column, f"o.{column}")


def joined(viewer: str) -> str:
    """What follows `object o` in a statement to have the view `v` of a principal."""
    # The limit keeps this a lookup for each object, even in a plan that was made while the tables were empty.
    return (
        " left join lateral (select v.* from object_view v where v.home_id = o.home_id and v.object_id = o.id "  # noqa: S608
        f"and v.principal_id = {viewer} limit 1) as v on true"
    )


def shared_object(row: Any) -> SharedObject:
    """An object from the columns of `SHARED_OBJECT`."""
    id_, revision, text, neutral_text, views_revision, personal, *owner = row
    known = {int(principal): part for principal, part in (personal or {}).items()}
    return SharedObject(id_, revision, text, neutral_text, known, views_revision, owners.addresses(*owner))


def arguments(views: Views | None) -> tuple[Any, ...]:
    """The last arguments of `koyomi_put_object_3`, from `p_views` on."""
    if views is None:
        return _NONE
    return True, *rendered(views)


def rendered(views: Views) -> tuple[Any, ...]:
    """Neutral ETag, text and busy types, what it is based on, and the views."""
    return (
        views.neutral_etag,
        views.neutral_text,
        busy_numbers(views.neutral_busy),
        *views.based_on,
        [_row(view) for view in views.views] or None,
    )


def busy_numbers(busy: Sequence[Busy] | None) -> list[int] | None:
    """Busy types as a column holds them."""
    return None if busy is None else [busy_number(item) for item in busy]


def _row(view: ObjectView) -> dict[str, Any]:
    return {
        "principal_id": view.principal_id,
        "etag": view.etag,
        "size": view.size,
        "personal": view.personal,
        "text": view.text,
        "busy": busy_numbers(view.busy),
    }


async def render_all(
    database: Database, home_id: int, collection_id: int, render: Callable[[SharedObject], Views], *, batch: int = 100
) -> int:
    """Give a calendar views, and render what was not; gives how many objects that were.

    An object that changes meanwhile is rendered by who changes it.
    """
    await database.fetchval("select koyomi_begin_views_1($1, $2)", home_id, collection_id)
    done, last = 0, 0
    while rows := await database.fetch(_UNRENDERED, home_id, collection_id, last, batch):
        for row in rows:
            found = shared_object(row)
            stored = await database.fetchval(_RENDER, home_id, found.id, found.revision, *rendered(render(found)))
            done += bool(stored)
        last = rows[-1][0]
    await database.fetch(_RENDERED, home_id, collection_id)
    return done


async def render_shared(database: Database, render: Callable[[SharedObject], Views]) -> int:
    """Render calendars that were shared before there were views, or whose rendering was broken off; of how many."""
    found = await database.fetch(_NOT_RENDERED)
    for home_id, collection_id in found:
        await render_all(database, home_id, collection_id, render)
    return len(found)


async def prune_views(database: Database, age: timedelta, *, batch: int = 500) -> int:
    """Delete the views of those who have not seen the calendar for longer than `age`; gives how many."""
    total = 0
    while True:
        async with database.transaction() as connection:
            done = int((await connection.execute(_PRUNE, age, batch)).rsplit(" ", 1)[-1])
        total += done
        if done < batch:
            return total
