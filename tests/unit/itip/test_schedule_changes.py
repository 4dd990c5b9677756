"""What a message changed, as CS:schedule-changes says it (caldav-schedulingchanges §4.1)."""

from __future__ import annotations

import pytest

from server.itip.messages import Message
from server.itip.schedule_changes import Recurrence, ScheduleChanges, schedule_changes
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject
from tests.unit.itip.deliveries import (
    ACCEPTED,
    DAILY,
    LATER,
    ME,
    SECOND,
    instance,
    meeting,
    message,
    received,
    stored,
)
from tests.unit.itip.texts import DIRECTORY, ORGANIZER, attendee, organizer, person

COMMENT = "X-CALENDARSERVER-PRIVATE-COMMENT:No"
PARTSTAT = {"ATTENDEE": frozenset(("PARTSTAT",))}


def changes(sent: Message, value: SchedulingObject | None = None) -> ScheduleChanges | None:
    """What a message changed of an object."""
    result = received(sent, value)
    return schedule_changes(sent, value, result.object or value, DIRECTORY)


def names(found: ScheduleChanges | None) -> dict[str, dict[str, set[str]]]:
    """The properties and parameters that changed, by instance."""
    assert found is not None
    return {
        each.instance: {name: set(parameters) for name, parameters in (each.properties or {}).items()}
        for each in found.recurrences
    }


def test_an_invitation_creates_an_object() -> None:
    assert changes(message("REQUEST", meeting())) == ScheduleChanges("create")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("SUMMARY:A", "SUMMARY:B", {"SUMMARY": set()}),
        ("", "LOCATION:B", {"LOCATION": set()}),
        ("LOCATION:B", "", {"LOCATION": set()}),
        ("LOCATION;LANGUAGE=en:B", "LOCATION;LANGUAGE=de:B", {"LOCATION": {"LANGUAGE"}}),
        ("LOCATION;LANGUAGE=en;ALTREP=x:B", "LOCATION;ALTREP=x;LANGUAGE=en:B", {}),
    ],
)
def test_an_update_names_the_properties_that_changed(before: str, after: str, expected: dict[str, set[str]]) -> None:
    """What is the recipient's own, and what changes with every message, is not named."""
    own = ("X-MINE:1", "TRANSP:OPAQUE", "BEGIN:VALARM\nACTION:AUDIO\nTRIGGER:PT0S\nEND:VALARM")
    copy = stored(meeting(before, *own, people=ACCEPTED))
    found = changes(message("REQUEST", meeting(after, "TRANSP:OPAQUE", people=ACCEPTED, sequence=1, stamp=LATER)), copy)
    assert found is not None
    assert (found.action, found.attendee) == ("update", None)
    assert names(found) == {MASTER: expected}


def test_an_update_names_people_who_came_and_whose_answer_changed() -> None:
    copy = stored(meeting(people=ACCEPTED))
    people = (organizer(), attendee(1, "ACCEPTED"), attendee(2, "ACCEPTED"), attendee(3, "DECLINED"))
    assert names(changes(message("REQUEST", meeting(people=people, stamp=LATER)), copy)) == {
        MASTER: {"ATTENDEE": {"PARTSTAT"}}
    }
    more = (*ACCEPTED, attendee(4))
    assert names(changes(message("REQUEST", meeting(people=more, stamp=LATER)), copy)) == {MASTER: {"ATTENDEE": set()}}


def test_the_status_of_a_delivery_is_no_change() -> None:
    copy = stored(meeting(people=(organizer(1, ";SCHEDULE-STATUS=2.0"), *ACCEPTED[1:])))
    found = changes(message("REQUEST", meeting("SUMMARY:B", people=ACCEPTED, stamp=LATER)), copy)
    assert names(found) == {MASTER: {"SUMMARY": set()}}


def test_an_update_names_the_instances_that_changed() -> None:
    copy = stored(meeting(DAILY, people=ACCEPTED))
    moved = instance(people=ACCEPTED, hour=14)
    assert names(changes(message("REQUEST", moved), copy)) == {SECOND: {"DTSTART": set(), "DTEND": set()}}
    both = stored(meeting(DAILY, people=ACCEPTED), moved)
    back = message("REQUEST", meeting(DAILY, people=ACCEPTED, sequence=2, stamp=LATER))
    assert names(changes(back, both)) == {SECOND: {"DTSTART": set(), "DTEND": set()}}


def test_a_cancellation_names_the_instances_unless_it_is_whole() -> None:
    copy = stored(meeting(DAILY, people=ACCEPTED))
    whole = message("CANCEL", meeting(people=ACCEPTED, sequence=1, stamp=LATER))
    assert changes(whole, copy) == ScheduleChanges("cancel")
    one = message("CANCEL", instance(people=ACCEPTED))
    assert changes(one, copy) == ScheduleChanges("cancel", None, (Recurrence(SECOND, None),))


def reply(*parts: str) -> Message:
    return message("REPLY", *parts, sender=ME, recipient=ORGANIZER)


def test_an_answer_names_the_attendee_as_the_organizer_wrote_them() -> None:
    people = (organizer(), attendee(1, "ACCEPTED"), "ATTENDEE:urn:x-uid:id02")
    mine = (organizer(), attendee(2, "ACCEPTED"))
    found = changes(reply(meeting(people=mine, stamp=LATER)), stored(meeting(people=people)))
    assert found == ScheduleChanges("reply", "urn:x-uid:id02", (Recurrence(MASTER, PARTSTAT),))


def test_an_answer_names_the_instances_and_a_comment() -> None:
    mine = (organizer(), attendee(2, "ACCEPTED"))
    value = stored(meeting(DAILY, people=ACCEPTED))
    found = changes(reply(instance(COMMENT, people=mine, sequence=0)), value)
    assert names(found) == {SECOND: {"X-CALENDARSERVER-PRIVATE-COMMENT": set()}}
    declined = (organizer(), attendee(2, "DECLINED"))
    found = changes(reply(instance(COMMENT, people=declined, sequence=0)), value)
    assert names(found) == {SECOND: {"ATTENDEE": {"PARTSTAT"}, "X-CALENDARSERVER-PRIVATE-COMMENT": set()}}


def test_the_same_answer_again_changes_nothing() -> None:
    mine = (organizer(), attendee(2, "ACCEPTED"))
    value = stored(meeting(people=ACCEPTED))
    assert names(changes(reply(meeting(people=mine, stamp=LATER)), value)) == {MASTER: {}}


def test_a_proposal_changes_nothing() -> None:
    counter = message("COUNTER", meeting(hour=14), sender=ME, recipient=ORGANIZER)
    assert changes(counter, stored(meeting())) is None
    stranger = message("REPLY", meeting(), sender=person(9), recipient=ORGANIZER)
    assert schedule_changes(stranger, None, None, DIRECTORY) is None
