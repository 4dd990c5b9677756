"""The standards that the server offers. One that is left out of this list is left out of the server."""

from __future__ import annotations

from server.dav import (
    apple_calendar_properties,
    rfc4331_quota,
    rfc4791,
    rfc4918,
    rfc5397_current_principal,
    rfc5689_extended_mkcol,
    rfc5842_resource_id,
    rfc5995_add_member,
    rfc6352,
    rfc6578_sync,
    rfc6638_busy_times,
    rfc6638_scheduling,
    rfc6764_discovery,
    rfc7809_timezones,
    rfc7953_availability,
    room_properties,
)
from server.dav.calendarserver import ctag as calendarserver_ctag
from server.dav.calendarserver import limits as calendarserver_limits
from server.dav.calendarserver import partstat_changes as calendarserver_partstat_changes
from server.dav.calendarserver import principal_search as calendarserver_principal_search
from server.dav.calendarserver import private_comments as calendarserver_private_comments
from server.dav.calendarserver import proxy as calendarserver_proxy
from server.dav.calendarserver import recurrence_split as calendarserver_recurrence_split
from server.dav.calendarserver import schedule_changes as calendarserver_schedule_changes
from server.dav.core.registry import Standard
from server.dav.core.request import Request
from server.dav.rfc3253 import expand_property as rfc3253_expand_property
from server.dav.rfc3253 import reports as rfc3253_reports
from server.dav.rfc3744 import access as rfc3744_access
from server.dav.rfc3744 import acl_method as rfc3744_acl_method
from server.dav.rfc3744 import principal_reports as rfc3744_principal_reports
from server.dav.rfc3744 import principal_search as rfc3744_principal_search


def standards(installation: bytes) -> list[Standard[Request]]:
    """All of them. `installation` is its id, from which resource ids are made."""
    return [
        rfc4918.STANDARD,
        rfc3744_access.STANDARD,
        rfc3744_acl_method.STANDARD,
        rfc3744_principal_reports.STANDARD,
        rfc3744_principal_search.STANDARD,
        rfc3253_reports.STANDARD,
        rfc3253_expand_property.STANDARD,
        rfc5397_current_principal.STANDARD,
        rfc5689_extended_mkcol.STANDARD,
        rfc5842_resource_id.standard(installation),
        rfc5995_add_member.STANDARD,
        rfc6764_discovery.STANDARD,
        rfc4331_quota.STANDARD,
        rfc6578_sync.STANDARD,
        rfc4791.STANDARD,
        rfc6638_scheduling.STANDARD,
        rfc6638_busy_times.STANDARD,
        rfc7809_timezones.STANDARD,
        rfc7953_availability.STANDARD,
        room_properties.STANDARD,
        rfc6352.STANDARD,
        calendarserver_ctag.STANDARD,
        calendarserver_limits.STANDARD,
        calendarserver_principal_search.STANDARD,
        calendarserver_proxy.STANDARD,
        calendarserver_recurrence_split.STANDARD,
        calendarserver_schedule_changes.STANDARD,
        calendarserver_private_comments.STANDARD,
        calendarserver_partstat_changes.STANDARD,
        apple_calendar_properties.STANDARD,
    ]
