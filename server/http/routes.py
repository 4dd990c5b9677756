"""Routes: which handler answers a request, by its method, the kind of resource that its path names, and its media type.

The kind follows from the shape of the path, so that finding a route needs no lookup. Handlers look resources up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from server.http.answer import Answer
from server.http.headers import Headers

R = TypeVar("R")
"""A request as its front end sees it."""
Handler = Callable[[R], Awaitable[Answer]]

ANY = "*"
"""The method of the route that answers all methods without a route."""


@dataclass(frozen=True, slots=True)
class Route(Generic[R]):
    """A handler, and the requests that it answers."""

    method: str
    """Or `ANY`."""
    kinds: frozenset[str]
    """Kinds of resources, as the front end names them."""
    handler: Handler[R]
    media_types: frozenset[str] = frozenset()
    """Of the body, in lower case; empty for a route that takes all that have no route of their own."""
    open: bool = False
    """Whether everybody is answered, signed in or not."""
    takes_body: bool = True
    """Whether a body may come with the request."""


class Routes(Generic[R]):
    """The routes of a front end."""

    def __init__(self, routes: Iterable[Route[R]], otherwise: Handler[R]) -> None:
        """`otherwise` answers what has no route, of people who are signed in. Raises `ValueError` for two alike."""
        self._routes: dict[tuple[str, str], Route[R]] = {}
        self._by_type: dict[tuple[str, str], dict[str, Route[R]]] = {}
        self._otherwise: Route[R] = Route(ANY, frozenset(), otherwise)
        for route in routes:
            for kind in route.kinds:
                at = route.method, kind
                if not route.media_types and self._routes.setdefault(at, route) is not route:
                    raise ValueError(f"{route.method} on {kind} has two routes")
                for each in route.media_types:
                    if self._by_type.setdefault(at, {}).setdefault(each, route) is not route:
                        raise ValueError(f"{route.method} of {each} on {kind} has two routes")
        every = self._routes.keys() | self._by_type.keys()
        self.methods = frozenset(method for method, _ in every) - {ANY}
        self.kinds = frozenset(kind for _, kind in every)

    def find(self, method: str, kind: str, headers: Headers) -> Route[R]:
        """The route of a request."""
        at = method, kind
        if at in self._by_type:
            found = self._by_type[at].get(media_type(headers))
            if found is not None:
                return found
        return self._routes.get(at) or self._routes.get((ANY, kind)) or self._otherwise


def media_type(headers: Headers) -> str:
    """The media type of the body in lower case; empty where none is named (RFC 9110 §8.3.1)."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()
