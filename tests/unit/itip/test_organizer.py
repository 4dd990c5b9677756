"""What an organizer's change sends and stores. Names of cases refer to the hints of the conformance suite."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from server.calendar.attendance import address_key
from server.domain.errors import (
    AttendeeCommentRefused,
    DifferentOrganizers,
    OrganizerChangeRefused,
)
from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import Directory, here
from server.itip.change import Change
from server.itip.messages import Plan, Reset
from server.itip.planning import plan_change
from server.itip.reception import Rows, resets_of, with_resets
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.calendar.texts import BERLIN
from tests.unit.itip.plans import partstats, plan, sent, stored
from tests.unit.itip.texts import DIRECTORY, ORGANIZER, attendee, event, organizer, person, read

DAILY = "RRULE:FREQ=DAILY;COUNT=5"
SECOND = "20270105T100000Z"
THIRD = "20270106T100000Z"
PEOPLE = (organizer(), attendee(1, "ACCEPTED"), attendee(2, "ACCEPTED"), attendee(3, "ACCEPTED"))


def override(day: int, *lines: str, hour: int = 10, people: tuple[str, ...] = PEOPLE) -> str:
    """An override of the daily series."""
    return event(
        f"RECURRENCE-ID:202701{day:02}T100000Z",
        *people,
        *lines,
        start=f"DTSTART:202701{day:02}T{hour:02}0000Z",
        end=f"DTEND:202701{day:02}T{hour + 1:02}0000Z",
    )


def meeting(*lines: str, people: tuple[str, ...] = PEOPLE, overrides: tuple[str, ...] = ()) -> SchedulingObject:
    """A meeting of user01 with user02 and user03, who accepted."""
    return read(event(*people, *lines), *overrides)


def edited(value: SchedulingObject, *changes: tuple[str, str]) -> SchedulingObject:
    """The same with stretches of its text replaced."""
    text = value.text
    for before, after in changes:
        before, after = before.replace("\n", "\r\n"), after.replace("\n", "\r\n")
        assert before in text, before
        text = text.replace(before, after)
    return read_object(text)


def sequences(value: SchedulingObject | None) -> list[int]:
    assert value is not None
    return [component.sequence for component in value.components]


BOTH = frozenset(("principal:2", "principal:3"))
BOTH_ALL = [("REQUEST", "user02", (MASTER,)), ("REQUEST", "user03", (MASTER,))]


# -- create -----------------------------------------------------------------------------------------------------------


def test_an_invitation_goes_to_each_attendee_but_the_organizer() -> None:
    made = plan(None, meeting("SUMMARY:A", people=(organizer(), attendee(1, "ACCEPTED"), attendee(2), attendee(3))))
    assert made.role is SchedulingRole.ORGANIZER
    assert sent(made) == BOTH_ALL
    assert made.resets == ()
    value = stored(made)
    assert partstats(value, person(2)) == {MASTER: "!"}
    assert partstats(value, ORGANIZER) == {MASTER: "ACCEPTED"}
    assert "SEQUENCE" not in value.text  # Proxy as Organizer 3: nothing that equals a default is added
    assert value.text.count("SCHEDULE-STATUS=1.2") == 2
    message = made.messages[0].text
    assert "METHOD:REQUEST" in message
    assert "SCHEDULE-STATUS" not in message
    assert "DTSTAMP:20261201T120000Z" in message
    assert made.messages[0].object is made.messages[1].object


def test_an_organizer_answers_for_nobody_here() -> None:
    made = plan(None, meeting())
    assert partstats(stored(made), person(2)) == {MASTER: "NEEDS-ACTION!"}


def test_names_and_types_come_from_the_directory_and_addresses_that_only_we_understand_are_replaced() -> None:
    """allday "Simple Changes" 6–8; implicitauto12 "#1" 3."""
    room = here(20, ("urn:x-uid:room", "/principals/locations/room/"), "Room 1", "ROOM")
    directory = Directory([ORGANIZER, person(2), room])
    value = read(
        event(
            "ORGANIZER;CN=Bogus:/principals/users/user01/",
            "ATTENDEE;CN=Bogus;CUTYPE=INDIVIDUAL;PARTSTAT=ACCEPTED:MAILTO:User02@Example.com",
            "ATTENDEE:/principals/locations/room/",
            "ATTENDEE;CN=Other;CUTYPE=GROUP:mailto:other@elsewhere.example",
        )
    )
    text = stored(plan(None, value, directory=directory), directory).text.replace("\r\n ", "")
    assert "ORGANIZER;CN=User 01:mailto:user01@example.com\r\n" in text
    assert "ATTENDEE;CN=User 02;CUTYPE=INDIVIDUAL;PARTSTAT=NEEDS-ACTION;" in text
    assert ":mailto:User02@Example.com\r\n" in text
    assert "ATTENDEE;CN=Room 1;CUTYPE=ROOM;RSVP=TRUE;SCHEDULE-STATUS=1.2:urn:x-uid:room\r\n" in text
    assert "ATTENDEE;CN=Other;CUTYPE=GROUP;RSVP=TRUE;SCHEDULE-STATUS=1.2:mailto:other@elsewhere.example\r\n" in text
    assert "EMAIL" not in text


def test_doubled_attendees_become_one() -> None:
    """scenario1 "Duplicate Attendee" 2."""
    made = plan(None, meeting(people=(organizer(), attendee(2), attendee(2, "DECLINED"), attendee(3))))
    assert sent(made) == BOTH_ALL
    assert len(stored(made).components[0].all("ATTENDEE")) == 2


def test_an_organizer_in_an_override_alone_is_that_of_all_components() -> None:
    """scenario1 "No master Organizer" 2; recurrence-splitting "…schedules existing resource" 6."""
    value = read(event(DAILY), override(5, people=(organizer(), attendee(2))))
    made = plan(None, value)
    assert sent(made) == [("REQUEST", "user02", (SECOND,))]
    assert [component.first("ORGANIZER") is not None for component in stored(made).components] == [True, True]


def test_people_who_cannot_be_reached_have_a_status_and_no_message() -> None:
    made = plan(None, meeting(people=(organizer(), "ATTENDEE:urn:uuid:nobody", attendee(2))))
    assert sent(made) == [("REQUEST", "user02", (MASTER,))]
    assert dict(made.unreachable) == {"urn:uuid:nobody": "3.7"}
    assert "SCHEDULE-STATUS=3.7:urn:uuid:nobody" in stored(made).text


@pytest.mark.parametrize(
    ("agent", "expected"), [("SERVER", [("REQUEST", "user02", (MASTER,))]), ("CLIENT", []), ("NONE", []), ("X", [])]
)
def test_only_attendees_of_the_server_are_sent_to(agent: str, expected: list[object]) -> None:
    """RFC 6638 §3.2.1.1."""
    value = meeting(people=(organizer(), attendee(2, "ACCEPTED", f";SCHEDULE-AGENT={agent}")))
    made = plan(None, value)
    assert sent(made) == expected
    if not expected:
        assert made.object is not None
        assert made.object.text == value.text


def test_private_lines_are_stored_and_not_sent() -> None:
    """scenario1 "No X- properties" 3, 4."""
    alarm = "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT5M\nEND:VALARM"
    lines = ("X-FOO:bar", "X-APPLE-TRAVEL-DURATION:PT1H", "X-ALT-DESC:all", "X-CALENDARSERVER-ATTENDEE-COMMENT:c")
    made = plan(None, meeting(*lines, alarm))
    message = made.messages[0].text
    value = stored(made).text
    for private in ("X-FOO", "X-APPLE-TRAVEL", "X-CALENDARSERVER", "VALARM"):
        assert private in value
        assert private not in message
    assert "X-ALT-DESC:all" in message


def test_time_zones_go_as_the_organizer_sent_them() -> None:
    """allday 4; imip "…S-A=NONE with attendee…" 6."""
    bare = plan(None, read(event(*PEOPLE, start="DTSTART;TZID=Europe/Berlin:20270104T100000", end="DURATION:PT1H")))
    assert "VTIMEZONE" not in bare.messages[0].text
    unused = plan(None, read(BERLIN, event(*PEOPLE)))
    assert BERLIN.replace("\n", "\r\n") in unused.messages[0].text


# -- refused ----------------------------------------------------------------------------------------------------------


def test_what_an_organizer_may_not_do() -> None:
    first = meeting()
    with pytest.raises(OrganizerChangeRefused):  # errors "Invalid Organizer PUT of orphaned instance" 2
        plan(first, read(override(5)))
    with pytest.raises(OrganizerChangeRefused):
        plan(first, meeting(people=(organizer(2), attendee(1), attendee(2))))
    with pytest.raises(DifferentOrganizers):
        plan(None, read(event(*PEOPLE, DAILY), override(5, people=(organizer(2), attendee(1)))))
    with pytest.raises(OrganizerChangeRefused):  # core errors "Invalid urn: calendar user address" 1
        plan(None, meeting(people=("ORGANIZER:urn:uuid:bogus", attendee(2), attendee(3))), person(4))


def test_a_room_organizes_nothing() -> None:
    """errors "Allowed Organizers" 1."""
    room = here(20, ("urn:x-uid:room",), "Room", "ROOM")
    value = meeting(people=("ORGANIZER:urn:x-uid:room", attendee(2)))
    with pytest.raises(OrganizerChangeRefused):
        plan(None, value, room, Directory([room, person(2)]))


def test_comments_of_attendees_are_the_servers() -> None:
    comment = 'X-CALENDARSERVER-ATTENDEE-COMMENT;X-CALENDARSERVER-ATTENDEE-REF="mailto:user02@example.com":Late'
    old = meeting(comment)
    kept = plan(old, meeting("SUMMARY:B"))
    assert kept.object is not None
    assert ":Late" in kept.object.text.replace("\r\n ", "")
    assert "Late" not in kept.messages[0].text
    gone = plan(old, meeting(comment, people=(organizer(), attendee(3, "ACCEPTED"))))
    assert gone.object is not None
    assert "Late" not in gone.object.text
    with pytest.raises(AttendeeCommentRefused):
        plan(old, meeting(comment.replace("Late", "Never")))


# -- change -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("SUMMARY:A", "SUMMARY:A\nBEGIN:VALARM\nACTION:AUDIO\nTRIGGER:PT0S\nEND:VALARM"),  # scenario1 "Alarms" 17
        ("SUMMARY:A", "SUMMARY:A\nX-FOO:bar"),  # scenario1 "No X- properties" 8
        ("SUMMARY:A", "SUMMARY:A\nX-APPLE-TRAVEL-DURATION:PT1H"),
        ("SUMMARY:A", "SEQUENCE:7\nSUMMARY:A"),
        ("SUMMARY:A", "LAST-MODIFIED:20261201T000000Z\nSUMMARY:A"),
        ("SUMMARY:A", "SUMMARY:A\nTRANSP:TRANSPARENT"),
        ("SUMMARY:A", "SUMMARY:A\nCLASS:PUBLIC\nPRIORITY:0\nLOCATION:"),
        ("DTEND:20270104T110000Z", "DURATION:PT1H"),
        ("SUMMARY:A\nLOCATION:B", "LOCATION:B\nSUMMARY:A"),
        ("DTSTAMP:20261201T000000Z", "DTSTAMP:20261201T000001Z"),
        ("RRULE:FREQ=DAILY;COUNT=5", "RRULE:COUNT=5;INTERVAL=1;FREQ=DAILY"),
    ],
)
def test_what_is_nobodys_business_is_not_sent(before: str, after: str) -> None:
    old = meeting("SUMMARY:A", "LOCATION:B", DAILY)
    new = edited(old, (before, after))
    made = plan(old, new)
    assert sent(made) == []
    assert made.object is not None
    assert made.object.text == new.text
    assert made.resets == ()


def test_exdates_in_another_order_and_form_send_nothing() -> None:
    """errors "Two EXDATEs" 6."""
    old = meeting(DAILY, f"EXDATE:{SECOND}", f"EXDATE:{THIRD}")
    assert sent(plan(old, meeting(DAILY, f"EXDATE:{THIRD},{SECOND}"))) == []


def test_a_status_and_rsvp_that_the_app_sends_stay_while_nothing_is_sent() -> None:
    """scenario1 "Alarms" 16."""
    people = (organizer(), attendee(2, "ACCEPTED", ";RSVP=TRUE;SCHEDULE-STATUS=2.0"))
    new = meeting("X-FOO:1", people=people)
    made = plan(meeting(people=people), new)
    assert made.object is not None
    assert made.object.text == new.text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("SUMMARY:A", "SUMMARY:B"),
        ("SUMMARY:A", "SUMMARY:A\nLOCATION:C"),
        ("SUMMARY:A", "SUMMARY:A\nSTATUS:TENTATIVE"),
        ("SUMMARY:A", "SUMMARY:A\nX-ALT-DESC:B"),
        ("PARTSTAT=ACCEPTED:mailto:user03", "PARTSTAT=ACCEPTED;ROLE=OPT-PARTICIPANT:mailto:user03"),
        ("PRIORITY:5", "PRIORITY:1"),
    ],
)
def test_what_attendees_see_is_sent_and_resets_nobody(before: str, after: str) -> None:
    """attendeedelete "Non-recurring" 11: SEQUENCE is raised for SUMMARY, too."""
    old = meeting("SUMMARY:A", "PRIORITY:5")
    made = plan(old, edited(old, (before, after)))
    assert sent(made) == BOTH_ALL
    assert sequences(made.object) == [1]
    assert partstats(stored(made), person(2)) == {MASTER: "ACCEPTED"}
    assert made.resets == ()


@pytest.mark.parametrize(
    ("old_sequence", "new_sequence", "expected"),
    [("", "", 1), ("SEQUENCE:3", "", 4), ("SEQUENCE:3", "SEQUENCE:2", 4)]
    + [("SEQUENCE:3", "SEQUENCE:3", 4), ("SEQUENCE:3", "SEQUENCE:9", 9)],
)
def test_the_server_raises_sequence_where_the_app_did_not(old_sequence: str, new_sequence: str, expected: int) -> None:
    """implicitsequence "Lower Sequence" 7."""
    made = plan(meeting("SUMMARY:A", old_sequence), meeting("SUMMARY:B", new_sequence))
    assert sequences(made.object) == [expected]
    assert made.messages[0].sequence == expected


def test_sequence_is_never_lowered() -> None:
    made = plan(meeting("SEQUENCE:3"), meeting("SEQUENCE:1", "X-FOO:1"))
    assert sent(made) == []
    assert sequences(made.object) == [3]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("DTSTART:20270104T100000Z", "DTSTART:20270104T103000Z"),
        ("DTEND:20270104T110000Z", "DTEND:20270104T120000Z"),
        ("RRULE:FREQ=DAILY;COUNT=5", "RRULE:FREQ=DAILY;COUNT=6"),  # recur1 "RRULE Addition/Removal" 10
        ("RRULE:FREQ=DAILY;COUNT=5", "RRULE:FREQ=DAILY"),
        ("RRULE:FREQ=DAILY;COUNT=5", "RRULE:FREQ=DAILY;COUNT=5\nRDATE:20270201T100000Z"),
        ("RRULE:FREQ=DAILY;COUNT=5", "RRULE:FREQ=WEEKLY;COUNT=5"),
        ("EXDATE:20270108T100000Z\n", ""),
    ],
)
def test_other_times_and_more_instances_ask_anew(before: str, after: str) -> None:
    """RFC 6638 §3.2.8."""
    old = meeting("SUMMARY:A", DAILY, "EXDATE:20270108T100000Z")
    made = plan(old, edited(old, (before, after)))
    assert sent(made) == BOTH_ALL
    assert partstats(stored(made), person(2)) == {MASTER: "NEEDS-ACTION!"}
    assert partstats(stored(made), ORGANIZER) == {MASTER: "ACCEPTED"}
    assert made.resets == (Reset(MASTER, 1, BOTH),)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RRULE:FREQ=DAILY;COUNT=5", "RRULE:FREQ=DAILY;COUNT=3"),  # recur1 "RRULE Truncation" 11
        ("RRULE:FREQ=DAILY;COUNT=5", "RRULE:FREQ=DAILY;UNTIL=20270106T100000Z"),
        ("RRULE:FREQ=DAILY;COUNT=5\n", ""),
    ],
)
def test_fewer_instances_ask_nobody(before: str, after: str) -> None:
    old = meeting(DAILY, overrides=(override(8),))
    new = edited(old, (before, after)).without_instances("20270108T100000Z")
    made = plan(old, new)
    assert sent(made) == BOTH_ALL  # recur2 "Organizer truncate" 3, timezones 12: no CANCEL
    assert partstats(stored(made), person(2)) == {MASTER: "ACCEPTED"}
    assert made.resets == ()


@pytest.mark.parametrize(
    ("first", "asks"),
    [
        (override(4, people=(*PEOPLE[:2], attendee(2, "DECLINED"), PEOPLE[3])), True),
        (override(4, hour=14), True),
        (override(4, "LOCATION:There"), False),
    ],
)
def test_a_series_that_becomes_its_first_instance_asks_anew_where_that_had_other_answers_or_times(
    first: str, asks: bool
) -> None:
    old = meeting(DAILY, overrides=(first,))
    made = plan(old, meeting())
    assert sent(made) == BOTH_ALL
    expected = "NEEDS-ACTION!" if asks else "ACCEPTED"
    assert partstats(stored(made), person(2)) == {MASTER: expected}
    assert made.resets == ((Reset(MASTER, 1, BOTH),) if asks else ())


def test_who_knows_a_lost_instance_alone_gets_a_cancel() -> None:
    """recur2 "Organizer truncate" 6."""
    more = override(8, people=(*PEOPLE, attendee(4, "ACCEPTED")))
    old = meeting(DAILY, overrides=(more,))
    made = plan(old, meeting("RRULE:FREQ=DAILY;COUNT=3"))
    assert sent(made) == [*BOTH_ALL, ("CANCEL", "user04", ("20270108T100000Z",))]
    assert sequences(made.messages[2].object) == [1]


# -- instances --------------------------------------------------------------------------------------------------------


def test_an_override_alone_goes_alone_and_sequence_is_alike_in_all_components() -> None:
    """recur1 "Override only in Request" 7, 8; attendeedelete "Recurring with master" 21, 29."""
    old = meeting(DAILY)
    made = plan(old, meeting(DAILY, overrides=(override(5, hour=14),)))
    assert sent(made) == [("REQUEST", "user02", (SECOND,)), ("REQUEST", "user03", (SECOND,))]
    assert sequences(made.object) == [1, 1]
    assert partstats(stored(made), person(2)) == {MASTER: "ACCEPTED", SECOND: "NEEDS-ACTION!"}
    assert made.resets == (Reset(SECOND, 1, BOTH),)
    assert stored(made).text.count("SCHEDULE-STATUS=1.2") == 4  # reschedule "Recurring overridden" 10


def test_an_override_that_repeats_its_series_sends_nothing() -> None:
    """errors "Organizer TRANSP leakage" 5: an answer repeated in a new override is no error."""
    new = meeting(DAILY, overrides=(override(5, "TRANSP:OPAQUE"),))
    made = plan(meeting(DAILY), new)
    assert sent(made) == []
    assert made.object is not None
    assert made.object.text == new.text


def test_a_new_override_keeps_the_answers_to_its_series() -> None:
    made = plan(meeting(DAILY), meeting(DAILY, overrides=(override(5, "SUMMARY:Once"),)))
    assert partstats(stored(made), person(2)) == {MASTER: "ACCEPTED", SECOND: "ACCEPTED"}
    assert made.resets == ()


def test_a_changed_master_brings_all_components() -> None:
    overrides = (override(5, hour=14),)
    made = plan(meeting(DAILY, overrides=overrides), meeting(DAILY, "SUMMARY:B", overrides=overrides))
    assert sent(made)[0] == ("REQUEST", "user02", (MASTER, SECOND))


def test_an_exdate_is_one_cancel_of_all_its_instances_and_to_people_here_a_request_of_the_series() -> None:
    """errors "Two EXDATEs" 4; "…missing cancelled instance" 9: with the organizer's new SEQUENCE."""
    people = (*PEOPLE, attendee(20, "ACCEPTED"))
    old = meeting(DAILY, people=people, overrides=(override(5, "SUMMARY:Once", people=people),))
    made = plan(old, meeting(DAILY, f"EXDATE:{SECOND}", f"EXDATE:{THIRD}", people=people))
    assert sent(made) == [
        ("CANCEL", "user02", (SECOND, THIRD)),
        ("REQUEST", "user02", (MASTER,)),
        ("CANCEL", "user03", (SECOND, THIRD)),
        ("REQUEST", "user03", (MASTER,)),
        ("CANCEL", "user20", (SECOND, THIRD)),
    ]
    assert sequences(made.object) == [1]
    message, request = made.messages[:2]
    assert sequences(message.object) == [1, 1]
    assert message.object is made.messages[2].object
    assert message.text.count("STATUS:CANCELLED") == 2
    assert "SUMMARY:Once" in message.text
    assert f"EXDATE:{SECOND}" in request.text
    assert made.resets == ()


