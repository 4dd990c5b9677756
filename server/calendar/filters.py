"""Filters of calendar-query as values, and what matches them (RFC 4791 §9.7).

The extension calendar-query-extended is part of it: `test` says how the children of a filter combine, and a text match
has a match type. Time ranges are evaluated by a function that the caller brings. What columns can answer without the
text of an object is in `server.calendar.filter_plan`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Literal, Protocol

from server.calendar.calendar_object import CALENDAR_COMPONENTS
from server.calendar.component import Component
from server.calendar.contentline import Property
from server.domain.collation import ASCII_CASEMAP, FoldedTexts, MatchType, check_collation, folded_matcher, matcher
from server.domain.errors import InvalidFilter

Test = Literal["anyof", "allof"]

MAX_FILTERS = 200
"""Component, property and parameter filters together."""

MAX_NEEDLE = 10_000
"""Characters of the text of one text match."""

_LEVELS: dict[str, frozenset[str]] = {
    "VCALENDAR": frozenset(),
    **dict.fromkeys((*CALENDAR_COMPONENTS, "VTIMEZONE"), frozenset(("VCALENDAR",))),
    **dict.fromkeys(("STANDARD", "DAYLIGHT"), frozenset(("VTIMEZONE",))),
    "AVAILABLE": frozenset(("VAVAILABILITY",)),
    "VALARM": frozenset(("VEVENT", "VTODO", "AVAILABLE")),
}
"""The components of the standards, with those that may hold them; others may be anywhere."""

COMPONENTS_WITH_ALARMS = _LEVELS["VALARM"]

_WITH_TIME_RANGE = CALENDAR_COMPONENTS | {"VALARM"}
_PROPERTIES_WITH_TIME_RANGE = frozenset(
    (
        "ACKNOWLEDGED",
        "COMPLETED",
        "CREATED",
        "DTEND",
        "DTSTAMP",
        "DTSTART",
        "DUE",
        "EXDATE",
        "FREEBUSY",
        "LAST-MODIFIED",
    )
) | {"RDATE", "RECURRENCE-ID"}
_UTC_TIME = re.compile(r"[0-9]{8}T[0-9]{6}Z")


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A half-open window (RFC 4791 §9.9), in aware UTC; None is unbounded, but not both."""

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class TextMatch:
    """RFC 4791 §9.7.5: the value contains the text, or does not, when `negate`.

    `match_type` is of calendar-query-extended, as RFC 6352 §10.5.4 has it.
    """

    text: str
    collation: str = ASCII_CASEMAP
    negate: bool = False
    match_type: MatchType = "contains"


@dataclass(frozen=True, slots=True)
class ParamFilter:
    """RFC 4791 §9.7.3."""

    name: str
    is_not_defined: bool = False
    text_match: TextMatch | None = None


@dataclass(frozen=True, slots=True)
class PropFilter:
    """RFC 4791 §9.7.2. `test` says how time range, text match and parameter filters combine."""

    name: str
    is_not_defined: bool = False
    time_range: TimeRange | None = None
    text_match: TextMatch | None = None
    param_filters: tuple[ParamFilter, ...] = ()
    test: Test = "allof"


@dataclass(frozen=True, slots=True)
class CompFilter:
    """RFC 4791 §9.7.1. The outermost is that of VCALENDAR.

    `test` says how property and component filters combine; the time range must match in any case.
    """

    name: str
    is_not_defined: bool = False
    time_range: TimeRange | None = None
    prop_filters: tuple[PropFilter, ...] = ()
    comp_filters: tuple[CompFilter, ...] = ()
    test: Test = "allof"


class TimeRangeTest(Protocol):
    """Whether a component, or a property, lies in a time range by RFC 4791 §9.9.

    `path` holds the components from VCALENDAR down to the one tested, or to the one that has the property tested.
    """

    def __call__(self, path: tuple[Component, ...], prop: Property | None, time_range: TimeRange, /) -> bool:
        """The answer for the last component of the path, or for `prop`."""
        ...


