"""Routes: which handler answers a request, by its method, the kind of resource that its path names, and its media type.

The kind follows from the shape of the path, so that finding a route needs no lookup. A handler finds out what there is.
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
"""Stands for every method that has no route of its own."""


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
        self._routes: dict[tuple[str, str, str], Route[R]] = {}
        self._by_type: set[tuple[str, str]] = set()
        self._otherwise: Route[R] = Route(ANY, frozenset(), otherwise)
        for route in routes:
            for kind in route.kinds:
                for media_type in route.media_types or ("",):
                    if self._routes.setdefault((route.method, kind, media_type), route) is not route:
                        raise ValueError(f"{route.method} {media_type} on {kind} has two routes")
                if route.media_types:
                    self._by_type.add((route.method, kind))
        self.methods = frozenset(method for method, _, _ in self._routes)
        self.kinds = frozenset(kind for _, kind, _ in self._routes)

    def find(self, method: str, kind: str, headers: Headers) -> Route[R]:
        """The route of a request."""
        if (method, kind) in self._by_type:
            found = self._routes.get((method, kind, media_type(headers)))
            if found is not None:
                return found
        return self._routes.get((method, kind, "")) or self._routes.get((ANY, kind, "")) or self._otherwise


def media_type(headers: Headers) -> str:
    """The media type of the body in lower case; empty where none is named (RFC 9110 §8.3.1)."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()
