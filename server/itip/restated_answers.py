"""Answers that an attendee gives again with a COMMENT: they change nothing, and tell the organizer something."""

from __future__ import annotations

from collections.abc import Mapping

from server.calendar.contentline import escape_text
from server.itip.attendee import reply_object
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.instances import derived
from server.itip.merging import is_followed
from server.itip.messages import Message, Method
from server.itip.participants import DECLINED, NEEDS_ACTION, attendee_line, organizer, partstat
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject


def restated(
    copy: SchedulingObject, comments: Mapping[str, str], user: CalendarUser, directory: Directory, dtstamp: str
) -> Message | None:
    """The REPLY that gives an attendee's answers about some instances again.

    None where there is no organizer whom the server tells, and where nothing was accepted or is tentative.

    :param comments: by instance.
    :param dtstamp: the time now, as a UTC value.
    """
    to = organizer(copy, directory)
    if to is None or to.key == user.key or not is_followed(copy, user, directory):
        return None
    components = []
    for instance, comment in comments.items():
        component = derived(copy, instance)
        if component is not None and _is_booked(component, user, directory):
            components.append(component.without("COMMENT").with_value("COMMENT", escape_text(comment)))
    if not components:
        return None
    return Message(Method.REPLY, user, to, reply_object(copy, components, user, to, directory, dtstamp))


def _is_booked(component: SchedulingComponent, user: CalendarUser, directory: Directory) -> bool:
    line = attendee_line(component, user, directory)
    cancelled = component.token("STATUS") == "CANCELLED"
    return not cancelled and line is not None and partstat(line) not in (NEEDS_ACTION, DECLINED)