def parse_time_range(start: str | None, end: str | None) -> TimeRange:
    """The attributes of a CALDAV:time-range (RFC 4791 §9.9).

    :raises InvalidFilter: without either, for anything but a date-time in UTC, and for an end not after the start.
    """
    if start is None and end is None:
        raise InvalidFilter("A time range needs a start or an end.")
    first, last = _parse_utc(start), _parse_utc(end)
    if first is not None and last is not None and last <= first:
        raise InvalidFilter(f"The time range ends at {end}, not after its start {start}.")
    return TimeRange(first, last)


def _parse_utc(value: str | None) -> datetime | None:
    if value is None:
        return None
    if _UTC_TIME.fullmatch(value) is None:
        raise InvalidFilter(f"{value[:40]!r} is no date-time in UTC.")
    seconds = "59" if value[13:15] == "60" else value[13:15]
    try:
        return datetime.strptime(value[:13] + seconds, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidFilter(f"{value[:40]!r} is no date-time that exists.") from None


def check_filter(comp_filter: CompFilter) -> None:
    """See that a filter is valid (RFC 4791 §7.8, CALDAV:valid-filter). Names that no standard knows are allowed.

    :raises InvalidFilter: when the outermost component is not VCALENDAR, a component of the standards is asked for
        where it cannot be, a time range for what has no time, is-not-defined beside other conditions, or too much.
    :raises UnsupportedCollation: for a collation that is not supported.
    """
    if comp_filter.name.upper() != "VCALENDAR":
        raise InvalidFilter(f"The outermost component is VCALENDAR, not {comp_filter.name[:40]}.")
    count = 0
    waiting = [(comp_filter, "")]
    while waiting:
        current, parent = waiting.pop()
        count += 1 + len(current.prop_filters) + sum(len(prop.param_filters) for prop in current.prop_filters)
        if count > MAX_FILTERS:
            raise InvalidFilter(f"There are more than {MAX_FILTERS} conditions.")
        name = current.name.upper()
        _check_component_filter(current, name, parent)
        for prop in current.prop_filters:
            _check_property_filter(prop)
        waiting.extend((child, name) for child in current.comp_filters)


def _check_component_filter(comp_filter: CompFilter, name: str, parent: str) -> None:
    if parent and name in _LEVELS and parent in _LEVELS and parent not in _LEVELS[name]:
        raise InvalidFilter(f"{parent} cannot have a {name}.")
    if comp_filter.time_range is not None and name not in _WITH_TIME_RANGE:
        raise InvalidFilter(f"{name[:40]} cannot be asked for by time.")
    others = comp_filter.time_range is not None or comp_filter.prop_filters or comp_filter.comp_filters
    if comp_filter.is_not_defined and others:
        raise InvalidFilter(f"is-not-defined stands beside other conditions on {name[:40]}.")


def _check_property_filter(prop_filter: PropFilter) -> None:
    name = prop_filter.name.upper()
    if prop_filter.time_range is not None and name not in _PROPERTIES_WITH_TIME_RANGE:
        raise InvalidFilter(f"{name[:40]} cannot be asked for by time.")
    conditions = (prop_filter.time_range is not None) + (prop_filter.text_match is not None)
    if prop_filter.is_not_defined and (conditions or prop_filter.param_filters):
        raise InvalidFilter(f"is-not-defined stands beside other conditions on {name[:40]}.")
    _check_text_match(prop_filter.text_match)
    for param in prop_filter.param_filters:
        if param.is_not_defined and param.text_match is not None:
            raise InvalidFilter(f"is-not-defined stands beside a text match on {param.name[:40]}.")
        _check_text_match(param.text_match)


def _check_text_match(text_match: TextMatch | None) -> None:
    if text_match is None:
        return
    check_collation(text_match.collation)
    if len(text_match.text) > MAX_NEEDLE:
        raise InvalidFilter(f"A text match has more than {MAX_NEEDLE} characters.")


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """Values that the tests of one calendar object share."""

    in_time_range: TimeRangeTest
    texts: FoldedTexts = field(default_factory=FoldedTexts)


def matches(comp_filter: CompFilter, tree: Component, in_time_range: TimeRangeTest) -> bool:
    """Whether a calendar object matches a filter that `check_filter` accepts; `tree` is its VCALENDAR."""
    if comp_filter.is_not_defined:
        return False
    return _component_matches(comp_filter, (tree,), _Evaluation(in_time_range))


def _component_matches(comp_filter: CompFilter, path: tuple[Component, ...], evaluation: _Evaluation) -> bool:
    """Whether the last component of a path fulfils the conditions within a filter of its name."""
    component = path[-1]
    if comp_filter.time_range is not None and not evaluation.in_time_range(path, None, comp_filter.time_range):
        return False
    prop_filters, comp_filters = comp_filter.prop_filters, comp_filter.comp_filters
    if not prop_filters and not comp_filters:
        return True

    def has_property(child: PropFilter) -> bool:
        return _has_property(child, path, evaluation)

    def has_component(child: CompFilter) -> bool:
        name = child.name.upper()
        candidates = [candidate for candidate in component.components if candidate.name == name]
        if child.is_not_defined:
            return not candidates
        return any(_component_matches(child, (*path, candidate), evaluation) for candidate in candidates)

    combine = any if comp_filter.test == "anyof" else all
    return combine(chain(map(has_property, prop_filters), map(has_component, comp_filters)))


def _has_property(prop_filter: PropFilter, path: tuple[Component, ...], evaluation: _Evaluation) -> bool:
    """Whether a component has a property that fulfils a filter, or has none, as the filter asks."""
    name = prop_filter.name.upper()
    candidates = [prop for prop in path[-1].properties if prop.name == name]
    if prop_filter.is_not_defined:
        return not candidates
    text_match, time_range, param_filters = prop_filter.text_match, prop_filter.time_range, prop_filter.param_filters
    if not candidates and time_range is not None and text_match is None:
        candidates = _standing_for(name, path[-1])
    combine = any if prop_filter.test == "anyof" else all
    for prop in candidates:
        results = [_has_parameter(child, prop, evaluation) for child in param_filters]
        if text_match is not None:
            results.append(_value_matches(text_match, prop, evaluation))
        if time_range is not None:
            results.append(evaluation.in_time_range(path, prop, time_range))
        if not results or combine(results):
            return True
    return False


def _standing_for(name: str, component: Component) -> list[Property]:
    """DURATION where there is no DTEND or DUE: a time range tests the end that it gives (RFC 4791 §9.9)."""
    if (component.name, name) not in (("VEVENT", "DTEND"), ("VTODO", "DUE")) or component.first("DTSTART") is None:
        return []
    return component.all("DURATION")


def _value_matches(text_match: TextMatch, prop: Property, evaluation: _Evaluation) -> bool:
    """Whether the value of a property matches. A UID is compared as it identifies the object: stripped of spaces."""

    def values() -> tuple[str]:
        return (prop.text.strip() if prop.name == "UID" else prop.text,)

    return _folded_match(text_match, evaluation.texts.of(id(prop), text_match.collation, values))


def _has_parameter(param_filter: ParamFilter, prop: Property, evaluation: _Evaluation) -> bool:
    name, text_match = param_filter.name.upper(), param_filter.text_match
    values = prop.params.get(name) if prop.parameter_text else None
    if values is None or param_filter.is_not_defined:
        return param_filter.is_not_defined and values is None
    if text_match is None:
        return True
    return _folded_match(text_match, evaluation.texts.of((id(prop), name), text_match.collation, values.copy))


def _folded_match(text_match: TextMatch, values: Iterable[bytes]) -> bool:
    is_match = folded_matcher(text_match.collation, text_match.match_type, text_match.text)
    return any(map(is_match, values)) != text_match.negate


def text_matches(text_match: TextMatch, values: Iterable[str]) -> bool:
    """Whether one of the values matches the text; when negated, whether none does."""
    is_match = matcher(text_match.collation, text_match.match_type, text_match.text)
    return any(map(is_match, values)) != text_match.negate
