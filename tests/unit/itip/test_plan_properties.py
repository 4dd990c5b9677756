"""Properties of plans: what attendees end up with, and what sends nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.itip.audience import views
from server.itip.calendar_users import CalendarUser
from server.itip.instances import derived, excluded, master_instance, with_exdates
from server.itip.lines import Line
from server.itip.messages import Message, Method
from server.itip.participants import attendee_line, map_attendee, partstat
from server.itip.scheduling_component import MASTER, SchedulingComponent, Subcomponent
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.itip.plans import plan, sent, stored
from tests.unit.itip.texts import DIRECTORY, ORGANIZER, attendee, event, organizer, person, read

PEOPLE = (2, 3, 4)
DAYS = range(4, 10)
FIELDS = ("hour", "count", "summary", "people", "excluded", "overrides", "cancelled")


@dataclass(frozen=True)
class One:
    """An override."""

    hour: int
    summary: str
    people: frozenset[int]
    cancelled: bool


@dataclass(frozen=True)
class Meeting:
    """A daily series."""

    hour: int = 10
    count: int = 4
    summary: str = "A"
    people: frozenset[int] = frozenset((2, 3))
    cancelled: bool = False
    excluded: frozenset[int] = frozenset()
    overrides: dict[int, One] = field(default_factory=dict)

    def text(self) -> SchedulingObject:
        days = range(DAYS[0], DAYS[0] + self.count)
        gone = "\n".join(f"EXDATE:{self.instance(day)}" for day in days if day in self.excluded)
        status = "STATUS:CANCELLED" if self.cancelled else ""
        parts = [
            event(
                *_people(self.people),
                f"RRULE:FREQ=DAILY;COUNT={self.count}",
                f"SUMMARY:{self.summary}",
                gone,
                status,
                start=f"DTSTART:{self.instance(DAYS[0])}",
                end="DURATION:PT1H",
            )
        ]
        for day, one in self.overrides.items():
            if day in days and day not in self.excluded:
                parts.append(
                    event(
                        f"RECURRENCE-ID:{self.instance(day)}",
                        *_people(one.people),
                        f"SUMMARY:{one.summary}",
                        "STATUS:CANCELLED" if one.cancelled else "",
                        start=f"DTSTART:202701{day:02}T{one.hour:02}0000Z",
                        end="DURATION:PT1H",
                    )
                )
        return read(*parts)

    def instance(self, day: int) -> str:
        return f"202701{day:02}T{self.hour:02}0000Z"


def _people(numbers: frozenset[int]) -> list[str]:
    return [organizer(), attendee(1, "ACCEPTED"), *(attendee(number) for number in sorted(numbers))]


people = st.frozensets(st.sampled_from(PEOPLE))
ones = st.builds(One, st.sampled_from((10, 11, 14)), st.sampled_from("AB"), people, st.booleans())
meetings = st.builds(
    Meeting,
    hour=st.sampled_from((10, 10, 11)),
    count=st.integers(2, 5),
    summary=st.sampled_from("AB"),
    people=people,
    cancelled=st.sampled_from((False, False, False, True)),
    excluded=st.frozensets(st.sampled_from(DAYS), max_size=2),
    overrides=st.dictionaries(st.sampled_from(DAYS), ones, max_size=3),
)


@st.composite
def changes(draw: st.DrawFn, before: Meeting) -> Meeting:
    """A meeting that differs from another in a few things, or in all."""
    other = draw(meetings)
    names = draw(
        st.lists(st.sampled_from(("hour", "count", "summary", "people", "excluded", "overrides", "cancelled")))
    )
    values: dict[str, Any] = {name: getattr(other, name) for name in names}
    return replace(before, **values)


@st.composite
def histories(draw: st.DrawFn) -> list[Meeting]:
    """The states of a meeting, one after the other."""
    states = [draw(meetings)]
    for _ in range(draw(st.integers(1, 4))):
        states.append(draw(changes(states[-1])))
    return states


class Copies:
    """What attendees hold after messages: the plainest application of RFC 5546 that keeps the organizer's view."""

    def __init__(self) -> None:
        self.objects: dict[str, SchedulingObject | None] = {}

    def receive(self, message: Message) -> None:
        key = message.recipient.key
        held = self.objects.get(key)
        if message.method is Method.REQUEST:
            if held is None or MASTER in message.object.by_instance:
                self.objects[key] = message.object
            else:
                self.objects[key] = held.with_components([*held.components, *message.object.components])
            return
        assert message.method is Method.CANCEL
        assert held is not None, "a CANCEL of what nobody was invited to"
        if MASTER in message.object.by_instance:
            self.objects[key] = None
            return
        gone = list(message.object.by_instance)
        held = held.without_instances(*gone)
        if held.master is not None:
            held = held.with_component(with_exdates(held, held.master, gone))
        self.objects[key] = held if held.components else None


def effective(value: SchedulingObject | None, instance: str) -> SchedulingComponent | None:
    """The component of an instance; None where there is none."""
    if value is None:
        return None
    own = value.by_instance.get(instance)
    if own is not None:
        return own
    if instance in excluded(value) or master_instance(value, instance) is None:
        return None
    return derived(value, instance)


def facts(component: SchedulingComponent | None, user: CalendarUser) -> object:
    """What an attendee must know of an instance; None where they are not invited."""
    if component is None or component.token("STATUS") == "CANCELLED":
        return None
    if attendee_line(component, user, DIRECTORY) is None:
        return None
    answers = {line.value: partstat(line) for line in component.all("ATTENDEE")}
    return component.value("DTSTART"), component.value("SUMMARY"), answers


