"""What an attendee's change sends and stores. Names of cases refer to the hints of the conformance suite."""

from __future__ import annotations

import pytest

from server.domain.errors import AttendeeChangeRefused
from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import Directory
from server.itip.messages import Plan
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.calendar.texts import BERLIN, calendar
from tests.unit.itip.plans import partstats, plan, sent, stored
from tests.unit.itip.texts import ORGANIZER, attendee, event, organizer, person, read

ME = person(2)
DAILY = "RRULE:FREQ=DAILY;COUNT=5"
SECOND = "20270105T100000Z"
THIRD = "20270106T100000Z"
UNANSWERED = (organizer(), attendee(1, "ACCEPTED"), attendee(2, "NEEDS-ACTION", ";RSVP=TRUE"), attendee(3, "ACCEPTED"))
ACCEPTED = (organizer(), attendee(1, "ACCEPTED"), attendee(2, "ACCEPTED"), attendee(3, "ACCEPTED"))
FREE = "TRANSP:TRANSPARENT"


def override(day: int, *lines: str, people: tuple[str, ...] = ACCEPTED, hour: int = 10) -> str:
    """An override of the daily series."""
    return event(
        f"RECURRENCE-ID:202701{day:02}T100000Z",
        *people,
        *lines,
        start=f"DTSTART:202701{day:02}T{hour:02}0000Z",
        end=f"DTEND:202701{day:02}T{hour + 1:02}0000Z",
    )


def copy(*lines: str, people: tuple[str, ...] = ACCEPTED, overrides: tuple[str, ...] = ()) -> SchedulingObject:
    """The copy of user02."""
    return read(event(*people, *lines), *overrides)


def edited(value: SchedulingObject, *changes: tuple[str, str]) -> SchedulingObject:
    text = value.text.replace("\r\n ", "")
    for before, after in changes:
        before, after = before.replace("\n", "\r\n"), after.replace("\n", "\r\n")
        assert before in text, before
        text = text.replace(before, after)
    return read_object(text)


def put(old: SchedulingObject | None, new: SchedulingObject | None, **options: bool) -> Plan:
    """What a PUT of user02 leads to."""
    return plan(old, new, ME, **options)


def content(value: SchedulingObject | None) -> list[set[str]]:
    """The lines of each component, unfolded."""
    assert value is not None
    return [
        {f"{line.name}{';' if line.parameter_text else ''}{line.parameter_text}:{line.value}" for line in each.lines}
        for each in value.components
    ]


def answer(value: str) -> tuple[str, str]:
    """An edit that answers in all components."""
    return "PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:user02", f"PARTSTAT={value}:mailto:user02"


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partstat", ["ACCEPTED", "TENTATIVE", "DECLINED"])
def test_an_answer_is_a_reply_to_the_organizer(partstat: str) -> None:
    """scenario1 "Simple Changes" 7–11."""
    old = copy("SUMMARY:A", "DESCRIPTION:Long", FREE, people=UNANSWERED)
    made = put(old, edited(old, answer(partstat), (FREE, "TRANSP:OPAQUE")))
    assert made.role is SchedulingRole.ATTENDEE
    assert sent(made) == [("REPLY", "user01", (MASTER,))]
    value = stored(made)
    assert partstats(value, ME) == {MASTER: partstat}
    assert "ORGANIZER;CN=User 01;SCHEDULE-STATUS=1.2:" in value.text.replace("\r\n ", "").replace('"', "")
    assert "X-CALENDARSERVER-DTSTAMP=20261201T120000Z:mailto:user02" in value.text.replace("\r\n ", "")
    assert value.components[0].value("TRANSP") == "OPAQUE"
    assert content(made.messages[0].object) == [
        {
            "UID:meeting@example.com",
            "DTSTAMP:20261201T120000Z",
            "DTSTART:20270104T100000Z",
            "DTEND:20270104T110000Z",
            "SUMMARY:A",
            'ORGANIZER;CN="User 01":mailto:user01@example.com',
            f'ATTENDEE;CN="User 02";PARTSTAT={partstat}:mailto:user02@example.com',
        }
    ]


