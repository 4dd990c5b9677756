"""Statements that read members of collections. Columns come from a fixed list; their texts are made once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import get_args

from server.calendar.filter_plan import UidSearch
from server.domain.collation import ascii_lower
from server.domain.rows import MemberColumn
from storage_plugins.postgres.changes import views
from storage_plugins.postgres.changes.views import Mode
from storage_plugins.postgres.reads.text_pages import fits

_COLUMNS = frozenset(get_args(MemberColumn))


@lru_cache(256)
def member_columns(names: tuple[str, ...], *, mode: Mode = "whole", order: str = "o.name") -> str:
    """Columns of the object `o` for a select list; in the mode `view`, in the view `v`.

    The text is null if the texts before it, in this order, fill a page.
    """
    unknown = set(names) - _COLUMNS
    if unknown or not names:
        raise ValueError(f"not columns of a member: {sorted(unknown)}")

    def column(name: str) -> str:
        value = views.value(name, mode)
        if name == "text":
            value = f"case when {fits(views.value('size', mode), order)} then {value} end"
        return f"{value} as {name}"

    return ", ".join(map(column, names))


def _object(viewer: str, mode: Mode) -> str:
    """The FROM clause of a statement."""
    return "object o" + (views.joined(viewer) if mode == "view" else "")


def _shown(mode: Mode) -> str:
    """A condition on what is shown."""
    return f"and {views.SHOWN} " if mode == "part" else ""


def _of_types(number: int, *, of_components: bool) -> str:
    """A condition on the component type; `number` is that of the argument."""
    return f"and o.component = any(${number}::text[]) " if of_components else ""


@lru_cache(256)
def _page(names: tuple[str, ...], mode: Mode, *, of_components: bool) -> str:
    return (
        f"select {member_columns(names, mode=mode)} from {_object('$5', mode)} "  # noqa: S608
        "where o.home_id = $1 and o.collection_id = $2 and o.name > $3 and o.deleted_revision is null "
        f"{_shown(mode)}{_of_types(6 if mode == 'view' else 5, of_components=of_components)}order by o.name limit $4"
    )


@lru_cache(256)
def _by_id(names: tuple[str, ...], mode: Mode, *, of_components: bool) -> str:
    return (
        f"select {member_columns(names, mode=mode)} from {_object('$4', mode)} "  # noqa: S608
        "where o.home_id = $1 and o.id = any($3::bigint[]) and o.collection_id = $2 and o.deleted_revision is null "
        f"{_shown(mode)}{_of_types(5 if mode == 'view' else 4, of_components=of_components)}order by o.name"
    )


@lru_cache(256)
def _named(names: tuple[str, ...], mode: Mode) -> str:
    return (
        f"select o.collection_id, o.name, {member_columns(names, mode=mode)} "  # noqa: S608
        f"from {_object('$4', mode)} where o.home_id = $1 and o.collection_id = $2 "
        f"and o.name = any($3::text[]) and o.deleted_revision is null {_shown(mode)}"
    )


@lru_cache(256)
def _named_anywhere(names: tuple[str, ...], mode: Mode) -> str:
    # The limit makes this a lookup for each name, even in a plan that was made while the tables were empty.
    join = views.joined("$4") if mode == "view" else ""
    return (
        f"select o.collection_id as its_collection, o.name as its_name, {member_columns(names, mode=mode)} "  # noqa: S608
        "from unnest($1::bigint[], $2::bigint[], $3::text[]) as m (home_id, collection_id, name) "
        "cross join lateral (select o.* from object o "
        "where o.home_id = m.home_id and o.collection_id = m.collection_id and o.name = m.name "
        f"and o.deleted_revision is null {_shown(mode)}limit 1) as o{join}"
    )


@lru_cache(256)
def _changed(names: tuple[str, ...], mode: Mode) -> str:
    return (
        f"select {member_columns(names, mode=mode, order='o.revision')} from object o "  # noqa: S608
        "where o.home_id = $1 and o.collection_id = $2 "
        f"and o.revision > $3 and o.revision <= $4 {_shown(mode)}order by o.revision limit $5"
    )


@lru_cache(256)
def _changed_in_view(names: tuple[str, ...]) -> str:
    """Changes for everybody, and changes of one person's views, each by an index of its own."""
    join = views.joined("$6")
    return (
        f"select {member_columns(names, mode='view', order='c.at')} from ("  # noqa: S608
        f"(select o.id, o.revision as at from object o{join} where o.home_id = $1 and o.collection_id = $2 "
        "and o.revision > $3 and o.revision <= $4 and coalesce(v.revision, 0) <= o.revision "
        "order by o.revision limit $5) union all "
        "(select o.id, v.revision from object_view v join object o on o.home_id = v.home_id and o.id = v.object_id "
        "where v.home_id = $1 and v.principal_id = $6 and v.revision > $3 and v.revision <= $4 "
        "and o.collection_id = $2 and v.revision > o.revision order by v.revision limit $5) "
        f"order by 2 limit $5) as c join object o on o.home_id = $1 and o.id = c.id{join} order by c.at"
    )


