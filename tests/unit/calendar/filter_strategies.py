"""Generated calendar objects and filters, and the XML of a filter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import quoteattr

from hypothesis import strategies as st

from server.calendar.calendar_object import CALENDAR_COMPONENTS
from server.calendar.filters import CompFilter, ParamFilter, PropFilter, TextMatch, TimeRange
from tests.unit.calendar.texts import BERLIN, calendar, event, todo


def undefined(name: str) -> CompFilter:
    """A filter of objects without a component."""
    return CompFilter(name, is_not_defined=True)


START = datetime(2026, 1, 5, 9, tzinfo=UTC)
"""An hour before DTSTART in the texts that `event` makes."""

properties = st.lists(
    st.sampled_from(("SUMMARY:Weekly", "STATUS:CONFIRMED", "STATUS:CANCELLED", "LOCATION:Room 1", "CATEGORIES:A,B")),
    max_size=3,
    unique_by=lambda line: line.partition(":")[0],
)
alarms = st.sampled_from(("", "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT5M\nEND:VALARM"))
rules = st.sampled_from(("", "RRULE:FREQ=DAILY;COUNT=3", "RRULE:FREQ=WEEKLY"))


@st.composite
def objects(draw: st.DrawFn) -> str:
    """Texts of calendar objects."""
    make = draw(st.sampled_from((event, todo)))
    lines = [*draw(properties), draw(rules), draw(alarms)]
    parts = [make("\n".join(line for line in lines if line))]
    if draw(st.booleans()):
        parts.insert(0, BERLIN)
    if draw(st.booleans()):
        parts.append("BEGIN:X-NOTE\nX-A:b\nEND:X-NOTE")
    return calendar(*parts)


text_matches = st.builds(
    TextMatch,
    st.sampled_from(("1@", "1@EXAMPLE.com", "1@example.com", "weekly", "x", "2@", "")),
    st.sampled_from(("i;octet", "i;ascii-casemap", "i;unicode-casemap")),
    st.booleans(),
    st.sampled_from(("contains", "equals", "starts-with", "ends-with")),
)
tests = st.sampled_from(("anyof", "allof"))
ranges = st.integers(-3, 20).map(lambda days: TimeRange(START + timedelta(days), START + timedelta(days + 1)))
param_filters = st.builds(ParamFilter, st.sampled_from(("X", "LANGUAGE")), st.booleans())
prop_filters = st.builds(
    PropFilter,
    st.sampled_from(("UID", "SUMMARY", "LOCATION", "STATUS")),
    text_match=st.none() | text_matches,
    param_filters=st.lists(param_filters, max_size=1).map(tuple),
    test=tests,
) | st.builds(PropFilter, st.sampled_from(("UID", "SUMMARY")), is_not_defined=st.just(True))
inner_filters = st.builds(CompFilter, st.just("VALARM"), time_range=st.none() | ranges) | st.just(undefined("VALARM"))


@st.composite
def component_filters(draw: st.DrawFn) -> CompFilter:
    name = draw(st.sampled_from(("VEVENT", "VTODO", "VTIMEZONE", "VJOURNAL", "X-NOTE")))
    if draw(st.integers(0, 3)) == 0:
        return undefined(name)
    return CompFilter(
        name,
        time_range=draw(st.none() | ranges) if name in CALENDAR_COMPONENTS else None,
        prop_filters=tuple(draw(st.lists(prop_filters, max_size=2))),
        comp_filters=tuple(draw(st.lists(inner_filters, max_size=1))) if name in ("VEVENT", "VTODO") else (),
        test=draw(tests),
    )


calendar_filters = st.builds(
    CompFilter,
    st.just("VCALENDAR"),
    prop_filters=st.lists(st.builds(PropFilter, st.sampled_from(("METHOD", "VERSION"))), max_size=1).map(tuple),
    comp_filters=st.lists(component_filters(), max_size=3).map(tuple),
    test=tests,
)


def as_xml(comp_filter: CompFilter) -> str:
    """A component filter as CALDAV:comp-filter, with the prefix C."""
    inner = [_time_range(comp_filter.time_range), *map(_prop_filter, comp_filter.prop_filters)]
    inner += map(as_xml, comp_filter.comp_filters)
    return _element("comp-filter", comp_filter.name, comp_filter.is_not_defined, inner, test=comp_filter.test)


def _prop_filter(prop_filter: PropFilter) -> str:
    inner = [_time_range(prop_filter.time_range), _text_match(prop_filter.text_match)]
    inner += [
        _element("param-filter", param.name, param.is_not_defined, [_text_match(param.text_match)])
        for param in prop_filter.param_filters
    ]
    return _element("prop-filter", prop_filter.name, prop_filter.is_not_defined, inner, test=prop_filter.test)


def _time_range(time_range: TimeRange | None) -> str:
    bounds = () if time_range is None else (("start", time_range.start), ("end", time_range.end))
    attributes = "".join(f' {name}="{time:%Y%m%dT%H%M%SZ}"' for name, time in bounds if time is not None)
    return f"<C:time-range{attributes}/>" if attributes else ""


def _text_match(text_match: TextMatch | None) -> str:
    if text_match is None:
        return ""
    attributes = f'collation="{text_match.collation}" match-type="{text_match.match_type}"'
    negate = "yes" if text_match.negate else "no"
    return f'<C:text-match {attributes} negate-condition="{negate}">{text_match.text}</C:text-match>'


def _element(kind: str, name: str, is_not_defined: bool, inner: list[str], **attributes: str) -> str:
    named = " ".join(f"{key}={quoteattr(value)}" for key, value in {"name": name, **attributes}.items())
    content = "<C:is-not-defined/>" if is_not_defined else "".join(inner)
    return f"<C:{kind} {named}>{content}</C:{kind}>"
