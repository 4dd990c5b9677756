"""RFC 6638, its properties: inbox and outbox of a principal, its calendar user addresses, and Schedule-Tag.

The compliance token `calendar-auto-schedule` is not offered: clients believe it, and deliver nothing themselves then.
"""

from __future__ import annotations

from server.dav.core import names, xml
from server.dav.core.errors import Refused
from server.dav.core.names import caldav, calendarserver, dav
from server.dav.core.paths import encode
from server.dav.core.registry import MemberValue, Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import Kind, Resource, from_resolution, home_href, principal_href
from server.dav.core.xml import Element
from server.errors import AccessDenied, BadRequest, NotFound
from server.storage import Collection

PRINCIPALS = frozenset({Kind.PRINCIPAL})
CALENDARS = frozenset({Kind.CALENDAR})
INBOX = frozenset({Kind.INBOX})
TRANSPARENCY = caldav("schedule-calendar-transp")
_USER_TYPES = {"individual": "INDIVIDUAL", "group": "GROUP", "room": "ROOM", "resource": "RESOURCE"}


def _in_home(name: str, resource: Resource, request: Request) -> str | None:
    if resource.owner is None or resource.owner.kind == "group":
        return None
    return names.href(request.url(f"{home_href(resource.owner, 'calendar')}{name}/"))


def _inbox_url(request: Request, resource: Resource) -> str | None:
    return _in_home("inbox", resource, request)


def _outbox_url(request: Request, resource: Resource) -> str | None:
    return _in_home("outbox", resource, request)


def _default_calendar_url(request: Request, resource: Resource) -> str | None:
    return _in_home("calendar", resource, request)


async def _read_default_calendar(request: Request, resource: Resource, element: Element) -> str:
    """An href of one of the person's own calendars that takes events (RFC 6638 §9.2)."""
    refusal = Refused(403, caldav("valid-schedule-default-calendar-URL"), "No calendar of one's own for events.")
    try:
        path = request.parse_href(xml.text_of(element.find(dav("href"))))
        found = from_resolution(path, await request.look_up(path, need=dav("read")))
    except (NotFound, AccessDenied, BadRequest):
        raise refusal from None
    calendar = found.collection
    own = found.owner is not None and resource.owner is not None and found.owner.id == resource.owner.id
    if found.kind is not Kind.CALENDAR or calendar is None or not own or "VEVENT" not in calendar.components:
        raise refusal
    start, end, _ = names.tags(caldav("schedule-default-calendar-URL"))
    declared = f"{start[:-1]} {names.DECLARATIONS}>"
    assert found.owner is not None
    home = home_href(found.owner, "calendar")
    return f"{declared}{names.href(request.url(home + encode(calendar.name) + '/'))}{end}"


def _user_addresses(request: Request, resource: Resource) -> str:
    owner = resource.owner
    assert owner is not None
    addresses = [f"mailto:{email}" for email in owner.emails]
    addresses += [f"urn:x-uid:{owner.uid}", principal_href(owner), principal_href(owner, by_uid=False)]
    return "".join(names.href(request.url(address) if address.startswith("/") else address) for address in addresses)


def _user_type(request: Request, resource: Resource) -> str:
    assert resource.owner is not None
    return _USER_TYPES[resource.owner.kind]


def _transparency(request: Request, resource: Resource) -> str:
    return "<C:opaque/>"


def _read_transparency(request: Request, resource: Resource, element: Element) -> str:
    inner = [str(item.tag) for item in xml.elements(element)]
    if inner not in ([caldav("opaque")], [caldav("transparent")]):
        raise Refused(409, message="schedule-calendar-transp is CALDAV:opaque or CALDAV:transparent.")
    return xml.to_fragment(element)


def is_transparent(calendar: Collection) -> bool:
    """Whether the events of a calendar do not count in the busy time of the person in whose view it is (§9.1)."""
    value = calendar.properties.get(TRANSPARENCY)
    if value is None:
        return False
    return any(item.tag == caldav("transparent") for item in xml.elements(xml.parse(value.encode())))


def _schedule_tag(request: Request, resource: Resource) -> str | None:
    tag = resource.object.schedule_tag if resource.object is not None else None
    return None if tag is None else f'"{tag}"'


def _quoted(tag: str | None) -> str | None:
    return None if tag is None else f'"{tag}"'


def _email_addresses(request: Request, resource: Resource) -> str:
    assert resource.owner is not None
    return "".join(
        names.element(calendarserver("email-address"), names.escape(email)) for email in resource.owner.emails
    )


STANDARD = Standard(
    "RFC 6638",
    properties=(
        Property(caldav("schedule-inbox-URL"), PRINCIPALS, _inbox_url),
        Property(caldav("schedule-outbox-URL"), PRINCIPALS, _outbox_url),
        Property(caldav("calendar-user-address-set"), PRINCIPALS, _user_addresses),
        Property(caldav("calendar-user-type"), PRINCIPALS, _user_type),
        Property(calendarserver("email-address-set"), PRINCIPALS, _email_addresses),
        Property(
            caldav("schedule-default-calendar-URL"),
            INBOX,
            _default_calendar_url,
            read=_read_default_calendar,
            stored=True,
        ),
        Property(TRANSPARENCY, CALENDARS, _transparency, read=_read_transparency, stored=True),
        Property(
            caldav("schedule-tag"),
            frozenset({Kind.CALENDAR_OBJECT}),
            _schedule_tag,
            MemberValue(("schedule_tag",), _quoted),
        ),
    ),
)
