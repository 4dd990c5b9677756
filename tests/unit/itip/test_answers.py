"""What REPLY, REFRESH and COUNTER do to an organizer's object. Names of cases refer to the hints of the suite."""

from __future__ import annotations

import pytest

from server.itip.counters import declined_counter
from server.itip.messages import Answered, Method, Reset
from server.itip.participants import attendee_line
from server.itip.reception import Outcome, Received, Rows
from server.itip.refreshing import refreshes
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject
from tests.unit.itip.deliveries import (
    ACCEPTED,
    DAILY,
    LATER,
    ME,
    PEOPLE,
    SECOND,
    answer_of,
    instance,
    lines_of,
    meeting,
    message,
    received,
    stored,
)
from tests.unit.itip.texts import DIRECTORY, ORGANIZER, attendee, organizer, person

SINGLE = stored(meeting("SUMMARY:Talk"))
SERIES = stored(meeting(DAILY, "SUMMARY:Talk"))
ELSEWHERE = DIRECTORY.user("mailto:xeno@example.org")


def reply(
    *parts: str, number: int = 2, quiet: bool = False, value: SchedulingObject = SINGLE, **more: Rows
) -> Received:
    """What a REPLY to the organizer does."""
    sent = message("REPLY", *parts, sender=person(number), recipient=ORGANIZER, quiet=quiet)
    return received(sent, value, **more)  # type: ignore[arg-type]


def says(
    partstat: str, *lines: str, number: int = 2, parameters: str = "", sequence: int = 0, stamp: str = LATER
) -> str:
    """A component of a REPLY about the meeting."""
    people = (organizer(), attendee(number, partstat, parameters))
    return meeting(*lines, people=people, sequence=sequence, stamp=stamp)


def says_once(partstat: str, number: int = 2, sequence: int = 0, stamp: str = LATER) -> str:
    """A component of a REPLY about the second instance."""
    return instance(people=(organizer(), attendee(number, partstat)), sequence=sequence, stamp=stamp)


# -- who answers ------------------------------------------------------------------------------------------------------


def test_an_answer_is_merged_and_lies_in_the_inbox() -> None:
    """scenario1 "Simple Changes" 11: RSVP goes once it is answered."""
    result = reply(says("ACCEPTED"))
    assert (result.outcome, result.item, result.changed) == (Outcome.APPLIED, True, frozenset((MASTER,)))
    assert result.answers == (Answered(ME.key, MASTER, 0, LATER),)
    assert result.object is not None
    line = attendee_line(result.object.components[0], ME, DIRECTORY)
    assert line is not None
    assert line.params == {"CN": ["User 02"], "PARTSTAT": ["ACCEPTED"], "SCHEDULE-STATUS": ["2.0"]}
    assert answer_of(result.object, 3) is None
    assert "SUMMARY:Talk" in lines_of(result.object)


def test_a_party_crasher_changes_nothing_but_is_told_of() -> None:
    result = reply(says("ACCEPTED", number=5), number=5)
    assert (result.object, result.item, result.changed) == (None, True, frozenset())


@pytest.mark.parametrize("value", [None, stored(meeting(people=(organizer(4), attendee(2))))], ids=["none", "another"])
def test_an_answer_about_somebody_elses_meeting_is_ignored(value: SchedulingObject | None) -> None:
    result = received(message("REPLY", says("ACCEPTED"), sender=ME, recipient=ORGANIZER), value)
    assert (result.outcome, result.object, result.item) == (Outcome.IGNORED, None, False)


def test_an_answer_that_is_sent_again_is_confirmed_with_all_that_the_object_says() -> None:
    """The copy may say otherwise of what the REPLY does not name."""
    (told,) = reply(says_once("DECLINED"), quiet=True, value=SERIES).messages
    assert (told.method, told.recipient.key, told.quiet) == (Method.REQUEST, ME.key, True)
    assert (answer_of(told.object), answer_of(told.object, at=SECOND)) == ("NEEDS-ACTION", "DECLINED")


@pytest.mark.parametrize("value", [SINGLE, stored(meeting(people=ACCEPTED))], ids=["another answer", "the same answer"])
def test_an_answer_in_order_is_not_confirmed(value: SchedulingObject) -> None:
    assert reply(says("ACCEPTED"), value=value).messages == ()