def test_an_unanswered_event_makes_nobody_busy_and_an_accepted_one_does() -> None:
    """allday "Simple Changes" 4, 13; reschedule "Non-recurring" 12."""
    old = copy(FREE, people=UNANSWERED)
    assert stored(put(old, edited(old, (FREE, "TRANSP:OPAQUE")))).components[0].value("TRANSP") == "TRANSPARENT"
    assert stored(put(old, edited(old, answer("ACCEPTED")))).components[0].value("TRANSP") is None
    assert stored(put(old, edited(old, answer("DECLINED")))).components[0].value("TRANSP") == "TRANSPARENT"
    answered = copy(people=ACCEPTED)
    made = put(answered, copy(FREE))
    assert sent(made) == []
    assert stored(made).components[0].value("TRANSP") == "TRANSPARENT"


def test_answers_use_the_line_as_the_organizer_wrote_it() -> None:
    me = person(2, "mailto:alias@example.com")
    directory = Directory([ORGANIZER, me])
    old = read(event(organizer(), "ATTENDEE;ROLE=CHAIR:MAILTO:Alias@Example.com"))
    made = plan(old, read(event(organizer(), attendee(2, "ACCEPTED"))), me, directory)
    assert "ATTENDEE;ROLE=CHAIR;PARTSTAT=ACCEPTED:MAILTO:Alias@Example.com\r\n" in made.messages[0].text
    value = stored(made, directory)
    assert [line.value for line in value.components[0].all("ATTENDEE")] == ["MAILTO:Alias@Example.com"]


def test_who_is_invited_by_two_addresses_answers_once() -> None:
    me = person(2, "mailto:alias@example.com")
    directory = Directory([ORGANIZER, me])
    alias = attendee(2).replace("user02@", "alias@")
    for own in (attendee(2), alias.replace(":mailto", ";PARTSTAT=ACCEPTED:mailto")), (attendee(2, "ACCEPTED"), alias):
        made = plan(read(event(organizer(), attendee(2), alias)), read(event(organizer(), *own)), me, directory)
        lines = stored(made, directory).components[0].all("ATTENDEE")
        assert [line.parameter("PARTSTAT") for line in lines] == ["ACCEPTED", "ACCEPTED"]
        assert [message.method.value for message in made.messages] == ["REPLY"]


def test_the_time_of_an_answer_stays_until_the_next() -> None:
    """partstattimestamp 7, 8, 14."""
    old = copy(people=UNANSWERED)
    made = stored(put(old, edited(old, answer("ACCEPTED"))))
    dropped = edited(made, (";X-CALENDARSERVER-DTSTAMP=20261201T120000Z", ""))
    again = put(made, dropped)
    assert sent(again) == []
    assert again.object is not None
    assert "X-CALENDARSERVER-DTSTAMP=20261201T120000Z" in again.object.text.replace("\r\n ", "")


def test_an_answer_by_an_app_that_the_copy_never_saw_is_sent() -> None:
    made = put(None, copy("SUMMARY:A"))
    assert sent(made) == [("REPLY", "user01", (MASTER,))]
    assert sent(put(None, copy(people=UNANSWERED))) == []
    assert sent(put(read(event("SUMMARY:A")), copy())) == [("REPLY", "user01", (MASTER,))]


def test_an_organizer_elsewhere_is_answered_where_they_have_a_mail_address() -> None:
    for address, expected in ("mailto:boss@elsewhere.example", ["REPLY"]), ("urn:uuid:nobody", []):
        people = (f"ORGANIZER:{address}", attendee(2, "NEEDS-ACTION", ";RSVP=TRUE"))
        old = copy(people=people)
        made = put(old, edited(old, answer("ACCEPTED")))
        assert [method for method, _, _ in sent(made)] == expected
        assert dict(made.unreachable) == ({} if expected else {"urn:uuid:nobody": "3.7"})


