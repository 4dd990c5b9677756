"""Groups that an organizer invites: the service reads their members, the pure core names them in the object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from server.domain.changes import Remember
from server.domain.contents import ObjectContent
from server.domain.principals import Principal
from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import CalendarUser, Directory, addresses
from server.itip.change import Change
from server.itip.groups import Group, Groups, invited_groups, stored_groups, with_members
from server.itip.planning import scheduling_role
from server.itip.scheduling_object import read_object
from server.process.computing import computed
from server.services.scheduling import memory
from server.services.scheduling.calendar_users import address_of, calendar_user, directory_of
from server.storage.scheduling import AddressedPrincipal, GroupMember, Scheduling


async def with_groups(storage: Scheduling, change: Change, home_id: int, limit: int, *, large: bool) -> Change:
    """A change in which the organizer's object names the members of the groups that it invites.

    Only a change of an object that invites groups, or did so, costs a statement.

    :param home_id: the organizer's calendar home.
    :param limit: the most attendees of a component.
    :param large: whether the object is computed in a thread.
    """
    new, directory = change.new, change.directory
    invited = invited_groups(directory, change.old, new)
    if new is None or not invited:
        return change
    if scheduling_role(new, change.owner, directory) is not SchedulingRole.ORGANIZER:
        return change
    ids = sorted(user.principal_id for user in invited.values() if user.principal_id is not None)
    found, state = await storage.group_members(ids, home_id, new.uid)
    groups = groups_of(found)
    directory = Directory([*directory.users, *people_in(groups)])
    arguments = change.old, new, change.owner, directory, groups, memory.read(state).groups.left_out, change.now, limit
    if large:
        expanded, known = await computed(lambda: with_members(*arguments, has_seen=change.etag_matches))
    else:
        expanded, known = with_members(*arguments, has_seen=change.etag_matches)
    return replace(change, new=expanded, directory=directory, groups=known)


async def remembered_groups(
    storage: Scheduling, owner: Principal, home_id: int, content: ObjectContent
) -> tuple[Remember, ...]:
    """What an organizer's home remembers of the groups of a meeting that is stored without being sent: it follows the
    members of these groups from now on."""
    if content.scheduling.role is not SchedulingRole.ORGANIZER or "ATTENDEE" not in content.text.upper():
        return ()
    value = read_object(content.text)
    directory = await directory_of(storage, addresses(value) | {address_of(owner)})
    ids = sorted(
        each.principal_id for each in invited_groups(directory, value).values() if each.principal_id is not None
    )
    if not ids:
        return ()
    (mailbox,) = await storage.mailboxes(owner.id, [owner.id], value.uid)
    found, _ = await storage.group_members(ids, home_id, value.uid)
    groups = groups_of(found)
    directory = Directory([*directory.users, *people_in(groups)])
    invited = stored_groups(value, directory.user(address_of(owner)), directory, groups)
    known = replace(memory.read(mailbox.state), groups=invited)
    state = memory.write(known, value)
    return () if state == mailbox.state else (Remember(home_id, value.uid, state, mailbox.version),)


def groups_of(found: Iterable[GroupMember]) -> Groups:
    """The groups from what the storage says of their members."""
    members: dict[str, list[CalendarUser]] = {}
    groups: dict[str, Group] = {}
    for each in found:
        user = calendar_user(AddressedPrincipal(each.group, ()))
        own = members.setdefault(user.key, [])
        if each.member is not None:
            own.append(calendar_user(each.member))
        groups[user.key] = Group(user, (), each.expandable_by)
    return {key: replace(group, members=tuple(members[key])) for key, group in groups.items()}


def people_in(groups: Groups) -> Sequence[CalendarUser]:
    """All members of groups, each once."""
    found = {member.key: member for group in groups.values() for member in group.members}
    return list(found.values())
