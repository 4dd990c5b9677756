"""The organizer and attendee that a message by mail is about."""

from __future__ import annotations

from server.imip.tags import ReplyTag, Tags
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.lines import Line
from server.itip.participants import DELEGATED, all_attendees, partstat
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject


def lines_of(found: SchedulingObject, name: str) -> list[Line]:
    """The lines with an upper-case name of all components."""
    return [line for each in found.components for line in each.all(name)]


def attendee_of(answer: SchedulingObject, sender: str, directory: Directory) -> CalendarUser | None:
    """Whom an answer without a tag is from: the sender if it names them, else the one attendee whom it names.

    :param sender: a calendar user address.
    """
    named = all_attendees(answer, directory)
    user = directory.user(sender)
    if user.key in named:
        return user
    return next(iter(named.values())) if len(named) == 1 else None


def tagged_attendee(
    tags: Tags, tag: ReplyTag, answer: SchedulingObject, meeting: SchedulingObject, directory: Directory
) -> CalendarUser | None:
    """The attendee of a tag; None where neither the meeting nor the answer names them."""
    for line in (*lines_of(meeting, "ATTENDEE"), *lines_of(answer, "ATTENDEE")):
        if tags.is_of(tag, line.value):
            return directory.user(line.value)
    return None


def is_delegate(meeting: SchedulingObject, user: CalendarUser, directory: Directory) -> bool:
    """Whether an attendee has said that somebody attends in their place."""
    return any(
        partstat(line) == DELEGATED and user.key in map(directory.key, line.params.get("DELEGATED-TO", []))
        for line in lines_of(meeting, "ATTENDEE")
    )


def with_parties(
    answer: SchedulingObject, attendee: CalendarUser, organizer: CalendarUser, directory: Directory
) -> SchedulingObject:
    """An answer with the attendee and organizer of its tag, where it has one attendee of another address."""

    def rewritten(component: SchedulingComponent) -> SchedulingComponent:
        lines = component.all("ATTENDEE")
        if len(lines) == 1 and directory.key(lines[0].value) != attendee.key:
            component = component.with_lines("ATTENDEE", [lines[0].with_value(attendee.address)])
        return component

    return to_organizer(answer.map_components(rewritten), organizer)


def to_organizer(answer: SchedulingObject, organizer: CalendarUser) -> SchedulingObject:
    """The answer with this organizer in place of the one that it names."""
    return answer.map_components(
        lambda each: each.with_lines(
            "ORGANIZER", [line.with_value(organizer.address) for line in each.all("ORGANIZER")]
        )
    )
