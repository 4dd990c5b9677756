"""What REQUEST, ADD and CANCEL do to an attendee's copy. Names of cases refer to the hints of the conformance suite."""

from __future__ import annotations

import pytest

from server.itip.messages import Method
from server.itip.reception import Memory, Outcome, Version, memory_of
from server.itip.scheduling_component import MASTER
from tests.unit.calendar.texts import BERLIN, component
from tests.unit.itip.deliveries import (
    ACCEPTED,
    DAILY,
    DECLINED,
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
from tests.unit.itip.texts import ORGANIZER, UID, attendee, organizer, person

ALARM = "BEGIN:VALARM\nACTION:AUDIO\nTRIGGER:-PT5M\nEND:VALARM"
OWN = ("TRANSP:TRANSPARENT", "X-MINE:yes", "X-APPLE-TRAVEL-DURATION;VALUE=DURATION:PT20M", ALARM)

# -- a new invitation -------------------------------------------------------------------------------------------------


def test_an_invitation_makes_a_copy_and_leaves_an_item() -> None:
    result = received(message("REQUEST", BERLIN, meeting("TRANSP:OPAQUE", "SUMMARY:Talk", ALARM)))
    assert (result.outcome, result.status, result.item) == (Outcome.APPLIED, "1.2", True)
    assert result.object is not None
    assert result.object.method == ""
    assert [zone.written for zone in result.object.timezones] == [BERLIN.replace("\n", "\r\n") + "\r\n"]
    lines = lines_of(result.object)
    assert "SUMMARY:Talk" in lines
    assert "TRANSP:TRANSPARENT" in lines, "until answered (allday 'Simple Changes' 4)"
    assert "TRANSP:OPAQUE" not in lines
    assert not result.object.components[0].subcomponents, "alarms are not the organizer's"


def test_an_instance_alone_makes_a_copy_without_the_series() -> None:
    result = received(message("REQUEST", instance()))
    assert result.object is not None
    assert list(result.object.by_instance) == [SECOND]
    assert result.item


def test_who_is_not_named_gets_nothing() -> None:
    result = received(message("REQUEST", meeting(people=(organizer(), attendee(1), attendee(3)))))
    assert result.outcome is Outcome.IGNORED
    assert (result.object, result.item) == (None, False)


def test_a_task_has_no_transparency() -> None:
    task = component("VTODO", "\n".join(("DTSTAMP:20261201T000000Z", "DUE:20270104T100000Z", *PEOPLE)), UID)
    result = received(message("REQUEST", task))
    assert not any(line.startswith("TRANSP") for line in lines_of(result.object))


def test_an_answered_invitation_keeps_the_organizers_transparency() -> None:
    result = received(message("REQUEST", meeting("TRANSP:OPAQUE", people=ACCEPTED)))
    assert "TRANSP:OPAQUE" in lines_of(result.object)


# -- objects that are there already -----------------------------------------------------------------------------------

OTHER = (organizer(3), attendee(3, "ACCEPTED"), attendee(2, "ACCEPTED"))
MINE = (organizer(2), attendee(2, "ACCEPTED"), attendee(1))


@pytest.mark.parametrize("people", [(), OTHER, MINE], ids=["no organizer", "another organizer", "one's own meeting"])
@pytest.mark.parametrize("method", ["REQUEST", "CANCEL", "ADD"])
def test_a_uid_that_another_object_has_is_not_delivered(people: tuple[str, ...], method: str) -> None:
    result = received(message(method, meeting(sequence=4, stamp=LATER)), stored(meeting(people=people)))
    assert (result.outcome, result.status) == (Outcome.REFUSED, "5.3")
    assert (result.object, result.item) == (None, False)


def test_what_another_organizer_has_cancelled_gives_way() -> None:
    """Somebody has taken the meeting over and invites a person again who had been removed."""
    cancelled = stored(meeting("STATUS:CANCELLED", people=OTHER, sequence=4))
    result = received(message("REQUEST", meeting("SUMMARY:Again", sequence=5, stamp=LATER)), cancelled)
    assert (result.outcome, result.item) == (Outcome.APPLIED, True)
    assert result.object is not None
    assert {"SUMMARY:Again", "SEQUENCE:5"} <= set(lines_of(result.object))
    assert answer_of(result.object) == "NEEDS-ACTION"


def test_what_one_has_cancelled_oneself_stays() -> None:
    result = received(message("REQUEST", meeting(sequence=5)), stored(meeting("STATUS:CANCELLED", people=MINE)))
    assert (result.outcome, result.status, result.object) == (Outcome.REFUSED, "5.3", None)


@pytest.mark.parametrize(
    "people",
    [
        (organizer(parameters=";SCHEDULE-AGENT=NONE"), attendee(1), attendee(2, "ACCEPTED")),
        (organizer(parameters=";SCHEDULE-AGENT=CLIENT"), attendee(1), attendee(2, "ACCEPTED")),
        (organizer(), attendee(1), attendee(3)),
    ],
    ids=["imip S-A=NONE", "S-A=CLIENT", "imip without attendee"],
)
def test_the_real_invitation_takes_the_place_of_what_is_not_scheduled(people: tuple[str, ...]) -> None:
    copy = stored(meeting("SUMMARY:Old", DAILY, ALARM, people=people, sequence=7), instance(people=people))
    result = received(message("REQUEST", meeting("SUMMARY:New")), copy)
    assert result.item
    assert result.object is not None
    assert list(result.object.by_instance) == [MASTER]
    lines = lines_of(result.object)
    assert "SUMMARY:New" in lines
    assert not any("SCHEDULE-AGENT" in line for line in lines)
    assert answer_of(result.object) == "NEEDS-ACTION"


# -- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sequence", "stamp", "counts"),
    [(1, LATER, False), (2, "20261201T000000Z", False), (2, LATER, True), (3, "20261130T000000Z", True)],
    ids=["lower SEQUENCE", "older DTSTAMP", "newer DTSTAMP", "higher SEQUENCE"],
)
@pytest.mark.parametrize("method", ["REQUEST", "CANCEL"])
def test_an_older_message_is_ignored(method: str, sequence: int, stamp: str, counts: bool) -> None:
    copy = stored(meeting("SUMMARY:Old", sequence=2, stamp="20261201T060000Z"))
    result = received(message(method, meeting("SUMMARY:New", sequence=sequence, stamp=stamp)), copy)
    assert (result.object is not None, result.item) == (counts, counts)