# -- what is put back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("SUMMARY:A", "SUMMARY:Mine"),
        ("SUMMARY:A\n", ""),
        ("DESCRIPTION:B", "DESCRIPTION:Mine"),
        ("SUMMARY:A", "SUMMARY:A\nLOCATION:Mine"),
        ("SEQUENCE:2\n", ""),  # implicitscheduletag "Attendee 02 change" 1
        ("SEQUENCE:2", "SEQUENCE:9"),
        ("X-ALT-DESC:all\n", ""),
        ("X-ALT-DESC:all", "X-ALT-DESC:mine"),
        (":mailto:user03@example.com", ";ROLE=CHAIR:mailto:user03@example.com"),
        ("PARTSTAT=ACCEPTED:mailto:user03", "PARTSTAT=DECLINED:mailto:user03"),  # batchrefresh "…quick replies" 6, 10
        ("SUMMARY:A", "SUMMARY:A\nATTENDEE:mailto:user05@example.com"),
        ("EXDATE:20270108T100000Z\n", ""),
        ("RRULE:FREQ=DAILY;COUNT=5", "RRULE:COUNT=5;FREQ=DAILY"),  # recur1 "RRULE Changes" 6
        ("DTEND:20270104T110000Z", "DURATION:PT1H"),
        ("SCHEDULE-STATUS=1.2:", "SCHEDULE-AGENT=CLIENT:"),  # Thunderbird and CalDAV Synchronizer write it
    ],
)
def test_the_organizers_lines_are_put_back(before: str, after: str) -> None:
    people = (organizer(1, ";SCHEDULE-STATUS=1.2"), *ACCEPTED[1:])
    lines = ("SUMMARY:A", "DESCRIPTION:B", "SEQUENCE:2", "X-ALT-DESC:all", DAILY, "EXDATE:20270108T100000Z")
    old = copy(*lines, people=people)
    made = put(old, edited(old, (before, after)))
    assert sent(made) == []
    assert content(made.object) == content(old)


@pytest.mark.parametrize(
    "line",
    [
        "X-FOO:mine",
        "X-MOZ-LASTACK:20261201T000000Z",
        "X-APPLE-TRAVEL-DURATION;VALUE=DURATION:PT1H",
        "CREATED:20261201T000000Z",
        "LAST-MODIFIED:20261201T000000Z",
        "COMMENT:mine",
        "BEGIN:VALARM\nACTION:AUDIO\nTRIGGER:PT0S\nEND:VALARM",
        FREE,
        "PERCENT-COMPLETE:10",
    ],
)
def test_the_attendees_own_lines_stay_as_written(line: str) -> None:
    """RFC 6638 §3.2.2.1; scenario1 "Per-Attendee X- properties" 11, "Alarms" 13."""
    old = copy("SUMMARY:A")
    new = copy(line, "SUMMARY:A")
    made = put(old, new)
    assert sent(made) == []
    assert made.object is not None
    assert made.object.text == new.text
    back = put(new, old)
    assert back.object is not None
    assert back.object.text == old.text


def test_a_shared_property_that_the_organizer_did_not_send_is_the_attendees() -> None:
    made = put(copy("SUMMARY:A"), new := copy("SUMMARY:A", "X-ALT-DESC:mine"))
    assert made.object is not None
    assert made.object.text == new.text


def test_a_copy_that_nobody_changed_is_stored_as_it_is() -> None:
    old = copy("SUMMARY:A", DAILY, overrides=(override(5, "SUMMARY:B"),))
    made = put(old, old)
    assert made.object is not None
    assert (sent(made), made.object.text) == ([], old.text)