def agree(value: SchedulingObject, copies: Copies) -> None:
    for number in PEOPLE:
        user = person(number)
        for day in DAYS:
            for hour in (10, 11):
                instance = f"202701{day:02}T{hour:02}0000Z"
                expected = facts(effective(value, instance), user)
                held = copies.objects.get(user.key)
                assert facts(effective(held, instance), user) == expected, (number, instance)


def answered(value: SchedulingObject, user: CalendarUser, answer: str) -> SchedulingObject:
    """The object with an answer in all components that the user is told of."""
    view = views(value, DIRECTORY, ORGANIZER).get(user.key)
    instances = () if view is None else view.instances
    return value.map_components(
        lambda component: map_attendee(
            component,
            user,
            DIRECTORY,
            lambda line: (
                line.with_parameters({"PARTSTAT": answer, "RSVP": None}) if component.instance in instances else line
            ),
        )
    )


@settings(max_examples=150, deadline=None)
@given(histories(), st.sampled_from(("ACCEPTED", "DECLINED", None)))
def test_every_attendee_holds_the_organizers_view_of_each_of_their_instances(
    history: list[Meeting], answer: str | None
) -> None:
    copies = Copies()
    held: SchedulingObject | None = None
    for state in history:
        made = plan(held, state.text())
        for message in made.messages:
            copies.receive(message)
        value = stored(made)
        agree(value, copies)
        again = plan(value, value)
        assert sent(again) == []
        assert again.object is not None
        assert again.object.text == value.text
        if answer is not None:
            for number in PEOPLE:
                user = person(number)
                value = answered(value, user, answer)
                for key, copy in copies.objects.items():
                    if copy is not None:
                        copies.objects[key] = _refreshed(copy, value, user, answer)
        held = value
    gone = plan(held, None)
    for message in gone.messages:
        copies.receive(message)
    assert all(copy is None for copy in copies.objects.values())


def _refreshed(copy: SchedulingObject, value: SchedulingObject, user: CalendarUser, answer: str) -> SchedulingObject:
    """A copy with an answer where the organizer's object has it."""

    def refreshed(component: SchedulingComponent) -> SchedulingComponent:
        own = value.by_instance.get(component.instance)
        line = None if own is None else attendee_line(own, user, DIRECTORY)
        if line is None or line.parameter("PARTSTAT") != answer:
            return component
        return map_attendee(
            component, user, DIRECTORY, lambda each: each.with_parameters({"PARTSTAT": answer, "RSVP": None})
        )

    return copy.map_components(refreshed)


@settings(deadline=None)
@given(meetings, meetings, st.randoms(use_true_random=False))
def test_a_plan_is_the_same_whole_and_recipient_by_recipient(before: Meeting, after: Meeting, random: Any) -> None:
    made = plan(stored(plan(None, before.text())), after.text())
    whole = stored(made)
    keys = list(made.recipients)
    random.shuffle(keys)
    value = made.with_statuses({}, DIRECTORY)
    assert value is not None
    for key in keys:
        one = replace(made, object=read_object(value.text)).with_statuses({key: "1.2"}, DIRECTORY)
        assert one is not None
        value = one
    assert value.text == whole.text
    assert [message for user in made.recipients.values() for message in made.messages_to(user)] == list(made.messages)


@settings(deadline=None)
@given(meetings, st.randoms(use_true_random=False), st.integers(0, 9))
def test_order_alarms_and_sequence_alone_send_nothing(meeting: Meeting, random: Any, sequence: int) -> None:
    value = stored(plan(None, meeting.text()))

    def disturbed(component: SchedulingComponent) -> SchedulingComponent:
        items: list[Line | Subcomponent] = list(component.items)
        random.shuffle(items)
        alarm = read(event("BEGIN:VALARM\nACTION:AUDIO\nTRIGGER:PT0S\nEND:VALARM")).components[0].subcomponents
        return component.with_items(items).with_subcomponents("VALARM", alarm).with_value("SEQUENCE", str(sequence))

    parts = list(value.map_components(disturbed).components)
    random.shuffle(parts)
    made = plan(value, value.with_items([*(each for each in value.items if each not in value.components), *parts]))
    assert sent(made) == []
    assert made.resets == ()


@settings(deadline=None)
@given(meetings, meetings)
def test_sequence_never_falls_and_rises_with_each_message(before: Meeting, after: Meeting) -> None:
    first = stored(plan(None, before.text()))
    made = plan(first, after.text())
    value = stored(made)
    sequences = {component.sequence for component in value.components}
    if any(not message.quiet for message in made.messages):
        assert sequences == {first.sequence + 1}
        assert {component.sequence for message in made.messages for component in message.object.components} == sequences
    else:
        assert max(sequences) >= min(component.sequence for component in first.components)


@settings(deadline=None)
@given(meetings, st.sampled_from(("ACCEPTED", "DECLINED", "TENTATIVE")))
def test_a_copy_that_is_put_as_it_is_or_with_an_answer(meeting: Meeting, answer: str) -> None:
    for message in plan(None, meeting.text()).messages:
        copy = message.object.with_method(None)
        me = message.recipient
        kept = plan(copy, copy, me)
        assert sent(kept) == []
        replied = plan(copy, answered(copy, me, answer), me)
        live = tuple(each.instance for each in copy.components if each.token("STATUS") != "CANCELLED")
        assert sent(replied) == [("REPLY", "user01", live)]
        final = stored(replied)
        again = plan(final, final, me)
        assert sent(again) == []
        assert again.object is not None
        assert again.object.text == final.text
