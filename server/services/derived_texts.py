"""What is derived from texts while one change set is made: most recipients of a message get equal texts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from server.calendar import roles
from server.calendar.calendar_object import CalendarObject
from server.domain.contents import ObjectContent
from server.domain.scheduling import NO_SCHEDULING, Scheduling
from server.itip.scheduling_object import SchedulingObject, read_object


class DerivedTexts:
    """Keeps what was derived from each text. All of it depends on the text and the keys alone."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        """The time at which occurrences and alarms are computed, for all members."""
        self.read: dict[tuple[bool, bytes], CalendarObject] = {}
        """By whether the text is a message, and the text."""
        self._contents: dict[tuple[Any, ...], ObjectContent] = {}
        self._attendees: dict[str, frozenset[str]] = {}
        self._objects: dict[str, SchedulingObject] = {}

    def content(self, found: CalendarObject, key: str, *, stays: bool, is_message: bool) -> ObjectContent | None:
        """The content that was kept for a text; None without one.

        It is the same for all owners who declined the same components (`key`), except for its role in scheduling.
        """
        return self._contents.get((is_message, stays, key, found.text))

    def keep(self, found: CalendarObject, content: ObjectContent, *, stays: bool, is_message: bool) -> None:
        """Keep a content for other members."""
        self._contents[is_message, stays, content.time_key, found.text] = content

    def scheduling(self, found: CalendarObject, owner: frozenset[str]) -> Scheduling:
        """What the object is in the calendar of an owner with these addresses."""
        if not found.scheduled:
            return NO_SCHEDULING
        attendees = self._attendees.get(found.text)
        if attendees is None:
            attendees = self._attendees[found.text] = roles.attendee_keys(found.tree)
        return roles.scheduling(found.tree, owner, attendees)

    def scheduling_object(self, text: str) -> SchedulingObject:
        """The editable form of a text."""
        found = self._objects.get(text)
        if found is None:
            found = self._objects[text] = read_object(text)
        return found
