"""What one statement finds about a request."""

from __future__ import annotations

from dataclasses import dataclass

from server.domain.grants import NO_GRANTS, Grants
from server.domain.objects import Collection, Home, Object
from server.domain.principals import Principal


@dataclass(frozen=True, slots=True)
class Resolution:
    """What one statement finds about a request: who asks, and what the path names. Absent things are None."""

    viewer: Principal | None
    owner: Principal | None = None
    home: Home | None = None
    collection: Collection | None = None
    object: Object | None = None
    grants: Grants = NO_GRANTS
