"""DAV as a front end: it takes every path that no other one takes, and answers errors as RFC 4918 §16 says."""

from __future__ import annotations

from server.dav.core import errors as translation
from server.dav.core.paths import Path
from server.dav.core.request import Request, Site
from server.dav.core.shapes import kind_shown, shape_of
from server.domain.errors import KoyomiError
from server.domain.privileges import Privilege
from server.domain.scopes import Door
from server.http.answer import Answer
from server.http.errors import Refused, reason
from server.http.paths import UrlPath
from server.http.wire import Wire

_KNOWN = frozenset(
    {"CONNECT", "TRACE", "PATCH", "LOCK", "UNLOCK", "SEARCH", "MKCOL", "MKCALENDAR", "POST", "ACL", "BIND", "UNBIND"}
)
"""Methods that exist elsewhere and are not offered."""


class DavFrontEnd:
    """Answers CalDAV, CardDAV and WebDAV."""

    door: Door = "apps"

    def __init__(self, site: Site) -> None:
        self._site = site
        self.routes = site.registry.routes
        self._fixed = frozenset(kind for kind in site.registry.routes.kinds if kind.startswith("/"))
        """Paths that routes name themselves."""

    def takes(self, path: UrlPath) -> bool:
        """Whether requests for a path are answered here: always."""
        return True

    def open(self, wire: Wire, path: UrlPath) -> Request:
        """Begin with a request."""
        return Request(wire, self._site, Path(path.segments, path.slash, path.href))

    def kind_of(self, request: Request) -> str:
        """The path itself where a route names it, else what it can name by its shape."""
        path = request.path
        return path.href if path.href in self._fixed else shape_of(path)

    def refuse(self, error: KoyomiError, request: Request | None) -> Answer:
        """The answer to an error: a `DAV:error` body, or a line of text where no precondition fits."""
        card = request is not None and request.path.tree == "addressbooks"
        holder = ""
        if request is not None:
            holder = request.url((request.destination or request.path).parent().url)
        body = translation.body(error, card=card, collection_href=holder, prefix=self._site.prefix)
        answer = Answer(translation.status_of(error))
        if body is not None:
            answer.body = body.encode("utf-8", "replace")
            answer.headers["Content-Type"] = "application/xml; charset=utf-8"
        else:
            answer.body = (reason(error) + "\n").encode("utf-8", "replace")
            answer.headers["Content-Type"] = "text/plain; charset=utf-8"
        if answer.status == 405 and request is not None:
            answer.headers["Allow"] = self._site.registry.allow[kind_shown(request.path)]
        return answer


async def not_offered(request: Request) -> Answer:
    """Answers what has no route, for those who may read what is there."""
    await request.look_up(need=Privilege.READ)
    if request.method in _KNOWN | request.site.registry.routes.methods:
        raise Refused(405, "This method is not offered here.")
    raise Refused(501, "There is no such method.")
