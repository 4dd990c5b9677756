"""Groups as attendees (RFC 5545 §3.2.3, §3.2.11): the organizer's object names their members, each with MEMBER.

The line of the group stays. Its members follow as attendees of their own; MEMBER says through which groups. A line
without MEMBER is somebody invited by name, and stays as it is. Members whom the organizer removes stay removed: the
service keeps their keys in a row (`InvitedGroups.left_out`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from server.domain.errors import InvalidData, TooManyInstances
from server.domain.occurrences import LATEST
from server.domain.principals import ExpandableBy
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.change import InvitedGroups
from server.itip.instances import describing
from server.itip.lines import Line, made
from server.itip.organizer_object import described
from server.itip.participants import NEEDS_ACTION, SERVER, attendees, role, schedule_agent
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

FORWARDED = "2.7"
"""SCHEDULE-STATUS of a group: its members were invited (RFC 5546 §3.6.8)."""
NOT_ALLOWED = "3.8"
"""SCHEDULE-STATUS of a group that the organizer may not expand."""
TOO_MANY = "5.1"
"""SCHEDULE-STATUS of a group with more members than an event may have attendees."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group as the directory has it."""

    user: CalendarUser
    members: tuple[CalendarUser, ...] = ()
    """The direct members: people, rooms, other groups."""
    expandable_by: ExpandableBy = "everyone"


Groups = Mapping[str, Group]
"""The groups that are invited, and those that are members of them, by the key of the calendar user."""


def invited_groups(directory: Directory, *objects: SchedulingObject | None) -> dict[str, CalendarUser]:
    """The groups here that objects invite, by their key."""
    if not directory.has_groups:
        return {}
    users = (
        directory.user(line.value)
        for value in objects
        if value is not None
        for component in value.components
        for line in component.all("ATTENDEE")
    )
    return {user.key: user for user in users if user.is_group}


def people_of(group: str, groups: Groups, organizer: CalendarUser) -> list[CalendarUser] | None:
    """The members of a group, through other groups, too, each once; None if the organizer may not expand it.

    A group within it that the organizer may not expand is left out. Loops end.

    :param group: its key.
    """
    if not _may_expand(group, groups, organizer):
        return None
    found: dict[str, CalendarUser] = {}
    seen = {group}
    waiting = [group]
    while waiting:
        for member in groups[waiting.pop(0)].members:
            if not member.is_group:
                found.setdefault(member.key, member)
            elif member.key not in seen and member.key in groups and _may_expand(member.key, groups, organizer):
                seen.add(member.key)
                waiting.append(member.key)
    return list(found.values())


def _may_expand(group: str, groups: Groups, organizer: CalendarUser) -> bool:
    match groups[group].expandable_by:
        case "everyone":
            return True
        case "nobody":
            return False
    seen = {group}
    waiting = [group]
    while waiting:
        for member in groups[waiting.pop()].members:
            if member.key == organizer.key:
                return True
            if member.is_group and member.key not in seen and member.key in groups:
                seen.add(member.key)
                waiting.append(member.key)
    return False


def with_members(
    old: SchedulingObject | None,
    new: SchedulingObject,
    organizer: CalendarUser,
    directory: Directory,
    groups: Groups,
    left_out: Iterable[tuple[str, str]],
    now: datetime,
    limit: int,
    *,
    has_seen: bool,
) -> tuple[SchedulingObject, InvitedGroups]:
    """An organizer's object with the members of its groups, and what is to be remembered of them.

    In components that are over, groups that were invited before keep the members that they have there.

    :param old: what is stored; None where the object is new.
    :param directory: with the members of the groups.
    :param left_out: the members whom the organizer removed before (`InvitedGroups.left_out`).
    :param limit: the most attendees of a component.
    :param has_seen: the app has certainly read the members. Otherwise a group of which it names no member was expanded
        after the app had read the object.
    """
    expansion = _Expansion(old, new, organizer, directory, groups, set(left_out), now, limit, has_seen)
    expanded = new.map_components(expansion.component)
    return expanded, expansion.result()


def stored_groups(
    value: SchedulingObject, organizer: CalendarUser, directory: Directory, groups: Groups
) -> InvitedGroups:
    """What is to be remembered of the groups of an organizer's object that is stored as it is, as by an import.

    Where a component names some members of a group, the others are taken for removed by the organizer.
    """
    ids: set[int] = set()
    left_out: set[tuple[str, str]] = set()
    for component in value.components:
        if component.token("STATUS") == "CANCELLED":
            continue
        named = attendees(component, directory)
        through = {group for line in named.values() for group in _through(line, directory)}
        for key, line in named.items():
            if key not in groups or schedule_agent(line) != SERVER:
                continue
            ids.add(groups[key].user.principal_id or 0)
            if key in through:
                people = people_of(key, groups, organizer) or ()
                left_out |= {(component.instance, each.key) for each in people if each.key not in named}
    return InvitedGroups(tuple(sorted(ids)), frozenset(left_out) if ids else frozenset())


def _through(line: Line, directory: Directory) -> list[str]:
    """The keys of the groups that the MEMBER of a line names."""
    if "MEMBER" not in line.parameter_text.upper():
        return []
    return [directory.key(each) for each in line.params.get("MEMBER", ())]