def test_a_message_that_comes_twice_leaves_one_item() -> None:
    sent = message("REQUEST", meeting("SUMMARY:Talk"))
    first = received(sent, memory=Memory())
    assert first.item
    second = received(sent, first.object, memory=first.memory)
    assert (second.object, second.item) == (None, False)


def test_a_cancel_that_comes_first_counts() -> None:
    first = received(message("CANCEL", meeting(sequence=1)), memory=Memory())
    assert first.memory is not None
    assert first.memory.versions == {MASTER: Version(1, "20261201T000000Z")}
    assert (first.object, first.item) == (None, False)
    assert received(message("REQUEST", meeting()), memory=first.memory).outcome is Outcome.IGNORED


def test_rows_outlive_what_the_app_writes_into_the_copy() -> None:
    memory = memory_of(stored(meeting(stamp=LATER)))
    copy = stored(meeting(stamp="20261231T000000Z"))
    result = received(message("REQUEST", meeting("SUMMARY:New", stamp="20261202T000000Z")), copy, memory=memory)
    assert "SUMMARY:New" in lines_of(result.object)


# -- what is the attendee's own ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", [0, 1], ids=["refresh", "update"])
def test_alarms_transparency_and_private_properties_survive(sequence: int) -> None:
    """errors "Organizer TRANSP leakage" 7; scenario1 "Alarms" 13, "Per-Attendee X- properties" 11; traveltime."""
    copy = stored(meeting(*OWN, people=ACCEPTED))
    changed = meeting("SUMMARY:New", "TRANSP:OPAQUE", people=ACCEPTED, sequence=sequence, stamp=LATER)
    result = received(message("REQUEST", changed), copy)
    lines = lines_of(result.object)
    assert {"SUMMARY:New", *OWN[:3]} <= set(lines)
    assert result.object is not None
    assert [each.name for each in result.object.components[0].subcomponents] == ["VALARM"]


def test_they_are_taken_into_new_overrides() -> None:
    """errors "Organizer TRANSP leakage" 7; scenario1 "Recurring Alarms" 13."""
    copy = stored(meeting(DAILY, *OWN, people=ACCEPTED))
    result = received(message("REQUEST", instance("SUMMARY:Once", "TRANSP:OPAQUE", people=ACCEPTED)), copy)
    lines = lines_of(result.object, SECOND)
    assert {"SUMMARY:Once", *OWN[:3]} <= set(lines)
    assert result.object is not None
    assert [each.name for each in result.object.by_instance[SECOND].subcomponents] == ["VALARM"]
    assert "SUMMARY:Once" not in lines_of(result.object)


