"""Ranges (RANGE=THISANDFUTURE): what attendees get of a series that they are invited to in part, and their answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.occurrences import EARLIEST
from server.itip.attendee import plan_attendee_change
from server.itip.audience import MOST_EXCLUDED, viewed, views
from server.itip.change import Change
from server.itip.instances import covering, derived, excluded, with_exdates, without_first
from server.itip.messages import Message, Method
from server.itip.participants import attendee_line, map_attendee
from server.itip.reception import after_change
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject
from tests.unit.itip.deliveries import ME, NOW, received
from tests.unit.itip.plans import partstats, plan, sent
from tests.unit.itip.texts import DIRECTORY, ORGANIZER, attendee, event, organizer, read

DAILY = "RRULE:FREQ=DAILY;COUNT=8"
ENDLESS = "RRULE:FREQ=DAILY"
RULES = (
    DAILY,
    ENDLESS,
    "RRULE:FREQ=WEEKLY;BYDAY=MO,WE,TH;UNTIL=20270130T000000Z",
    "RRULE:FREQ=DAILY;COUNT=8\nRDATE:20270120T100000Z",
)


def day(number: int, hour: int = 10) -> str:
    return f"202701{number:02}T{hour:02}0000Z"


def described(number: int, invited: bool, *lines: str, ranged: bool = True, hour: int = 12, answer: str = "") -> str:
    """An override of a day; it takes place at another time than the series."""
    name = "RECURRENCE-ID;RANGE=THISANDFUTURE" if ranged else "RECURRENCE-ID"
    people = [organizer(), attendee(3), *([attendee(2, answer)] if invited else [])]
    start, end = f"DTSTART:{day(number, hour)}", f"DTEND:{day(number, hour + 1)}"
    return event(*people, f"SUMMARY:From {number}", f"{name}:{day(number)}", *lines, start=start, end=end)


def series(invited: bool, *overrides: str, rule: str = DAILY, answer: str = "") -> SchedulingObject:
    """A series of 4 January and later."""
    people = [organizer(), attendee(3), *([attendee(2, answer)] if invited else [])]
    return read(event(*people, "SUMMARY:Series", rule), *overrides)


def seen(value: SchedulingObject) -> SchedulingObject | None:
    """What the attendee gets of an organizer's object."""
    view = views(value, DIRECTORY, ORGANIZER).get(ME.key)
    return None if view is None else viewed(value, view)


def instances(value: SchedulingObject | None, until: datetime) -> dict[str, tuple[str | None, str | None]]:
    """The start and title of each instance that the attendee is invited to."""
    if value is None:
        return {}
    plain = [] if value.series is None else [each.recurrence_id for each in value.series.instances(EARLIEST, until)]
    found = {}
    for instance in {*plain, *(each.instance for each in value.overrides)}:
        component = derived(value, instance)
        assert component is not None
        if attendee_line(component, ME, DIRECTORY) is not None:
            found[instance] = component.value("DTSTART"), component.value("SUMMARY")
    return found


@given(
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.dictionaries(st.integers(4, 11), st.booleans(), max_size=3),
    st.lists(st.integers(4, 11), max_size=2),
    st.sampled_from(
        (DAILY, ENDLESS, "RRULE:FREQ=WEEKLY;BYDAY=MO,WE,TH;UNTIL=20270130T000000Z", f"{DAILY}\nRDATE:{day(20)}")
    ),
)
def test_an_attendee_sees_the_instances_that_invite_them(
    invited: list[bool], alone: dict[int, bool], without: list[int], rule: str
) -> None:
    ranges = [described(number, each) for number, each in zip((5, 7, 9), invited[1:], strict=True)]
    singles = [described(each, asked, ranged=False) for each, asked in alone.items() if each not in (5, 7, 9)]
    exdates = f"\nEXDATE:{','.join(day(each) for each in without)}" if without else ""
    value = series(invited[0], *ranges, *singles, rule=f"{rule}{exdates}")
    until = datetime(2027, 1, 31, tzinfo=UTC)
    assert instances(seen(value), until) == instances(value, until)


def test_a_series_ends_before_the_range_to_which_somebody_is_not_invited() -> None:
    copy = seen(series(True, described(7, False), rule=ENDLESS))
    assert copy is not None
    assert list(copy.by_instance) == [MASTER]
    assert copy.components[0].value("RRULE") == "FREQ=DAILY;UNTIL=20270107T095959Z"


