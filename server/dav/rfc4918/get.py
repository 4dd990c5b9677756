"""GET and HEAD (RFC 4918 §9.4): members as they were sent; what a collection shows is a matter of its standard."""

from __future__ import annotations

from collections.abc import AsyncIterator

from server.dav.core.member_pages import member_pages
from server.dav.core.request import Request
from server.dav.core.resource import (
    CONTAINERS,
    CollectionResource,
    HomeResource,
    Kind,
    MemberResource,
    PrincipalResource,
    Resource,
)
from server.dav.rfc4918 import conditions
from server.dav.rfc4918.listing import fixed_listing, frame, home_listing, links, principal_listing
from server.dav.rfc4918.properties import HTML_TYPE, content_type, http_date
from server.http.answer import Answer
from server.http.paths import encode


async def get(request: Request) -> Answer:
    """Answers GET and HEAD."""
    resource = await request.resource(text=True)
    if resource.kind in CONTAINERS and not request.path.slash:
        return Answer(301, headers={"Location": request.url(resource.href)})
    unchanged = await conditions.check(request, resource)
    headers = {"ETag": conditions.entity_tag(resource)}
    modified = conditions.last_modified(resource)
    if modified is not None:
        headers["Last-Modified"] = http_date(modified)
    if unchanged:
        return Answer(304, headers=headers)
    if isinstance(resource, MemberResource):
        return member(resource, headers)
    getter = request.site.registry.getters.get(resource.kind)
    if getter is not None and not prefers_html(request):
        return await getter.answer(request, resource, headers)
    return await listing(request, resource, headers)


def member(resource: MemberResource, headers: dict[str, str]) -> Answer:
    """A member's text, byte by byte as it is stored."""
    found = resource.object
    headers["Content-Type"] = content_type(found.component)
    if found.schedule_tag is not None:
        headers["Schedule-Tag"] = f'"{found.schedule_tag}"'
    return Answer(200, (found.text or "").encode(), headers)


def prefers_html(request: Request) -> bool:
    """Whether the client asks for a page by name, as browsers do."""
    return "text/html" in request.headers.get("Accept", "").lower()


_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


async def listing(request: Request, resource: Resource, headers: dict[str, str]) -> Answer:
    """The HTML page of a collection."""
    body = b""
    if resource.kind in (Kind.ROOT, Kind.PRINCIPALS, Kind.HOMES):
        body = fixed_listing(request, resource)
    elif isinstance(resource, HomeResource):
        body = await home_listing(request, resource)
    elif isinstance(resource, PrincipalResource) and resource.kind is Kind.PRINCIPAL:
        body = principal_listing(resource)
    headers["Content-Type"] = HTML_TYPE
    # No script, no frame around it, nothing told to other sites; nosniff is said with every answer.
    headers["Content-Security-Policy"] = _NOTHING
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if isinstance(resource, CollectionResource):
        return Answer(200, headers=headers, stream=member_listing(request, resource))
    return Answer(200, body, headers)


async def member_listing(request: Request, resource: CollectionResource) -> AsyncIterator[bytes]:
    """The page of a collection, as its members are read."""
    collection = resource.collection
    count = collection.member_count
    start, end = frame(f"{collection.name} ({count} {'entry' if count == 1 else 'entries'})")
    yield start
    async for rows in member_pages(request, resource.found, ("name",)):
        yield links((request.url(resource.href + encode(row[0])), row[0]) for row in rows)
    yield end
