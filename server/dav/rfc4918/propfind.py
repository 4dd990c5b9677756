"""PROPFIND (RFC 4918 §9.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from server.dav.core import xml
from server.dav.core.errors import Refused
from server.dav.core.member_pages import member_pages
from server.dav.core.multistatus import MemberWriter, answer, describe, paged, present, propstat, response
from server.dav.core.names import dav, tags
from server.dav.core.request import Request
from server.dav.core.resource import (
    CollectionResource,
    HomeResource,
    Kind,
    MemberResource,
    PrincipalResource,
    Resource,
    collection_of,
    delegates_of,
    member_kind,
)
from server.dav.rfc4918.listing import fixed_children
from server.domain.errors import BadRequest
from server.http.answer import Answer

ALLPROP, PROPNAME, PROP = dav("allprop"), dav("propname"), dav("prop")
MAX_PROPERTIES = 1000
"""Properties that one request may ask for."""


class Wanted:
    """Which properties a request asks for."""

    def __init__(self, kind: str, listed: Sequence[str]) -> None:
        self.kind = kind
        self.listed = listed

    def of(self, request: Request, resource: Resource) -> list[str]:
        """The names for one resource."""
        if self.kind == PROP:
            return list(self.listed)
        every = present(request, resource, allprop=self.kind == ALLPROP)
        return every + [name for name in self.listed if name not in every]

    def to_load(self, request: Request, resource: Resource) -> list[str]:
        """Names of the properties to be read beforehand, if they need that."""
        if self.kind == PROP:
            return list(self.listed)
        known = request.site.registry.by_kind[resource.kind]
        loaded = [
            name for name, item in known.items() if item.load is not None and (self.kind == PROPNAME or item.in_allprop)
        ]
        return [*loaded, *self.listed]

    def of_members(self, request: Request, kind: Kind) -> list[str]:
        """The names for members that stand in rows: live properties of their kind."""
        if self.kind == PROP:
            return list(self.listed)
        known = request.site.registry.by_kind[kind]
        every = [name for name, item in known.items() if self.kind == PROPNAME or item.in_allprop]
        return every + [name for name in self.listed if name not in every]


def names_in(prop: xml.Element) -> list[str]:
    """The names in a `DAV:prop`, each once. Raises `BadRequest` for too many."""
    found = list(dict.fromkeys(str(item.tag) for item in xml.elements(prop)))
    if len(found) > MAX_PROPERTIES:
        raise BadRequest(f"At most {MAX_PROPERTIES} properties can be asked for at once.")
    return found


def read(root: xml.Element | None) -> Wanted:
    """What the body of a PROPFIND asks for; no body is `allprop` (RFC 4918 §9.1). Raises `BadRequest`."""
    if root is None:
        return Wanted(ALLPROP, [])
    if root.tag != dav("propfind"):
        raise BadRequest("The root element is not DAV:propfind.")
    kinds = [child for child in xml.elements(root) if child.tag in (ALLPROP, PROPNAME, PROP)]
    if len(kinds) != 1:
        raise BadRequest("DAV:propfind has exactly one of DAV:allprop, DAV:propname and DAV:prop.")
    if kinds[0].tag == PROP:
        return Wanted(PROP, names_in(kinds[0]))
    include = xml.child(root, dav("include")) if kinds[0].tag == ALLPROP else None
    return Wanted(str(kinds[0].tag), [] if include is None else names_in(include))


async def propfind(request: Request) -> Answer:
    """Answers PROPFIND."""
    depth = request.depth("infinity")
    wanted = read(await request.xml())
    resource = await request.resource()
    if not isinstance(resource, MemberResource) and depth == "infinity":
        raise Refused(403, dav("propfind-finite-depth"))
    render = names_only if wanted.kind == PROPNAME else describe
    await request.prepare([resource], wanted.to_load(request, resource))
    own = "" if depth == "1" and request.noroot else render(request, resource, wanted.of(request, resource))
    if depth == "0" or isinstance(resource, MemberResource):
        return answer(request, own)
    if isinstance(resource, CollectionResource):
        return await paged(request, own, members(request, resource, wanted))
    children: Sequence[Resource]
    if isinstance(resource, HomeResource):
        children = [collection_of(resource, item) for item in await request.collections_of(resource.found)]
        every = request.site.registry.properties
        await request.prepare_listed(children, wanted.listed if wanted.kind != PROPNAME else list(every))
    elif isinstance(resource, PrincipalResource) and resource.kind is Kind.PRINCIPAL:
        children = delegates_of(resource)
        for child in children:
            await request.prepare([child], wanted.to_load(request, child))
    else:
        children = [
            replace(resource, href=f"{resource.href}{name}/", kind=_below(resource, name), by_uid=name == "__uids__")
            for name in fixed_children(resource.href)
        ]
    return answer(request, own, *(render(request, child, wanted.of(request, child)) for child in children))


def _below(resource: Resource, name: str) -> Kind:
    if resource.kind is Kind.ROOT:
        return Kind.PRINCIPALS if name == "principals" else Kind.HOMES
    return resource.kind


def names_only(request: Request, resource: Resource, wanted: Sequence[str]) -> str:
    """A `DAV:response` with the names of properties, without values."""
    return response(request.url(resource.href), propstat("".join(tags(name)[2] for name in wanted), 200))


async def members(request: Request, collection: CollectionResource, wanted: Wanted) -> AsyncIterator[str]:
    """The responses of a collection's members, page by page in order of names."""
    kind = member_kind(collection.kind)
    known = request.site.registry.by_kind[kind]
    asked = wanted.of_members(request, kind)
    writer = MemberWriter(
        request, collection, asked, known, every_dead=wanted.kind != PROP, names_only=wanted.kind == PROPNAME
    )
    async for rows in member_pages(request, collection.found, writer.columns):
        yield writer.page(rows)
