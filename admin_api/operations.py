"""The row of an operation. Routing, the OpenAPI document, the page, docs/api.md and tests are made from these rows."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from admin_api.models import Model, NoQuery
from server.domain.scopes import Access, Area

if TYPE_CHECKING:
    from admin_api.calls import Call, Reply

BASE = "/api/v1"
"""What all paths begin with."""
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Handler = Callable[["Call"], Awaitable["Reply"]]
_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation."""

    id: str
    """Its operationId: never changed, since clients are generated from it."""
    method: Method
    path: str
    """Below `BASE`; a segment in braces is a parameter."""
    area: Area
    access: Access
    """What a service token needs in the area."""
    summary: str
    handler: Handler = field(repr=False)
    response: type[Model] | None = None
    """None: the answer has no body."""
    status: int = 200
    request: type[Model] | None = None
    """None: the operation takes no body."""
    query: type[Model] = NoQuery
    tagged: bool = False
    """Whether answers have an ETag of what they show."""
    needs_match: bool = False
    """Whether the request must say in If-Match which state it changes."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters in the path."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def media_type(self) -> str:
        """The media type of the request's body: PATCH takes a merge patch (RFC 7396)."""
        return "application/merge-patch+json" if self.method == "PATCH" else "application/json"