def test_another_name_of_the_zone_is_accepted_and_the_organizers_form_kept() -> None:
    """scenario1 "TZID reset" 7; recur1 "Attendee Instance Delete" 10."""
    times = {"start": "DTSTART;TZID=Europe/Berlin:20270104T100000", "end": "DURATION:PT1H"}
    old = read(BERLIN, event(*UNANSWERED, DAILY, **times))
    own = BERLIN.replace("TZID:Europe/Berlin", "TZID:W. Europe Standard Time")
    times["start"] = times["start"].replace("Europe/Berlin", "W. Europe Standard Time")
    new = read(own, event(*ACCEPTED, DAILY, "EXDATE:20270106T090000Z", **times))
    made = put(old, new)
    assert sent(made) == [("REPLY", "user01", (MASTER, "20270106T090000Z"))]
    value = stored(made)
    assert [each.written for each in value.timezones] == [each.written for each in old.timezones]
    assert "DTSTART;TZID=Europe/Berlin:20270104T100000\r\n" in value.text
    assert "EXDATE;TZID=Europe/Berlin:20270106T100000\r\n" in value.text
    assert "W. Europe" not in value.text


def test_other_properties_of_the_calendar_are_the_apps() -> None:
    old = copy()
    new = read_object(calendar(event(*ACCEPTED), head="VERSION:2.0\nPRODID:-//My//App//EN\nCALSCALE:GREGORIAN"))
    made = put(old, new)
    assert made.object is not None
    assert made.object.text == new.text


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("DTSTART:20270104T100000Z", "DTSTART:20270104T103000Z"),
        ("DTEND:20270104T110000Z", "DTEND:20270104T120000Z"),
        ("DTEND:20270104T110000Z", "DURATION:PT2H"),
        ("COUNT=5", "COUNT=6"),
        ("RRULE:FREQ=DAILY;COUNT=5\n", ""),
        ("COUNT=5", "COUNT=5\nRDATE:20270301T100000Z"),
        ('ORGANIZER;CN="User 01":mailto:user01', "ORGANIZER:mailto:user04"),
        ('ATTENDEE;CN="User 02";PARTSTAT=ACCEPTED:mailto:user02@example.com\n', ""),
    ],
)
def test_other_times_rules_organizers_and_leaving_are_refused(before: str, after: str) -> None:
    """errors "Invalid Attendee PUT without own ATTENDEE property" 5."""
    old = copy("SUMMARY:A", DAILY)
    with pytest.raises(AttendeeChangeRefused):
        put(old, edited(old, (before, after)))


def test_an_attendee_adds_no_instances() -> None:
    old = copy(DAILY, "EXDATE:20270106T100000Z")
    for day in (6, 20):
        with pytest.raises(AttendeeChangeRefused):
            put(old, copy(DAILY, overrides=(override(day),)))
    both = put(old, copy(DAILY, "EXDATE:20270106T100000Z", overrides=(override(6),)))
    assert content(both.object) == content(old)
    alone = read(override(5))
    with pytest.raises(AttendeeChangeRefused):  # errors "…missing cancelled instance" 11
        put(alone, read(override(6)))
    with pytest.raises(AttendeeChangeRefused):
        put(old, copy(DAILY, "EXDATE:20270106T100000Z", overrides=(override(5, hour=12),)))


def test_an_attendee_does_not_become_the_organizer() -> None:
    with pytest.raises(AttendeeChangeRefused):
        put(copy(), read(event(organizer(2), attendee(2), attendee(3))))


# -- instances --------------------------------------------------------------------------------------------------------


def test_an_answer_to_one_instance_is_a_reply_about_it() -> None:
    """RFC 6638 Appendix B.7: what changed."""
    declined = (*ACCEPTED[:2], attendee(2, "DECLINED"), ACCEPTED[3])
    old = copy(DAILY, "SUMMARY:A", "SEQUENCE:2")
    made = put(old, copy(DAILY, "SUMMARY:A", "SEQUENCE:2", overrides=(override(5, "SUMMARY:Mine", people=declined),)))
    assert sent(made) == [("REPLY", "user01", (SECOND,))]
    assert partstats(stored(made), ME) == {MASTER: "ACCEPTED", SECOND: "DECLINED"}
    own = stored(made).by_instance[SECOND]
    assert (own.value("SUMMARY"), own.sequence) == ("A", 2)
    assert f"RECURRENCE-ID:{SECOND}" in made.messages[0].text


