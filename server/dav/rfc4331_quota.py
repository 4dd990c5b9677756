"""RFC 4331: DAV:quota-available-bytes and DAV:quota-used-bytes. Each write enforces the limit (507).

The used bytes are those of what the person sees: objects and dead properties. What is deleted and kept, and personal
copies, may take as many again.
"""

from __future__ import annotations

from server.dav.core.names import dav
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import HOMES_AND_COLLECTIONS, InHome


def _used(request: Request, resource: InHome) -> str:
    return str(resource.home.used_bytes)


def _available(request: Request, resource: InHome) -> str:
    home = resource.home
    quota = request.site.limits.quota_bytes if home.quota_bytes is None else home.quota_bytes
    return str(max(0, min(quota, 2 * quota - home.kept_bytes) - home.used_bytes))


STANDARD = Standard(
    "RFC 4331",
    properties=(
        Property(dav("quota-used-bytes"), HOMES_AND_COLLECTIONS, _used),
        Property(dav("quota-available-bytes"), HOMES_AND_COLLECTIONS, _available),
    ),
)
