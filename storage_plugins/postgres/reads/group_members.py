"""The statement that finds the members of groups that are invited."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from server.storage.scheduling import AddressedPrincipal, GroupMember
from storage_plugins.postgres.reads.principal_rows import PRINCIPAL, PRINCIPAL_WIDTH, principal

GROUP_MEMBERS = f"""
    with recursive reached (id) as (
        select unnest($1::bigint[])
        union
        select m.member_id from reached r
        cross join lateral (select b.member_id from membership b where b.group_id = r.id offset 0) as m
    )
    select (select s.state from scheduling_memory s where s.home_id = $2 and s.uid = $3), g.expandable_by, g.*, m.*
    from reached r
    join lateral (select p.expandable_by, {PRINCIPAL} from principal p
                  where p.id = r.id and p.kind = 'group' and p.deleted_at is null offset 0) as g on true
    left join lateral (
        select array(select f.address from former_address f where f.principal_id = p.id order by f.address_key),
               p.name_key, {PRINCIPAL}
        from membership b join principal p on p.id = b.member_id and p.deleted_at is null
        where b.group_id = r.id
        offset 0
    ) as m on true
    order by r.id, m.name_key
"""  # noqa: S608
"""Arguments: the ids of groups, the organizer's home, the UID. A row for each member of each group. `offset 0` keeps
the planner from reading all memberships."""

_GROUP_AT = 3
_MEMBER_AT = _GROUP_AT + PRINCIPAL_WIDTH


def group_members(rows: Iterable[Any]) -> list[GroupMember]:
    """The members from the rows of `GROUP_MEMBERS`."""
    return [_member(row) for row in rows]


def _member(row: Any) -> GroupMember:
    former, _, *found = row[_MEMBER_AT:]
    member = None if found[0] is None else AddressedPrincipal(principal(found), tuple(former))
    return GroupMember(principal(row[_GROUP_AT:]), row[1], member)
