"""What handlers of operations work with: the services of a worker."""

from __future__ import annotations

from dataclasses import dataclass

from server.services.lookup import Lookup
from server.services.principals.accounts import Accounts
from server.services.principals.people import People
from server.services.system import System


@dataclass(frozen=True, slots=True)
class ApiSite:
    """The services of a worker."""

    lookup: Lookup
    people: People
    accounts: Accounts
    system: System
    max_body: int
    """Bytes of the largest body."""
    requests_per_minute: int
    """Of a person to each worker; 0 limits nobody."""
    prefix: str = ""
    """The path under which a proxy shows this server."""
