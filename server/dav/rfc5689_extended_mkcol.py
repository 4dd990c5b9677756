"""RFC 5689: extended MKCOL, and what MKCALENDAR shares with it.

Only calendars and address books can be made, directly in a home.
"""

from __future__ import annotations

from functools import partial

from server.calendar.calendar_object import CALENDAR_COMPONENTS
from server.dav.core import multistatus, names, xml
from server.dav.core.errors import Refused
from server.dav.core.multistatus import CONTENT_TYPE, propstat
from server.dav.core.names import caldav, calendarserver, carddav, dav
from server.dav.core.registry import Standard
from server.dav.core.request import Request
from server.dav.core.resource import HOMES, HomeResource, Kind, Resource, home_at, resource_at
from server.dav.core.shapes import SHAPES
from server.dav.rfc4918 import conditions
from server.dav.rfc4918.proppatch import Instructions, read_creation
from server.domain.changes import Unchanged
from server.domain.errors import AlreadyExists, BadRequest, NotFound, ParentMissing, TooManyCollections
from server.domain.objects import NewCollection
from server.domain.privileges import Privilege
from server.http.answer import Answer
from server.http.routes import Route
from server.services.changing import change
from server.services.lookup import Found

LOCATIONS = {
    Kind.CALENDAR: caldav("calendar-collection-location-ok"),
    Kind.ADDRESSBOOK: carddav("addressbook-collection-location-ok"),
}
TREES = {Kind.CALENDAR: "calendars", Kind.ADDRESSBOOK: "addressbooks"}


async def mkcol(request: Request) -> Answer:
    """Answers MKCOL, with and without a body."""
    root = await request.xml()
    if root is not None and root.tag != dav("mkcol"):
        raise Refused(415, message="The body of MKCOL is DAV:mkcol (RFC 5689 §3).")
    props = props_to_set(root)
    kind, subscribed = read_resourcetype(props)
    return await change(
        partial(look_up_name, request, kind),
        lambda found: make(request, root, props, kind, found, subscribed=subscribed),
    )


async def make(
    request: Request,
    root: xml.Element | None,
    props: list[xml.Element],
    kind: Kind | None,
    found: Found,
    *,
    subscribed: bool,
) -> Answer:
    """Make what the body of MKCOL asks for, where nothing is."""
    unchanged = await demand_free(request, kind, found)
    if kind is None:
        if len(request.path.segments) != 4:
            raise Refused(403, LOCATIONS[_tree_kind(request)], "Collections lie directly in a home.")
        if root is None:
            raise Refused(403, dav("valid-resourcetype"), "Only calendars and address books can be made.")
        refusal = propstat("<D:resourcetype/>", 403, names.element(dav("valid-resourcetype")))
        others = dict.fromkeys(str(item.tag) for prop in props for item in xml.elements(prop))
        others.pop(dav("resourcetype"), None)
        if others:
            refusal += propstat("".join(map(names.element, others)), 424)
        return response(dav("mkcol-response"), 403, refusal)
    return await create(request, kind, found, props, dav("mkcol-response"), unchanged, subscribed=subscribed)


def props_to_set(root: xml.Element | None) -> list[xml.Element]:
    """Each DAV:prop of the DAV:set elements of a body."""
    return [] if root is None else [prop for item in root.findall(dav("set")) for prop in item.findall(dav("prop"))]


def _tree_kind(request: Request) -> Kind:
    return Kind.ADDRESSBOOK if request.path.tree == "addressbooks" else Kind.CALENDAR


def read_resourcetype(props: list[xml.Element]) -> tuple[Kind | None, bool]:
    """What the body wants made, and whether it is a subscribed calendar; None for anything that is not offered."""
    elements = [element for prop in props for element in prop.findall(dav("resourcetype"))]
    types = {str(item.tag) for element in elements for item in xml.elements(element)} - {dav("collection")}
    if types and types <= {caldav("calendar"), calendarserver("subscribed")}:
        return Kind.CALENDAR, calendarserver("subscribed") in types
    return (Kind.ADDRESSBOOK, False) if types == {carddav("addressbook")} else (None, False)


async def look_up_name(request: Request, kind: Kind | None) -> Found:
    """What there is at a path where a collection is to be made. Raises `AccessDenied`, `Refused`."""
    try:
        found = await request.look_up(need=Privilege.BIND)
        request.demand_sight(request.path, found, Privilege.BIND)
    except NotFound:
        raise Refused(403, LOCATIONS[kind or _tree_kind(request)], "Collections lie directly in a home.") from None
    return found