def test_only_the_components_with_another_answer_are_replied() -> None:
    """allday "Attendee Recurrence Override" 17."""
    old = copy(DAILY, people=UNANSWERED, overrides=(override(5, people=ACCEPTED), override(6, people=UNANSWERED)))
    new = edited(old, answer("ACCEPTED"))
    assert sent(put(old, new)) == [("REPLY", "user01", (MASTER, THIRD))]


def test_an_excluded_instance_is_declined() -> None:
    """RFC 6638 §3.2.2.3: also where it was declined before."""
    declined = (*ACCEPTED[:2], attendee(2, "DECLINED"), ACCEPTED[3])
    old = copy(DAILY, overrides=(override(5, "SUMMARY:Once"), override(6, people=declined)))
    made = put(old, copy(DAILY, f"EXDATE:{SECOND},{THIRD}", "EXDATE:20270107T100000Z"))
    assert sent(made) == [("REPLY", "user01", (SECOND, THIRD, "20270107T100000Z"))]
    assert made.messages[0].text.count("PARTSTAT=DECLINED") == 3
    assert partstats(stored(made), ME) == {MASTER: "ACCEPTED"}
    again = put(stored(made), stored(made))
    assert sent(again) == []


def test_exdates_of_what_is_no_instance_are_dropped() -> None:
    old = copy(DAILY)
    made = put(old, copy(DAILY, "EXDATE:20280101T100000Z"))
    assert sent(made) == []
    assert content(made.object) == content(old)


def test_an_override_that_the_app_leaves_out_is_put_back() -> None:
    """implicitscheduletag "Attendee change … after other…" 8, 9: with the master's own PARTSTAT and TRANSP."""
    other = (*UNANSWERED[:3], attendee(3, "DECLINED"))
    own = (*ACCEPTED[:2], attendee(2, "TENTATIVE"), ACCEPTED[3])
    old = copy(DAILY, FREE, people=UNANSWERED, overrides=(override(5, FREE, people=other), override(6, people=own)))
    new = edited(copy(DAILY, FREE, people=UNANSWERED), answer("ACCEPTED"), (FREE, "X-FOO:1"))
    made = put(old, new)
    value = stored(made)
    assert partstats(value, ME) == {MASTER: "ACCEPTED", SECOND: "ACCEPTED", THIRD: "TENTATIVE"}
    assert partstats(value, person(3))[SECOND] == "DECLINED"
    assert value.by_instance[SECOND].first("TRANSP") is None
    assert sent(made) == [("REPLY", "user01", (MASTER, SECOND))]


def test_in_a_copy_without_a_master_leaving_out_is_declining() -> None:
    """attendeedelete "…delete of undeclined instance" 4–6, "Recurring without master" 8."""
    declined = (*ACCEPTED[:2], attendee(2, "DECLINED"), ACCEPTED[3])
    old = read(override(5), override(6), override(7, people=declined), override(8, "STATUS:CANCELLED"))
    made = put(old, read(override(5)))
    assert sent(made) == [("REPLY", "user01", (THIRD,))]
    assert list(partstats(stored(made), ME)) == [SECOND]


def test_a_dropped_recurrence_id_is_put_back() -> None:
    """DAVx5 makes a main event of a single instance: compatibility 6, 7."""
    old = read(override(5, people=UNANSWERED))
    new = edited(old, (f"RECURRENCE-ID:{SECOND}\n", ""), answer("ACCEPTED"))
    made = put(old, new)
    assert sent(made) == [("REPLY", "user01", (SECOND,))]
    assert partstats(stored(made), ME) == {SECOND: "ACCEPTED"}
    with pytest.raises(AttendeeChangeRefused):
        put(old, edited(new, ("DTSTART:20270105T10", "DTSTART:20270105T09")))