def test_an_exdate_of_an_instance_without_an_attendee_sends_them_nothing() -> None:
    others = override(5, people=(organizer(), attendee(3)))
    made = plan(meeting(DAILY, overrides=(others,)), meeting(DAILY, f"EXDATE:{SECOND}"))
    assert sent(made) == [("CANCEL", "user03", (SECOND,)), ("REQUEST", "user03", (MASTER,))]


def test_an_exdate_beside_another_change_is_a_cancel_and_a_request() -> None:
    made = plan(meeting(DAILY), meeting(DAILY, "SUMMARY:B", f"EXDATE:{SECOND}"))
    assert sent(made)[:2] == [("CANCEL", "user02", (SECOND,)), ("REQUEST", "user02", (MASTER,))]
    assert f"EXDATE:{SECOND}" in made.messages[1].text


def test_an_exdate_beside_a_moved_series_is_one_request() -> None:
    moved = [("T100000Z", "T110000Z"), ("DTEND:20270104T110000Z", "DTEND:20270104T120000Z")]
    old = meeting(DAILY)
    new = edited(meeting(DAILY, "EXDATE:20270105T110000Z"), *moved[:1])
    made = plan(old, new)
    assert sent(made) == BOTH_ALL


def test_exdates_that_mean_no_instance_are_not_cancelled() -> None:
    assert sent(plan(meeting(DAILY), meeting(DAILY, "EXDATE:20280101T100000Z"))) == []


