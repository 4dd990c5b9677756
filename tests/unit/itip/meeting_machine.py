"""A machine that plays a conversation about one meeting, with a post that loses, doubles and reorders messages.

What happens is chosen by bytes (`Choices`), so that hypothesis shortens a conversation that fails. A lost message is
sent again later, as by a job that tries again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from server.calendar.contentline import escape_text
from server.domain.occurrences import EARLIEST, LATEST
from server.itip.delegation import answer
from server.itip.instances import derived, describing, excluded, recurs, with_exdates
from server.itip.lines import Line, made
from server.itip.merging import without_exdates
from server.itip.messages import Method
from server.itip.participants import NEEDS_ACTION, attendee_line, map_attendee, partstat
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.itip.post_office import Letter, Person, PostOffice

T = TypeVar("T")

ORGANIZER = "ann"
ATTENDEES = ("bea", "carl", "dora")
ANSWERS = ("ACCEPTED", "DECLINED", "TENTATIVE")
SHOWN = ("SUMMARY", "LOCATION", "DESCRIPTION")
BEGIN = datetime(2027, 1, 4, 10, tzinfo=UTC)
"""DTSTART of the meeting, a Monday."""
MOST_DELIVERIES = 1_000
"""Deliveries after the last act, at most: what people are told in the end does not go on for ever."""


class Choices:
    """Decisions that bytes make; after the last byte all are 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def done(self) -> bool:
        """Whether all bytes are used."""
        return self._position >= len(self._data)

    def below(self, limit: int) -> int:
        """A number from 0 to below a limit."""
        if self.done:
            return 0
        self._position += 1
        return self._data[self._position - 1] % limit

    def of(self, *values: T) -> T:
        """One of some values."""
        return values[self.below(len(values))]


@dataclass(slots=True)
class Log:
    """What was sent to an attendee, for the SEQUENCE that each component must have."""

    sequences: dict[str, int] = field(default_factory=dict)

    def note(self, letter: Letter) -> None:
        """Note a message of the organizer."""
        for component in letter.message.object.components:
            before = self.sequences.get(component.instance, -1)
            self.sequences[component.instance] = max(before, component.sequence)


