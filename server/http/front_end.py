"""A front end: a part of the server that answers the requests of one protocol, such as DAV."""

from __future__ import annotations

from typing import Protocol, TypeVar

from server.domain.errors import KoyomiError
from server.domain.scopes import Door
from server.http.answer import Answer
from server.http.paths import UrlPath
from server.http.request_log import Logged
from server.http.routes import Routes
from server.http.wire import Wire

R = TypeVar("R", bound=Logged)
"""A request as the front end sees it."""


class FrontEnd(Protocol[R]):
    """Answers the requests for some paths."""

    @property
    def routes(self) -> Routes[R]:
        """Its handlers."""

    @property
    def door(self) -> Door:
        """What somebody who signs in here opens."""

    def takes(self, path: UrlPath) -> bool:
        """Whether requests for a path are answered here."""

    def open(self, wire: Wire, path: UrlPath) -> R:
        """Begin with a request. Reads no body, and asks nobody. Raises `BadRequest`."""

    def kind_of(self, request: R) -> str:
        """The kind of resource that the request's path names, by its shape."""

    def refuse(self, error: KoyomiError, request: R | None) -> Answer:
        """The answer to an error; `request` is None where its head could not be read."""