def test_an_override_that_goes_makes_the_series_speak_again() -> None:
    old = meeting(DAILY, overrides=(override(5, hour=14),))
    made = plan(old, meeting(DAILY))
    assert sent(made) == BOTH_ALL


@pytest.mark.parametrize("removed", ["attendee", "status"])
def test_cancelled_instances(removed: str) -> None:
    """RFC 6638 §3.2.6; recur2 "Attendee remove…" 10."""
    before = override(5, "SUMMARY:Once")
    if removed == "attendee":
        after = override(5, "SUMMARY:Once", people=(PEOPLE[0], PEOPLE[1], PEOPLE[3]))
    else:
        after = override(5, "SUMMARY:Once", "STATUS:CANCELLED")
    made = plan(meeting(DAILY, overrides=(before,)), meeting(DAILY, overrides=(after,)))
    cancel = ("CANCEL", "user02", (SECOND,))
    if removed == "status":
        assert sent(made) == [cancel, ("CANCEL", "user03", (SECOND,))]
        return
    assert sent(made) == [cancel, ("REQUEST", "user03", (SECOND,))]
    assert "user03" not in made.messages[0].text.replace("\r\n ", "")


def test_who_is_invited_to_the_series_but_not_to_an_instance_gets_an_exdate() -> None:
    others = override(5, people=(organizer(), attendee(3)))
    made = plan(None, meeting(DAILY, overrides=(others,)))
    assert sent(made) == [("REQUEST", "user02", (MASTER,)), ("REQUEST", "user03", (MASTER, SECOND))]
    assert f"EXDATE:{SECOND}" in made.messages[0].text
    assert "EXDATE" not in made.messages[1].text


