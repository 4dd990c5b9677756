"""The live properties of RFC 4918 §15."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime

from server.dav.core import names, xml
from server.dav.core.names import dav
from server.dav.core.registry import MemberValue, Property
from server.dav.core.request import Request
from server.dav.core.resource import (
    CONTAINERS,
    EVERY,
    HOMES,
    HOMES_AND_COLLECTIONS,
    OBJECTS,
    OWNED,
    CollectionResource,
    HomeResource,
    Kind,
    Kinds,
    MemberResource,
    PrincipalResource,
    Resource,
)
from server.dav.core.xml import Element
from server.dav.rfc4918.conditions import entity_tag, last_modified, stored_in
from server.dav.rfc4918.listing import fixed_listing, home_listing, principal_listing

_TYPES = {
    Kind.ROOT: "<D:collection/>",
    Kind.PRINCIPALS: "<D:collection/>",
    Kind.PRINCIPAL: "<D:collection/><D:principal/>",
    Kind.READ_DELEGATES: "<D:collection/><D:principal/><S:calendar-proxy-read/>",
    Kind.WRITE_DELEGATES: "<D:collection/><D:principal/><S:calendar-proxy-write/>",
    Kind.HOMES: "<D:collection/>",
    Kind.CALENDAR_HOME: "<D:collection/>",
    Kind.ADDRESSBOOK_HOME: "<D:collection/>",
    Kind.CALENDAR: "<D:collection/><C:calendar/>",
    Kind.ADDRESSBOOK: "<D:collection/><A:addressbook/>",
    Kind.INBOX: "<D:collection/><C:schedule-inbox/>",
    Kind.OUTBOX: "<D:collection/><C:schedule-outbox/>",
    Kind.NOTIFICATIONS: "<D:collection/><S:notification/>",
}

_TITLES = {Kind.ROOT: "Koyomi", Kind.PRINCIPALS: "principals", Kind.HOMES: "homes"}
_HOME_TITLES = {Kind.CALENDAR_HOME: "Calendars", Kind.ADDRESSBOOK_HOME: "Address books"}

CALENDAR_TYPE = "text/calendar; charset=utf-8"
CARD_TYPE = "text/vcard; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"


def http_date(value: datetime) -> str:
    """A date as HTTP headers and DAV:getlastmodified have it."""
    return format_datetime(value.astimezone(UTC), usegmt=True)


def content_type(component: str) -> str:
    """The media type of a member, by the component that it holds."""
    if component == "VCARD":
        return CARD_TYPE
    return f"{CALENDAR_TYPE}; component={component.lower()}"


def _resourcetype(request: Request, resource: Resource) -> str:
    if (
        resource.kind is Kind.CALENDAR
        and isinstance(resource, CollectionResource)
        and resource.collection.source is not None
    ):
        return "<D:collection/><S:subscribed/>"
    return _TYPES.get(resource.kind, "")


def _displayname(request: Request, resource: Resource) -> str | None:
    if isinstance(resource, HomeResource) or (
        isinstance(resource, PrincipalResource) and resource.kind is Kind.PRINCIPAL
    ):
        return names.escape(resource.owner.display_name)
    return names.escape(resource.name or _TITLES[resource.kind])


def _read_text(request: Request, resource: Resource, element: Element) -> str | None:
    return xml.to_fragment(element)


def _creationdate(request: Request, resource: Resource) -> str | None:
    holder = stored_in(resource)
    return None if holder is None else _iso(holder.created_at)


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _getlastmodified(request: Request, resource: Resource) -> str | None:
    value = last_modified(resource)
    return None if value is None else http_date(value)


def _getetag(request: Request, resource: Resource) -> str:
    return names.escape(entity_tag(resource))


def _getcontenttype(request: Request, resource: Resource) -> str:
    if isinstance(resource, MemberResource):
        return content_type(resource.object.component)
    if resource.kind is Kind.CALENDAR:
        return CALENDAR_TYPE
    return CARD_TYPE if resource.kind is Kind.ADDRESSBOOK else HTML_TYPE


def _getcontentlength(request: Request, resource: Resource) -> str | None:
    if isinstance(resource, MemberResource):
        return str(resource.object.size)
    if resource.kind in (Kind.ROOT, Kind.PRINCIPALS, Kind.HOMES):
        return str(len(fixed_listing(request, resource)))
    if isinstance(resource, PrincipalResource):
        return str(len(principal_listing(resource)))
    return None


async def _load_contentlength(request: Request, resources: Sequence[Resource]) -> list[str | None]:
    return [
        str(len(await home_listing(request, each))) if isinstance(each, HomeResource) else None for each in resources
    ]


PROPERTIES = (
    Property(dav("resourcetype"), EVERY, _resourcetype, same_for_members=True, in_allprop=True),
    Property(
        dav("displayname"),
        CONTAINERS,
        _displayname,
        read=_read_text,
        stored=True,
        settable=HOMES_AND_COLLECTIONS,
        in_allprop=True,
    ),
    Property(dav("creationdate"), OWNED, _creationdate, MemberValue(("created_at",), _iso), in_allprop=True),
    Property(
        dav("getlastmodified"), OWNED, _getlastmodified, MemberValue(("modified_at",), http_date), in_allprop=True
    ),
    Property(dav("getetag"), EVERY, _getetag, MemberValue(("etag",), before='"', after='"'), in_allprop=True),
    Property(dav("getcontenttype"), EVERY, _getcontenttype, MemberValue(("component",), content_type), in_allprop=True),
    Property(
        dav("getcontentlength"),
        Kinds.of(Resource, *OBJECTS, *HOMES, Kind.ROOT, Kind.PRINCIPALS, Kind.PRINCIPAL, Kind.HOMES),
        _getcontentlength,
        MemberValue(("size",)),
        load=_load_contentlength,
        in_allprop=True,
    ),
)