def test_a_series_begins_with_the_range_to_which_somebody_is_invited() -> None:
    """It says nothing of the instances before. RECURRENCE-IDs are those of the organizer."""
    copy = seen(series(False, described(7, True)))
    assert copy is not None
    assert copy.master is not None
    assert set(copy.by_instance) == {MASTER, day(7)}
    assert copy.master.value("DTSTART") == day(7)
    assert copy.master.value("RRULE") == "FREQ=DAILY;COUNT=5"
    assert "SUMMARY:Series" not in copy.text
    assert "RECURRENCE-ID;RANGE=THISANDFUTURE:20270107T100000Z" in copy.text


def test_exdates_exclude_what_is_between_two_ranges() -> None:
    copy = seen(series(True, described(6, False), described(8, True), rule=ENDLESS))
    assert copy is not None
    assert set(excluded(copy)) == {day(6), day(7)}


def test_what_follows_more_instances_than_exdates_can_exclude_is_not_told() -> None:
    later = (datetime(2027, 1, 6, 10, tzinfo=UTC) + timedelta(days=MOST_EXCLUDED + 1)).strftime("%Y%m%dT%H%M%SZ")
    again = described(8, True).replace(f"THISANDFUTURE:{day(8)}", f"THISANDFUTURE:{later}")
    copy = seen(series(True, described(6, False), again, rule=ENDLESS))
    assert copy is not None
    assert set(copy.by_instance) == {MASTER}
    assert copy.components[0].value("RRULE") == "FREQ=DAILY;UNTIL=20270106T095959Z"


def test_a_change_of_a_range_is_sent_to_those_who_see_it() -> None:
    before, after = series(True, described(7, False)), series(True, described(7, False, "LOCATION:There"))
    assert sent(plan(before, after)) == [("REQUEST", "user03", (MASTER, day(7)))]


def test_who_is_removed_from_a_range_gets_its_cancellation_and_the_shorter_series() -> None:
    made = plan(series(True, described(7, True)), series(True, described(7, False)))
    assert sent(made)[-2:] == [("CANCEL", "user02", (day(7),)), ("REQUEST", "user02", (MASTER,))]
    cancel = next(each for each in made.messages if each.method is Method.CANCEL)
    assert "RECURRENCE-ID;RANGE=THISANDFUTURE:20270107T100000Z" in cancel.text


@pytest.mark.parametrize("after", [None, series(False, described(7, False))])
def test_a_cancellation_says_nothing_of_instances_before_the_range(after: SchedulingObject | None) -> None:
    made = plan(series(False, described(7, True)), after)
    (cancel,) = (each for each in made.messages if each.recipient == ME)
    assert sent(made)[-1] == ("CANCEL", "user02", (MASTER,))
    assert "SUMMARY:From 7" in cancel.text
    assert "SUMMARY:Series" not in cancel.text


def test_answers_for_what_described_the_instances_before_stay_in_a_range_that_begins() -> None:
    """A range at another time is asked about anew; an answer for its first instance alone is not one for the range."""
    first = described(7, True, ranged=False, hour=10, answer="DECLINED")
    before = series(True, first, answer="ACCEPTED")
    for hour, answer in ((10, "ACCEPTED"), (12, "NEEDS-ACTION!")):
        made = plan(before, series(True, described(7, True, hour=hour, answer="DECLINED"), answer="ACCEPTED"))
        assert made.object is not None
        assert partstats(made.object, ME) == {MASTER: "ACCEPTED", day(7): answer}


def test_a_range_without_its_first_instance_begins_with_the_next_that_has_no_override() -> None:
    value = series(True, described(5, True), described(6, True, ranged=False))
    shorter = without_first(value, value.by_instance[day(5)])
    assert [each.instance for each in shorter.ranges] == [day(7)]
    assert shorter.ranges[0].value("DTSTART") == day(7, 12)
    value = series(True, described(5, True), described(6, True))
    assert [each.instance for each in without_first(value, value.by_instance[day(5)]).ranges] == [day(6)]


