"""The ACL method (RFC 3744 §8.1), on calendars, inboxes, outboxes and address books: their members follow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from server.dav.core import xml
from server.dav.core.errors import Refused
from server.dav.core.names import dav
from server.dav.core.registry import Standard
from server.dav.core.request import Request
from server.dav.core.resource import CollectionResource, Kind, Kinds, Resource
from server.dav.core.shapes import SHAPES
from server.dav.rfc3744.principals import at
from server.dav.rfc4918 import conditions
from server.domain.errors import BadRequest
from server.domain.grants import Ace, PrincipalClass
from server.domain.privileges import Privilege, on_collection
from server.http.answer import Answer
from server.http.routes import Route
from server.services.changing import change
from server.services.permissions import principal_of

MAX_ENTRIES = 500
"""Entries of one list."""
SETTABLE = Kinds.of(CollectionResource, Kind.CALENDAR, Kind.ADDRESSBOOK, Kind.INBOX, Kind.OUTBOX)
_WHERE = "Access control lists are those of calendars, inboxes, outboxes and address books."
_CLASSES: dict[str, PrincipalClass] = {
    dav("all"): "all",
    dav("authenticated"): "authenticated",
    dav("unauthenticated"): "unauthenticated",
}


async def acl(request: Request) -> Answer:
    """Answers ACL. Homes and members have no lists of their own: 405 for everybody."""
    if len(request.path.segments) != 4 or request.path.tree not in ("calendars", "addressbooks"):
        await request.signed_in()
        raise Refused(405, message=_WHERE)
    await change(partial(request.resource, need=Privilege.WRITE_ACL), partial(set_list, request))
    return Answer(200)


async def set_list(request: Request, resource: Resource) -> None:
    """Replace the list of a collection by that of the request's body."""
    if not isinstance(resource, CollectionResource) or resource.kind not in SETTABLE:
        raise Refused(405, message=_WHERE)
    unchanged = await conditions.demand(request, resource)
    root = await request.demand_xml(dav("acl"))
    if resource.collection.home_id != resource.home.id:
        raise Refused(403, message="The list is changed where the collection lies: in its owner's home.")
    entries = await read(request, resource, root)
    await request.site.granting.set_acl(request.actor, resource.found, entries, unchanged=unchanged)


async def read(request: Request, resource: CollectionResource, root: xml.Element) -> list[Ace]:
    """The entries of a body. Raises `BadRequest`, and `Refused` with the precondition of §8.1.1 that fails."""
    elements = root.findall(dav("ace"))
    if len(elements) > MAX_ENTRIES:
        raise Refused(403, dav("limited-number-of-aces"), f"A list has at most {MAX_ENTRIES} entries.")
    whom = await principals_named(request, resource, elements)
    out = []
    for element, who in zip(elements, whom, strict=True):
        grants, privileges = read_privileges(resource, element)
        if not grants and who in ("owner", resource.owner.id):
            raise Refused(403, dav("no-protected-ace-conflict"), "The owner has every privilege.")
        out.append(Ace(resource.collection.id, who, grants, privileges))
    return out


def read_privileges(resource: CollectionResource, element: xml.Element) -> tuple[bool, tuple[Privilege, ...]]:
    """Whether an entry grants, and what it grants or denies."""
    if element.find(dav("invert")) is not None:
        raise Refused(403, dav("no-invert"))
    if element.find(dav("protected")) is not None:
        raise Refused(403, dav("no-protected-ace-conflict"), "Protected entries are not set.")
    if element.find(dav("inherited")) is not None:
        raise Refused(403, dav("no-inherited-ace-conflict"), "Inherited entries are not set.")
    verbs = [item for item in xml.elements(element) if item.tag in (dav("grant"), dav("deny"))]
    if len(verbs) != 1:
        raise BadRequest("A DAV:ace has one DAV:grant or one DAV:deny.")
    found = [str(item.tag) for held in verbs[0].findall(dav("privilege")) for item in xml.elements(held)]
    if not found:
        raise BadRequest("A DAV:ace names privileges.")
    if not on_collection(resource.collection.kind).issuperset(found):
        raise Refused(403, dav("not-supported-privilege"))
    return verbs[0].tag == dav("grant"), tuple(map(Privilege, dict.fromkeys(found)))


async def principals_named(
    request: Request, resource: Resource, elements: Sequence[xml.Element]
) -> list[int | PrincipalClass]:
    """Whom each entry concerns."""
    inner = [_principal_of(element) for element in elements]
    hrefs = [xml.text_of(item) for item in inner if item.tag == dav("href")]
    known = await at(request, hrefs)
    out: list[int | PrincipalClass] = []
    for item in inner:
        tag = str(item.tag)
        if tag == dav("href"):
            found = known.get(xml.text_of(item))
            if found is None:
                raise Refused(403, dav("recognized-principal"), "There is no such principal.")
            out.append(principal_of(found).id)
        elif tag in _CLASSES:
            out.append(_CLASSES[tag])
        elif tag == dav("property") and item.find(dav("owner")) is not None:
            out.append("owner")
        else:
            raise Refused(
                403, dav("allowed-principal"), "Entries concern a principal, all, those signed in, or the owner."
            )
    return out


def _principal_of(element: xml.Element) -> xml.Element:
    if element.find(dav("invert")) is not None:
        raise Refused(403, dav("no-invert"))
    principal = element.find(dav("principal"))
    inner = [] if principal is None else xml.elements(principal)
    if len(inner) != 1:
        raise BadRequest("A DAV:ace has one DAV:principal.")
    return inner[0]


STANDARD = Standard("RFC 3744 §8.1", routes=(Route("ACL", SHAPES, acl),), offers=(("ACL", SETTABLE),))