class MeetingMachine:
    """One meeting of an organizer with three attendees."""

    attendees: tuple[str, ...] = ATTENDEES

    def __init__(self, data: bytes) -> None:
        self.choices = Choices(data)
        self.office = PostOffice((ORGANIZER, *self.attendees))
        self.now = datetime(2026, 12, 1, tzinfo=UTC)
        self.waiting: list[Letter] = []
        self.logs = {name: Log() for name in self.attendees}
        self.history: list[str] = []
        self._component = "VEVENT"
        self._deleted = False

    def person(self, name: str) -> Person:
        """The organizer, or an attendee."""
        return self.office.people[name]

    @property
    def organizer(self) -> Person:
        """Who invites."""
        return self.person(ORGANIZER)

    # -- the conversation ---------------------------------------------------------------------------------------------

    def play(self) -> None:
        """The whole conversation, until all messages are delivered."""
        self._invite()
        while not self.choices.done:
            self._step()
        for _ in range(MOST_DELIVERIES):
            if not self.waiting:
                return
            self._deliver()
        raise AssertionError(self._told("The exchange of messages does not end."))

    def _step(self) -> None:
        kind = self.choices.below(8)
        if kind < 3 and not self._deleted:
            self._act_of_organizer()
        elif kind < 5:
            self._act_of_attendee(self.choices.of(*self.attendees))
        elif self.waiting:
            self._deliver()

    def _deliver(self) -> None:
        """Deliver one message: perhaps not the first, perhaps twice, perhaps not yet."""
        index = self.choices.below(len(self.waiting))
        fate = self.choices.below(8)
        if fate == 7:
            return
        letter = self.waiting[index] if fate == 6 else self.waiting.pop(index)
        self._tick()
        self.history.append(f"deliver {letter.message.method} to {letter.message.recipient.address}")
        _, more = self.office.deliver(letter, self.now)
        self._send(more)

    def _send(self, letters: list[Letter]) -> None:
        for letter in letters:
            self.waiting.append(letter)
            to = letter.message.recipient.key
            log = next((self.logs.get(name) for name, each in self.office.people.items() if each.user.key == to), None)
            if log is not None and letter.message.method is not Method.REPLY:
                log.note(letter)

    def _tick(self) -> None:
        self.now += timedelta(seconds=1)

    def _put(self, person: Person, new: SchedulingObject | None, what: str, *, etag: bool = False) -> None:
        self._tick()
        self.history.append(f"{person.user.address} {what}")
        _, letters = self.office.change(
            person, None if new is None else read_object(new.text), self.now, etag=etag, tag=bool(self.choices.below(2))
        )
        self._send(letters)

    # -- the organizer ------------------------------------------------------------------------------------------------

    def _invite(self) -> None:
        self._component = self.choices.of("VEVENT", "VEVENT", "VEVENT", "VTODO")
        end = "DUE" if self._component == "VTODO" else "DTEND"
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Koyomi//Machine//EN", f"BEGIN:{self._component}"]
        lines += ["UID:meeting", "DTSTAMP:20261201T000000Z", "SUMMARY:Meeting", "ORGANIZER:mailto:ann@example.com"]
        zone = self.choices.of("", "Europe/Berlin")
        for name, start in (("DTSTART", BEGIN), (end, BEGIN + timedelta(hours=1))):
            written = start.strftime("%Y%m%dT%H%M%S")
            lines.append(f"{name};TZID={zone}:{written}" if zone else f"{name}:{written}Z")
        if self.choices.below(4):
            lines.append("RRULE:FREQ=DAILY;COUNT=4")
        lines.append("ATTENDEE;PARTSTAT=ACCEPTED:mailto:ann@example.com")
        invited = self.choices.below(8)
        lines += [
            f"ATTENDEE:mailto:{name}@example.com" for bit, name in enumerate(ATTENDEES) if not invited & (1 << bit)
        ]
        lines += [f"END:{self._component}", "END:VCALENDAR"]
        self._put(self.organizer, read_object("\r\n".join([*lines, ""])), "invites")

    def _act_of_organizer(self) -> None:
        value = self.organizer.value
        assert value is not None
        acts: tuple[Callable[[SchedulingObject], SchedulingObject | None], ...] = (
            self._edit_text,
            self._edit_text,
            self._move,
            self._move,
            self._cancel_instance,
            self._restore_instances,
            self._change_people,
            self._change_people,
            self._change_rule,
            self._change_status,
            self._add_alarm,
            self._ask_anew,
            self._drop_override,
            self._delete,
        )
        act = self.choices.of(*acts)
        new = act(value)
        if new is None and act != self._delete:
            return
        self._deleted = new is None
        self._put(self.organizer, new, act.__name__, etag=bool(self.choices.below(2)))

    def _target(self, value: SchedulingObject) -> SchedulingComponent:
        """The series, or one instance of it."""
        instances = instances_of(value)
        index = self.choices.below(len(instances) + 2) - 2
        found = derived(value, MASTER if index < 0 else instances[index])
        assert found is not None
        return found

    def _edit_text(self, value: SchedulingObject) -> SchedulingObject:
        name = self.choices.of(*SHOWN)
        text = escape_text(f"{name} {self.choices.below(5)}")
        return value.with_component(self._target(value).with_value(name, text))

    def _move(self, value: SchedulingObject) -> SchedulingObject:
        component = self._target(value)
        moved = later_component(component, 1 + self.choices.below(3))
        if component.instance == MASTER:
            # Apps drop the overrides and EXDATEs of a series that moves.
            return value.with_components([moved.without("EXDATE")])
        return value.with_component(moved)

    def _cancel_instance(self, value: SchedulingObject) -> SchedulingObject | None:
        master = value.master
        instances = instances_of(value)
        if master is None or not recurs(master) or len(instances) < 2:
            return None
        instance = instances[self.choices.below(len(instances))]
        if self.choices.below(2):
            found = derived(value, instance)
            assert found is not None
            return value.with_component(found.with_value("STATUS", "CANCELLED"))
        return value.without_instances(instance).with_component(with_exdates(value, master, [instance]))

    def _restore_instances(self, value: SchedulingObject) -> SchedulingObject | None:
        master = value.master
        dropped = sorted(excluded(value))
        if master is None or not dropped:
            return None
        return value.with_component(without_exdates(value, master, dropped[: 1 + self.choices.below(2)]))

    def _change_people(self, value: SchedulingObject) -> SchedulingObject:
        user = self.person(self.choices.of(*self.attendees)).user
        component = self._target(value)
        alone = component.instance != MASTER or self.choices.below(2)

        def changed(each: SchedulingComponent, invited: bool) -> SchedulingComponent:
            if invited:
                return map_attendee(each, user, self.office.directory, lambda line: None)
            if attendee_line(each, user, self.office.directory) is not None:
                return each
            return each.with_lines("ATTENDEE", [*each.all("ATTENDEE"), made("ATTENDEE", user.address)])

        invited = attendee_line(component, user, self.office.directory) is not None
        value = value.with_component(changed(component, invited))
        return value if alone else value.map_components(lambda each: changed(each, invited))

    def _change_rule(self, value: SchedulingObject) -> SchedulingObject | None:
        master = value.master
        if master is None or not recurs(master):
            return None
        value = value.with_component(master.with_value("RRULE", f"FREQ=DAILY;COUNT={2 + self.choices.below(5)}"))
        left = set(instances_of(value.without_instances(*(each.instance for each in value.overrides))))
        return value.with_components(each for each in value.components if each.instance in left | {MASTER})

    def _change_status(self, value: SchedulingObject) -> SchedulingObject:
        states = ("NEEDS-ACTION", "IN-PROCESS") if self._component == "VTODO" else ("CONFIRMED", "TENTATIVE")
        return value.with_component(self._target(value).with_value("STATUS", self.choices.of(*states)))

    def _add_alarm(self, value: SchedulingObject) -> SchedulingObject:
        return value.with_component(_with_alarm(self._target(value)))

    def _ask_anew(self, value: SchedulingObject) -> SchedulingObject | None:
        user = self.person(self.choices.of(*self.attendees)).user
        component = self._target(value)
        if attendee_line(component, user, self.office.directory) is None:
            return None
        asked = {"PARTSTAT": NEEDS_ACTION, "SCHEDULE-FORCE-SEND": "REQUEST"}
        return value.with_component(
            map_attendee(component, user, self.office.directory, lambda line: line.with_parameters(asked))
        )

    def _drop_override(self, value: SchedulingObject) -> SchedulingObject | None:
        overrides = value.overrides
        if not overrides:
            return None
        return value.without_instances(overrides[self.choices.below(len(overrides))].instance)

    def _delete(self, value: SchedulingObject) -> SchedulingObject | None:
        return value if self.choices.below(3) else None

    # -- the attendees ------------------------------------------------------------------------------------------------

    def _act_of_attendee(self, name: str) -> None:
        person = self.person(name)
        value = person.value
        if value is None:
            return
        kind = self.choices.below(8)
        instances = [each for each in instances_of(value) if self._is_open(person, value, each)]
        if kind < 2:
            given = self.choices.of(*ANSWERS)
            whole = self.choices.below(2)
            self._put(
                person,
                value.map_components(
                    lambda each: self._answering(person, each, given) if whole or each.instance == MASTER else each
                ),
                f"answers {given}",
            )
        elif kind < 4 and instances:
            component = derived(value, instances[self.choices.below(len(instances))])
            assert component is not None
            given = self.choices.of(*ANSWERS)
            answering = self._answering(person, component, given)
            self._put(person, value.with_component(answering), f"answers {given} for {component.instance}")
        elif kind == 4 and instances and value.master is not None and recurs(value.master):
            instance = instances[self.choices.below(len(instances))]
            new = value.without_instances(instance).with_component(with_exdates(value, value.master, [instance]))
            self._put(person, new, f"excludes {instance}")
        elif kind == 5:
            self._put(person, None, "deletes")
        elif kind == 6:
            component = derived(value, instances[0]) if instances and self.choices.below(2) else value.components[0]
            assert component is not None
            self._put(person, value.with_component(_with_alarm(component)), "sets an alarm")
        else:
            component = value.components[0].with_value("X-OWN", str(self.choices.below(3)))
            self._put(person, value.with_component(component), "sets a private property")

    def _is_open(self, person: Person, value: SchedulingObject, instance: str) -> bool:
        component = describing(value, instance)
        if component is None or component.token("STATUS") == "CANCELLED":
            return False
        return attendee_line(component, person.user, self.office.directory) is not None

    def _answering(self, person: Person, component: SchedulingComponent, given: str) -> SchedulingComponent:
        if component.token("STATUS") == "CANCELLED":
            return component
        return map_attendee(
            component,
            person.user,
            self.office.directory,
            lambda line: line.with_parameters({"PARTSTAT": given, "RSVP": None}),
        )

    # -- what must hold at the end ------------------------------------------------------------------------------------

    def check(self) -> None:
        """All copies agree with the organizer's object. Raises `AssertionError`."""
        for name in self.attendees:
            self._check_copy(name)

    def _check_copy(self, name: str) -> None:
        person, value = self.person(name), self.organizer.value
        copy = person.value
        expected = {} if value is None else self._live(value, person)
        found = {} if copy is None else self._live(copy, person)
        for instance, component in expected.items():
            own = attendee_line(component, person.user, self.office.directory)
            assert own is not None
            if instance not in found:
                assert partstat(own) == "DECLINED", self._told(f"{name} lacks {instance or 'the meeting'}")
                continue
            assert value is not None
            assert copy is not None
            here, there = self._facts(copy, found[instance]), self._facts(value, component)
            assert here == there, self._told(f"{name}, {instance or 'series'}:\n{here}\n{there}")
        surplus = set(found) - set(expected)
        assert not surplus, self._told(f"{name} has {surplus}")
        for instance, component in () if copy is None else copy.by_instance.items():
            if instance in expected and instance in found and instance in self.logs[name].sequences:
                assert value is not None
                if instance in value.by_instance:
                    sequences = self.logs[name].sequences
                    told = max(sequences[instance], sequences.get(MASTER, 0))
                    assert component.sequence == told, self._told(f"{name}: SEQUENCE of {instance or 'the series'}")

    def _live(self, value: SchedulingObject, person: Person) -> dict[str, SchedulingComponent]:
        """The instances that somebody is invited to and that take place."""
        found: dict[str, SchedulingComponent] = {}
        for instance in instances_of(value):
            if self._is_open(person, value, instance):
                component = derived(value, instance)
                assert component is not None
                found[instance] = component
        return found

    def _facts(self, value: SchedulingObject, component: SchedulingComponent) -> tuple[object, ...]:
        """What all copies must agree on."""
        times = tuple(value.moment(component, name) for name in ("DTSTART", "DTEND", "DUE"))
        texts = tuple(component.value(name) for name in SHOWN)
        directory = self.office.directory
        answers = {directory.key(line.value): answer(line, directory) for line in component.all("ATTENDEE")}
        return tuple(each and each.utc for each in times), texts, component.token("STATUS"), answers

    def _told(self, what: str) -> str:
        texts = [
            f"--- {name}\n{'' if each.value is None else each.value.text}" for name, each in self.office.people.items()
        ]
        return "\n".join([what, *self.history, *texts])