def test_what_the_attendee_keeps_for_one_instance_survives_an_update_of_the_series() -> None:
    copy = stored(meeting(DAILY, people=ACCEPTED), instance("X-MINE:once", people=ACCEPTED, sequence=0))
    result = received(message("REQUEST", meeting(DAILY, "SUMMARY:New", people=ACCEPTED, sequence=1)), copy)
    assert {"X-MINE:once", "SUMMARY:New"} <= set(lines_of(result.object, SECOND))


def test_completed_is_each_attendees_own() -> None:
    """implicittodo "Per-attendee completed" 18."""

    def task(*lines: str) -> str:
        return component(
            "VTODO", "\n".join(("DTSTAMP:20261201T000000Z", "DUE:20270104T100000Z", *ACCEPTED, *lines)), UID
        )

    copy = stored(task("COMPLETED:20261201T100000Z", "PERCENT-COMPLETE:50"))
    result = received(message("REQUEST", task("SUMMARY:New")), copy)
    assert {"SUMMARY:New", "COMPLETED:20261201T100000Z", "PERCENT-COMPLETE:50"} <= set(lines_of(result.object))


def test_shared_x_properties_are_the_organizers() -> None:
    copy = stored(meeting("X-ALT-DESC:old", people=ACCEPTED))
    result = received(message("REQUEST", meeting("SUMMARY:New", people=ACCEPTED, sequence=1)), copy)
    assert not any(line.startswith("X-ALT-DESC") for line in lines_of(result.object))


def test_the_status_of_the_answer_stays_on_the_organizer() -> None:
    """implicitscheduletag "Organizer Merge" 4b; scenario1 "Recurring Alarms" 13."""
    people = (organizer(parameters=";SCHEDULE-STATUS=1.2"), *ACCEPTED[1:])
    copy = stored(meeting(DAILY, people=people))
    updated = received(message("REQUEST", meeting(DAILY, "SUMMARY:New", people=ACCEPTED, sequence=1)), copy).object
    assert organizer(parameters=";SCHEDULE-STATUS=1.2") in lines_of(updated)
    added = received(message("REQUEST", instance("SUMMARY:Once", people=ACCEPTED)), copy).object
    assert organizer(parameters=";SCHEDULE-STATUS=1.2") in lines_of(added, SECOND)


def test_the_time_of_the_answer_stays_and_goes_with_it() -> None:
    """partstattimestamp 7, 8, 14."""
    people = (*ACCEPTED[:2], attendee(2, "ACCEPTED", ";X-CALENDARSERVER-DTSTAMP=20261201T000001Z"), attendee(3))
    copy = stored(meeting(people=people))
    updated = received(message("REQUEST", meeting("SUMMARY:New", people=ACCEPTED, sequence=1)), copy).object
    assert any("X-CALENDARSERVER-DTSTAMP=20261201T000001Z" in line for line in lines_of(updated))
    moved = received(message("REQUEST", meeting(sequence=1, hour=12)), copy, resets={MASTER: 1}).object
    assert not any("X-CALENDARSERVER-DTSTAMP" in line for line in lines_of(moved))


# -- the own answer ---------------------------------------------------------------------------------------------------


def test_a_reset_asks_anew() -> None:
    """reschedule "Non-recurring" 12."""
    copy = stored(meeting("TRANSP:OPAQUE", people=ACCEPTED))
    memory = Memory(memory_of(copy).versions, answered={MASTER: 0})
    result = received(message("REQUEST", meeting(sequence=1, hour=12)), copy, memory=memory, resets={MASTER: 1})
    assert answer_of(result.object) == "NEEDS-ACTION"
    assert "TRANSP:TRANSPARENT" in lines_of(result.object)
    assert any("RSVP=TRUE" in line for line in lines_of(result.object))
    assert result.messages == ()


def test_an_answer_that_crosses_an_update_stays_and_is_sent_again() -> None:
    copy = stored(meeting("TRANSP:OPAQUE", people=ACCEPTED))
    memory = Memory(memory_of(copy).versions, answered={MASTER: 0})
    result = received(message("REQUEST", meeting("SUMMARY:New", sequence=1)), copy, memory=memory, resets={})
    assert answer_of(result.object) == "ACCEPTED"
    assert "TRANSP:OPAQUE" in lines_of(result.object)
    (again,) = result.messages
    assert (again.method, again.sender, again.recipient, again.quiet) == (Method.REPLY, ME, ORGANIZER, True)
    assert answer_of(again.object) == "ACCEPTED"
    assert again.sequence == 1
    assert result.memory is not None
    assert result.memory.answered == {MASTER: 1}