def test_who_is_invited_to_one_instance_hears_of_that_alone() -> None:
    guest = (*PEOPLE, attendee(4))
    made = plan(meeting(DAILY), meeting(DAILY, overrides=(override(5, people=guest),)))
    assert sent(made)[-1] == ("REQUEST", "user04", (SECOND,))
    assert made.resets == (Reset(SECOND, 1, frozenset(("principal:4",))),)
    whole = plan(stored(made), None)
    assert sent(whole)[-1] == ("CANCEL", "user04", (MASTER,))  # recur1 "Cancel Override" 7


def test_a_range_is_sent_with_its_series() -> None:
    ranged = override(6, hour=14).replace("RECURRENCE-ID:", "RECURRENCE-ID;RANGE=THISANDFUTURE:")
    made = plan(meeting(DAILY), meeting(DAILY, overrides=(ranged,)))
    assert sent(made)[0] == ("REQUEST", "user02", (MASTER, THIRD))
    assert made.resets == (Reset(THIRD, 1, BOTH), Reset(MASTER, 1, BOTH))


def test_an_exdate_in_the_place_of_a_range_cancels_its_first_instance_only() -> None:
    ranged = override(6, hour=14).replace("RECURRENCE-ID:", "RECURRENCE-ID;RANGE=THISANDFUTURE:")
    made = plan(meeting(DAILY, overrides=(ranged,)), meeting(DAILY, f"EXDATE:{THIRD}"))
    cancel = next(message for message in made.messages if message.method == "CANCEL")
    assert f"RECURRENCE-ID:{THIRD}" in cancel.text
    assert "RANGE" not in cancel.text


