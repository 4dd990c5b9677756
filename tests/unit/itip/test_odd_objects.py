"""Whatever an app stores leads to a plan or to a refusal, never to another error."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from server.calendar.attendance import address_key
from server.calendar.calendar_object import read_calendar_object
from server.calendar.roles import scheduling
from server.domain.errors import KoyomiError
from server.domain.limits import Limits
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.calendar.texts import BERLIN, calendar, component
from tests.unit.itip.plans import plan
from tests.unit.itip.texts import person

ADDRESSES = (
    "mailto:user01@example.com",
    "mailto:user02@example.com",
    "MAILTO:User02@example.com",
    "mailto:x@elsewhere.example",
    "/principals/users/user03/",
    "urn:uuid:nobody",
    "mailto:",
    "",
    "mailto:%ff%00@x",
)
SECOND = person(2, "mailto:alias02@example.com")
PEOPLE = Directory([person(1), SECOND, person(3)])
OTHER = {"mailto:user01@example.com": "urn:x-uid:id01", "MAILTO:user02@example.com": "mailto:alias02@example.com"}
"""Other addresses of organizers."""
PARAMETERS = (
    "",
    ";PARTSTAT=ACCEPTED",
    ";PARTSTAT=needs-action;RSVP=TRUE",
    ";PARTSTAT=",
    ";PARTSTAT",
    ";PARTSTAT=DELEGATED;DELEGATED-TO=mailto:user03@example.com",
    ';DELEGATED-FROM="mailto:user02@example.com"',
    ";SCHEDULE-AGENT=NONE",
    ";SCHEDULE-FORCE-SEND=REQUEST",
    ";SCHEDULE-FORCE-SEND=REPLY",
    ";SCHEDULE-STATUS=2.0,1.2",
    ';CN="A;B:C"',
    ";X=1;X=2",
)
TIMES = (
    "20270104T100000Z",
    "20270105T100000Z",
    "20270104",
    "20270105",
    "20270104T100000",
    "20270328T023000",
    "99991231T235959Z",
    "",
    "00000000T000000Z",
)
people = st.builds(
    lambda name, parameters, address: f"{name}{parameters}:{address}",
    st.sampled_from(("ORGANIZER", "ATTENDEE", "ATTENDEE", "ATTENDEE")),
    st.sampled_from(PARAMETERS),
    st.sampled_from(ADDRESSES),
)
times = st.builds(
    lambda name, zone, value: f"{name}{zone}:{value}",
    st.sampled_from(("DTEND", "DUE", "EXDATE", "RDATE", "RECURRENCE-ID", "RECURRENCE-ID;RANGE=THISANDFUTURE")),
    st.sampled_from(("", "", ";TZID=Europe/Berlin", ";VALUE=DATE")),
    st.sampled_from(TIMES),
)
others = st.sampled_from(
    (
        "RRULE:FREQ=DAILY;COUNT=3",
        "RRULE:FREQ=DAILY",
        "RRULE:FREQ=SECONDLY",
        "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "RDATE;VALUE=PERIOD:20270106T100000Z/PT1H",
        "EXDATE:20270104T100000Z,20270105T100000Z,",
        "DURATION:PT1H",
        "DURATION:-PT1H",
        "SEQUENCE:99999999999999999999",
        "SEQUENCE:x",
        "STATUS:CANCELLED",
        "STATUS:COMPLETED",
        "SUMMARY:A",
        "TRANSP:OPAQUE",
        'X-CALENDARSERVER-ATTENDEE-COMMENT;X-CALENDARSERVER-ATTENDEE-REF="mailto:user02@example.com":c',
        "X-CALENDARSERVER-PRIVATE-COMMENT:c",
        "BEGIN:VALARM\nACTION:AUDIO\nTRIGGER:PT0S\nEND:VALARM",
    )
)
starts = st.builds(
    lambda zone, value: f"DTSTART{zone}:{value}",
    st.sampled_from(("", "", ";TZID=Europe/Berlin", ";VALUE=DATE")),
    st.sampled_from(TIMES[:6]),
)


def _attends(line: str) -> bool:
    return line.startswith("ATTENDEE")


@st.composite
def objects(draw: st.DrawFn) -> SchedulingObject | None:
    """An object that a calendar takes."""
    name = draw(st.sampled_from(("VEVENT", "VEVENT", "VTODO")))
    parts = [BERLIN] if draw(st.booleans()) else []
    organizer = draw(st.sampled_from(("mailto:user01@example.com", "MAILTO:user02@example.com", "urn:uuid:nobody")))
    common = draw(st.lists(people.filter(_attends), max_size=3))
    for _ in range(draw(st.integers(1, 3))):
        spelled = draw(st.sampled_from(("{}", "{}", "{}", "", "{}?x=1", OTHER.get(organizer, "{}"))))
        organizers = [f"ORGANIZER:{spelled.format(organizer)}"] if spelled else []
        lines = [
            draw(starts),
            *organizers,
            *common,
            *draw(st.lists(st.one_of(people.filter(_attends), times, others), max_size=5)),
        ]
        parts.append(component(name, "\n".join(draw(st.permutations(lines)))))
    try:
        parsed = read_calendar_object(calendar(*parts).encode(), Limits())
    except KoyomiError:
        return None
    return read_object(parsed.text, parsed.tree)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.none(), objects()),
    st.one_of(st.none(), objects()),
    st.sampled_from((person(1), SECOND, person(3))),
    st.booleans(),
    st.booleans(),
)
def test_odd_objects(
    old: SchedulingObject | None, new: SchedulingObject | None, owner: CalendarUser, tag: bool, etag: bool
) -> None:
    if old is None and new is None:
        return
    with contextlib.suppress(KoyomiError):
        made = plan(old, new, owner, PEOPLE, tag_matches=tag, etag_matches=etag)
        value = made.with_statuses(dict.fromkeys(made.recipients, "1.2"), PEOPLE)
        assert (value is None) == (new is None)
        for message in made.messages:
            assert read_object(message.text).text == message.text
            assert message.object.components
            assert message.recipient.key != owner.key
        if value is not None:
            parsed = read_calendar_object(value.text.encode(), Limits())
            assert parsed.uid == value.uid
            assert scheduling(parsed.tree, frozenset(map(address_key, owner.addresses))).role is made.role
            again = plan(value, read_object(value.text), owner, PEOPLE)
            assert [message for message in again.messages if not message.quiet] == []
