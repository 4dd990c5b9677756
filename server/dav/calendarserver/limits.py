"""calendarserver limits: how many collections a home and how many members a collection may hold."""

from __future__ import annotations

from server.dav.core.names import calendarserver
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import HOMES, MADE, Resource


def _max_collections(request: Request, resource: Resource) -> str:
    return str(request.site.limits.max_collections)


def _max_resources(request: Request, resource: Resource) -> str:
    return str(request.site.limits.max_members)


STANDARD = Standard(
    "calendarserver limits",
    properties=(
        Property(calendarserver("max-collections"), HOMES, _max_collections),
        Property(calendarserver("max-resources"), MADE, _max_resources),
    ),
)
