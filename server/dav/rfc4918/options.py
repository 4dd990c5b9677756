"""OPTIONS (RFC 4918 §10.1, RFC 9110 §9.3.7): what each resource offers."""

from __future__ import annotations

from server.dav.core.request import Request
from server.dav.core.resource import Kind, Resource, resource_at
from server.domain.errors import NotFound
from server.domain.privileges import Privilege
from server.http.answer import Answer

_UNMAPPED = {
    ("calendars", 4): "OPTIONS, MKCALENDAR, MKCOL",
    ("addressbooks", 4): "OPTIONS, MKCOL",
    ("calendars", 5): "OPTIONS, PUT",
    ("addressbooks", 5): "OPTIONS, PUT",
}


async def options(request: Request) -> Answer:
    """Answers OPTIONS."""
    found = await request.look_up(need=Privilege.READ)
    registry = request.site.registry
    path = request.path
    try:
        resource: Resource | None = resource_at(path, found)
    except NotFound:
        resource = None
        if (path.tree, len(path.segments)) not in _UNMAPPED or found.home is None:
            raise
    if resource is None:
        kind = Kind.CALENDAR if path.tree == "calendars" else Kind.ADDRESSBOOK
        allow = _UNMAPPED[path.tree, len(path.segments)]
    else:
        kind = resource.kind
        allow = registry.allow[kind]
    return Answer(200, headers={"DAV": registry.tokens[kind], "Allow": allow})
