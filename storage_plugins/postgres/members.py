"""Statements that read members of collections. Columns come from a fixed list; their texts are made once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import get_args

from server.storage import MemberColumn

_COLUMNS = frozenset(get_args(MemberColumn))
_RARE = frozenset({"VAVAILABILITY"})


@cache
def member_columns(names: tuple[str, ...]) -> str:
    """Columns of the object `o` for a select list."""
    unknown = set(names) - _COLUMNS
    if unknown or not names:
        raise ValueError(f"not columns of a member: {sorted(unknown)}")
    return ", ".join(f"o.{name}" for name in names)


@cache
def _page(names: tuple[str, ...]) -> str:
    return (
        f"select {member_columns(names)} from object o where o.home_id = $1 and o.collection_id = $2 and o.name > $3 "  # noqa: S608
        "and o.deleted_revision is null order by o.name limit $4"
    )


@cache
def _named(names: tuple[str, ...]) -> str:
    return (
        f"select o.collection_id, o.name, {member_columns(names)} "  # noqa: S608
        "from object o where o.home_id = $1 and o.collection_id = $2 and o.name = any($3::text[]) "
        "and o.deleted_revision is null"
    )


@cache
def _named_anywhere(names: tuple[str, ...]) -> str:
    # The limit keeps this a lookup for each name, even in a plan that was made while the tables were empty.
    return (
        "select o.* from unnest($1::bigint[], $2::bigint[], $3::text[]) as m (home_id, collection_id, name) "  # noqa: S608
        f"cross join lateral (select o.collection_id as its_collection, o.name as its_name, {member_columns(names)} "
        "from object o where o.home_id = m.home_id and o.collection_id = m.collection_id and o.name = m.name "
        "and o.deleted_revision is null limit 1) as o"
    )


@cache
def _changed(names: tuple[str, ...]) -> str:
    return (
        f"select {member_columns(names)} from object o where o.home_id = $1 and o.collection_id = $2 "  # noqa: S608
        "and o.revision > $3 and o.revision <= $4 order by o.revision limit $5"
    )


@cache
def _of_component(names: tuple[str, ...], component: str) -> str:
    # Written out: with a parameter in its place, the index of the rare ones could not be used.
    if component not in _RARE:
        raise ValueError(f"there is no index of {component}")
    return (
        f"select {member_columns(names)} from object o where o.home_id = $1 and o.collection_id = $2 "  # noqa: S608
        f"and o.component = '{component}' and o.deleted_revision is null order by o.name"
    )


UID_HOLDER = (
    "select o.name from object o where o.home_id = $1 and o.collection_id = $2 and o.uid = $3 "
    "and o.deleted_revision is null"
)


def page(columns: Sequence[MemberColumn]) -> str:
    """Arguments: home, collection, name behind which the page starts, limit."""
    return _page(tuple(columns))


def named(columns: Sequence[MemberColumn]) -> str:
    """Arguments: home, collection, names. Rows begin with collection and name."""
    return _named(tuple(columns))


def named_anywhere(columns: Sequence[MemberColumn]) -> str:
    """Arguments: arrays of homes, collections and names. Rows begin with collection and name."""
    return _named_anywhere(tuple(columns))


def of_component(columns: Sequence[MemberColumn], component: str) -> str:
    """Arguments: home, collection."""
    return _of_component(tuple(columns), component)


def changed(columns: Sequence[MemberColumn]) -> str:
    """Arguments: home, collection, revision behind which the page starts, last revision, limit."""
    return _changed(tuple(columns))