UID_HOLDER = (
    "select o.name from object o where o.home_id = $1 and o.collection_id = $2 and o.uid = $3 "
    "and o.deleted_revision is null and o.scheduling <> 3"
)


SCHEDULING_OBJECT = (
    "select o.id, o.collection_id, b.name, o.name from object o "
    "join collection c on c.home_id = o.home_id and c.id = o.collection_id and c.deleted_at is null "
    "left join binding b on b.home_id = $2 and b.collection_home_id = o.home_id and b.collection_id = o.collection_id "
    "and b.deleted_revision is null "
    "where o.home_id = $1 and o.uid = $3 and o.scheduling in (1, 2) and o.deleted_revision is null limit 1"
)
"""Arguments: the home of the members, the home that shows the collection, the UID."""

HAS_MOVED = """
    select exists (
        select from object t
        join object o
            on o.home_id = t.home_id and o.uid = t.uid and o.scheduling in (1, 2) and o.deleted_revision is null
        join collection c on c.home_id = o.home_id and c.id = o.collection_id and c.deleted_at is null
        where t.home_id = $1 and t.collection_id = $2 and t.name = $3 and t.deleted_revision is not null
          and t.deleted_at > clock_timestamp() - $4::interval
    )
"""
"""Arguments: home, collection and name of the removed member, within what time."""

_UIDS = "select o.id, o.uid from object o where o.home_id = $1 and o.collection_id = $2 and o.deleted_revision is null"


def page(columns: Sequence[MemberColumn], mode: Mode = "whole", *, of_components: bool = False) -> str:
    """Arguments: home, collection, name after which the page starts, limit; the viewer of a view; component types if
    `of_components`."""
    return _page(tuple(columns), mode, of_components=of_components)


def by_id(columns: Sequence[MemberColumn], mode: Mode = "whole", *, of_components: bool = False) -> str:
    """Arguments: home, collection, ids of objects; then those of `page` after the limit."""
    return _by_id(tuple(columns), mode, of_components=of_components)


def uids(search: UidSearch | None, *, inbox: bool = False) -> tuple[str, tuple[str, ...]]:
    """The statement that reads ids and UIDs, and its arguments beside home and collection.

    An exact UID is an index lookup, except in an inbox, which has few members. Other searches compare all UIDs. No text
    is read.
    """
    if search is None:
        return _UIDS, ()
    uid, text = ("lower(o.uid)", ascii_lower(search.text)) if search.ignore_case else ("o.uid", search.text)
    condition = f"{uid} = $3" if search.match == "equals" else f"position($3 in {uid}) > 0"
    return f"{_UIDS}{'' if inbox else ' and o.scheduling <> 3'} and {condition}", (text,)


def named(columns: Sequence[MemberColumn], mode: Mode = "whole") -> str:
    """Arguments: home, collection, names; the viewer of a view. Rows begin with collection and name."""
    return _named(tuple(columns), mode)


def named_anywhere(columns: Sequence[MemberColumn], mode: Mode = "whole") -> str:
    """Arguments: arrays of homes, collections and names; the viewer of a view. Rows begin with collection and name."""
    return _named_anywhere(tuple(columns), mode)


def changed(columns: Sequence[MemberColumn], mode: Mode = "whole") -> str:
    """Arguments: home, collection, revision after which the page starts, last revision, limit; the viewer of a
    view."""
    return _changed_in_view(tuple(columns)) if mode == "view" else _changed(tuple(columns), mode)
