"""The default calendar for scheduled events (RFC 6638 §4.3, §9.2), and the one for assigned tasks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal
from urllib.parse import unquote

from server.domain.objects import Collection

DEFAULT_CALENDAR = "{urn:ietf:params:xml:ns:caldav}schedule-default-calendar-URL"
DEFAULT_TASKS = "{http://calendarserver.org/ns/}schedule-default-tasks-URL"
"""Apple's property for the default calendar of tasks."""

Scheduled = Literal["VEVENT", "VTODO"]
"""Components that are scheduled."""

PROPERTIES: dict[Scheduled, str] = {"VEVENT": DEFAULT_CALENDAR, "VTODO": DEFAULT_TASKS}
"""Properties of the inbox whose value holds the id of the chosen calendar."""
FIRST_NAMES: dict[Scheduled, str] = {"VEVENT": "calendar", "VTODO": "tasks"}
"""Names of the calendars that each home begins with."""

_ELEMENT_TEXT = re.compile(r">([^<>]*)</")


def default_calendar(
    inbox: Collection, shown: Sequence[Collection], component: Scheduled = "VEVENT"
) -> Collection | None:
    """The default calendar for a component, of those that the home of the inbox shows.

    It is the chosen one, if it still exists, whatever its name is now; otherwise the one that each home begins with,
    otherwise the oldest.
    """
    takes = [item for item in shown if is_eligible(item, component)]
    chosen, named = _chosen(inbox.properties.get(PROPERTIES[component], ""))
    first = FIRST_NAMES[component]
    return min(
        takes, key=lambda item: (item.id != chosen and item.name != named, item.name != first, item.id), default=None
    )


def is_eligible(collection: Collection, component: Scheduled) -> bool:
    """Whether a collection can be the default: a calendar of the home itself that takes the component, no
    subscription.
    """
    own = collection.kind == "calendar" and collection.rights == "owner" and collection.source is None
    return own and component in collection.components


def _chosen(stored: str) -> tuple[int | None, str | None]:
    """The id of the chosen calendar; for a value stored as an href, the name in the href."""
    found = _ELEMENT_TEXT.search(stored)
    text = "" if found is None else found[1].strip()
    if text.isdecimal():
        return int(text), None
    return None, unquote(text.rstrip("/").rpartition("/")[2]) or None
