"""Messages of organizers elsewhere that invite a group here, as its members get them (RFC 5545 §3.2.11)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from server.itip.audience import message_object, told
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.groups import Groups, people_of
from server.itip.instances import describing
from server.itip.lines import Line, made
from server.itip.messages import Method
from server.itip.organizer_object import described
from server.itip.participants import (
    ACCEPTED,
    NEEDS_ACTION,
    TENTATIVE,
    attendee_line,
    map_attendees,
    partstat,
    role,
    token,
)
from server.itip.reception import version_of
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

Through = Mapping[str, tuple[CalendarUser, Collection[str]]]
"""Those whom groups lead to, by their key, each with the keys of these groups."""


def members_of(invited: Collection[str], groups: Groups, organizer: CalendarUser, limit: int) -> Through | None:
    """The people here who are members of groups, through other groups, too.

    :param invited: the keys of the groups.
    :param limit: the most attendees of a component.
    :returns: None if the organizer may expand none of the groups, or all have more members than that.
    """
    found: dict[str, tuple[CalendarUser, list[str]]] = {}
    expanded = False
    for group in invited:
        people = people_of(group, groups, organizer) if group in groups else None
        if people is None or len(people) > limit:
            continue
        expanded = True
        for each in people:
            if each.is_here:
                found.setdefault(each.key, (each, []))[1].append(group)
    return found if expanded else None


def with_member(
    found: SchedulingObject,
    member: CalendarUser,
    groups: Collection[str],
    copy: SchedulingObject | None,
    directory: Directory,
) -> SchedulingObject:
    """A message in which a member of groups has an ATTENDEE of their own wherever one of the groups has one.

    Whom the message names stays as named. The organizer may not know of the member's answer: it stays as it is in the
    copy until the meeting gets a new SEQUENCE.

    :param groups: their keys.
    :param copy: the member's, before the message.
    """

    def component(each: SchedulingComponent) -> SchedulingComponent:
        lines = each.all("ATTENDEE")
        through = [line for line in lines if directory.key(line.value) in groups]
        if not through or attendee_line(each, member, directory) is not None:
            return each
        return each.with_lines("ATTENDEE", [*lines, _line(member, through, _answer(each, member, copy, directory))])

    return found.map_components(component)


def attends_as_member(copy: SchedulingObject, member: CalendarUser, directory: Directory) -> bool:
    """Whether somebody is invited to all of what takes place of a copy as a member of groups, and not by name."""
    held = [each for each in copy.components if each.token("STATUS") != "CANCELLED"]
    lines = [attendee_line(each, member, directory) for each in held]
    return bool(held) and all(line is not None and "MEMBER" in line.params for line in lines)


def has_promised(copy: SchedulingObject, member: CalendarUser, directory: Directory) -> bool:
    """Whether the organizer of a copy has an answer by which somebody may attend."""
    lines = (attendee_line(each, member, directory) for each in copy.components)
    return any(line is not None and partstat(line) in (ACCEPTED, TENTATIVE) for line in lines)


def cancelled_for_member(
    copy: SchedulingObject, member: CalendarUser, directory: Directory, dtstamp: str
) -> SchedulingObject:
    """A CANCEL of all of a copy, for somebody who is no longer invited to it. It has no STATUS, since the meeting takes
    place (RFC 5546 §3.2.5).

    :param dtstamp: that of the CANCEL, unless the copy has a later one.
    """
    sources = [each for each in copy.components if each.token("STATUS") != "CANCELLED"]
    stamp = max(dtstamp, *(version_of(each).dtstamp for each in copy.components))
    sequence = str(max(each.sequence for each in copy.components))

    def cancelled(each: SchedulingComponent) -> SchedulingComponent:
        alone = map_attendees(each, lambda line: line if directory.key(line.value) == member.key else None)
        return told(alone.without("STATUS").with_value("SEQUENCE", sequence), stamp)

    return message_object(copy, map(cancelled, sources), Method.CANCEL)


def _answer(
    component: SchedulingComponent, member: CalendarUser, copy: SchedulingObject | None, directory: Directory
) -> str:
    before = None if copy is None else describing(copy, component.instance)
    line = None if before is None else attendee_line(before, member, directory)
    if before is None or line is None or before.sequence < component.sequence:
        return NEEDS_ACTION
    return partstat(line)


def _line(member: CalendarUser, through: list[Line], answer: str) -> Line:
    params = {"PARTSTAT": [answer]}
    if role(through[0]) != "REQ-PARTICIPANT":
        params["ROLE"] = [role(through[0])]
    if answer == NEEDS_ACTION and token(through[0], "RSVP") != "FALSE":
        params["RSVP"] = ["TRUE"]
    params["MEMBER"] = [line.value for line in through]
    return described(made("ATTENDEE", member.address, params), member)
