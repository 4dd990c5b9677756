"""calendarserver schedule-changes: what a message in an inbox changed (caldav-schedulingchanges)."""

from __future__ import annotations

from collections.abc import Mapping

from server.dav.core.registry import MemberValue, Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import Kind, Kinds, MemberResource
from server.services.scheduling.schedule_changes import SCHEDULE_CHANGES


def _inner(properties: Mapping[str, str] | None) -> str | None:
    """Markup inside the element, which is stored whole; None of what is no message."""
    stored = (properties or {}).get(SCHEDULE_CHANGES)
    return None if stored is None else stored[stored.index(">") + 1 : stored.rindex("</")]


def _schedule_changes(request: Request, resource: MemberResource) -> str | None:
    return _inner(resource.object.properties)


STANDARD = Standard(
    "calendarserver schedule-changes",
    properties=(
        Property(
            SCHEDULE_CHANGES,
            Kinds.of(MemberResource, Kind.CALENDAR_OBJECT),
            _schedule_changes,
            MemberValue(("properties",), _inner),
        ),
    ),
)