def test_an_instance_takes_the_place_of_a_cancelled_event_that_became_a_series() -> None:
    copy = stored(meeting("STATUS:CANCELLED", sequence=1))
    result = received(message("REQUEST", instance(sequence=2)), copy)
    assert result.object is not None
    assert set(result.object.by_instance) == {SECOND}
    # In the other order, too.
    both = stored(meeting(), instance(sequence=2))
    result = received(message("CANCEL", meeting(sequence=1)), both, memory=memory_of(both))
    assert result.object is not None
    assert set(result.object.by_instance) == {SECOND}


def test_of_mail_a_higher_sequence_asks_anew() -> None:
    copy = stored(meeting(people=ACCEPTED))
    again = received(message("REQUEST", meeting("SUMMARY:New", stamp=LATER)), copy)
    assert answer_of(again.object) == "ACCEPTED"
    newer = received(message("REQUEST", meeting("SUMMARY:New", sequence=1)), copy)
    assert answer_of(newer.object) == "NEEDS-ACTION"


# -- declined and removed ---------------------------------------------------------------------------------------------

GONE = Memory({MASTER: Version(0, "20261201T000000Z")}, frozenset((MASTER,)), answered={MASTER: 0})


@pytest.mark.parametrize("memory", [GONE, None], ids=["with rows", "without rows"])
def test_who_declined_and_deleted_gets_nothing_back(memory: Memory | None) -> None:
    """attendeedelete "Non-recurring" 12, 13, 17, 18."""
    changed = meeting("SUMMARY:New", people=DECLINED, sequence=1)
    result = received(message("REQUEST", changed), memory=memory, resets={})
    assert (result.status, result.object, result.item) == ("1.2", None, False)


def test_until_the_meeting_is_rescheduled() -> None:
    """attendeedelete "Non-recurring" 23."""
    result = received(message("REQUEST", meeting(sequence=2, hour=12)), memory=GONE, resets={MASTER: 2})
    assert answer_of(result.object) == "NEEDS-ACTION"
    assert result.item
    assert result.memory is not None
    assert result.memory.removed == frozenset()


def test_an_update_that_crosses_the_decline_brings_nothing_back() -> None:
    result = received(message("REQUEST", meeting("SUMMARY:New", sequence=1)), memory=GONE, resets={})
    assert (result.object, result.item) == (None, False)
    (again,) = result.messages
    assert answer_of(again.object) == "DECLINED"


EXCLUDED = f"EXDATE:{SECOND}"


def test_an_instance_that_was_declined_and_excluded_stays_away() -> None:
    """attendeedelete "Recurring with master" 13."""
    copy = stored(meeting(DAILY, EXCLUDED, people=ACCEPTED))
    memory = Memory(memory_of(copy).versions, frozenset((SECOND,)), answered={SECOND: 0})
    changed = (meeting(DAILY, "SUMMARY:New", people=ACCEPTED, sequence=1), instance("SUMMARY:New", people=DECLINED))
    result = received(message("REQUEST", *changed), copy, memory=memory, resets={})
    assert result.object is not None
    assert list(result.object.by_instance) == [MASTER]
    assert {EXCLUDED, "SUMMARY:New"} <= set(lines_of(result.object))
    alone = received(message("REQUEST", instance("SUMMARY:New", people=DECLINED)), copy, memory=memory, resets={})
    assert (alone.object, alone.item) == (None, False)


def test_a_reset_of_it_takes_the_exdate_away() -> None:
    """attendeedelete "Recurring with master" 23."""
    copy = stored(meeting(DAILY, f"EXDATE:20270106T100000Z,{SECOND}", people=ACCEPTED))
    memory = Memory(memory_of(copy).versions, frozenset((SECOND,)), answered={SECOND: 0})
    result = received(message("REQUEST", instance(hour=15)), copy, memory=memory, resets={SECOND: 1})
    assert answer_of(result.object, at=SECOND) == "NEEDS-ACTION"
    assert "EXDATE:20270106T100000Z" in lines_of(result.object)
    assert result.item


# -- refreshes --------------------------------------------------------------------------------------------------------