def test_a_master_that_the_app_leaves_out_is_put_back() -> None:
    old = copy(DAILY, overrides=(override(5),))
    made = put(old, read(override(5)))
    assert sent(made) == []
    assert [component.instance for component in stored(made).components] == [MASTER, SECOND]


# -- removal ----------------------------------------------------------------------------------------------------------


def test_a_delete_declines_all() -> None:
    """RFC 6638 §8.1: a DELETE sends DECLINED, also when it was declined before."""
    declined = (*ACCEPTED[:2], attendee(2, "DECLINED"), ACCEPTED[3])
    cancelled = override(6, "STATUS:CANCELLED", people=UNANSWERED)
    old = copy(DAILY, people=declined, overrides=(override(5), cancelled))
    made = put(old, None)
    assert made.object is None
    assert sent(made) == [("REPLY", "user01", (MASTER, SECOND))]
    assert partstats(made.messages[0].object, ME) == {MASTER: "DECLINED", SECOND: "DECLINED"}


def test_a_delete_declines_a_cancelled_instance_that_has_an_answer_of_its_own() -> None:
    """It may take place again: the decline of the series would not reach it."""
    cancelled = override(6, "STATUS:CANCELLED")
    assert sent(put(copy(DAILY, people=UNANSWERED, overrides=(cancelled,)), None)) == [
        ("REPLY", "user01", (MASTER, THIRD))
    ]
    assert sent(put(copy(DAILY, overrides=(cancelled,)), None)) == [("REPLY", "user01", (MASTER,))]


def test_a_delete_declines_an_instance_of_a_cancelled_series() -> None:
    """Who was removed from a series is still invited to one instance of it."""
    old = copy(DAILY, "STATUS:CANCELLED", overrides=(override(5),))
    assert sent(put(old, None)) == [("REPLY", "user01", (SECOND,))]
    assert sent(put(copy(DAILY, "STATUS:CANCELLED"), None)) == []


def test_a_delete_that_must_not_reply() -> None:
    assert sent(put(copy(), None, reply=False)) == []
    assert sent(put(copy("STATUS:CANCELLED"), None)) == []
    for agent in ("CLIENT", "NONE"):
        people = (organizer(1, f";SCHEDULE-AGENT={agent}"), *ACCEPTED[1:])
        assert sent(put(copy(people=people), None)) == []


def test_without_an_organizer_it_is_declined_and_stored_as_sent() -> None:
    plain = read(event("SUMMARY:Mine"))
    made = put(copy(), plain)
    assert sent(made) == [("REPLY", "user01", (MASTER,))]
    assert made.object is plain
    assert made.role is SchedulingRole.NONE
    assert sent(put(copy(), plain, reply=False)) == []


# -- agents, comments -------------------------------------------------------------------------------------------------


def with_agent(agent: str, answers: str = "ACCEPTED", boss: str = "mailto:user01@example.com") -> SchedulingObject:
    parameters = f";SCHEDULE-AGENT={agent}" if agent else ""
    return copy(people=(f'ORGANIZER;CN="User 01"{parameters}:{boss}', attendee(2, answers), attendee(3)))


@pytest.mark.parametrize("agent", ["CLIENT", "NONE"])
def test_who_answers_in_place_of_the_server(agent: str) -> None:
    """implicitscheduleagent "Organizer CLIENT" 7, "…SERVER" 11."""
    unanswered = with_agent("", "NEEDS-ACTION")
    here = put(unanswered, with_agent(agent))
    assert sent(here) == [("REPLY", "user01", (MASTER,))]
    assert here.object is not None
    assert "SCHEDULE-AGENT" not in here.object.text
    boss = "mailto:boss@elsewhere.example"
    elsewhere = put(with_agent("", "NEEDS-ACTION", boss), new := with_agent(agent, boss=boss))
    assert sent(elsewhere) == []
    assert elsewhere.object is new
    with pytest.raises(AttendeeChangeRefused):
        put(with_agent(agent), with_agent(""))
    kept = put(with_agent(agent, "NEEDS-ACTION"), new := with_agent(agent))
    assert (sent(kept), kept.object) == ([], new)
    created = put(None, new)
    assert (sent(created), created.object) == ([], new)