# -- people -----------------------------------------------------------------------------------------------------------

AGENTS = ("", "SERVER", "CLIENT", "NONE")


@pytest.mark.parametrize("before", AGENTS)
@pytest.mark.parametrize("after", AGENTS)
def test_the_table_of_schedule_agents(before: str, after: str) -> None:
    """RFC 6638 §3.2.1.2; implicitscheduleagent "Simple invite…" 21."""

    def with_agent(agent: str) -> SchedulingObject:
        more = (attendee(2, "", f";SCHEDULE-AGENT={agent}"),) if agent else ()
        return meeting(people=(organizer(), *more, attendee(3, "ACCEPTED")))

    made = plan(with_agent(before), with_agent(after))
    told = [method for method, name, _ in sent(made) if name == "user02"]
    if before == "SERVER":
        assert told == ([] if after == "SERVER" else ["CANCEL"])
    else:
        assert told == (["REQUEST"] if after == "SERVER" else [])
    if before == "SERVER" and after in ("CLIENT", "NONE"):
        assert f";SCHEDULE-AGENT={after};SCHEDULE-STATUS=1.2" in stored(made).text.replace("\r\n ", "")


def test_others_are_told_when_somebody_comes_to_be_invited_by_the_server() -> None:
    """implicitscheduleagent "Simple invite of three attendees…" 11, 12, 21, 25."""
    people = (organizer(), attendee(2, "ACCEPTED"), attendee(3, "ACCEPTED", ";SCHEDULE-AGENT=NONE"))
    old, new = meeting(people=people), meeting(people=(*people[:2], attendee(3)))
    assert sent(plan(old, new)) == BOTH_ALL
    assert sent(plan(new, old)) == [("REQUEST", "user02", (MASTER,)), ("CANCEL", "user03", (MASTER,))]