# -- which answers count ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answered", "counts"),
    [
        ((0, "20261201T110000Z"), True),
        ((0, LATER), True),
        ((0, "20261201T130000Z"), False),
        ((1, "20261201T000000Z"), False),
    ],
    ids=["later", "in the same second", "earlier", "lower SEQUENCE"],
)
def test_answers_count_by_sequence_and_dtstamp(answered: tuple[int, str], counts: bool) -> None:
    rows = Rows((Answered(ME.key, MASTER, *answered), Answered(person(3).key, MASTER, 9, LATER)))
    result = reply(says("ACCEPTED"), rows=rows)
    assert (answer_of(result.object or SINGLE) == "ACCEPTED", result.item) == (counts, counts)


@pytest.mark.parametrize(
    ("reset", "counts"),
    [
        (Reset(MASTER, 1, frozenset((ME.key,))), True),
        (Reset(MASTER, 2, frozenset((ME.key,))), False),
        (Reset(MASTER, 2, frozenset((ME.key, person(3).key))), False),
        (Reset(MASTER, 2, frozenset((person(3).key,))), True),
        (Reset(SECOND, 2, frozenset((ME.key,))), True),
    ],
    ids=["before", "after", "of others, too", "of another attendee", "of an instance"],
)
def test_an_answer_to_what_was_asked_before_the_last_reset_is_ignored(reset: Reset, counts: bool) -> None:
    result = reply(says("ACCEPTED", sequence=1), rows=Rows(resets=(reset,)), value=SERIES)
    assert (answer_of(result.object or SERIES) == "ACCEPTED", result.item) == (counts, counts)


@pytest.mark.parametrize(
    "ahead", [says("ACCEPTED", stamp="20990101T000000Z"), says("ACCEPTED", sequence=9)], ids=["DTSTAMP", "SEQUENCE"]
)
def test_an_answer_that_is_ahead_lets_later_ones_count(ahead: str) -> None:
    """A clock is wrong, or a program that mails answers counts by itself."""
    first = reply(ahead)
    assert first.object is not None
    later = reply(says("DECLINED", stamp=first.answers[0].dtstamp), value=first.object, rows=Rows(first.answers))
    assert answer_of(later.object) == "DECLINED"


@pytest.mark.parametrize(("number", "counts"), [(2, False), (0, True)], ids=["here", "elsewhere"])
def test_without_sequence_an_answer_from_elsewhere_counts_by_its_arrival(number: int, counts: bool) -> None:
    sender = person(number) if number else ELSEWHERE
    line = attendee(number, "ACCEPTED") if number else "ATTENDEE;PARTSTAT=ACCEPTED:mailto:xeno@example.org"
    value = stored(meeting(people=(*PEOPLE, "ATTENDEE:mailto:xeno@example.org"), sequence=3))
    sent = message("REPLY", meeting(people=(organizer(), line)), sender=sender, recipient=ORGANIZER)
    result = received(sent, value, rows=Rows(resets=(Reset(MASTER, 3, frozenset((sender.key,))),)))
    assert (result.object is not None) is counts


def test_without_sequence_an_earlier_answer_from_elsewhere_does_not_count_after_a_later_one() -> None:
    """The organizer has changed the meeting between the two."""
    line = "ATTENDEE;PARTSTAT=TENTATIVE:mailto:xeno@example.org"
    people = (*PEOPLE, "ATTENDEE;PARTSTAT=DECLINED:mailto:xeno@example.org")
    sent = message("REPLY", meeting(people=(organizer(), line)), sender=ELSEWHERE, recipient=ORGANIZER)
    rows = Rows((Answered(ELSEWHERE.key, MASTER, 1, "20261201T235959Z"),))
    result = received(sent, stored(meeting(people=people, sequence=3)), rows=rows)
    assert (result.outcome, result.object) == (Outcome.IGNORED, None)


def test_an_answer_that_comes_twice_leaves_one_item() -> None:
    first = reply(says("ACCEPTED"))
    assert first.object is not None
    second = reply(says("ACCEPTED"), rows=Rows(first.answers), value=first.object)
    assert (second.object, second.item) == (None, False)


