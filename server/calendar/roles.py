"""Whether a calendar object is a scheduling object, and whose (RFC 6638 §3.1)."""

from __future__ import annotations

from server.calendar.attendance import address_key
from server.calendar.component import Component
from server.domain.scheduling import NO_SCHEDULING, SCHEDULED, Scheduling, SchedulingRole

_MAX_SEQUENCE = 2**31 - 1
"""Greatest value of an INTEGER (RFC 5545 §3.3.8)."""


def scheduling(calendar: Component, owner: frozenset[str], attendees: frozenset[str] | None = None) -> Scheduling:
    """What an object is to the owner of its calendar.

    It is an organizer's where the ORGANIZER of every component is the owner, and an attendee's where every component
    has one ORGANIZER, who is somebody else, and the owner is an ATTENDEE of at least one component. The sequence is the
    greatest SEQUENCE of the components; one that is no number counts as 0.

    :param owner: the owner's addresses, by `server.calendar.attendance.address_keys`.
    :param attendees: what `attendee_keys` gives, where it is known.
    """
    components = [each for each in calendar.components if each.name in SCHEDULED]
    organizers = {_organizer(each) for each in components}
    shown = next((key for each in components if (key := _organizer(each)) is not None), None)
    if shown is None:
        return NO_SCHEDULING
    role = SchedulingRole.NONE
    if organizers <= owner:
        role = SchedulingRole.ORGANIZER
    elif len(organizers) == 1:
        attends = any(_attends(each, owner) for each in components) if attendees is None else attendees & owner
        role = SchedulingRole.ATTENDEE if attends else SchedulingRole.NONE
    return Scheduling(role, shown, max(map(_sequence, components)), len(organizers) == 1)


def attendee_keys(calendar: Component) -> frozenset[str]:
    """The addresses of all attendees of events and tasks, by `server.calendar.attendance.address_key`."""
    return frozenset(
        address_key(prop.value)
        for each in calendar.components
        if each.name in SCHEDULED
        for prop in each.all("ATTENDEE")
    )


def message(calendar: Component) -> Scheduling:
    """What a scheduling message is in an inbox (RFC 6638 §2.2), with its organizer and greatest SEQUENCE."""
    found = scheduling(calendar, frozenset())
    return Scheduling(SchedulingRole.INBOX, found.organizer, found.sequence, found.one_organizer)


def _organizer(component: Component) -> str | None:
    organizer = component.first("ORGANIZER")
    return None if organizer is None else address_key(organizer.value)


def _attends(component: Component, owner: frozenset[str]) -> bool:
    return any(prop.name == "ATTENDEE" and address_key(prop.value) in owner for prop in component.properties)


def _sequence(component: Component) -> int:
    prop = component.first("SEQUENCE")
    digits = "" if prop is None else prop.value.strip()
    if not digits.isascii() or not digits.isdecimal():
        return 0
    # Leading zeros may be many, and Python reads no number of more than 4,300 digits.
    digits = digits.lstrip("0")
    return min(int(digits or "0"), _MAX_SEQUENCE) if len(digits) <= 10 else _MAX_SEQUENCE
