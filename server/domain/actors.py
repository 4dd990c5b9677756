"""Who acts."""

from __future__ import annotations

from dataclasses import dataclass

from server.domain.changes import Cause
from server.domain.principals import Principal


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: made once by the front end, and the first argument of services.

    The installation itself acts in commands and jobs: it may do everything.
    """

    principal: Principal | None
    """Who is signed in; None: the installation."""
    origin: str
    """`caldav`, `carddav`, `import`, `cli`, ...; a connector's own name, so that it does not hear its own writes."""
    request_id: str = ""
    acting_for: int | None = None
    """The id of the principal for whom a delegate acts, or on whose behalf the installation does: it sees what they
    see."""
    trace: str = ""
    """The W3C trace context of the request, as the header `traceparent` has it; empty where there is none."""

    @property
    def viewer_id(self) -> int | None:
        """The id of the principal in whose view shared resources are seen; None: in their owner's."""
        return self.acting_for if self.principal is None else self.principal.id

    @property
    def cause(self) -> Cause:
        """What is recorded of the actor with a change."""
        principal_id = None if self.principal is None else self.principal.id
        return Cause(principal_id, self.origin, self.request_id, self.acting_for, self.trace)
