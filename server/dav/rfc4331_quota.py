"""RFC 4331: DAV:quota-available-bytes and DAV:quota-used-bytes. Each write enforces the limit (507).

The used bytes are those of what the person sees: objects and dead properties. What is deleted and kept, and personal
copies, may take as many again.
"""

from __future__ import annotations

from server.dav.core.names import dav
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import COLLECTIONS, HOMES, Resource


def _used(request: Request, resource: Resource) -> str:
    assert resource.home is not None
    return str(resource.home.used_bytes)


def _available(request: Request, resource: Resource) -> str:
    home = resource.home
    assert home is not None
    quota = request.site.limits.quota_bytes if home.quota_bytes is None else home.quota_bytes
    return str(max(0, min(quota, 2 * quota - home.kept_bytes) - home.used_bytes))


STANDARD = Standard(
    "RFC 4331",
    properties=(
        Property(dav("quota-used-bytes"), HOMES | COLLECTIONS, _used),
        Property(dav("quota-available-bytes"), HOMES | COLLECTIONS, _available),
    ),
)
