"""The actor of a request, a command or a job."""

from __future__ import annotations

from server.domain.changes import Cause
from server.domain.principals import Principal
from server.domain.values import value


@value
class Actor:
    """The person or program that acts. The front end makes the value once; it is the first argument of services.

    The installation itself is the actor of commands and jobs: it may do everything.
    """

    principal: Principal | None
    """Who is signed in; None: the installation."""
    origin: str
    """`caldav`, `carddav`, `import`, `cli`, ...; a connector's own name, so that it does not hear its own writes."""
    request_id: str = ""
    acting_for: int | None = None
    """The id of the principal for whom a delegate acts. If the installation acts, the id of the principal in whose view
    it reads."""
    trace: str = ""
    """The W3C trace context of the request, as the header `traceparent` has it; empty where there is none."""

    @property
    def viewer_id(self) -> int | None:
        """The id of the principal in whose view shared resources are seen; None: in their owner's."""
        return self.acting_for if self.principal is None else self.principal.id

    @property
    def cause(self) -> Cause:
        """The part of the actor that is recorded with a change."""
        principal_id = None if self.principal is None else self.principal.id
        return Cause(principal_id, self.origin, self.request_id, self.acting_for, self.trace)
