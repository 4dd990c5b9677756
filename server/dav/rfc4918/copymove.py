"""COPY and MOVE (RFC 4918 §9.8, §9.9): members between collections of their kind, and new names for collections."""

from __future__ import annotations

from functools import partial

from server.dav.core.errors import Refused
from server.dav.core.names import caldav, carddav
from server.dav.core.paths import Path
from server.dav.core.request import Request
from server.dav.core.resource import (
    MADE,
    CollectionResource,
    InCollection,
    Kind,
    Resource,
    collection_in,
    parent_of,
    resource_at,
)
from server.dav.rfc4918 import conditions
from server.dav.rfc4918.put import written
from server.dav.rfc6638_implicit import sending, sent
from server.domain.changes import Unchanged
from server.domain.errors import AccessDenied, BadRequest, NotFound, ParentMissing, PreconditionFailed
from server.domain.privileges import Privilege
from server.http.answer import Answer
from server.services.changing import change
from server.services.lookup import Found
from server.services.objects import Put
from server.services.permissions import demand_receivable, takes_members


async def copy(request: Request) -> Answer:
    """Answers COPY."""
    return await transfer(request, keep=True)


async def move(request: Request) -> Answer:
    """Answers MOVE."""
    return await transfer(request, keep=False)


async def transfer(request: Request, *, keep: bool) -> Answer:
    """COPY (`keep`) or MOVE."""
    read = partial(request.resource, need=Privilege.READ if keep else Privilege.UNBIND, on_parent=not keep)
    result = await change(read, partial(transfer_resource, request, keep=keep))
    if isinstance(result, Answer):
        return result
    destination = read_destination(request)
    return await written(request, destination, result, request.url(destination.href) if result.created else None)


async def transfer_resource(request: Request, source: Resource, *, keep: bool) -> Answer | Put:
    """Copy (`keep`) or move a resource to the destination: what became of a member, or the answer for a collection."""
    destination = read_destination(request)
    overwrite = read_overwrite(request)
    if not isinstance(source, InCollection):
        raise AccessDenied(source.href, Privilege.UNBIND)
    unchanged = await conditions.demand(request, source)
    found = await request.look_up(
        destination, need=Privilege.BIND, or_need=Privilege.WRITE_CONTENT if keep else Privilege.BIND
    )
    try:
        existing: Resource | None = resource_at(destination, found)
    except NotFound:
        existing = None
    if isinstance(source, CollectionResource):
        return await transfer_collection(request, source, destination, found, existing, overwrite, unchanged, keep=keep)
    return await transfer_member(request, source, destination, found, existing, overwrite, unchanged, keep=keep)


def read_destination(request: Request) -> Path:
    """The Destination header (RFC 4918 §10.3). Raises `BadRequest`."""
    value = request.headers.get("Destination")
    if not value:
        raise BadRequest("A Destination header is needed.")
    return request.parse_href(value)


def read_overwrite(request: Request) -> bool:
    """The Overwrite header (RFC 4918 §10.6). Raises `BadRequest`."""
    value = request.headers.get("Overwrite", "T").strip().upper()
    if value not in ("T", "F"):
        raise BadRequest("Overwrite is T or F.")
    return value == "T"


async def transfer_member(
    request: Request,
    source: InCollection,
    destination: Path,
    found: Found,
    existing: Resource | None,
    overwrite: bool,
    unchanged: tuple[Unchanged, ...],
    *,
    keep: bool,
) -> Put:
    """COPY or MOVE a calendar object or a card."""
    target = found.collection
    if len(destination.segments) == 5 and target is None:
        raise ParentMissing
    if len(destination.segments) != 5 or destination.add_member or target is None or found.home is None:
        card = source.kind is Kind.ADDRESS_OBJECT
        location = carddav("addressbook-collection-location-ok") if card else caldav("calendar-collection-location-ok")
        raise Refused(403, location, "A member lies directly in a collection.")
    if existing is not None and not overwrite:
        raise PreconditionFailed("There is something at the destination.")
    if not takes_members(target):
        raise AccessDenied(destination.parent().url, Privilege.BIND)
    if (target.kind == "addressbook") != (source.kind is Kind.ADDRESS_OBJECT):
        card = target.kind == "addressbook"
        media = carddav("supported-address-data") if card else caldav("supported-calendar-data")
        raise Refused(403, media, "The collection takes another media type.")
    parent = collection_in(destination, found)
    with request.denied_at((existing if existing is not None and keep else parent).href):
        demand_receivable(found, keep=keep)
    transfer = request.site.scheduling.transfer
    with sending(request):
        return await transfer(request.actor, source.found, found, sent(request), keep=keep, unchanged=unchanged)


async def transfer_collection(
    request: Request,
    source: CollectionResource,
    destination: Path,
    found: Found,
    existing: Resource | None,
    overwrite: bool,
    unchanged: tuple[Unchanged, ...],
    *,
    keep: bool,
) -> Answer:
    """MOVE a calendar or address book to another name in its home, or COPY it there."""
    depth = request.depth("infinity")
    if keep and depth == "1":
        raise BadRequest("COPY of a collection has the depth 0 or infinity (RFC 4918 §9.8.3).")
    if not keep and depth != "infinity":
        raise BadRequest("MOVE of a collection has the depth infinity (RFC 4918 §9.9.2).")
    card = source.kind is Kind.ADDRESSBOOK
    location = carddav("addressbook-collection-location-ok") if card else caldav("calendar-collection-location-ok")
    if source.kind not in MADE:
        raise AccessDenied(source.href, Privilege.UNBIND)
    if len(destination.segments) != 4 or found.home is None or found.home.id != source.home.id:
        raise Refused(403, location, "A collection lies directly in its owner's home.")
    if existing is not None and not overwrite:
        raise PreconditionFailed("There is something at the destination.")
    if existing is not None and existing.kind not in MADE:
        raise AccessDenied(existing.href, Privilege.UNBIND)
    request.require(parent_of(source), Privilege.BIND)
    collections = request.site.collections
    if keep:
        await collections.copy(
            request.actor, source.found, found, with_members=depth == "infinity", unchanged=unchanged
        )
    else:
        await collections.move(request.actor, source.found, found, unchanged=unchanged)
    if existing is not None:
        return Answer(204)
    return Answer(201, headers={"Location": request.url(destination.href + "/")})