def test_rsvp_stands_on_all_components_of_who_is_asked() -> None:
    """recur1 "All-day override" 7."""
    people = (organizer(), attendee(2, "NEEDS-ACTION"))
    made = plan(
        meeting(DAILY, people=people), meeting(DAILY, people=people, overrides=(override(5, people=people, hour=14),))
    )
    assert partstats(stored(made), person(2)) == {MASTER: "NEEDS-ACTION!", SECOND: "NEEDS-ACTION!"}


def test_one_more_attendee_is_told_to_all() -> None:
    """implicitscheduleagent "…(no ATTENDEE at start)" 9."""
    made = plan(meeting(), meeting(people=(*PEOPLE, attendee(4, "ACCEPTED"))))
    assert [name for _, name, _ in sent(made)] == ["user02", "user03", "user04"]
    assert sequences(made.object) == [1]
    assert partstats(stored(made), person(4)) == {MASTER: "NEEDS-ACTION!"}
    assert partstats(stored(made), person(2)) == {MASTER: "ACCEPTED"}
    first = plan(read(event(organizer())), meeting())
    assert sequences(first.object) == [1]


def test_who_is_removed_keeps_the_old_time_cancelled() -> None:
    moved = edited(meeting(people=PEOPLE[:3]), ("T100000Z", "T103000Z"))
    made = plan(meeting(), moved)
    assert sent(made) == [("REQUEST", "user02", (MASTER,)), ("CANCEL", "user03", (MASTER,))]
    cancel = made.messages[1].text
    assert "DTSTART:20270104T100000Z" in cancel
    assert "user02" not in cancel
    assert "SEQUENCE:1" in cancel
    again = plan(stored(made), moved.map_components(lambda each: meeting().components[0]))
    assert [name for method, name, _ in sent(again) if method == "REQUEST"] == ["user02", "user03"]
    assert partstats(stored(again), person(3)) == {MASTER: "NEEDS-ACTION!"}


def test_from_the_series_to_one_instance_and_back() -> None:
    alone = meeting(DAILY, people=PEOPLE[:3], overrides=(override(5, "SUMMARY:Once"),))
    made = plan(meeting(DAILY), alone)
    assert sent(made)[1:] == [("CANCEL", "user03", (MASTER,)), ("REQUEST", "user03", (SECOND,))]
    back = plan(alone, meeting(DAILY, overrides=(override(5, "SUMMARY:Once"),)))
    assert sent(back)[1:] == [("REQUEST", "user03", (MASTER, SECOND))]


def test_status_cancelled_goes_out_as_cancel_once() -> None:
    cancelled = meeting("STATUS:CANCELLED", "DESCRIPTION:Why")
    made = plan(meeting(), cancelled)
    assert sent(made) == [("CANCEL", "user02", (MASTER,)), ("CANCEL", "user03", (MASTER,))]
    assert "DESCRIPTION:Why" in made.messages[0].text
    assert made.messages[0].object is made.messages[1].object
    assert sent(plan(stored(made), None)) == []
    again = plan(stored(made), meeting())
    assert sent(again) == BOTH_ALL


def test_an_instance_that_is_no_longer_cancelled_is_told_to_who_knows_single_ones() -> None:
    guests = (organizer(), attendee(2, "ACCEPTED"))
    old = read(event(organizer(), DAILY), override(5, people=guests), override(6, "STATUS:CANCELLED", people=guests))
    made = plan(old, edited(old, ("STATUS:CANCELLED\n", "")))
    assert sent(made) == [("REQUEST", "user02", (THIRD,))]


def test_a_delete_is_one_cancel_for_each() -> None:
    """scenario1 "Organizer Delete" 11: also for who declined, with start and length."""
    old = meeting(
        DAILY, people=(organizer(), attendee(1), attendee(2, "DECLINED")), overrides=(override(5, "SUMMARY:Once"),)
    )
    made = plan(old, None)
    assert made.object is None
    assert sent(made) == [("CANCEL", "user02", (MASTER,)), ("CANCEL", "user03", (MASTER,))]
    for message in made.messages:
        assert "RECURRENCE-ID" not in message.text
        for part in ("DTSTART:", "DTEND:", "SEQUENCE:1", "STATUS:CANCELLED"):
            assert part in message.text


def test_without_an_organizer_it_is_removed_and_stored_as_sent() -> None:
    plain = read(event("SUMMARY:A"))
    made = plan(meeting(), plain)
    assert sent(made) == [("CANCEL", "user02", (MASTER,)), ("CANCEL", "user03", (MASTER,))]
    assert made.object is plain
    assert made.role is SchedulingRole.NONE


# -- answers ----------------------------------------------------------------------------------------------------------


def asked(made: Plan) -> dict[str, str]:
    return partstats(stored(made), person(2))


def test_stale_answers_give_way() -> None:
    old = meeting("SUMMARY:A")
    new = edited(old, ("PARTSTAT=ACCEPTED:mailto:user02", "RSVP=TRUE;PARTSTAT=NEEDS-ACTION:mailto:user02"))
    for options in ({}, {"tag_matches": True}, {"tag_matches": True, "etag_matches": True}):
        made = plan(old, new, **options)
        assert sent(made) == []
        assert asked(made) == {MASTER: "ACCEPTED"}
    answer = edited(old, ("PARTSTAT=ACCEPTED:mailto:user02", "PARTSTAT=DECLINED:mailto:user02"))
    assert asked(plan(old, answer, etag_matches=True)) == {MASTER: "ACCEPTED"}


