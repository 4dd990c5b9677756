"""The calendar user addresses of the owner of a home, including former ones, which earlier events contain."""

from __future__ import annotations

from typing import Any

from server.calendar.attendance import OF_ROOM, address_keys
from server.domain.objects import Target

COLUMNS = (
    "p.uid, p.name, "
    "array((select a.address from principal_address a where a.principal_id = p.id order by a.position) "
    "union all (select f.address from former_address f where f.principal_id = p.id order by f.address_key)) "
    "|| case when p.kind in ('room', 'resource') then array[''] else '{}' end "
    "as addresses"
)
"""Of the principal `p`, as `addresses` reads them: those of a room or equipment end with an empty one."""
OF_HOME = f"select {COLUMNS} from home h join principal p on p.id = h.principal_id where h.id = $1"  # noqa: S608
"""Arguments: a home."""
OWN_NAME = (
    "select p.uid, h.kind, b.name from home h join principal p on p.id = h.principal_id "
    "join binding b on b.home_id = h.id and b.collection_home_id = h.id and b.collection_id = $2 "
    "and b.deleted_revision is null where h.id = $1"
)
"""Arguments: home, collection."""


def target(row: Any) -> Target | None:
    """The collection in its owner's home, from the row of `OWN_NAME`, if there is one."""
    return None if row is None else Target(row[0], "uid", row[1], row[2])


def addresses(uid: str, name: str, emails: Any) -> frozenset[str]:
    """The addresses from `COLUMNS`, as they are compared."""
    if emails and not emails[-1]:
        return address_keys(uid, name, emails[:-1]) | {OF_ROOM}
    return address_keys(uid, name, emails)
