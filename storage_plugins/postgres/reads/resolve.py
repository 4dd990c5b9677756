"""The first statement of every request: it reads the viewer and the resources that a path names.

It returns only the versions of principals (`xmin`, the transaction that wrote the row). A worker caches principals, and
reads one again if its version has changed. Writes of a principal's addresses therefore also write its row.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cache
from typing import Any

from server.domain.objects import Collection, Home, HomeKind, Object, Target
from server.domain.principals import Principal, name_key
from server.domain.resolution import Resolution
from server.domain.scheduling import SchedulingRole
from storage_plugins.postgres.changes import views
from storage_plugins.postgres.changes.views import Mode
from storage_plugins.postgres.reads import grants

BINDING_REVISION = (
    "case when b.deleted_revision is null and b.home_id = b.collection_home_id "
    "then greatest(b.revision, c.revision, w.revision) else b.revision end"
)
"""Latest revision of a collection as a member of the home that shows it; of the home's own collection, its contents
count, too."""
COLLECTION = (
    "c.home_id, c.id, b.name, c.kind, b.rights, c.components, greatest(c.revision, w.revision, b.view_revision), "
    f"{BINDING_REVISION}, b.incarnation, c.sync_floor, c.member_count, c.used_bytes, c.created_at, c.modified_at, "
    "b.home_id, "
    "b.deleted_revision, c.timezone, c.source, c.properties, w.properties, c.views"
)
"""Columns of a collection `c` shown by the binding `b` in the view `w`, as `collection` reads them."""
HOME_REVISION = "case when h.hidden_until = h.revision then h.hidden_after else h.revision end"
"""Latest revision of a home `h` that changed something that its owner sees."""
HOME = (
    f"h.id, {HOME_REVISION}, h.incarnation, h.used_bytes + h.property_bytes, h.kept_bytes + h.kept_property_bytes, "
    "p.quota_bytes, h.sync_floor, "
    "h.infinite_sync_floor, h.created_at, h.modified_at, h.properties"
)
"""Columns of the home `h` of a principal `p`, as `home` reads them."""

_MEMBER = (
    "id",
    "name",
    "uid",
    "component",
    "etag",
    "schedule_tag",
    "size",
    "revision",
    "created_at",
    "modified_at",
    "time_key",
    "properties",
)
OBJECT = f"{', '.join(f'o.{name}' for name in _MEMBER)}, 0::bigint, o.scheduling, {views.PRIVATE}"
"""Columns of an object `o`, as `member` reads them."""
_HOME_AT = 4
_COLLECTION_AT = _HOME_AT + 12
_OBJECT_AT = _COLLECTION_AT + 21

PRINCIPALS = """
    select p.id, p.xmin, p.uid, p.kind, p.name, p.display_name,
           array(select a.address from principal_address a where a.principal_id = p.id order by a.position),
           p.roles, p.disabled_at is not null, p.credential_version
    from principal p where p.id = any($1::bigint[])
"""
"""Arguments: ids."""


class PrincipalCache:
    """The principals that a worker has read, with the version of each."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._known: OrderedDict[int, tuple[int, Principal]] = OrderedDict()

    def named(self, row: Any) -> tuple[Principal | None, Principal | None]:
        """The viewer and the owner in a row of the statement, if they are cached in the row's versions."""
        viewer = None if row[0] is None else self._get(row[0], row[1])
        if row[2] is None:
            return viewer, None
        return viewer, viewer if row[2] == row[0] else self._get(row[2], row[3])

    def is_own(self, viewer: int | None, target: Target | None) -> bool:
        """Whether a target names the viewer or something in their home, as far as this worker knows."""
        if viewer is None or target is None or (known := self._known.get(viewer)) is None:
            return False
        principal = known[1]
        if target.by == "uid":
            return principal.uid == target.owner
        return principal.kind == target.by and name_key(principal.name) == name_key(target.owner)

    def _get(self, id_: int, version: int) -> Principal | None:
        found = self._known.get(id_)
        return None if found is None or found[0] != version else found[1]

    def add(self, row: Any) -> Principal:
        """Cache a principal from the columns of `PRINCIPALS`, and return it."""
        id_, version, uid, kind, name, display_name, addresses, roles, disabled, credential_version = row
        found = Principal(
            id_, uid, kind, name, display_name, tuple(addresses), frozenset(roles), disabled, credential_version
        )
        self._known[id_] = (version, found)
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return found


