"""The machine with further edits: dates of a series, cancelled and restored meetings, series that are moved with all
instances or become single events, comments and transparency."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from server.itip.instances import recurs
from server.itip.lines import Line, spelled
from server.itip.participants import attendee_line
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.itip.meeting_machine import BEGIN, MeetingMachine, instances_of, moved_line

_TIMES = ("DTSTART", "DTEND", "DUE", "RECURRENCE-ID", "EXDATE", "RDATE")


class FurtherEdits(MeetingMachine):
    """A meeting of which every third act is one of these."""

    def _act_of_organizer(self) -> None:
        value = self.organizer.value
        assert value is not None
        if self.choices.below(3):
            super()._act_of_organizer()
            return
        acts: tuple[Callable[[SchedulingObject], SchedulingObject | None], ...] = (
            self._change_dates,
            self._cancel,
            self._take_place_again,
            self._end_the_series,
            self._begin_a_series,
            self._set_transparency,
            self._move_all,
        )
        act = self.choices.of(*acts)
        new = act(value)
        if new is not None:
            self._put(self.organizer, new, act.__name__, etag=bool(self.choices.below(2)))

    def _act_of_attendee(self, name: str) -> None:
        person = self.person(name)
        if person.value is None or self.choices.below(4):
            super()._act_of_attendee(name)
            return
        component = person.value.components[0]
        invited = attendee_line(component, person.user, self.office.directory) is not None
        if invited and component.token("STATUS") != "CANCELLED":
            comment = component.with_value("X-CALENDARSERVER-PRIVATE-COMMENT", str(self.choices.below(3)))
            self._put(person, person.value.with_component(comment), "comments")

    def _change_dates(self, value: SchedulingObject) -> SchedulingObject | None:
        master = value.master
        if master is None or not recurs(master):
            return None
        first = master.first("DTSTART")
        assert first is not None
        if master.first("RDATE") is not None and self.choices.below(2):
            fewer = value.with_component(master.without("RDATE"))
            plain = fewer.without_instances(*(each.instance for each in fewer.overrides))
            left = {*instances_of(plain), MASTER}
            return fewer.with_components(each for each in fewer.components if each.instance in left)
        start = (BEGIN + timedelta(days=10 + self.choices.below(3))).strftime("%Y%m%dT%H%M%S")
        written = f"{start}Z" if first.value.endswith("Z") else start
        more = spelled("RDATE", first.parameter_text, written)
        return value.with_component(master.with_lines("RDATE", [*master.all("RDATE"), more]))

    def _cancel(self, value: SchedulingObject) -> SchedulingObject:
        return value.map_components(lambda each: each.with_value("STATUS", "CANCELLED"))

    def _take_place_again(self, value: SchedulingObject) -> SchedulingObject | None:
        if value.master is None or value.master.token("STATUS") != "CANCELLED":
            return None
        return value.map_components(lambda each: each.with_value("STATUS", None))

    def _end_the_series(self, value: SchedulingObject) -> SchedulingObject | None:
        if value.master is None or not recurs(value.master):
            return None
        return value.with_components([value.master.without("RRULE", "RDATE", "EXDATE")])

    def _begin_a_series(self, value: SchedulingObject) -> SchedulingObject | None:
        if value.master is None or recurs(value.master) or value.master.token("STATUS") == "CANCELLED":
            return None
        return value.with_component(value.master.with_value("RRULE", "FREQ=DAILY;COUNT=3"))

    def _set_transparency(self, value: SchedulingObject) -> SchedulingObject:
        return value.with_component(self._target(value).with_value("TRANSP", self.choices.of("OPAQUE", "TRANSPARENT")))

    def _move_all(self, value: SchedulingObject) -> SchedulingObject:
        """Move a series with its overrides and excluded instances."""
        shift = timedelta(minutes=30)

        def later(line: Line) -> Line:
            return moved_line(line, shift) if line.name in _TIMES else line

        return read_object(value.map_components(lambda each: each.map_lines(later)).text)
