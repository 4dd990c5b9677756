"""RFC 6638, its properties: inbox and outbox of a principal, its calendar user addresses, and Schedule-Tag."""

from __future__ import annotations

from collections.abc import Sequence

from server.dav.core import names, xml
from server.dav.core.errors import Refused
from server.dav.core.names import caldav, calendarserver, dav
from server.dav.core.registry import MemberValue, Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import (
    CALENDAR,
    INBOX,
    PRINCIPAL,
    CollectionResource,
    Kind,
    Kinds,
    MemberResource,
    Owned,
    PrincipalResource,
    Resource,
    home_href,
    principal_href,
    resource_at,
)
from server.dav.core.xml import Element
from server.domain.errors import AccessDenied, BadRequest, NotFound
from server.domain.objects import Collection
from server.domain.privileges import Privilege
from server.http.paths import encode
from server.services.permissions import collection_of, principal_of
from server.services.scheduling.calendar_users import CUTYPES, addresses_of
from server.services.scheduling.default_calendar import PROPERTIES, Scheduled, default_calendar, is_eligible

TRANSPARENCY = caldav("schedule-calendar-transp")
SCHEDULED = frozenset({Kind.CALENDAR_HOME, Kind.CALENDAR, Kind.INBOX, Kind.OUTBOX, Kind.PRINCIPAL})
"""Kinds of resources that name what scheduling offers in the `DAV` header."""


def _in_home(name: str, resource: Owned, request: Request) -> str | None:
    if resource.owner.kind in ("group", "directory"):
        return None
    return names.href(request.url(f"{home_href(resource.owner, 'calendar')}{name}/"))


def _inbox_url(request: Request, resource: PrincipalResource) -> str | None:
    return _in_home("inbox", resource, request)


def _outbox_url(request: Request, resource: PrincipalResource) -> str | None:
    return _in_home("outbox", resource, request)


def _nothing(request: Request, resource: Resource) -> None:
    return None


def _default(component: Scheduled) -> Property[Request, CollectionResource]:
    """The property of the inbox that names the default calendar of a component."""
    name = PROPERTIES[component]
    refused = caldav("valid-schedule-default-calendar-URL")

    async def load(request: Request, resources: Sequence[CollectionResource]) -> list[str | None]:
        out: list[str | None] = []
        for inbox in resources:
            shown = [collection_of(each) for each in await request.collections_of(inbox.found.holder())]
            found = default_calendar(inbox.collection, shown, component)
            out.append(None if found is None else _in_home(encode(found.name), inbox, request))
        return out

    async def read(request: Request, resource: Resource, element: Element) -> str:
        """The id of the calendar that an href names, which must be the person's own and take the component (§9.2).

        The id stays when the calendar is renamed, and no path prefix is stored.
        """
        refusal = Refused(403, refused, f"No calendar of one's own that takes {component}.")
        hrefs = element.findall(dav("href"))
        if len(hrefs) != 1:
            raise refusal
        try:
            path = request.parse_href(xml.text_of(hrefs[0]))
            found = resource_at(path, await request.look_up(path, need=Privilege.READ))
        except (NotFound, AccessDenied, BadRequest):
            raise refusal from None
        own = isinstance(found, CollectionResource) and found.owner.id == principal_of(resource.found).id
        if not isinstance(found, CollectionResource) or not own or not is_eligible(found.collection, component):
            raise refusal
        start, end, _ = names.tags(name)
        return f"{start[:-1]} {names.DECLARATIONS}>{found.collection.id}{end}"

    return Property(name, INBOX, _nothing, read=read, load=load, load_in_listings=True)


def _user_addresses(request: Request, resource: PrincipalResource) -> str:
    owner = resource.owner
    mail, ids = addresses_of(owner)
    paths = [request.url(principal_href(owner, by_uid)) for by_uid in (True, False)]
    return "".join(map(names.href, (*mail, *ids, *paths)))


def _user_type(request: Request, resource: PrincipalResource) -> str:
    return CUTYPES[resource.owner.kind]


def _transparency(request: Request, resource: Resource) -> str:
    return "<C:opaque/>"


def _read_transparency(request: Request, resource: Resource, element: Element) -> str:
    inner = [str(item.tag) for item in xml.elements(element)]
    if inner not in ([caldav("opaque")], [caldav("transparent")]):
        raise Refused(409, message="schedule-calendar-transp is CALDAV:opaque or CALDAV:transparent.")
    return xml.to_fragment(element)


def is_transparent(calendar: Collection) -> bool:
    """Whether the events of a calendar, in a person's view of it, do not count in their busy time (§9.1)."""
    value = calendar.properties.get(TRANSPARENCY)
    if value is None:
        return False
    return any(item.tag == caldav("transparent") for item in xml.elements(xml.parse(value.encode())))


def _schedule_tag(request: Request, resource: MemberResource) -> str | None:
    return _quoted(resource.object.schedule_tag)


def _quoted(tag: str | None) -> str | None:
    return None if tag is None else f'"{tag}"'


def _email_addresses(request: Request, resource: PrincipalResource) -> str:
    return "".join(
        names.element(calendarserver("email-address"), names.escape(email)) for email in resource.owner.emails
    )


STANDARD = Standard(
    "RFC 6638",
    tokens=(("calendar-auto-schedule", SCHEDULED),),
    properties=(
        Property(caldav("schedule-inbox-URL"), PRINCIPAL, _inbox_url),
        Property(caldav("schedule-outbox-URL"), PRINCIPAL, _outbox_url),
        Property(caldav("calendar-user-address-set"), PRINCIPAL, _user_addresses),
        Property(caldav("calendar-user-type"), PRINCIPAL, _user_type),
        Property(calendarserver("email-address-set"), PRINCIPAL, _email_addresses),
        _default("VEVENT"),
        _default("VTODO"),
        Property(TRANSPARENCY, CALENDAR, _transparency, read=_read_transparency, stored=True),
        Property(
            caldav("schedule-tag"),
            Kinds.of(MemberResource, Kind.CALENDAR_OBJECT),
            _schedule_tag,
            MemberValue(("schedule_tag",), _quoted),
        ),
    ),
)