@cache
def statement(depth: int, *, by_uid: bool, text: bool, own: bool = False) -> str:
    """The statement for a target of 0 viewer, 1 principal, 2 home, 3 collection, 4 object.

    `own`: the target is the viewer's. Gives no row where it is not, and costs a fifth less.
    """
    columns = ["v.id, v.xmin, p.id, p.xmin" if depth else "v.id, v.xmin, null::bigint, null::xid"]
    joins = ["from (select) as one left join principal v on v.id = $1"]
    match = ("p.uid = $2" if by_uid else "p.name_key = $2 and p.kind = $3") + " and p.deleted_at is null"
    if own:
        columns, joins = ["p.id, p.xmin, p.id, p.xmin"], ["from principal p"]
    elif depth >= 1:
        joins.append(f"left join principal p on {match}")
    at = 3 if by_uid else 4
    if depth >= 2:
        columns.append(f"{HOME}, {'null' if own else grants.column(depth)}")
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
        columns.append(OBJECT + (", o.text" if text else ""))
        joins.append(
            "left join object o on o.home_id = c.home_id and o.collection_id = c.id "
            f"and o.name = ${at + 2} and o.deleted_revision is null"
        )
    if own:
        joins.append(f"where p.id = $1 and {match}")
    return f"select {', '.join(columns)} {' '.join(joins)}"


def query(viewer: int | None, target: Target | None, *, text: bool, own: bool = False) -> tuple[str, list[object]]:
    """The statement that resolves a target, and its arguments; `own` as in `statement`."""
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
    return statement(depth, by_uid=by_uid, text=text and depth == 4, own=own), arguments


def missing(row: Any, viewer: Principal | None, owner: Principal | None) -> list[int]:
    """The ids of principals in a row of the statement that the cache did not have."""
    found = [] if viewer is not None or row[0] is None else [row[0]]
    if owner is None and row[2] is not None:
        found.append(row[2])
    return found


def resolution(row: Any, target: Target | None, viewer: Principal | None, owner: Principal | None) -> Resolution:
    """The result of the statement, with its principals."""
    width = len(row)
    if target is None or target.home is None or owner is None or row[_HOME_AT] is None:
        return Resolution(viewer, owner)
    found_home = home(row[_HOME_AT:_COLLECTION_AT], target.home, owner.id)
    granted = grants.grants(row[_COLLECTION_AT - 1])
    if width == _COLLECTION_AT or row[_COLLECTION_AT] is None:
        return Resolution(viewer, owner, found_home, grants=granted)
    found = collection(row[_COLLECTION_AT:_OBJECT_AT], owner.id)
    if width == _OBJECT_AT or row[_OBJECT_AT] is None:
        return Resolution(viewer, owner, found_home, found, grants=granted)
    return Resolution(viewer, owner, found_home, found, member(row[_OBJECT_AT:]), granted)


def collection(row: Any, shown_to: int) -> Collection:
    """A collection from the columns of `COLLECTION`, in the home of the principal `shown_to`."""
    properties, own = row[18], row[19]
    if own:
        properties = {**properties, **own} if properties else own
    view = shown_to if row[4] != "owner" and row[3] == "calendar" else None
    values: list[Any] = [*row[:5], tuple(row[5]), *row[6:18], properties or {}, row[20], view]
    return Collection(*values)


def home(row: Any, kind: HomeKind, owner_id: int) -> Home:
    """A home from the columns of `HOME`."""
    values: list[Any] = [row[0], kind, owner_id, *row[1:10], row[10] or {}]
    return Home(*values)


VIEW_REVISION = (
    "select max(b.view_revision) from home h join binding b on b.home_id = h.id "
    "where h.principal_id = $3 and h.kind = 'calendar' and b.collection_home_id = $1 and b.collection_id = $2 "
    "and b.deleted_revision is null"
)
"""Arguments: home, collection, and who shows it in their home."""


@cache
def in_mode(mode: Mode, *, text: bool) -> str:
    """The statement that reads a member as others than its owner see it. Arguments: home, collection, name; in a view
    the viewer."""
    # A write is based on the revision of the object, and on that of the view.
    columns = ", ".join("o.revision" if name == "revision" else views.value(name, mode) for name in _MEMBER)
    view, join = ("coalesce(v.revision, 0)", views.joined("$4")) if mode == "view" else ("0::bigint", "")
    return (
        f"select {columns}, {view}, o.scheduling, {views.PRIVATE}"  # noqa: S608 - columns are a fixed list
        f"{', ' + views.value('text', mode) if text else ''} from object o{join} "
        "where o.home_id = $1 and o.collection_id = $2 and o.name = $3 and o.deleted_revision is null"
        f"{f' and {views.SHOWN}' if mode == 'part' else ''}"
    )


def member(row: Any) -> Object:
    """An object from the columns of `OBJECT` or `in_mode`, and the text if it follows."""
    text = row[15] if len(row) > 15 else None
    values: list[Any] = [*row[:11], row[11] or {}, row[12], text, SchedulingRole(row[13]), row[14]]
    return Object(*values)
