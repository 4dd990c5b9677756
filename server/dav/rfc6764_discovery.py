"""RFC 6764 §5: /.well-known/caldav and /.well-known/carddav, which lead to the root, where sign-in tells who it is."""

from __future__ import annotations

from server.dav.core.registry import Standard
from server.dav.core.request import Request
from server.http.answer import Answer
from server.http.routes import ANY, Route


async def redirect(request: Request) -> Answer:
    """Answers any method, signed in or not, with a redirect that also holds behind a proxy's path prefix."""
    return Answer(301, headers={"Location": request.site.prefix + "/", "Cache-Control": "max-age=86400"})


PATHS = frozenset({"/.well-known/caldav", "/.well-known/carddav"})
STANDARD = Standard("RFC 6764", routes=(Route(ANY, PATHS, redirect, open=True),))
