"""Messages that break the rules of iTIP end in clear errors, and change nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import InvalidData, InvalidSchedulingMessage, ResourceTooLarge
from server.itip import message_text
from server.itip.message_text import read_message
from server.itip.messages import Method
from server.itip.scheduling_object import read_object
from tests.unit.calendar.texts import calendar, component
from tests.unit.itip.deliveries import DAILY, ME, SECOND, instance, meeting, message, received, stored
from tests.unit.itip.texts import DIRECTORY, ORGANIZER, UID, attendee, organizer, person

GOOD = calendar("METHOD:REQUEST", meeting())


def test_a_message_is_read() -> None:
    found = read_message(GOOD, ORGANIZER, ME)
    assert (found.method, found.uid, found.sender, found.recipient) == (Method.REQUEST, UID, ORGANIZER, ME)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (calendar(meeting()), "one METHOD"),
        (calendar("METHOD:REQUEST", "METHOD:CANCEL", meeting()), "one METHOD"),
        (calendar("METHOD:INVITE", meeting()), "no METHOD 'INVITE'"),
        (calendar("METHOD:" + "X" * 5000, meeting()), "no METHOD"),
        (calendar("METHOD:REQUEST"), "has a calendar component"),
        (calendar("METHOD:REQUEST", meeting(), component("VTODO", "DTSTAMP:20261201T000000Z", UID)), "one type"),
        (calendar("METHOD:REQUEST", meeting(), instance().replace(UID, "another")), "same UID"),
        (calendar("METHOD:REQUEST", meeting().replace(f"UID:{UID}\n", "")), "same UID"),
        (calendar("METHOD:REQUEST", meeting(), meeting()), "each instance once"),
        (calendar("METHOD:REQUEST", meeting(), instance(people=(organizer(3), attendee(2)))), "same ORGANIZER"),
        (calendar("METHOD:REQUEST", meeting(people=(attendee(2),))), "has an ORGANIZER"),
        (calendar("METHOD:REPLY", meeting(people=(organizer(),))), "names the attendee"),
        (calendar("METHOD:REFRESH", meeting(people=(organizer(),))), "names the attendee"),
    ],
)
def test_what_is_no_message_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidSchedulingMessage, match=re.escape(words)):
        read_message(text, ORGANIZER, ME, DIRECTORY)


@pytest.mark.parametrize("text", ["", "METHOD:REQUEST", "BEGIN:VCALENDAR", GOOD + GOOD, "\0", "<?xml?>"])
def test_what_is_no_calendar_is_refused(text: str) -> None:
    with pytest.raises(InvalidData):
        read_message(text, ORGANIZER, ME)


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ("MAX_LENGTH", GOOD),
        ("MAX_COMPONENTS", calendar("METHOD:REQUEST", meeting(DAILY), instance())),
        ("MAX_PARTICIPANTS", GOOD),
    ],
)
def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch, limit: str, text: str) -> None:
    monkeypatch.setattr(message_text, limit, 1)
    with pytest.raises(ResourceTooLarge):
        read_message(text, ORGANIZER, ME)


@pytest.mark.parametrize(
    ("method", "sender", "people"),
    [
        ("REQUEST", 3, (organizer(), attendee(2), attendee(3))),
        ("REQUEST", 5, (organizer(), attendee(2, "", ';DELEGATED-FROM="mailto:user05@example.com"'))),
        ("CANCEL", 3, (organizer(), attendee(2), attendee(3))),
        ("CANCEL", 3, (organizer(), attendee(3), attendee(2, "", ';DELEGATED-FROM="mailto:user03@example.com"'))),
        ("ADD", 3, (organizer(), attendee(2))),
        ("DECLINECOUNTER", 3, (organizer(), attendee(2))),
        ("REQUEST", 1, (attendee(2),)),
        ("REPLY", 3, (organizer(2), attendee(4, "ACCEPTED"))),
        ("REPLY", 3, (organizer(4), attendee(3, "ACCEPTED"))),
        ("REFRESH", 3, (organizer(2), attendee(4))),
        ("COUNTER", 3, (organizer(2), attendee(4))),
    ],
)
def test_a_message_in_somebody_elses_name_is_refused(method: str, sender: int, people: tuple[str, ...]) -> None:
    copy = stored(meeting())
    with pytest.raises(InvalidSchedulingMessage):
        received(message(method, meeting(people=people, sequence=5), sender=person(sender)), copy)


def test_a_message_about_another_uid_is_refused() -> None:
    with pytest.raises(InvalidSchedulingMessage, match="another UID"):
        received(message("REQUEST", meeting().replace(UID, "another")), stored(meeting()))


ODD_LINES = (
    "RECURRENCE-ID:whenever",
    "RECURRENCE-ID;TZID=Nowhere:20270105T100000",
    "RRULE:FREQ=NEVER",
    "RRULE:FREQ=SECONDLY",
    "EXDATE:,,20270230T000000Z",
    "RDATE;VALUE=PERIOD:20270105T100000Z/P1W,x",
    "DTSTART;TZID=Nowhere:20270104T100000",
    "DTEND:00000000T000000",
    "DURATION:soon",
    "SEQUENCE:-4",
    "SEQUENCE:99999999999999999999",
    "DTSTAMP:yesterday",
    "ATTENDEE;PARTSTAT=:mailto:user02@example.com",
    'ATTENDEE;PARTSTAT="A;B";DELEGATED-FROM="mailto:user02@example.com":mailto:user02@example.com',
    "ATTENDEE:",
    "ORGANIZER:",
    "STATUS:",
)
METHODS = st.sampled_from([str(method) for method in Method])
LINES = st.lists(st.sampled_from(ODD_LINES), max_size=3)


@given(METHODS, LINES, LINES, st.booleans(), st.integers(1, 3))
def test_odd_lines_end_in_a_result_or_a_clear_error(
    method: str, lines: list[str], more: list[str], recurring: bool, sender: int
) -> None:
    rule = (DAILY,) if recurring else ()
    sent = message(method, meeting(*rule, *lines, sequence=2), instance(*more), sender=person(sender))
    try:
        result = received(sent, stored(meeting(*rule, *more)))
    except InvalidData:
        return
    if result.object is not None:
        assert read_object(result.object.text).text == result.object.text


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_message(text, ORGANIZER, ME)
        read_message(GOOD.replace("SEQUENCE", text), ORGANIZER, ME)
    except (InvalidData, ResourceTooLarge):
        return


def test_a_rule_without_end_is_not_walked() -> None:
    dense = meeting("RRULE:FREQ=SECONDLY", sequence=1)
    result = received(message("CANCEL", instance(sequence=2)), stored(dense))
    assert result.object is not None
    assert SECOND in result.object.by_instance
