"""A request to the API, before its operation is called."""

from __future__ import annotations

from collections.abc import Mapping

from admin_api.operations import Operation
from server.domain.changes import Cause
from server.domain.principals import Principal
from server.http.wire import Wire

ORIGIN = "api"
"""The origin of actors, as the journal has it."""


class ApiRequest:
    """A request under way."""

    acting_for: int | None = None
    concerned: int | None = None
    tree = "api"

    def __init__(self, wire: Wire, kind: str, operation: Operation | None, path: Mapping[str, str]) -> None:
        """`kind` is the template of the path; `operation` the row of the method there, if it has one."""
        self.wire = wire
        self.kind = kind
        self.row = operation
        self.path = path
        self.viewer: Principal | None = None
        """Who is signed in, as far as it is known yet."""
        self.rate: dict[str, str] = {}
        """Headers that tell how many more requests may be sent."""

    @property
    def operation(self) -> str:
        """The operationId, for logs and metrics."""
        return "" if self.row is None else self.row.id

    @property
    def cause(self) -> Cause | None:
        """Who asks, as the journal has it, as far as it is known yet."""
        viewer = self.viewer
        return None if viewer is None else Cause(viewer.id, ORIGIN, self.wire.request_id, trace=self.wire.trace)