@pytest.mark.parametrize(("forced", "options"), [(True, {"tag_matches": True}), (False, {"etag_matches": True})])
def test_an_organizer_asks_anew(forced: bool, options: dict[str, bool]) -> None:
    """implicitscheduletag "Organizer Re-invite…" 11."""
    old = meeting()
    force = ";SCHEDULE-FORCE-SEND=REQUEST" if forced else ""
    new = edited(old, ("PARTSTAT=ACCEPTED:mailto:user02", f"PARTSTAT=NEEDS-ACTION{force}:mailto:user02"))
    made = plan(old, new, **options)
    assert sent(made) == [("REQUEST", "user02", (MASTER,)), ("request", "user03", (MASTER,))]
    assert asked(made) == {MASTER: "NEEDS-ACTION!"}
    assert made.resets == (Reset(MASTER, 1, frozenset(("principal:2",))),)
    assert made.object is not None
    assert "FORCE" not in made.object.text


def test_force_send_sends_what_did_not_change() -> None:
    old = meeting()
    new = edited(old, (":mailto:user02", ";SCHEDULE-FORCE-SEND=REQUEST:mailto:user02"))
    made = plan(old, new)
    assert sent(made) == [("REQUEST", "user02", (MASTER,))]
    assert asked(made) == {MASTER: "ACCEPTED"}


@pytest.mark.parametrize(
    ("agent", "value", "statuses"),
    [
        ("", "COUNTER", ["2.3"]),
        ("", "reply", ["2.3"]),
        ("", "X-WHAT", ["2.3"]),
        ("", "request", ["1.2"]),
        ("SCHEDULE-AGENT=NONE;", "X-WHAT", []),
    ],
)
def test_force_send_with_a_value_that_means_nothing(agent: str, value: str, statuses: list[str]) -> None:
    """RFC 6638 §7.2."""
    old = meeting(people=(organizer(), attendee(2, "ACCEPTED", f";{agent}X=1"), attendee(3, "ACCEPTED")))
    made = plan(old, edited(old, ("X=1:mailto:user02", f"X=1;SCHEDULE-FORCE-SEND={value}:mailto:user02")))
    text = stored(made).text.replace("\r\n ", "")
    assert "FORCE-SEND" not in text
    assert re.findall("SCHEDULE-STATUS=([0-9.]+)", text) == statuses
    assert bool(made.messages) == (statuses == ["1.2"])


def test_both_statuses_where_a_message_goes_out_all_the_same() -> None:
    old = meeting("SUMMARY:A")
    force = ("PARTSTAT=ACCEPTED:mailto:user02", "PARTSTAT=ACCEPTED;SCHEDULE-FORCE-SEND=ADD:mailto:user02")
    text = stored(plan(old, edited(old, ("SUMMARY:A", "SUMMARY:B"), force))).text.replace("\r\n ", "")
    assert re.findall('SCHEDULE-STATUS=("[^"]*"|[0-9.]+)', text) == ['"1.2,2.3"', "1.2"]


def test_the_organizers_own_lines_force_nothing() -> None:
    new = meeting(people=(organizer(1, ";SCHEDULE-FORCE-SEND=REPLY"), attendee(1, "", ";SCHEDULE-FORCE-SEND=X")))
    made = plan(None, new)
    assert made.messages == ()
    assert "SCHEDULE-" not in stored(made).text


def test_with_a_matching_tag_answers_come_from_the_server_and_the_rest_from_the_organizer() -> None:
    """implicitscheduletag "Organizer Merge" 8."""
    old = meeting(people=(organizer(), attendee(2, "ACCEPTED", ";SCHEDULE-STATUS=2.0"), attendee(3)))
    new = meeting(people=(organizer(), attendee(2, "NEEDS-ACTION", ";RSVP=TRUE;ROLE=OPT-PARTICIPANT"), attendee(3)))
    made = plan(old, new, tag_matches=True)
    text = made.object.text.replace("\r\n ", "") if made.object else ""
    assert "PARTSTAT=ACCEPTED;ROLE=OPT-PARTICIPANT;SCHEDULE-STATUS=2.0:mailto:user02" in text


def test_the_organizers_word_counts_for_people_elsewhere_until_they_answered_later() -> None:
    def with_answer(answer: str) -> SchedulingObject:
        return meeting(people=(organizer(), attendee(3), f"ATTENDEE;PARTSTAT={answer}:mailto:other@elsewhere.example"))

    old, new = with_answer("ACCEPTED"), with_answer("TENTATIVE")
    made = plan(old, new)
    assert sent(made) == [("request", "user03", (MASTER,))]  # refreshes copies here, and mails nobody
    assert made.object is not None
    assert "PARTSTAT=TENTATIVE" in made.object.text
    assert sequences(made.object) == [0]
    later = plan(old, new, mailed=frozenset((("mailto:other@elsewhere.example", MASTER),)))
    assert sent(later) == []
    assert later.object is not None
    assert "PARTSTAT=ACCEPTED" in later.object.text


def test_an_override_that_an_answer_made_stays_until_its_instance_goes() -> None:
    declined = (PEOPLE[0], PEOPLE[1], attendee(2, "DECLINED"), PEOPLE[3])
    old = meeting(DAILY, "SUMMARY:A", overrides=(override(5, "SUMMARY:A", people=declined),))
    made = plan(old, meeting(DAILY, "SUMMARY:B"))
    assert partstats(stored(made), person(2)) == {MASTER: "ACCEPTED", SECOND: "DECLINED"}
    assert stored(made).by_instance[SECOND].value("SUMMARY") == "B"
    assert sent(made)[0] == ("REQUEST", "user02", (MASTER, SECOND))
    gone = plan(old, meeting(DAILY, "SUMMARY:A", f"EXDATE:{SECOND}"))
    assert partstats(stored(gone), person(2)) == {MASTER: "ACCEPTED"}
    assert sent(gone)[0] == ("CANCEL", "user02", (SECOND,))
    moved = plan(old, edited(meeting(DAILY, "SUMMARY:A"), ("DTSTART:20270104T100000Z", "DTSTART:20270104T093000Z")))
    assert list(partstats(stored(moved), person(2))) == [MASTER]


