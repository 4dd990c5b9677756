"""The copy of an attendee for whom the server answers, and the REPLY."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from server.booking.deciding import ACCEPTED, DECLINED, OPEN, Answer, Reason, commonest
from server.calendar.zones import UTC_ZONE
from server.itip.answering import asked, asks, with_given_answers
from server.itip.messages import Message, Method
from server.itip.receiving import receive
from server.itip.room_copies import without_cancelled
from server.itip.scheduling_object import SchedulingObject
from tests.unit.itip.plans import NOW, partstats, plan
from tests.unit.itip.texts import DIRECTORY, ORGANIZER, attendee, event, organizer, person, read

ROOM = person(2)
UNTIL = datetime(2029, 1, 1, tzinfo=UTC)
SERIES = read(event(organizer(), attendee(1, "ACCEPTED"), attendee(2), "RRULE:FREQ=DAILY;COUNT=5", "TRANSP:OPAQUE"))


def invited(value: SchedulingObject) -> tuple[Message, SchedulingObject]:
    """The invitation of the room, and its copy."""
    (message,) = plan(None, value).messages
    copy = receive(message, None, DIRECTORY, NOW).object
    assert copy is not None
    return message, copy


def test_what_is_over_and_behind_the_horizon_is_not_asked() -> None:
    message, copy = invited(SERIES)
    now, until = datetime(2027, 1, 5, 11, tzinfo=UTC), datetime(2027, 1, 7, 12, tzinfo=UTC)
    found = asked(copy, [message], ROOM, DIRECTORY, UTC_ZONE, now, until)
    assert [each.instance for each in found.all] == ["20270106T100000Z", "20270107T100000Z"]


def test_a_refresh_and_an_answered_invitation_ask_nothing() -> None:
    message, _ = invited(SERIES)
    assert asks([message], ROOM, DIRECTORY)
    quiet = Message(Method.REQUEST, ORGANIZER, ROOM, message.object, quiet=True)
    assert not asks([quiet], ROOM, DIRECTORY)
    assert not asks([message], person(3), DIRECTORY)


def test_cancelled_instances_leave_the_series_by_exdate() -> None:
    rid = "RECURRENCE-ID:20270105T100000Z"
    times = {"start": "DTSTART:20270105T100000Z", "end": "DTEND:20270105T110000Z"}
    override = event(rid, organizer(), attendee(2), "STATUS:CANCELLED", **times)
    copy = read(event(organizer(), attendee(2), "RRULE:FREQ=DAILY;COUNT=5"), override)
    left = without_cancelled(copy)
    assert left is not None
    assert (list(left.by_instance), list(left.exdates)) == ([""], ["20270105T100000Z"])
    assert without_cancelled(read(event(organizer(), attendee(2), "STATUS:CANCELLED"))) is None


@given(st.lists(st.sampled_from([ACCEPTED, DECLINED, OPEN]), min_size=5, max_size=5))
def test_the_organizer_learns_of_the_answer_of_each_instance(given_answers: list[str]) -> None:
    message, copy = invited(SERIES)
    wanted = asked(copy, [message], ROOM, DIRECTORY, UTC_ZONE, NOW, UNTIL)
    answers = {each.instance: answer for each, answer in zip(wanted.all, given_answers, strict=True)}
    of_series = commonest(Answer(each, (Reason.FREE,)) for each in answers.values())  # type: ignore[arg-type]
    new, reply = with_given_answers(copy, wanted, answers, of_series, ROOM, DIRECTORY, "20261201T120000Z")
    assert (reply is None) is (set(answers.values()) == {OPEN})
    merged = SERIES if reply is None else receive(reply, SERIES, DIRECTORY, NOW).object
    assert merged is not None
    for value in (new, merged):
        told = {each: (answer.rstrip("!") or OPEN) for each, answer in partstats(value, ROOM).items()}
        assert {instance: told.get(instance, told[""]) for instance in answers} == answers
    free = {component.instance for component in new.components if component.token("TRANSP") == "TRANSPARENT"}
    assert all(
        (component.instance in free) is (answer != ACCEPTED)
        for component in new.components
        for answer in [answers.get(component.instance, of_series)]
    )
