"""A call of an operation, as its handler gets it, and the reply that the handler gives."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from admin_api.models import Model
from server.domain.actors import Actor
from server.domain.errors import PreconditionFailed, PreconditionRequired
from server.domain.principals import Principal
from server.http.conditions import tags_of
from server.http.headers import Headers

if TYPE_CHECKING:
    from admin_api.site import ApiSite

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers with."""

    value: Model | None = None
    location: str = ""
    """The path of what was made, below `BASE`."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose sender, query and body are known and checked."""

    site: ApiSite
    actor: Actor
    viewer: Principal
    """Who calls."""
    scopes: frozenset[str] | None
    """What the credentials are limited to; None: not limited."""
    path: Mapping[str, str]
    """The parameters in the path."""
    query: Model
    body: Model | None
    headers: Headers

    def query_as(self, model: type[M]) -> M:
        """The parameters of the query, of the operation's model."""
        assert isinstance(self.query, model)
        return self.query

    def body_as(self, model: type[M]) -> M:
        """The body, of the operation's model."""
        assert isinstance(self.body, model)
        return self.body

    def demand_match(self, current: Model) -> None:
        """Raises `PreconditionRequired` without If-Match, `PreconditionFailed` unless it names the current state."""
        if "If-Match" not in self.headers:
            raise PreconditionRequired
        tags = tags_of(self.headers, "If-Match")
        if "*" not in tags and entity_tag(encoded(current)) not in tags:
            raise PreconditionFailed("The resource has changed: its ETag is not one of If-Match.")


def encoded(value: Model) -> bytes:
    """A model as JSON."""
    return value.model_dump_json().encode() + b"\n"


def entity_tag(body: bytes) -> str:
    """The ETag of a representation."""
    return f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
