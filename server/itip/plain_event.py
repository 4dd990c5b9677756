"""A meeting as an event of one person, without scheduling."""

from __future__ import annotations

from server.itip.participants import ATTENDEE_COMMENT
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

_OF_SCHEDULING = ("ORGANIZER", "ATTENDEE", "REQUEST-STATUS", ATTENDEE_COMMENT)


def plain_event(value: SchedulingObject, uid: str) -> SchedulingObject:
    """An object with another UID and without organizer and attendees. Alarms, also those by mail, stay as they are."""

    def plain(component: SchedulingComponent) -> SchedulingComponent:
        return component.without(*_OF_SCHEDULING).with_value("UID", uid)

    return value.map_components(plain)