async def demand_free(request: Request, kind: Kind | None, found: Found) -> tuple[Unchanged, ...]:
    """Checks that a collection may be made at the request's path; returns what its conditions rest on.

    Raises `AlreadyExists`, `ParentMissing`, `AccessDenied`, or `Refused` for a place where none may be.
    """
    path = request.path
    try:
        existing: Resource | None = resource_at(path, found)
    except NotFound:
        existing = None
    unchanged = await conditions.demand(request, existing)
    if existing is not None:
        raise AlreadyExists
    kind = kind or _tree_kind(request)
    if len(path.segments) > 4 and found.collection is None:
        raise ParentMissing
    if len(path.segments) != 4 or path.tree != TREES[kind]:
        raise Refused(403, LOCATIONS[kind], "Collections lie directly in a home of their kind.")
    if found.home is None or found.owner is None:
        raise ParentMissing
    request.require(_home(request, found), Privilege.BIND)
    if len(path.segments[3].encode()) > request.site.limits.max_name_length:
        raise BadRequest("The name is too long.")
    return unchanged


def _home(request: Request, found: Found) -> HomeResource:
    return home_at(request.path.parent().url, found.holder(), True)


async def create(
    request: Request,
    kind: Kind,
    found: Found,
    props: list[xml.Element],
    root: str,
    unchanged: tuple[Unchanged, ...],
    *,
    subscribed: bool = False,
) -> Answer:
    """Creates the collection with all properties, or not at all. DAV:resourcetype in `props` has been read before.

    A refusal is 403 with the outcome for each property (RFC 5689 §3.5), that of MKCALENDAR a multistatus (RFC 4791
    §5.3.1.1).
    """
    home = _home(request, found)
    what = Resource(kind, home.href, home.found, home.by_uid)
    for prop in props:
        for element in prop.findall(dav("resourcetype")):
            prop.remove(element)
    wanted = await read_creation(request, what, props)
    if wanted.refused and root == dav("mkcol-response"):
        return response(root, 403, propstat("<D:resourcetype/>", 424) + wanted.propstats())
    if wanted.refused:
        return multistatus.answer(
            request, multistatus.response(request.url(request.path.href + "/"), wanted.propstats())
        )
    new = new_collection(request, kind, wanted, subscribed=subscribed)
    try:
        await request.site.collections.create(request.actor, found, new, unchanged=unchanged)
    except TooManyCollections as error:
        raise Refused(403, calendarserver("max-collections"), error.message) from None
    headers = {"Cache-Control": "no-cache"}
    if root == dav("mkcol-response"):
        wanted.names.insert(0, dav("resourcetype"))
    if request.minimal:
        headers["Preference-Applied"] = "return=minimal"
    if wanted.names and not request.minimal:
        answer = response(root, 201, wanted.propstats())
        answer.headers.update(headers)
        return answer
    return Answer(201, headers=headers)


def new_collection(request: Request, kind: Kind, wanted: Instructions, *, subscribed: bool) -> NewCollection:
    """What storage creates. A calendar without a component set takes all components (RFC 4791 §5.2.3)."""
    name = request.path.segments[3]
    properties = {key: value for key, value in wanted.properties.items() if value is not None}
    if kind is Kind.ADDRESSBOOK:
        return NewCollection(name, "addressbook", properties=properties)
    components = wanted.components or tuple(sorted(CALENDAR_COMPONENTS))
    source = wanted.source or ("" if subscribed else None)
    return NewCollection(name, "calendar", components, wanted.timezone or None, source, properties)


def response(root: str, status: int, propstats: str) -> Answer:
    """An answer with the outcome for each property (RFC 5689 §5.2, RFC 4791 §9.3)."""
    start, end, _ = names.tags(root)
    body = f"{names.PROLOGUE}{start[:-1]} {names.DECLARATIONS}>{propstats}{end}"
    return Answer(status, body.encode(), {"Content-Type": CONTENT_TYPE})


STANDARD = Standard(
    "RFC 5689",
    routes=(Route("MKCOL", SHAPES, mkcol),),
    offers=(("MKCOL", HOMES),),
    tokens=(("extended-mkcol", HOMES),),
)
