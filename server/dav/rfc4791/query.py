"""calendar-query (RFC 4791 §7.8)."""

from __future__ import annotations

from collections.abc import Mapping

from server.calendar.component import Component, parse_calendar
from server.calendar.contentline import Property
from server.calendar.filters import CompFilter, TimeRange, alternatives, is_unconditional, matches
from server.dav.core import xml
from server.dav.core.query import Test, query
from server.dav.core.request import Answer, Request
from server.dav.core.resource import Kind, Resource
from server.dav.rfc4791.calendar_data import CALENDAR_DATA, asked_for
from server.dav.rfc4791.filter_xml import read_query
from server.errors import UnsupportedFilter
from server.storage import MemberColumn, Row

CALENDARS = frozenset({Kind.CALENDAR})


async def calendar_query(request: Request, resource: Resource, root: xml.Element) -> Answer:
    """Answers the report."""
    wanted, data = asked_for(request, root)
    asked = read_query(root)
    test, columns = test_of(asked.comp_filter)
    return await query(request, resource, wanted, {CALENDAR_DATA: data}, test, columns, CALENDARS, None)


def test_of(comp_filter: CompFilter) -> tuple[Test | None, tuple[MemberColumn, ...]]:
    """How rows are tested, and the columns that this needs: the text only where other columns do not tell."""
    if is_unconditional(comp_filter):
        return None, ()
    choices = alternatives(comp_filter)
    if choices is not None and all(choice.exact and choice.time_range is None for choice in choices):
        components = frozenset(choice.component for choice in choices)
        return lambda row, where: row[where["component"]] in components, ("component",)

    def by_text(row: Row, where: Mapping[MemberColumn, int]) -> bool:
        return matches(comp_filter, parse_calendar(row[where["text"]]), no_time_range)

    return by_text, ("text",)


def no_time_range(path: tuple[Component, ...], prop: Property | None, time_range: TimeRange, /) -> bool:
    """Refuses filters by time."""
    raise UnsupportedFilter("Filters by time are not offered.", "<C:time-range/>")