def test_others_answers_refresh_the_copy_without_an_item() -> None:
    """scenario2 "Simple Changes" 10, 16; implicitscheduletag "Organizer Merge" 4a; implicitauto1 "#1" 4."""
    answered = (*PEOPLE[:3], attendee(3, "TENTATIVE"))
    sent = message("REQUEST", meeting(people=answered, stamp=LATER), quiet=True)
    result = received(sent, stored(meeting("TRANSP:TRANSPARENT")))
    assert answer_of(result.object, 3) == "TENTATIVE"
    assert not result.item


def test_a_copy_that_a_refresh_does_not_concern_is_untouched() -> None:
    copy = stored(meeting("TRANSP:TRANSPARENT", ALARM))
    result = received(message("REQUEST", meeting(stamp=LATER), quiet=True), copy)
    assert (result.outcome, result.object, result.item) == (Outcome.APPLIED, None, False)


def test_a_refresh_that_comes_before_its_invitation_leaves_an_item() -> None:
    result = received(message("REQUEST", meeting(stamp=LATER), quiet=True), memory=Memory())
    assert result.object is not None
    assert result.item


# -- series -----------------------------------------------------------------------------------------------------------


def test_a_series_replaces_its_overrides() -> None:
    """recur1 "RRULE Truncation" 13: overrides past the end leave the copies."""
    copy = stored(meeting(DAILY, people=ACCEPTED), instance(people=ACCEPTED))
    shorter = meeting("RRULE:FREQ=DAILY;COUNT=1", people=ACCEPTED, sequence=2, stamp=LATER)
    result = received(message("REQUEST", shorter), copy)
    assert result.object is not None
    assert list(result.object.by_instance) == [MASTER]


def test_an_override_of_a_later_message_stays() -> None:
    copy = stored(meeting(DAILY), instance("SUMMARY:Once", sequence=3))
    result = received(message("REQUEST", meeting(DAILY, "SUMMARY:All", sequence=2), instance(sequence=2)), copy)
    assert "SUMMARY:Once" in lines_of(result.object, SECOND)
    assert "SUMMARY:All" in lines_of(result.object)


def test_a_cancelled_instance_stays_cancelled_while_it_is_excluded() -> None:
    cancelled = instance("STATUS:CANCELLED", people=ACCEPTED)
    copy = stored(meeting(DAILY, people=ACCEPTED), cancelled)
    changed = meeting(DAILY, EXCLUDED, "SUMMARY:New", people=ACCEPTED, sequence=2, stamp=LATER)
    result = received(message("REQUEST", changed), copy)
    assert "STATUS:CANCELLED" in lines_of(result.object, SECOND)
    again = meeting(DAILY, people=ACCEPTED, sequence=3, stamp=LATER)
    result = received(message("REQUEST", again), result.object)
    assert result.object is not None
    assert SECOND not in result.object.by_instance


def test_a_time_zone_that_an_override_needs_comes_with_it() -> None:
    in_berlin = instance().replace("DTSTART:20270105T100000Z", "DTSTART;TZID=Europe/Berlin:20270105T110000")
    result = received(message("REQUEST", BERLIN, in_berlin), stored(meeting(DAILY)))
    assert result.object is not None
    assert len(result.object.timezones) == 1


# -- ADD --------------------------------------------------------------------------------------------------------------


def test_an_added_instance_is_a_date_of_the_series() -> None:
    added = meeting("SUMMARY:Once", sequence=1, hour=15)
    result = received(message("ADD", added), stored(meeting(DAILY)))
    assert result.item
    assert "RDATE:20270104T150000Z" in lines_of(result.object)
    assert {"SUMMARY:Once", "RECURRENCE-ID:20270104T150000Z"} <= set(lines_of(result.object, "20270104T150000Z"))


def test_an_added_instance_of_an_unknown_series_stands_alone() -> None:
    result = received(message("ADD", meeting(sequence=1, hour=15)))
    assert result.object is not None
    assert list(result.object.by_instance) == ["20270104T150000Z"]


def test_an_instance_is_added_once() -> None:
    sent = message("ADD", meeting(sequence=1, hour=15))
    first = received(sent, stored(meeting(DAILY)), memory=memory_of(stored(meeting(DAILY))))
    second = received(sent, first.object, memory=first.memory)
    assert (second.object, second.item) == (None, False)


# -- CANCEL -----------------------------------------------------------------------------------------------------------


