"""A plan loses no match, adds none, and asks for no text that columns decide."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.calendar.calendar_object import read_calendar_object
from server.calendar.filter_plan import (
    Alternative,
    UidSearch,
    alternatives,
    covers_uid,
    is_unconditional,
    uid_search,
)
from server.calendar.filters import CompFilter, ParamFilter, PropFilter, TextMatch, TimeRange, check_filter, matches
from server.calendar.timerange import TimeRangeMatcher
from server.calendar.zones import UTC_ZONE
from server.domain.collation import ascii_lower
from server.domain.limits import Limits
from tests.unit.calendar.filter_strategies import calendar_filters, objects, text_matches, undefined

RANGE = TimeRange(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))
UID = TextMatch("1@example.com", "i;octet", match_type="equals")
KINDS = ("VAVAILABILITY", "VEVENT", "VFREEBUSY", "VJOURNAL", "VTODO")


def query(*children: CompFilter, **more: object) -> CompFilter:
    return CompFilter("VCALENDAR", comp_filters=children, **more)  # type: ignore[arg-type]


def of_event(*props: PropFilter, **more: object) -> CompFilter:
    return query(CompFilter("VEVENT", prop_filters=props, **more))  # type: ignore[arg-type]


def uid_is(number: int) -> PropFilter:
    return PropFilter("UID", text_match=TextMatch(str(number)))


EVENT = Alternative("VEVENT")
EVENT_BY_TEXT = Alternative("VEVENT", exact=False)
BY_UID = PropFilter("UID", text_match=UID)


@pytest.mark.parametrize(
    ("comp_filter", "expected"),
    [
        (query(is_not_defined=True), ()),
        (query(CompFilter("vevent")), (EVENT,)),
        (query(undefined("VEVENT")), tuple(Alternative(name) for name in KINDS if name != "VEVENT")),
        (query(CompFilter("VEVENT", time_range=RANGE)), (Alternative("VEVENT", RANGE),)),
        # side by side they are joined by "and": RFC 4791 §9.7.1
        (query(CompFilter("VEVENT"), CompFilter("VTODO")), ()),
        (query(CompFilter("VEVENT"), undefined("VTODO")), (EVENT,)),
        (query(CompFilter("VEVENT"), undefined("VEVENT")), ()),
        (query(CompFilter("VEVENT"), CompFilter("VTIMEZONE")), (EVENT_BY_TEXT,)),
        (
            query(CompFilter("VEVENT", time_range=RANGE), undefined("VTIMEZONE")),
            (Alternative("VEVENT", RANGE, exact=False),),
        ),
        (
            query(CompFilter("VEVENT", time_range=RANGE), CompFilter("VEVENT", time_range=RANGE)),
            (Alternative("VEVENT", RANGE, exact=False),),
        ),
        (
            query(CompFilter("VEVENT", time_range=RANGE), CompFilter("VTODO"), test="anyof"),
            (Alternative("VEVENT", RANGE), Alternative("VTODO")),
        ),
        (query(CompFilter("VEVENT", time_range=RANGE), CompFilter("VEVENT"), test="anyof"), (EVENT,)),
        (
            query(*(CompFilter("VEVENT", prop_filters=(uid_is(number),)) for number in range(21)), test="anyof"),
            (EVENT_BY_TEXT,),
        ),
        (
            query(*(CompFilter("VEVENT", prop_filters=(uid_is(0),)) for _ in range(21)), test="anyof"),
            (Alternative("VEVENT", uid=(TextMatch("0"),)),),
        ),
        (
            query(CompFilter("VTIMEZONE"), undefined("VEVENT"), test="anyof"),
            tuple(Alternative(name, exact=name != "VEVENT") for name in KINDS),
        ),
        (query(CompFilter("VTIMEZONE")), tuple(Alternative(name, exact=False) for name in KINDS)),
        (query(CompFilter("VEVENT"), prop_filters=(PropFilter("METHOD"),)), (EVENT_BY_TEXT,)),
        (of_event(PropFilter("SUMMARY")), (EVENT_BY_TEXT,)),
        (of_event(PropFilter("UID")), (EVENT,)),
        (of_event(PropFilter("UID", is_not_defined=True)), ()),
        (of_event(BY_UID), (Alternative("VEVENT", uid=(UID,)),)),
        (of_event(BY_UID, time_range=RANGE), (Alternative("VEVENT", RANGE, uid=(UID,)),)),
        (of_event(BY_UID, test="anyof"), (Alternative("VEVENT", uid=(UID,)),)),
        (of_event(BY_UID, PropFilter("SUMMARY")), (Alternative("VEVENT", uid=(UID,), exact=False),)),
        (of_event(BY_UID, PropFilter("SUMMARY"), test="anyof"), (EVENT_BY_TEXT,)),
        (
            of_event(PropFilter("UID", text_match=UID, param_filters=(ParamFilter("X"),))),
            (Alternative("VEVENT", uid=(UID,), exact=False),),
        ),
        (
            of_event(PropFilter("UID", text_match=UID, param_filters=(ParamFilter("X"),), test="anyof")),
            (EVENT_BY_TEXT,),
        ),
        (
            query(CompFilter("VEVENT", comp_filters=(CompFilter("VALARM", time_range=RANGE),))),
            (Alternative("VEVENT", alarm_range=RANGE, exact=False),),
        ),
    ],
)
def test_alternatives(comp_filter, expected):
    check_filter(comp_filter)
    assert alternatives(comp_filter) == expected


def test_unconditional():
    assert is_unconditional(query())
    assert alternatives(query()) == tuple(Alternative(name) for name in KINDS)
    assert not is_unconditional(query(CompFilter("VEVENT")))


def test_the_narrowest_search_of_uids():
    part = TextMatch("1@")
    octets = TextMatch("Exam", "i;octet", match_type="ends-with")
    assert uid_search((part, octets, UID)) == UidSearch("1@example.com", "equals", False)
    assert uid_search((part, octets)) == UidSearch("Exam", "contains", False)
    assert uid_search((part,)) == UidSearch("1@", "contains", True)
    assert uid_search((TextMatch("1", "i;unicode-casemap"), TextMatch("1", "i;octet", True))) is None


@settings(max_examples=400)
@given(calendar_filters, objects())
def test_a_plan_loses_no_match_and_adds_none(comp_filter, stored_text):
    """What columns say is computed here as the write computes it; the plain evaluation reads the text."""
    check_filter(comp_filter)
    found = read_calendar_object(stored_text.encode(), Limits())
    in_time_range = TimeRangeMatcher(found.tree, UTC_ZONE)
    result = matches(comp_filter, found.tree, in_time_range)
    if is_unconditional(comp_filter):
        assert result

    def covers(choice: Alternative) -> bool:
        if choice.component != found.component or not covers_uid(choice, found.uid):
            return False
        mine = [part for part in found.tree.components if part.name == choice.component]
        if choice.time_range is not None and not any(
            in_time_range((found.tree, part), None, choice.time_range) for part in mine
        ):
            return False
        return choice.alarm_range is None or any(
            in_time_range((found.tree, part, alarm), None, choice.alarm_range)
            for part in mine
            for alarm in part.children("VALARM")
        )

    covering = [choice for choice in alternatives(comp_filter) if covers(choice)]
    assert covering or not result
    assert result or not any(choice.exact for choice in covering)


@given(
    st.lists(text_matches, min_size=1, max_size=3).map(tuple), st.sampled_from(("1@example.com", "1@Example.COM", "x"))
)
def test_a_search_of_uids_loses_none(uid_matches, uid):
    search = uid_search(uid_matches)
    if search is None or not covers_uid(Alternative("VEVENT", uid=uid_matches), uid):
        return
    needle, value = (ascii_lower(search.text), ascii_lower(uid)) if search.ignore_case else (search.text, uid)
    assert needle == value if search.match == "equals" else needle in value
