"""The default calendar for scheduled events (RFC 6638 §4.3, §9.2), and the one for assigned tasks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from secrets import token_hex
from typing import Literal
from urllib.parse import unquote

from server.domain.changes import Cause, WriteLimits
from server.domain.errors import AlreadyExists, QuotaExceeded, TooManyCollections
from server.domain.objects import Collection, Home, NewCollection
from server.storage import Storage

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


async def make_default_calendar(
    storage: Storage, home: Home, inbox: Collection, component: Scheduled, limits: WriteLimits
) -> Collection | None:
    """Make a calendar for a component in a home that has none: whoever is invited has one (RFC 6638 §4.3).

    None where the home takes no further collection.
    """
    name = FIRST_NAMES[component]
    for each in (name, f"{name}-{token_hex(4)}"):
        new = NewCollection(each, "calendar", (component,))
        try:
            return await storage.create_collection(home, new, limits, Cause(None, "scheduling"))
        except AlreadyExists:
            # Another delivery has made it, or something else has the name.
            shown = await storage.collections(home, home.principal_id)
            found = default_calendar(inbox, shown, component)
            if found is not None:
                return found
        except (QuotaExceeded, TooManyCollections):
            return None
    return None


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
