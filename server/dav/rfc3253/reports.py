"""RFC 3253 §3.6: the REPORT method, DAV:supported-report-set (§3.1.5), and DAV:supported-live-property-set (§3.1.4).

RFC 5995 §3.2.1 demands the latter too.
"""

from __future__ import annotations

from server.calendar.work import share
from server.dav.core import names
from server.dav.core.errors import Refused
from server.dav.core.names import dav
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import EVERY, Resource
from server.dav.core.shapes import SHAPES
from server.domain.errors import AccessDenied
from server.domain.privileges import Privilege
from server.http.answer import Answer
from server.http.routes import Route


async def report(request: Request) -> Answer:
    """Hands a REPORT to the report that its body names."""
    root = await request.demand_xml()
    name = str(root.tag)
    request.operation = name
    asked = request.site.registry.reports.get(name)
    need = Privilege.READ if asked is None else asked.privilege
    resource = await request.resource(need=need)
    if asked is None or resource.kind not in asked.kinds:
        if Privilege.READ not in request.privileges(resource):
            raise AccessDenied(resource.href, need)
        raise Refused(403, dav("supported-report"), "The resource does not offer this report (RFC 3253 §3.6).")
    share()
    return await asked.answer(request, resource, root)


def _supported_report_set(request: Request, resource: Resource) -> str:
    return "".join(
        f"<D:supported-report><D:report>{names.element(name)}</D:report></D:supported-report>"
        for name in request.site.registry.reports_of(resource.kind)
    )


def _supported_live_property_set(request: Request, resource: Resource) -> str:
    return "".join(
        f"<D:supported-live-property><D:prop>{names.element(name)}</D:prop></D:supported-live-property>"
        for name in request.site.registry.by_kind[resource.kind]
    )


STANDARD = Standard(
    "RFC 3253",
    properties=(
        Property(dav("supported-report-set"), EVERY, _supported_report_set, same_for_members=True),
        Property(dav("supported-live-property-set"), EVERY, _supported_live_property_set, same_for_members=True),
    ),
    routes=(Route("REPORT", SHAPES, report),),
    offers=(("REPORT", EVERY),),
)