def test_an_attendee_excludes_the_first_instance_of_a_range_alone() -> None:
    copy = series(True, described(7, True, answer="ACCEPTED"), answer="ACCEPTED")
    assert copy.master is not None
    written = copy.without_instances(day(7)).with_component(with_exdates(copy, copy.master, [day(7)]))
    made = plan_attendee_change(Change(copy, written, ME, DIRECTORY, NOW))
    assert made.object is not None
    assert [each.instance for each in made.object.ranges] == [day(8)]
    (reply,) = made.messages
    assert partstats(reply.object, ME) == {day(7): "DECLINED", day(8): "ACCEPTED"}
    assert {each.instance: each.is_range for each in reply.object.components} == {day(7): False, day(8): True}
    result = received(reply, copy)
    assert result.object is not None
    assert partstats(result.object, ME) == {MASTER: "ACCEPTED", day(7): "DECLINED", day(8): "ACCEPTED"}
    assert [each.instance for each in result.object.ranges] == [day(8)]


def request(value: SchedulingObject, sequence: int = 0) -> Message:
    """The REQUEST to the attendee with all of an organizer's object."""
    value = value.map_components(lambda each: each.with_value("SEQUENCE", str(sequence)))
    return Message(Method.REQUEST, ORGANIZER, ME, value.with_method("REQUEST"))


def test_an_excluded_first_instance_stays_away_when_the_organizer_sends_its_range_again() -> None:
    """The REQUEST crossed the answer, which is sent again."""
    copy = series(True, described(7, True, answer="ACCEPTED"), answer="ACCEPTED")
    first = received(request(copy))
    assert first.object is not None
    master = first.object.master
    assert master is not None
    written = first.object.without_instances(day(7)).with_component(with_exdates(first.object, master, [day(7)]))
    change = plan_attendee_change(Change(first.object, written, ME, DIRECTORY, NOW))
    assert first.memory is not None
    memory = after_change(first.memory, first.object, change, ME, DIRECTORY)
    later = series(True, described(7, True, "LOCATION:There", answer="ACCEPTED"), answer="ACCEPTED")
    result = received(request(later, 2), change.object, memory=memory, resets={})
    assert result.object is not None
    assert set(result.object.by_instance) == {MASTER, day(8)}
    assert day(7) in excluded(result.object)
    assert result.object.by_instance[day(8)].value("LOCATION") == "There"
    (reply,) = result.messages
    assert partstats(reply.object, ME) == {day(7): "DECLINED", day(8): "ACCEPTED"}


def test_overrides_that_an_attendee_does_not_know_follow_an_answer_for_their_range() -> None:
    unknown = described(8, True, ranged=False)
    known = series(True, described(7, True))
    written = known.with_component(series(True, described(7, True, answer="ACCEPTED")).by_instance[day(7)])
    made = plan_attendee_change(Change(known, written, ME, DIRECTORY, NOW))
    result = received(made.messages[0], series(True, described(7, True), unknown))
    assert result.object is not None
    assert partstats(result.object, ME) == {MASTER: "", day(7): "ACCEPTED", day(8): "ACCEPTED"}


def test_the_range_that_covers_an_instance_is_the_last_one_before_it() -> None:
    value = series(True, described(5, True), described(7, True), described(8, True, ranged=False))
    covered = [covering(value, day(each)) for each in (4, 5, 6, 7, 8, 9)]
    assert [each.instance for each in covered if each is not None] == [
        MASTER, day(5), day(5), day(7), day(7), day(7)
    ]  # fmt: skip


def test_an_answer_for_a_series_is_one_for_the_range_that_describes_all_of_it() -> None:
    """Apps that do not know ranges answer the series. Who is invited to the range alone has no other instances."""
    held = series(False, described(7, True))
    copy = seen(held)
    assert copy is not None
    assert copy.master is not None
    answered = copy.with_component(
        map_attendee(copy.master, ME, DIRECTORY, lambda line: line.with_parameter("PARTSTAT", "ACCEPTED"))
    )
    made = plan_attendee_change(Change(copy, answered, ME, DIRECTORY, NOW))
    assert made.object is not None
    assert partstats(made.object, ME) == {MASTER: "ACCEPTED", day(7): "ACCEPTED"}
    result = received(made.messages[0], held)
    assert result.object is not None
    assert partstats(result.object, ME) == {MASTER: "-", day(7): "ACCEPTED"}