class _Expansion:
    def __init__(
        self,
        old: SchedulingObject | None,
        new: SchedulingObject,
        organizer: CalendarUser,
        directory: Directory,
        groups: Groups,
        left_out: set[tuple[str, str]],
        now: datetime,
        limit: int,
        has_seen: bool,
    ) -> None:
        self._old, self._new = old, new
        self._organizer = organizer
        self._directory = directory
        self._groups = groups
        self._left_out = left_out
        self._now = now
        self._limit = limit
        self._has_seen = has_seen
        self._people: dict[str, list[CalendarUser] | None] = {}
        self._users: dict[str, CalendarUser] = {}
        self._statuses: dict[str, str] = {}
        self._ids: set[int] = set()

    def result(self) -> InvitedGroups:
        """What is remembered of all components."""
        left_out = frozenset(self._left_out) if self._ids else frozenset[tuple[str, str]]()
        return InvitedGroups(tuple(sorted(self._ids)), left_out, tuple(self._statuses.items()))

    def component(self, component: SchedulingComponent) -> SchedulingComponent:
        """A component with the members of its groups."""
        if component.token("STATUS") == "CANCELLED":
            return component
        before = None if self._old is None else describing(self._old, component.instance)
        then = {} if before is None else attendees(before, self._directory)
        sent = attendees(component, self._directory)
        invited = {key: line for key, line in sent.items() if self._is_expanded(line)}
        if not invited and not any(self._is_expanded(line) for line in then.values()):
            return component
        self._ids |= {self._groups[key].user.principal_id or 0 for key in invited}
        is_over = self._is_over(component)
        kept = {key for key in invited if is_over and key in then}
        self._note_removed(component.instance, then, sent, invited)
        leading = self._leading(invited, kept, sent)
        lines: list[Line] = []
        for line in component.all("ATTENDEE"):
            key = self._directory.key(line.value)
            if key in self._groups or key == self._organizer.key:
                lines.append(line)
                continue
            own = self._as_member(line, then.get(key), leading.get(key, ()), kept, invited)
            if own is not None:
                lines.append(own)
        for key, through in leading.items():
            if key not in sent and key != self._organizer.key and not self._is_left_out(component.instance, key):
                lines.append(self._new_line(key, [invited[group] for group in through]))
        return component.with_lines("ATTENDEE", lines)

    # -- who is invited through groups --------------------------------------------------------------------------------

    def _is_expanded(self, line: Line) -> bool:
        """Whether an ATTENDEE is a group that the server invites."""
        return self._directory.key(line.value) in self._groups and schedule_agent(line) == SERVER

    def _leading(self, invited: Mapping[str, Line], kept: set[str], sent: Mapping[str, Line]) -> dict[str, list[str]]:
        """The keys of the members of groups, each with the groups that lead to them.

        `kept` gets the groups whose members stay as they are, since they cannot be expanded.
        """
        leading: dict[str, list[str]] = {}
        for group in invited:
            if group not in self._people:
                self._people[group] = people_of(group, self._groups, self._organizer)
                self._users |= {user.key: user for user in self._people[group] or ()}
            people = self._people[group]
            if people is None or len(sent.keys() | leading.keys() | {each.key for each in people}) > self._limit:
                self._statuses[group] = NOT_ALLOWED if people is None else TOO_MANY
                kept.add(group)
                continue
            self._statuses.setdefault(group, FORWARDED)
            if group not in kept:
                for each in people:
                    leading.setdefault(each.key, []).append(group)
        return leading

    def _note_removed(
        self, instance: str, then: Mapping[str, Line], sent: Mapping[str, Line], invited: Mapping[str, Line]
    ) -> None:
        """Remember whom the organizer has removed, and forget whom they invite again."""
        self._left_out -= {(each, key) for each, key in self._left_out if key in sent and each in (instance, MASTER)}
        for group in invited:
            known = [key for key, line in then.items() if group in _through(line, self._directory)]
            if self._has_seen or any(key in sent for key in known):
                self._left_out |= {(instance, key) for key in known if key not in sent}

    def _is_left_out(self, instance: str, key: str) -> bool:
        return (instance, key) in self._left_out or (MASTER, key) in self._left_out

    def _is_over(self, component: SchedulingComponent) -> bool:
        """Whether no instance of a component ends after now; of an override, whether it starts before now."""
        if component.instance != MASTER:
            start = self._new.moment(component, "DTSTART")
            return start is not None and start.utc < self._now
        try:
            series = self._new.series
            if series is None:
                return False
            if not series.recurs:
                single = series.single()
                return single is not None and single.end_utc <= self._now
            return next(iter(series.instances(self._now, LATEST)), None) is None
        except (InvalidData, TooManyInstances):
            return False

    # -- lines --------------------------------------------------------------------------------------------------------

    def _as_member(
        self,
        line: Line,
        before: Line | None,
        through: Sequence[str],
        kept: set[str],
        invited: Mapping[str, Line],
    ) -> Line | None:
        """The line of an attendee with MEMBER as it is now; None where no group leads to them any more."""
        addresses = list(line.params.get("MEMBER", ()))
        if (
            not addresses
            and before is not None
            and any(group in invited for group in _through(before, self._directory))
        ):
            addresses = list(before.params["MEMBER"])  # the app has dropped it
        if not addresses:
            return line
        keys = {address: self._directory.key(address) for address in addresses}
        stay = [each for each in addresses if keys[each] not in self._groups or keys[each] in kept]
        wanted = [*(self._address(invited[group]) for group in through), *stay]
        if not wanted:
            return None
        if {self._directory.key(each) for each in wanted} == set(keys.values()):
            wanted = addresses
        return line.with_parameter("MEMBER", wanted)

    def _new_line(self, key: str, through: Sequence[Line]) -> Line:
        user = self._users[key]
        params: dict[str, list[str]] = {"PARTSTAT": [NEEDS_ACTION]}
        if role(through[0]) != "REQ-PARTICIPANT":
            params["ROLE"] = [role(through[0])]
        params["MEMBER"] = [self._address(line) for line in through]
        return described(made("ATTENDEE", user.address, params), user)

    def _address(self, line: Line) -> str:
        """The address of a group as it is stored."""
        return described(line, self._directory.user(line.value)).value