def test_a_cancelled_meeting_stays() -> None:
    """attendeedelete; scenario1 "Organizer Delete" 11: the copy keeps times and answers."""
    copy = stored(meeting(DAILY, ALARM, "SUMMARY:Talk", people=ACCEPTED), instance(people=ACCEPTED))
    result = received(message("CANCEL", meeting(people=ACCEPTED, sequence=2, stamp=LATER)), copy)
    assert result.item
    for at in (MASTER, SECOND):
        assert {"STATUS:CANCELLED", "SEQUENCE:2"} <= set(lines_of(result.object, at))
    assert {"SUMMARY:Talk", DAILY, f"DTSTAMP:{LATER}"} <= set(lines_of(result.object))
    assert answer_of(result.object) == "ACCEPTED"


def test_a_cancelled_instance_becomes_an_override() -> None:
    """errors "…missing cancelled instance" 9; recur2 "Organizer truncate" 7."""
    result = received(message("CANCEL", instance(sequence=3)), stored(meeting(DAILY, ALARM)))
    assert {"STATUS:CANCELLED", "SEQUENCE:3", "DTSTART:20270105T100000Z"} <= set(lines_of(result.object, SECOND))
    assert "STATUS:CANCELLED" not in lines_of(result.object)


def test_an_exdate_of_the_attendee_stays_instead() -> None:
    """recur2 "Attendee remove…" 10, 11: what is cancelled lies in the inbox, once."""
    copy = stored(meeting(DAILY, EXCLUDED))
    memory = Memory(memory_of(copy).versions, frozenset((SECOND,)), answered={SECOND: 0})
    result = received(message("CANCEL", instance()), copy, memory=memory)
    assert (result.outcome, result.object, result.item) == (Outcome.APPLIED, None, True)
    again = received(message("CANCEL", instance()), copy, memory=result.memory)
    assert (again.outcome, again.object, again.item) == (Outcome.IGNORED, None, False)


@pytest.mark.parametrize(
    ("copy", "sent"),
    [
        (None, meeting(sequence=1)),
        (None, instance()),
        (stored(instance()), instance().replace(SECOND, "20270106T100000Z").replace("0105T", "0106T")),
        (stored(meeting()), instance()),
        (stored(meeting(people=(organizer(parameters=";SCHEDULE-AGENT=NONE"), attendee(2)))), meeting(sequence=1)),
    ],
    ids=["unknown meeting", "unknown series", "unknown instance", "no series", "not scheduled"],
)
def test_a_cancel_of_something_unknown_leaves_nothing(copy: object, sent: str) -> None:
    result = received(message("CANCEL", sent), copy)  # type: ignore[arg-type]
    assert (result.outcome, result.object, result.item) == (Outcome.IGNORED, None, False)


def test_a_cancel_that_comes_twice_leaves_one_item() -> None:
    sent = message("CANCEL", meeting(sequence=1))
    copy = stored(meeting())
    first = received(sent, copy, memory=memory_of(copy))
    second = received(sent, first.object, memory=first.memory)
    assert (second.object, second.item) == (None, False)


def test_who_is_left_one_instance_of_a_series_gets_both_messages_in_any_order() -> None:
    copy = stored(meeting(DAILY, people=ACCEPTED))
    sent = (message("CANCEL", meeting(sequence=1, stamp=LATER)), message("REQUEST", instance(people=ACCEPTED)))
    for order in (sent, sent[::-1]):
        value, memory = copy, memory_of(copy)
        for each in order:
            result = received(each, value, memory=memory, resets={})
            value, memory = result.object or value, result.memory or memory
        assert "STATUS:CANCELLED" in lines_of(value)
        assert "STATUS:CANCELLED" not in lines_of(value, SECOND)


# -- other methods ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "copy", "item"),
    [("PUBLISH", None, False), ("PUBLISH", stored(meeting()), False)]
    + [("DECLINECOUNTER", stored(meeting()), True), ("DECLINECOUNTER", None, False)],
    ids=["PUBLISH", "PUBLISH of a known UID", "DECLINECOUNTER", "DECLINECOUNTER of an unknown UID"],
)
def test_other_methods_change_no_copy(method: str, copy: object, item: bool) -> None:
    result = received(message(method, meeting("SUMMARY:New", sequence=5)), copy)  # type: ignore[arg-type]
    assert (result.object, result.item) == (None, item)


def test_a_delegator_invites_the_delegate() -> None:
    people = (
        organizer(),
        attendee(3, "DELEGATED", ';DELEGATED-TO="mailto:user02@example.com"'),
        attendee(2, "NEEDS-ACTION", ';RSVP=TRUE;DELEGATED-FROM="mailto:user03@example.com"'),
    )
    result = received(message("REQUEST", meeting(people=people), sender=person(3)))
    assert answer_of(result.object) == "NEEDS-ACTION"