def test_addresses_of_a_copy_that_an_app_makes_are_ones_that_others_understand() -> None:
    """implicitscheduleagent "Organizer CLIENT" 2."""
    people = ("ORGANIZER;CN=Boss;SCHEDULE-AGENT=CLIENT:MAILTO:user01@example.com", "ATTENDEE:/principals/users/user02/")
    value = put(None, copy(people=people)).object
    assert value is not None
    assert "ORGANIZER;CN=User 01;SCHEDULE-AGENT=CLIENT:mailto:user01@example.com\r\n" in value.text
    assert "ATTENDEE;CN=User 02:mailto:user02@example.com\r\n" in value.text


def test_the_delivery_of_an_answer_stands_on_the_organizer_alone() -> None:
    old = copy(people=UNANSWERED)
    text = stored(put(old, edited(old, answer("ACCEPTED")))).text.replace("\r\n ", "")
    assert text.count("SCHEDULE-STATUS") == 1
    assert "ORGANIZER;CN=User 01;SCHEDULE-STATUS=1.2:" in text.replace('"', "")


def test_force_send_replies_about_all() -> None:
    """RFC 6638 §7.2."""
    old = copy(DAILY, overrides=(override(5),))
    new = edited(old, ("ORGANIZER;", "ORGANIZER;SCHEDULE-FORCE-SEND=REPLY;"))
    made = put(old, new)
    assert sent(made) == [("REPLY", "user01", (MASTER, SECOND))]
    assert made.object is not None
    assert content(made.object) == content(old)


@pytest.mark.parametrize("before", ["SERVER", "CLIENT"])
def test_force_send_with_a_value_that_means_nothing(before: str) -> None:
    """RFC 6638 §7.2."""
    old = copy(people=(organizer(1, f";SCHEDULE-AGENT={before}"), attendee(2, "ACCEPTED")))
    made = put(old, edited(old, ("ORGANIZER;", "ORGANIZER;SCHEDULE-FORCE-SEND=REQUEST;")))
    assert made.messages == ()
    text = stored(made).text
    assert "FORCE-SEND" not in text
    assert ("SCHEDULE-STATUS=2.3" in text) == (before == "SERVER")


def test_a_private_comment_is_sent_to_an_organizer_here_alone() -> None:
    """caldav-privatecomments §3.1."""
    comment = "X-CALENDARSERVER-PRIVATE-COMMENT:Late"
    made = put(copy(), copy(comment))
    assert sent(made) == [("REPLY", "user01", (MASTER,))]
    assert comment in made.messages[0].text
    assert sent(put(copy(comment), copy(comment))) == []
    boss = "mailto:boss@elsewhere.example"
    old = with_agent("", "NEEDS-ACTION", boss)
    new = edited(old, ("PARTSTAT=NEEDS-ACTION", "PARTSTAT=ACCEPTED"), ("UID:", f"{comment}\nUID:"))
    assert comment not in put(old, new).messages[0].text


def test_progress_of_a_task_is_the_attendees() -> None:
    """implicittodo "Per-attendee completed" 18."""
    old = read_object(copy("STATUS:NEEDS-ACTION").text.replace("VEVENT", "VTODO").replace("DTEND", "DUE"))
    new = edited(old, ("STATUS:NEEDS-ACTION", "STATUS:COMPLETED\nPERCENT-COMPLETE:100\nCOMPLETED:20270101T000000Z"))
    made = put(old, new)
    assert made.object is not None
    assert made.object.text == new.text
    done = put(old, edited(new, ("PARTSTAT=ACCEPTED:mailto:user02", "PARTSTAT=COMPLETED:mailto:user02")))
    assert sent(done) == [("REPLY", "user01", (MASTER,))]
    assert "PERCENT-COMPLETE:100" in done.messages[0].text
    assert "TRANSP" not in stored(done).text
