"""GET and HEAD (RFC 4918 §9.4): members as they were sent; what a collection shows is a matter of its standard."""

from __future__ import annotations

from server.dav.core.paths import encode
from server.dav.core.request import Answer, Request
from server.dav.core.resource import CONTAINERS, HOMES, Kind, Resource, collection_of
from server.dav.rfc4918 import conditions
from server.dav.rfc4918.listing import fixed_listing, page
from server.dav.rfc4918.properties import HTML_TYPE, content_type, http_date


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
    if resource.object is not None:
        return member(resource, headers)
    getter = request.site.registry.getters.get(resource.kind)
    if getter is not None and not prefers_html(request):
        return await getter(request, resource, headers)
    return await listing(request, resource, headers)


def member(resource: Resource, headers: dict[str, str]) -> Answer:
    """A member's text, byte by byte as it is stored."""
    found = resource.object
    assert found is not None
    headers["Content-Type"] = content_type(found.component)
    if found.schedule_tag is not None:
        headers["Schedule-Tag"] = f'"{found.schedule_tag}"'
    return Answer(200, (found.text or "").encode(), headers)


def prefers_html(request: Request) -> bool:
    """Whether the client asks for a page by name, as browsers do."""
    return "text/html" in request.headers.get("Accept", "").lower()


async def listing(request: Request, resource: Resource, headers: dict[str, str]) -> Answer:
    """The HTML page of a collection."""
    if resource.kind in (Kind.ROOT, Kind.PRINCIPALS, Kind.HOMES):
        body = fixed_listing(request, resource)
    elif resource.kind in HOMES:
        assert resource.home is not None
        children = await request.site.storage.collections(resource.home, request.person.id)
        links = [(request.url(collection_of(resource, child).href), child.name) for child in children]
        body = page(resource.owner.display_name if resource.owner else resource.name, links)
    elif resource.collection is not None:
        rows = await request.site.storage.members(
            resource.collection, ("name",), after=None, limit=request.site.page_size
        )
        count = resource.collection.member_count
        title = f"{resource.collection.name} ({count} {'entry' if count == 1 else 'entries'})"
        body = page(title, [(request.url(resource.href + encode(row[0])), row[0]) for row in rows])
    else:
        assert resource.owner is not None
        body = page(resource.owner.display_name or resource.owner.name, [])
    headers["Content-Type"] = HTML_TYPE
    headers["Content-Security-Policy"] = "default-src 'none'"
    headers["X-Content-Type-Options"] = "nosniff"
    return Answer(200, body, headers)
