"""What follows from a change of a calendar object by its owner (RFC 6638 §3.2): the one entry of the sender's side.

    plan_change(Change(old, new, owner, directory, now)) -> Plan

Neither is asked for objects that are no scheduling objects: the service asks where a component of the new text has an
ORGANIZER, or the stored object is a scheduling object.
"""

from __future__ import annotations

from dataclasses import replace

from server.domain.errors import AttendeeChangeRefused, DifferentOrganizers, OrganizerChangeRefused
from server.domain.scheduling import SCHEDULED, SchedulingRole
from server.itip.acting import with_sent_by
from server.itip.attendee import plan_attendee_change, plan_attendee_removal
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.change import Change
from server.itip.lines import Line
from server.itip.messages import Plan
from server.itip.organizer import plan_organizer_change, plan_organizer_removal
from server.itip.organizer_object import with_organizer
from server.itip.participants import SERVER, attendee_line, force_send, organizer, schedule_agent
from server.itip.scheduling_object import SchedulingObject

_FORMS_OF_OURS = ("urn:uuid:", "urn:x-uid:", "/principals/")


def plan_change(change: Change) -> Plan:
    """The plan of a change.

    :raises DifferentOrganizers: for components with different ORGANIZERs.
    :raises OrganizerChangeRefused: for what an organizer may not do, another ORGANIZER included.
    :raises AttendeeChangeRefused: for what an attendee may not do, another ORGANIZER included.
    :raises AttendeeCommentRefused: when an app writes an attendee's private comment.
    """
    plan = with_sent_by(_planned(change), change)
    if plan.role is SchedulingRole.NONE or plan.object is None or change.new is None:
        return plan
    return _without_force_send(plan, change)


def _planned(change: Change) -> Plan:
    old, new, directory = change.old, change.new, change.directory
    before = scheduling_role(old, change.owner, directory)
    after = scheduling_role(new, change.owner, directory)
    new_organizer = None if new is None else organizer(new, directory)
    if before is SchedulingRole.NONE and old is not None:
        change = replace(change, old=None)
    if before is SchedulingRole.ORGANIZER:
        if new_organizer is None:
            return _as_plain(plan_organizer_removal(change, change.owner), new)
        if after is not SchedulingRole.ORGANIZER:
            raise OrganizerChangeRefused("The organizer of a meeting stays the same.")
    elif before is SchedulingRole.ATTENDEE:
        assert old is not None
        if new_organizer is None:
            return _as_plain(plan_attendee_removal(change), new)
        if new_organizer != organizer(old, directory):
            raise AttendeeChangeRefused("The organizer of a meeting stays the same.")
        return plan_attendee_change(_organized(change))
    if after is SchedulingRole.ORGANIZER:
        return plan_organizer_change(change, change.owner)
    if after is SchedulingRole.ATTENDEE:
        return plan_attendee_change(_organized(change))
    if new_organizer is not None and is_unknown(new_organizer):
        raise OrganizerChangeRefused("The address of the organizer names nobody.")
    return Plan(SchedulingRole.NONE, new)


def scheduling_role(value: SchedulingObject | None, owner: CalendarUser, directory: Directory) -> SchedulingRole:
    """What an object is to the owner of its calendar (RFC 6638 §3.1); an ORGANIZER in one component counts for all.

    :raises DifferentOrganizers: for components with different ORGANIZERs.
    """
    if value is None or value.name not in SCHEDULED:
        return SchedulingRole.NONE
    keys = {directory.key(line.value) for each in value.components for line in each.all("ORGANIZER")}
    if len(keys) > 1:
        raise DifferentOrganizers
    if not keys:
        return SchedulingRole.NONE
    if owner.key in keys:
        return SchedulingRole.ORGANIZER
    if any(attendee_line(component, owner, directory) is not None for component in value.components):
        return SchedulingRole.ATTENDEE
    return SchedulingRole.NONE


def is_unknown(user: CalendarUser) -> bool:
    """Whether an address is of a form that this server gives out, but names nobody here."""
    return not user.is_here and user.key.startswith((*_FORMS_OF_OURS, "uid:", "name:"))


def _organized(change: Change) -> Change:
    """The change of objects that have one ORGANIZER in all components."""
    old, new = (None if value is None else with_organizer(value) for value in (change.old, change.new))
    return change if old is change.old and new is change.new else replace(change, old=old, new=new)


def _without_force_send(plan: Plan, change: Change) -> Plan:
    """The plan without SCHEDULE-FORCE-SEND in what is stored (RFC 6638 §7.2), and with those whose value means nothing.

    On an ATTENDEE of an organizer REQUEST means something, and REPLY on the ORGANIZER of an attendee.
    """
    assert plan.object is not None
    assert change.new is not None
    organizes = plan.role is SchedulingRole.ORGANIZER
    name, understood = ("ATTENDEE", "REQUEST") if organizes else ("ORGANIZER", "REPLY")
    forced = [line for component in change.new.components for line in component.lines if _has_force_send(line)]
    if not forced:
        return plan
    keys = {
        change.directory.key(line.value)
        for line in forced
        if line.name == name and force_send(line) != understood and schedule_agent(line) == SERVER
    }
    stored = plan.object.map_components(lambda component: component.map_lines(_unforced))
    return replace(plan, object=stored, not_forced=frozenset(keys) - {change.owner.key})


def _has_force_send(line: Line) -> bool:
    return line.name in ("ORGANIZER", "ATTENDEE") and "SCHEDULE-FORCE-SEND" in line.parameter_text.upper()


def _unforced(line: Line) -> Line:
    return line.without_parameters("SCHEDULE-FORCE-SEND") if _has_force_send(line) else line


def _as_plain(plan: Plan, new: SchedulingObject | None) -> Plan:
    """The plan of what is no scheduling object afterwards: it is stored as the app sent it."""
    return replace(plan, role=SchedulingRole.NONE if new is not None else plan.role, object=new)