def instances_of(value: SchedulingObject) -> list[str]:
    """The instances of an object: of a series without those that EXDATE excludes, and the overrides."""
    master = value.master
    if master is None:
        return sorted(value.by_instance)
    if not recurs(master):
        return [MASTER]
    found = value.series
    assert found is not None
    plain = [each.recurrence_id for each in found.instances(EARLIEST, LATEST)]
    return sorted({*plain, *(each.instance for each in value.overrides)})


def moved_line(line: Line, shift: timedelta) -> Line:
    """A line with a time that is later by a shift."""
    utc = line.value.endswith("Z")
    moved = datetime.strptime(line.value.rstrip("Z"), "%Y%m%dT%H%M%S") + shift
    return line.with_value(moved.strftime("%Y%m%dT%H%M%S") + ("Z" if utc else ""))


def later_component(component: SchedulingComponent, half_hours: int) -> SchedulingComponent:
    """A component that starts and ends later."""
    shift = timedelta(minutes=30 * half_hours)
    times = ("DTSTART", "DTEND", "DUE")
    return component.map_lines(lambda line: moved_line(line, shift) if line.name in times else line)


def _with_alarm(component: SchedulingComponent) -> SchedulingComponent:
    alarm = ("BEGIN:VALARM", "ACTION:AUDIO", "TRIGGER:-PT5M", "END:VALARM")
    lines = ("BEGIN:VCALENDAR", "BEGIN:VEVENT", *alarm, "END:VEVENT", "END:VCALENDAR", "")
    (event,) = read_object("\r\n".join(lines)).components
    return component.with_subcomponents("VALARM", event.subcomponents)
