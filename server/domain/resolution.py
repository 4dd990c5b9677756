"""The result of the first statement of a request."""

from __future__ import annotations

from server.domain.grants import NO_GRANTS, Grants
from server.domain.objects import Collection, Home, Object
from server.domain.principals import Principal
from server.domain.values import value


@value
class Resolution:
    """The result of the first statement of a request: the viewer, and the resources in the path. Absent ones are
    None."""

    viewer: Principal | None
    owner: Principal | None = None
    home: Home | None = None
    collection: Collection | None = None
    object: Object | None = None
    grants: Grants = NO_GRANTS
