"""RFC 5995: DAV:add-member, a URL to POST new members to, whose names the server chooses."""

from __future__ import annotations

from functools import partial
from secrets import token_hex

from server.dav.core import names, shapes
from server.dav.core.errors import Refused
from server.dav.core.names import dav
from server.dav.core.paths import ADD_MEMBER, Path
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import MADE, Kind, Resource, collection_in
from server.dav.rfc4918 import conditions
from server.dav.rfc4918.put import check_media_type, written
from server.dav.rfc6638_implicit import sending, sent
from server.domain.privileges import Privilege
from server.http.answer import Answer
from server.http.routes import Route
from server.services.changing import change
from server.services.lookup import Found
from server.services.objects import Put
from server.services.permissions import collection_of, demand_writable


async def refuse_post(request: Request) -> Answer:
    """Answers POST to anything but an add-member URL."""
    await request.look_up(need=Privilege.BIND)
    raise Refused(405, message="POST adds members to a collection, at its DAV:add-member URL (RFC 5995).")


async def post(request: Request) -> Answer:
    """Answers POST to the add-member URL of a collection."""
    path, result = await change(partial(request.look_up, need=Privilege.BIND), partial(add_member, request))
    return await written(request, path, result, request.url(path.href))


async def add_member(request: Request, found: Found) -> tuple[Path, Put]:
    """Create a member with a new name in the collection that was found; returns also its path."""
    collection = collection_of(found)
    name = new_name(collection.kind)
    path = Path.of((*request.path.segments[:4], name), False)
    holder, found = collection_in(path, found), found.new_member(name)
    with request.denied_at(holder.href):
        demand_writable(found)
    unchanged = await conditions.demand(request, None)
    # A page of another site can make a browser send a POST without a type, with remembered credentials (no-cors).
    check_media_type(request, collection, demanded=True)
    body = await request.body(request.site.limits.max_resource_size)
    with sending(request):
        result = await request.site.scheduling.put(request.actor, found, body, sent(request), unchanged=unchanged)
    return path, result


def new_name(kind: str) -> str:
    """A name that nothing has."""
    return token_hex(16) + (".vcf" if kind == "addressbook" else ".ics")


def _add_member(request: Request, resource: Resource) -> str:
    return names.href(request.url(resource.href + ADD_MEMBER))


STANDARD = Standard(
    "RFC 5995",
    properties=(Property(dav("add-member"), MADE, _add_member),),
    routes=(
        Route("POST", frozenset({shapes.ADD_MEMBER}), post),
        Route("POST", shapes.SHAPES - {shapes.ADD_MEMBER, Kind.INBOX, Kind.OUTBOX, Kind.CALENDAR_OBJECT}, refuse_post),
    ),
    offers=(("POST", MADE),),
)
