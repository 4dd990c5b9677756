"""The statements that find the members of groups that are invited, and the meetings that invite a group."""

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
               p.name_key, p.calendar = 'elsewhere', {PRINCIPAL}
        from membership b join principal p on p.id = b.member_id and p.deleted_at is null
        where b.group_id = r.id
        offset 0
    ) as m on true
    order by r.id, m.name_key
"""  # noqa: S608
"""Arguments: the ids of groups, the organizer's home, the UID. A row for each member of each group. `offset 0` keeps
the planner from reading all memberships."""

MEETINGS_OF_GROUP = """
    select distinct m.home_id, o.id
    from unnest(koyomi_groups_of_1($1) || $1) as g (id)
    cross join lateral (
        select s.home_id, s.uid from scheduling_memory s
        where s.state ? 'groups' and s.state -> 'groups' @> to_jsonb(g.id) offset 0
    ) as m
    cross join lateral (
        select o.id from object o
        where o.home_id = m.home_id and o.uid = m.uid and o.deleted_revision is null and o.scheduling in (1, 2)
        offset 0
    ) as o
    where (m.home_id, o.id) > ($2, $3)
    order by 1, 2 limit $4
"""
"""Arguments: the id of a group, home and object after which the page starts, at most how many."""

_GROUP_AT = 3
_MEMBER_AT = _GROUP_AT + PRINCIPAL_WIDTH


def group_members(rows: Iterable[Any]) -> list[GroupMember]:
    """The members from the rows of `GROUP_MEMBERS`."""
    return [_member(row) for row in rows]


def _member(row: Any) -> GroupMember:
    former, _, elsewhere, *found = row[_MEMBER_AT:]
    member = None if found[0] is None else AddressedPrincipal(principal(found), tuple(former), elsewhere)
    return GroupMember(principal(row[_GROUP_AT:]), row[1], member)