def test_an_answer_that_was_sent_again_leaves_no_item() -> None:
    result = reply(says("ACCEPTED"), quiet=True)
    assert answer_of(result.object) == "ACCEPTED"
    assert not result.item


# -- instances --------------------------------------------------------------------------------------------------------


def test_an_answer_about_an_instance_makes_an_override() -> None:
    result = reply(says_once("DECLINED"), value=SERIES)
    assert result.changed == {SECOND}
    lines = lines_of(result.object, SECOND)
    assert {"DTSTART:20270105T100000Z", "DTEND:20270105T110000Z", "SUMMARY:Talk", f"RECURRENCE-ID:{SECOND}"} <= set(
        lines
    )
    assert answer_of(result.object, at=SECOND) == "DECLINED"
    assert answer_of(result.object) == "NEEDS-ACTION"


def test_no_override_where_the_series_says_the_same() -> None:
    value = stored(meeting(DAILY, people=ACCEPTED))
    result = reply(says_once("ACCEPTED"), value=value)
    assert result.object is None
    assert result.answers == (Answered(ME.key, SECOND, 0, LATER),)


@pytest.mark.parametrize("value", [SINGLE, stored(meeting(DAILY, f"EXDATE:{SECOND}"))], ids=["no series", "excluded"])
def test_an_answer_about_an_instance_that_there_is_not_is_ignored(value: SchedulingObject) -> None:
    assert reply(says_once("ACCEPTED"), value=value).outcome is Outcome.IGNORED


def test_an_answer_for_the_series_is_one_for_overrides_that_followed_it() -> None:
    value = stored(meeting(DAILY), instance("SUMMARY:Once", sequence=0))
    result = reply(says("ACCEPTED"), value=value)
    assert answer_of(result.object, at=SECOND) == "ACCEPTED"
    assert result.changed == {MASTER, SECOND}


@pytest.mark.parametrize("order", [1, -1], ids=["series first", "instance first"])
def test_unless_the_answer_names_them(order: int) -> None:
    value = stored(meeting(DAILY), instance("SUMMARY:Once", sequence=0))
    parts = (says("ACCEPTED"), says_once("NEEDS-ACTION"))[::order]
    result = reply(*parts, value=value)
    assert (answer_of(result.object), answer_of(result.object, at=SECOND)) == ("ACCEPTED", "NEEDS-ACTION")


def test_an_unanswered_instance_of_an_answered_series_becomes_an_override() -> None:
    result = reply(says_once("NEEDS-ACTION"), says("ACCEPTED"), value=SERIES)
    assert (answer_of(result.object), answer_of(result.object, at=SECOND)) == ("ACCEPTED", "NEEDS-ACTION")


# -- statuses and comments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "written", "answer"),
    [
        ((), ["2.0"], "ACCEPTED"),
        (("REQUEST-STATUS:2.0;Success",), ["2.0"], "ACCEPTED"),
        (("REQUEST-STATUS:2.2;Ignored", "REQUEST-STATUS:2.8;Single"), ["2.2,2.8"], "ACCEPTED"),
        (("REQUEST-STATUS:3.0;Invalid Property Name;FOO",), ["3.0"], "NEEDS-ACTION"),
    ],
    ids=["none", "success", "several", "error"],
)
def test_request_status_becomes_schedule_status(statuses: tuple[str, ...], written: list[str], answer: str) -> None:
    result = reply(says("ACCEPTED", *statuses))
    assert result.object is not None
    line = attendee_line(result.object.components[0], ME, DIRECTORY)
    assert line is not None
    assert line.params["SCHEDULE-STATUS"] == written
    assert f'SCHEDULE-STATUS="{written[0]}"' in line.parameter_text or "," not in written[0]
    assert answer_of(result.object) == answer


