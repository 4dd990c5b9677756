"""The XML of a calendar-query's filter and of calendar-data, as values (RFC 4791 §9.6 to §9.9).

The extension calendar-query-extended is part of it: `test` on component and property filters, `match-type` on text
matches.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.calendar.component import MAX_DEPTH
from server.calendar.filters import (
    CompFilter,
    ParamFilter,
    PropFilter,
    TextMatch,
    TimeRange,
    check_filter,
    parse_time_range,
)
from server.calendar.partial import CompSelection, check_selection, is_whole
from server.dav.core.filter_xml import (
    bound,
    collation_of,
    conditions,
    match_type_of,
    name_of,
    needle_of,
    only,
    parts,
    test_of,
    yes_or_no,
)
from server.dav.core.names import CALDAV, caldav
from server.dav.core.xml import Element, text_of
from server.domain.collation import ASCII_CASEMAP
from server.domain.errors import InvalidFilter, UnsupportedMediaType

_IN_FILTER = frozenset(("comp-filter",))
_IN_COMP_FILTER = frozenset(("is-not-defined", "time-range", "prop-filter", "comp-filter"))
_IN_PROP_FILTER = frozenset(("is-not-defined", "time-range", "text-match", "param-filter"))
_IN_PARAM_FILTER = frozenset(("is-not-defined", "text-match"))
_IN_CALENDAR_DATA = frozenset(("comp", "expand", "limit-recurrence-set", "limit-freebusy-set"))
_IN_COMP = frozenset(("allprop", "prop", "allcomp", "comp"))


@dataclass(frozen=True, slots=True)
class CalendarQuery:
    """What a calendar-query asks for, apart from properties."""

    comp_filter: CompFilter
    timezone: str | None
    """The iCalendar text of CALDAV:timezone, not judged; it stands in for the calendar's own zone."""
    timezone_id: str | None
    """CALDAV:timezone-id (RFC 7809 §6.2), not judged; never together with `timezone`."""


@dataclass(frozen=True, slots=True)
class CalendarDataRequest:
    """What a CALDAV:calendar-data in a request asks for. Both bounds of the time ranges are given."""

    selection: CompSelection | None
    """None for everything."""
    expand: TimeRange | None
    limit_recurrence_set: TimeRange | None
    """Never together with `expand`."""
    limit_freebusy_set: TimeRange | None


def read_query(root: Element) -> CalendarQuery:
    """Filter and time zone of a CALDAV:calendar-query (RFC 4791 §9.5).

    :raises InvalidFilter: for a filter that is missing, that the RFC does not allow, or that is too large.
    :raises UnsupportedFilter: for conditions of another namespace.
    :raises UnsupportedCollation: for a collation that is not supported.
    """
    element = only(root.findall(caldav("filter")))
    if element is None:
        raise InvalidFilter("The query has no filter.")
    timezone = only(root.findall(caldav("timezone")))
    timezone_id = only(root.findall(caldav("timezone-id")))
    if timezone is not None and timezone_id is not None:
        raise InvalidFilter("The query has both a timezone and a timezone-id.")
    return CalendarQuery(
        read_filter(element),
        None if timezone is None else text_of(timezone),
        None if timezone_id is None else text_of(timezone_id),
    )


def read_filter(element: Element) -> CompFilter:
    """A CALDAV:filter (RFC 4791 §9.7). Raises as `read_query` does."""
    bound(element)
    outermost = only([child for _, child in conditions(element, CALDAV, _IN_FILTER)])
    if outermost is None:
        raise InvalidFilter("The filter is empty.")
    comp_filter = _comp_filter(outermost, 1)
    check_filter(comp_filter)
    return comp_filter


def read_time_range(element: Element) -> TimeRange:
    """A CALDAV:time-range (RFC 4791 §9.9).

    :raises InvalidFilter: without start and end, for anything but date-times in UTC, for an end not after the start.
    """
    return parse_time_range(element.get("start"), element.get("end"))


