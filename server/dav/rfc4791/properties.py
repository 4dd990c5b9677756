"""The properties of RFC 4791: of calendars (§5.2), of principals (§6.2), and of collations (§7.5.1)."""

from __future__ import annotations

from datetime import datetime

from server.calendar.calendar_object import CALENDAR_COMPONENTS, read_timezone
from server.dav.core import names, xml
from server.dav.core.errors import Refused
from server.dav.core.names import caldav
from server.dav.core.registry import Property
from server.dav.core.request import Request
from server.dav.core.resource import (
    CALENDAR,
    PRINCIPAL,
    CollectionResource,
    HomeResource,
    Kind,
    Kinds,
    PrincipalResource,
    Resource,
    home_href,
)
from server.dav.core.xml import Element
from server.domain import collation
from server.domain.errors import InvalidData
from server.process.computing import computed

COMPONENTS = tuple(sorted(CALENDAR_COMPONENTS))
"""What a calendar may take."""


def _nothing(request: Request, resource: Resource) -> None:
    return None


def _read_text(request: Request, resource: Resource, element: Element) -> str:
    return xml.to_fragment(element)


def _timezone(request: Request, resource: CollectionResource) -> str | None:
    return names.escape(resource.collection.timezone) if resource.collection.timezone else None


async def _read_timezone(request: Request, resource: Resource, element: Element) -> str:
    text = element.text or ""
    try:
        await computed(read_timezone, text)
    except InvalidData as error:
        raise Refused(403, caldav("valid-calendar-data"), error.message, names.escape(error.message)) from None
    return text


def component_set(components: tuple[str, ...]) -> str:
    """`CALDAV:comp` elements."""
    return "".join(f'<C:comp name="{component}"/>' for component in components)


def _components(request: Request, resource: CollectionResource) -> str:
    return component_set(resource.collection.components or COMPONENTS)


def read_components(request: Request, resource: Resource, element: Element) -> str:
    """The components that a new calendar is to take, with spaces between them (§5.2.3)."""
    found = [str(item.get("name", "")).upper() for item in element.findall(caldav("comp"))]
    if not found or any(name not in COMPONENTS for name in found):
        raise Refused(403, caldav("supported-calendar-component"), f"Calendars take {', '.join(COMPONENTS)}.")
    return " ".join(name for name in COMPONENTS if name in found)


def _component_sets(request: Request, resource: Resource) -> str:
    start, end, _ = names.tags(caldav("supported-calendar-component-set"))
    return "".join(start + component_set((component,)) + end for component in COMPONENTS)


def _calendar_data(request: Request, resource: Resource) -> str:
    return '<C:calendar-data content-type="text/calendar" version="2.0"/>'


def _date_time(value: datetime) -> str:
    return (
        value.strftime("%Y%m%dT%H%M%SZ") if value.year >= 1000 else f"{value.year:04}" + value.strftime("%m%dT%H%M%SZ")
    )


def _min_date_time(request: Request, resource: Resource) -> str:
    return _date_time(request.site.limits.min_date_time)


def _max_date_time(request: Request, resource: Resource) -> str:
    return _date_time(request.site.limits.max_date_time)


def _max_resource_size(request: Request, resource: Resource) -> str:
    return str(request.site.limits.max_resource_size)


def _max_attendees(request: Request, resource: Resource) -> str:
    return str(request.site.limits.max_attendees)


def _collations(request: Request, resource: Resource) -> str:
    return "".join(
        names.element(caldav("supported-collation"), names.escape(name)) for name in sorted(collation.COLLATIONS)
    )


def _calendar_home_set(request: Request, resource: PrincipalResource) -> str | None:
    if resource.owner.kind in ("group", "directory"):
        return None
    return names.href(request.url(home_href(resource.owner, "calendar")))


TAKING = Kinds.of(CollectionResource, Kind.CALENDAR, Kind.INBOX, Kind.OUTBOX)

PROPERTIES = (
    Property(caldav("calendar-description"), CALENDAR, _nothing, read=_read_text, stored=True),
    Property(caldav("calendar-timezone"), CALENDAR, _timezone, read=_read_timezone),
    Property(caldav("supported-calendar-component-set"), TAKING, _components, read=read_components, creation_only=True),
    Property(caldav("supported-calendar-data"), TAKING, _calendar_data),
    Property(caldav("max-resource-size"), TAKING, _max_resource_size),
    Property(caldav("min-date-time"), TAKING, _min_date_time),
    Property(caldav("max-date-time"), TAKING, _max_date_time),
    Property(caldav("max-attendees-per-instance"), TAKING, _max_attendees),
    Property(caldav("supported-collation-set"), CALENDAR, _collations),
    Property(caldav("calendar-home-set"), PRINCIPAL, _calendar_home_set),
    Property(caldav("supported-calendar-component-sets"), Kinds.of(HomeResource, Kind.CALENDAR_HOME), _component_sets),
)
