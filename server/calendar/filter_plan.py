"""The part of a calendar-query's filter (RFC 4791 §9.7) that columns can answer, so that few texts or none are read.

An object is of one component type (RFC 4791 §4.1), and all its components have the same UID. Both are columns, and so
are the occurrences and the triggers of alarms. `alternatives` evaluates a filter for each component type as far as
these columns allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from server.calendar.calendar_object import CALENDAR_COMPONENTS
from server.calendar.filters import COMPONENTS_WITH_ALARMS, CompFilter, PropFilter, TextMatch, TimeRange, text_matches
from server.domain.collation import ASCII_CASEMAP, OCTET

MAX_ALTERNATIVES = 20
"""Alternatives of one component type. Each takes statements of its own; from there on reading all texts is cheaper."""

_IGNORES_CASE = {OCTET: (False,), ASCII_CASEMAP: (True,)}
"""The collations that the database compares by."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Objects of one component type that may match, by what columns say of them. All that is given must hold."""

    component: str
    time_range: TimeRange | None = None
    """An occurrence overlaps this."""
    alarm_range: TimeRange | None = None
    """An alarm rings in this."""
    uid: tuple[TextMatch, ...] = ()
    """The UID matches each of these."""
    exact: bool = True
    """Whether every such object matches; otherwise `server.calendar.filters.matches` has to look at it."""

    @property
    def is_narrow(self) -> bool:
        """Whether more is asked than the component type."""
        return self.time_range is not None or self.alarm_range is not None or bool(self.uid)


@dataclass(frozen=True, slots=True)
class UidSearch:
    """A text that a UID must equal or contain."""

    text: str
    match: Literal["equals", "contains"]
    ignore_case: bool
    """Whether ASCII letters are compared regardless of case; the octets are compared otherwise."""


def is_unconditional(comp_filter: CompFilter) -> bool:
    """Whether every calendar object matches a filter of VCALENDAR."""
    return not (comp_filter.is_not_defined or comp_filter.prop_filters or comp_filter.comp_filters)


def alternatives(comp_filter: CompFilter) -> tuple[Alternative, ...]:
    """The objects among which all that match a filter of VCALENDAR are to be found; one component type each.

    An object that no alternative covers does not match. One that an exact alternative covers does.
    """
    if comp_filter.is_not_defined:
        return ()
    return tuple(found for name in sorted(CALENDAR_COMPONENTS) for found in _of_component(comp_filter, name))


def covers_uid(alternative: Alternative, uid: str) -> bool:
    """Whether an alternative's conditions on the UID hold."""
    return all(text_matches(text_match, [uid]) for text_match in alternative.uid)


def uid_search(uid: Sequence[TextMatch]) -> UidSearch | None:
    """The text match that narrows the UIDs most, as the database compares; None where it compares none of them.

    What the database finds still has to be held against all text matches (`covers_uid`).
    """
    searches = [
        UidSearch(text_match.text, "equals" if text_match.match_type == "equals" else "contains", ignore_case)
        for text_match in uid
        if not text_match.negate
        for ignore_case in _IGNORES_CASE.get(text_match.collation, ())
    ]
    return min(searches, key=lambda search: (search.match == "contains", search.ignore_case), default=None)


def _of_component(comp_filter: CompFilter, name: str) -> Iterator[Alternative]:
    """The alternatives among the objects of one component type."""
    parts: list[Alternative | None] = [Alternative(name, exact=False) for _ in comp_filter.prop_filters]
    parts += [_child(child, name) for child in comp_filter.comp_filters]
    if comp_filter.test == "anyof" and parts:
        found = [part for part in parts if part is not None]
        # One that covers every object of the type makes the narrower ones needless.
        wide = sorted((part for part in found if not part.is_narrow), key=lambda part: not part.exact)
        narrow = dict.fromkeys(found)
        if not wide and len(narrow) > MAX_ALTERNATIVES:
            wide = [Alternative(name, exact=False)]
        yield from wide[:1] or narrow
    elif None not in parts:
        yield _all_of(name, [part for part in parts if part is not None])


def _child(child: CompFilter, name: str) -> Alternative | None:
    """Conditions of a component filter below VCALENDAR on an object of one type; None: no object can fulfil it."""
    wanted = child.name.upper()
    if wanted not in CALENDAR_COMPONENTS:
        # No column says whether an object brings a VTIMEZONE or an unknown component.
        return Alternative(name, exact=False)
    if (wanted == name) == child.is_not_defined:
        return None
    return Alternative(name) if child.is_not_defined else _conditions(child, name)


def _conditions(child: CompFilter, name: str) -> Alternative | None:
    """Conditions of a filter on a component of the object's own type."""
    found = Alternative(name, child.time_range)
    if child.test == "anyof" and len(child.prop_filters) + len(child.comp_filters) > 1:
        return replace(found, exact=False)
    parts = [_uid_condition(prop, name) for prop in child.prop_filters]
    parts += [_alarm_condition(inner, name) for inner in child.comp_filters]
    if None in parts:
        return None
    return _all_of(name, [found, *(part for part in parts if part is not None)])


def _uid_condition(prop_filter: PropFilter, name: str) -> Alternative | None:
    """Conditions of a property filter on the UID, which every component has; None: no object can fulfil it."""
    if prop_filter.name.upper() != "UID":
        return Alternative(name, exact=False)
    if prop_filter.is_not_defined:
        return None
    is_text_alone = prop_filter.time_range is None and not prop_filter.param_filters
    if prop_filter.text_match is None or not (is_text_alone or prop_filter.test == "allof"):
        return Alternative(name, exact=is_text_alone)
    return Alternative(name, uid=(prop_filter.text_match,), exact=is_text_alone)


def _alarm_condition(inner: CompFilter, name: str) -> Alternative:
    """Conditions of a filter of an inner component on the triggers of alarms."""
    is_alarm = inner.name.upper() == "VALARM" and name in COMPONENTS_WITH_ALARMS
    return Alternative(name, alarm_range=inner.time_range if is_alarm else None, exact=False)


def _all_of(name: str, parts: Sequence[Alternative]) -> Alternative:
    """Conditions that cover the objects that fulfil all parts.

    Two time ranges may be met by two components, so one of them narrows and the text decides.
    """
    ranges = [part.time_range for part in parts if part.time_range is not None]
    alarms = [part.alarm_range for part in parts if part.alarm_range is not None]
    return Alternative(
        name,
        ranges[0] if ranges else None,
        alarms[0] if alarms else None,
        tuple(dict.fromkeys(text_match for part in parts for text_match in part.uid)),
        all(part.exact for part in parts) and len(ranges) < 2,
    )