def read_calendar_data(element: Element) -> CalendarDataRequest:
    """A CALDAV:calendar-data in a request (RFC 4791 §9.6).

    :raises UnsupportedMediaType: for another media type or version than text/calendar 2.0.
    :raises InvalidFilter: for what the RFC does not allow there, or too large a selection.
    """
    media_type = element.get("content-type", "text/calendar").partition(";")[0].strip().lower()
    version = element.get("version", "2.0").strip()
    if (media_type, version) != ("text/calendar", "2.0"):
        raise UnsupportedMediaType(f"Calendar data is text/calendar 2.0, not {media_type[:80]!r} {version[:40]!r}.")
    children = parts(element, CALDAV, _IN_CALENDAR_DATA)

    def one(name: str) -> Element | None:
        return only([child for local, child in children if local == name])

    comp = one("comp")
    selection = None if comp is None else _selection(comp, 1)
    if selection is not None:
        check_selection(selection)
        if is_whole(selection):
            selection = None
    found = CalendarDataRequest(
        selection, _window(one("expand")), _window(one("limit-recurrence-set")), _window(one("limit-freebusy-set"))
    )
    if found.expand is not None and found.limit_recurrence_set is not None:
        raise InvalidFilter("calendar-data has both expand and limit-recurrence-set.")
    return found


def _comp_filter(element: Element, depth: int) -> CompFilter:
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"Component filters are nested more than {MAX_DEPTH} deep.")
    children = conditions(element, CALDAV, _IN_COMP_FILTER)
    return CompFilter(
        name_of(element),
        any(local == "is-not-defined" for local, _ in children),
        _time_range(children),
        tuple(_prop_filter(child) for local, child in children if local == "prop-filter"),
        tuple(_comp_filter(child, depth + 1) for local, child in children if local == "comp-filter"),
        test_of(element, "allof"),
    )


def _prop_filter(element: Element) -> PropFilter:
    children = conditions(element, CALDAV, _IN_PROP_FILTER)
    return PropFilter(
        name_of(element),
        any(local == "is-not-defined" for local, _ in children),
        _time_range(children),
        _text_match(children, element),
        tuple(_param_filter(child) for local, child in children if local == "param-filter"),
        test_of(element, "allof"),
    )


def _param_filter(element: Element) -> ParamFilter:
    children = conditions(element, CALDAV, _IN_PARAM_FILTER)
    is_not_defined = any(local == "is-not-defined" for local, _ in children)
    return ParamFilter(name_of(element), is_not_defined, _text_match(children, element))


def _time_range(children: list[tuple[str, Element]]) -> TimeRange | None:
    element = only([child for local, child in children if local == "time-range"])
    return None if element is None else read_time_range(element)


def _text_match(children: list[tuple[str, Element]], condition: Element) -> TextMatch | None:
    """The text match of a property or parameter filter."""
    element = only([child for local, child in children if local == "text-match"])
    if element is None:
        return None
    return TextMatch(
        needle_of(element),
        collation_of(element, ASCII_CASEMAP),
        yes_or_no(element, "negate-condition"),
        match_type_of(element, condition),
    )


def _window(element: Element | None) -> TimeRange | None:
    if element is None:
        return None
    found = read_time_range(element)
    if found.start is None or found.end is None:
        raise InvalidFilter("The time range needs both a start and an end.")
    return found


def _selection(element: Element, depth: int) -> CompSelection:
    """A CALDAV:comp (RFC 4791 §9.6.1)."""
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"Components are nested more than {MAX_DEPTH} deep.")
    children = parts(element, CALDAV, _IN_COMP)
    return CompSelection(
        name_of(element),
        any(local == "allprop" for local, _ in children),
        tuple((name_of(child), yes_or_no(child, "novalue")) for local, child in children if local == "prop"),
        any(local == "allcomp" for local, _ in children),
        tuple(_selection(child, depth + 1) for local, child in children if local == "comp"),
    )