# -- options ----------------------------------------------------------------------------------------------------------


def test_a_meeting_that_is_restored_has_a_later_sequence() -> None:
    made = plan(None, meeting("SEQUENCE:3"), sequence_floor=4)
    assert sequences(made.object) == [5]
    assert sent(made) == BOTH_ALL


def test_a_series_that_the_server_divides_asks_nobody() -> None:
    """recurrence-splitting: both parts get SEQUENCE+1 and keep PARTSTAT, without inbox items."""
    people = (*PEOPLE, "ATTENDEE;PARTSTAT=ACCEPTED:mailto:other@elsewhere.example")
    made = plan(meeting(DAILY, people=people), meeting("RRULE:FREQ=DAILY;COUNT=3", people=people), quiet=True)
    here = [("request", name, (MASTER,)) for name in ("user02", "user03")]
    assert sent(made) == [*here, ("REQUEST", "other@elsewhere.example", (MASTER,))]
    assert sequences(made.object) == [1]
    later = plan(None, meeting("RRULE:FREQ=DAILY;COUNT=2"), quiet=True, sequence_floor=0)
    assert partstats(stored(later), person(2)) == {MASTER: "ACCEPTED"}
    assert sequences(later.object) == [1]
    assert {method for method, _, _ in sent(later)} == {"request"}


def test_tasks_are_scheduled_like_events() -> None:
    """implicittodo: a DUE that is added asks anew, COMPLETED is each person's own."""
    task = read_object(meeting("SUMMARY:A").text.replace("VEVENT", "VTODO").replace("DTEND", "DUE"))
    assert sent(plan(None, task)) == BOTH_ALL
    assert sent(plan(task, edited(task, ("SUMMARY:A", "SUMMARY:A\nCOMPLETED:20270101T000000Z")))) == []
    later = plan(task, edited(task, ("DUE:20270104T11", "DUE:20270104T12")))
    assert later.resets == (Reset(MASTER, 1, BOTH),)


def test_aliases_of_the_organizer_are_the_organizer() -> None:
    owner = person(1, "mailto:alias@example.com")
    directory = Directory([owner, person(2)])
    people = ("ORGANIZER:mailto:alias@example.com", attendee(1, "ACCEPTED"), attendee(2, "ACCEPTED"))
    old = meeting(people=people)
    made = plan(old, meeting("SUMMARY:B", people=(organizer(), *people[1:])), owner, directory)
    assert sent(made) == [("REQUEST", "user02", (MASTER,))]
    assert partstats(stored(made, directory), owner, directory) == {MASTER: "ACCEPTED"}


def test_plain_objects_send_nothing() -> None:
    plain = read(event("SUMMARY:A", attendee(2)))
    made = plan(None, plain)
    assert (sent(made), made.object, made.role) == ([], plain, SchedulingRole.NONE)
    foreign = meeting(people=("ORGANIZER:mailto:x@elsewhere.example", attendee(3)))
    assert plan(plain, foreign, person(4)).messages == ()
    assert sent(plan(plain, meeting())) == BOTH_ALL


def test_directory_is_asked_for_all_spellings() -> None:
    assert DIRECTORY.user("MAILTO:USER02@example.com") == person(2)


def test_later_resets_take_the_place_of_those_of_the_same_attendee_and_instance() -> None:
    ann, bea = "principal:2", "principal:3"
    rows = with_resets(Rows(), (Reset(MASTER, 1, BOTH), Reset(SECOND, 1, BOTH)))
    rows = with_resets(rows, (Reset(MASTER, 2, frozenset((ann,))),))
    assert set(rows.resets) == {
        Reset(MASTER, 1, frozenset((bea,))),
        Reset(SECOND, 1, BOTH),
        Reset(MASTER, 2, frozenset((ann,))),
    }
    assert resets_of(rows.resets, person(2)) == {MASTER: 2, SECOND: 1}
    assert with_resets(rows, (Reset(MASTER, 3, BOTH),)).resets == (Reset(SECOND, 1, BOTH), Reset(MASTER, 3, BOTH))


def test_a_reset_names_those_who_are_asked_and_nobody_who_is_invited_later() -> None:
    old = meeting(DAILY, overrides=(override(5, people=(organizer(), attendee(1, "ACCEPTED"))),))
    made = plan(old, edited(old, ("DTSTART:20270104T10", "DTSTART:20270104T09")))
    assert Reset(MASTER, 1, BOTH) in made.resets
    alone = edited(old, ("DTSTART:20270105T10", "DTSTART:20270105T09"))
    assert plan(old, alone).resets == ()


def test_a_meeting_is_not_sent_from_a_former_address() -> None:
    old = "mailto:user01@example.net"
    user = replace(ORGANIZER, addresses=(*ORGANIZER.addresses, old), former=frozenset({address_key(old)}))
    directory = Directory([user, *(person(number) for number in range(2, 5))])
    written = edited(meeting(), (ORGANIZER.address, old))
    change = Change(None, written, user, directory, datetime(2026, 12, 1, tzinfo=UTC))
    made = plan_change(change)
    assert made.object is not None
    assert {line.value for each in made.object.components for line in each.all("ORGANIZER")} == {ORGANIZER.address}
    organizers = {line.value for each in made.messages for line in each.object.components[0].all("ORGANIZER")}
    assert organizers == {ORGANIZER.address}