def test_a_private_comment_becomes_one_of_the_attendee() -> None:
    """caldav-privatecomments §3.2, notes 1 to 3."""

    def comments(value: SchedulingObject | None) -> list[tuple[str, dict[str, list[str]]]]:
        assert value is not None
        lines = value.components[0].all("X-CALENDARSERVER-ATTENDEE-COMMENT")
        return [(line.value, line.params) for line in lines]

    reference = {"X-CALENDARSERVER-ATTENDEE-REF": ["mailto:user02@example.com"]}
    first = reply(says("ACCEPTED", "X-CALENDARSERVER-PRIVATE-COMMENT:Late"))
    params = {**reference, "X-CALENDARSERVER-DTSTAMP": ["20261202T000000Z"]}
    assert comments(first.object) == [("Late", params)]
    assert first.object is not None
    changed = reply(says("ACCEPTED", "X-CALENDARSERVER-PRIVATE-COMMENT:Very late"), value=first.object)
    assert comments(changed.object) == [("Very late", params)]
    removed = reply(says("ACCEPTED"), value=first.object)
    assert comments(removed.object) == [("", params)]


# -- what the others learn --------------------------------------------------------------------------------------------


def test_others_here_get_a_quiet_refresh_of_what_changed() -> None:
    result = reply(says_once("DECLINED"), value=SERIES)
    assert result.object is not None
    (sent,) = refreshes(result.object, result.changed, DIRECTORY, LATER, frozenset((ME.key,)))
    assert (sent.method, sent.recipient, sent.quiet) == (Method.REQUEST, person(3), True)
    assert list(sent.object.by_instance) == [SECOND]
    assert not any("SCHEDULE-STATUS" in line for line in lines_of(sent.object, SECOND))


def test_a_refresh_of_the_series_has_its_overrides() -> None:
    value = stored(meeting(DAILY), instance(sequence=0))
    sent = refreshes(value, frozenset((MASTER,)), DIRECTORY, LATER, frozenset((ME.key,)))
    assert [set(each.object.by_instance) for each in sent] == [{MASTER, SECOND}]


def test_nobody_elsewhere_is_refreshed_but_a_delegate_is_invited() -> None:
    value = stored(meeting(people=(*PEOPLE[:3], "ATTENDEE:mailto:xeno@example.org")))
    changed = frozenset((MASTER,))
    assert refreshes(value, changed, DIRECTORY, LATER, frozenset((ME.key,))) == ()
    (sent,) = refreshes(value, changed, DIRECTORY, LATER, frozenset((ME.key,)), frozenset((ELSEWHERE.key,)))
    assert (sent.recipient.key, sent.quiet) == (ELSEWHERE.key, False)


# -- REFRESH, COUNTER, DECLINECOUNTER ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "answered"), [(3, True), (5, False)], ids=["an attendee", "somebody else"])
def test_a_refresh_is_answered_to_a_present_attendee(number: int, answered: bool) -> None:
    value = stored(meeting(DAILY), instance(sequence=0))
    sent = message("REFRESH", says("NEEDS-ACTION", number=number), sender=person(number), recipient=ORGANIZER)
    result = received(sent, value)
    assert (result.object, result.item) == (None, False)
    assert [(each.method, each.recipient) for each in result.messages] == (
        [(Method.REQUEST, person(number))] if answered else []
    )
    for each in result.messages:
        assert set(each.object.by_instance) == {MASTER, SECOND}


@pytest.mark.parametrize(("number", "item"), [(2, True), (5, False)], ids=["an attendee", "somebody else"])
def test_a_counter_lies_in_the_inbox_and_sets_nothing(number: int, item: bool) -> None:
    people = (*PEOPLE, attendee(5))
    sent = message("COUNTER", meeting(people=people, hour=15), sender=person(number), recipient=ORGANIZER)
    result = received(sent, SINGLE)
    assert (result.object, result.item, result.changed) == (None, item, frozenset())


def test_a_rejected_counter_is_answered() -> None:
    sent = message("COUNTER", instance(hour=15), sender=ME, recipient=ORGANIZER)
    answer = declined_counter(sent, SERIES, DIRECTORY, LATER)
    assert answer is not None
    assert (answer.method, answer.sender, answer.recipient) == (Method.DECLINECOUNTER, ORGANIZER, ME)
    lines = lines_of(answer.object, SECOND)
    assert "DTSTART:20270105T100000Z" in lines
    assert sum(line.startswith("ATTENDEE") for line in lines) == 1
    gone = stored(meeting(DAILY, people=(organizer(), attendee(3))))
    assert declined_counter(sent, gone, DIRECTORY, LATER) is None
