"""Who asks and what a path names: the one statement at the start of every request."""

from __future__ import annotations

from functools import cache
from typing import Any

from server.directory import name_key
from server.storage import Collection, Home, Object, Principal, Resolution, Target

_PRINCIPAL = (
    "{p}.id, {p}.uid, {p}.kind, {p}.name, {p}.display_name, {addresses}, {p}.roles, "
    "{p}.disabled_at is not null, {p}.credential_version"
)
_ADDRESSES = "array(select a.address from principal_address a where a.principal_id = {p}.id order by a.position)"
_HOME = (
    "h.id, h.kind, h.principal_id, h.revision, h.incarnation, h.used_bytes, p.quota_bytes, h.sync_floor, "
    "h.infinite_sync_floor, h.created_at, h.modified_at, h.properties"
)
BINDING_REVISION = (
    "case when b.deleted_revision is null and b.home_id = b.collection_home_id "
    "then greatest(b.revision, c.revision, w.revision) else b.revision end"
)
"""Latest revision of a collection as a member of the home that shows it; of its own, what is in it counts too."""
COLLECTION = (
    "c.home_id, c.id, b.name, c.kind, b.rights, c.components, greatest(c.revision, w.revision), "
    f"{BINDING_REVISION}, b.incarnation, c.sync_floor, c.member_count, c.used_bytes, c.created_at, c.modified_at, "
    "b.deleted_revision, c.timezone, c.source, c.properties, w.properties"
)
"""Columns of a collection `c` shown by the binding `b` in the view `w`, as `collection` reads them."""
_OBJECT = (
    "o.id, o.name, o.uid, o.component, o.etag, o.schedule_tag, o.size, o.revision, o.created_at, o.modified_at, "
    "o.time_key, o.properties"
)
_PRINCIPAL_WIDTH = 9
_HOME_WIDTH = 12
_COLLECTION_WIDTH = 19
_OBJECT_START = 2 * _PRINCIPAL_WIDTH + _HOME_WIDTH + _COLLECTION_WIDTH


@cache
def statement(depth: int, *, by_uid: bool, text: bool) -> str:
    """The statement for a target of 0 viewer, 1 principal, 2 home, 3 collection, 4 object."""
    columns = [_PRINCIPAL.format(p="v", addresses=_ADDRESSES.format(p="v"))]
    joins = ["from (select) as one left join principal v on v.id = $1"]
    if depth >= 1:
        # The addresses of someone who asks for what is theirs are read once.
        addresses = f"case when p.id is distinct from v.id then {_ADDRESSES.format(p='p')} end"
        columns.append(_PRINCIPAL.format(p="p", addresses=addresses))
        match = "p.uid = $2" if by_uid else "p.name_key = $2 and p.kind = $3"
        joins.append(f"left join principal p on {match} and p.deleted_at is null")
    at = 3 if by_uid else 4
    if depth >= 2:
        columns.append(_HOME)
        joins.append(f"left join home h on h.principal_id = p.id and h.kind = ${at}")
    if depth >= 3:
        columns.append(COLLECTION)
        joins.append(
            f"left join binding b on b.home_id = h.id and b.name = ${at + 1} and b.deleted_revision is null "
            "left join collection c on c.home_id = b.collection_home_id and c.id = b.collection_id "
            "and c.deleted_at is null "
            "left join collection_view w on w.home_id = c.home_id and w.collection_id = c.id and w.principal_id = $1"
        )
    if depth >= 4:
        columns.append(_OBJECT + (", o.text" if text else ""))
        joins.append(
            "left join object o on o.home_id = c.home_id and o.collection_id = c.id "
            f"and o.name = ${at + 2} and o.deleted_revision is null"
        )
    return f"select {', '.join(columns)} {' '.join(joins)}"


def query(viewer: int | None, target: Target | None, *, text: bool) -> tuple[str, list[object]]:
    """The statement that resolves a target, and its arguments."""
    if target is None:
        return statement(0, by_uid=True, text=False), [viewer]
    by_uid = target.by == "uid"
    arguments: list[object] = [viewer, target.owner] if by_uid else [viewer, name_key(target.owner), target.by]
    depth = 1
    for name in (target.home, target.collection, target.object):
        if name is None:
            break
        arguments.append(name)
        depth += 1
    return statement(depth, by_uid=by_uid, text=text and depth == 4), arguments


def resolution(row: Any) -> Resolution:
    """What the statement found."""
    viewer = None if row[0] is None else principal(row[:_PRINCIPAL_WIDTH])
    width = len(row)
    if width == _PRINCIPAL_WIDTH or row[9] is None:
        return Resolution(viewer)
    owner = viewer if row[9] == row[0] else principal(row[9:18])
    if width == 18 or row[18] is None:
        return Resolution(viewer, owner)
    home = _home(row[18:30])
    if width == 30 or row[30] is None:
        return Resolution(viewer, owner, home)
    found = collection(row[30:49])
    if width == 49 or row[49] is None:
        return Resolution(viewer, owner, home, found)
    return Resolution(viewer, owner, home, found, _object(row[49:]))


def principal(row: Any) -> Principal:
    """A principal from its columns."""
    addresses, roles = row[5], row[6]
    values: list[Any] = [*row[:5], tuple(addresses), frozenset(roles) if roles else _NO_ROLES, row[7], row[8]]
    return Principal(*values)


def collection(row: Any) -> Collection:
    """A collection from the columns of `COLLECTION`."""
    properties, view = row[17], row[18]
    if view:
        properties = {**properties, **view} if properties else view
    values: list[Any] = [*row[:5], tuple(row[5]), *row[6:17], properties or {}]
    return Collection(*values)


def _home(row: Any) -> Home:
    values: list[Any] = [*row[:11], row[11] or {}]
    return Home(*values)


def _object(row: Any) -> Object:
    values: list[Any] = [*row[:11], row[11] or {}, *row[12:]]
    return Object(*values)


_NO_ROLES: frozenset[str] = frozenset()
