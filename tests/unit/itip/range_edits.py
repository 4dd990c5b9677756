"""The machine with ranges: overrides that describe all later instances, too (RANGE=THISANDFUTURE)."""

from __future__ import annotations

from collections.abc import Callable

from server.itip.instances import derived, recurs, with_range
from server.itip.lines import made
from server.itip.participants import attendee_line, map_attendee
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject
from tests.unit.itip.delegations import Delegations
from tests.unit.itip.further_edits import FurtherEdits
from tests.unit.itip.meeting_machine import instances_of, later_component


class RangeEdits(FurtherEdits):
    """A meeting of which every second act of the organizer is one of these."""

    def _act_of_organizer(self) -> None:
        value = self.organizer.value
        assert value is not None
        if self.choices.below(2):
            super()._act_of_organizer()
            return
        acts: tuple[Callable[[SchedulingObject], SchedulingObject | None], ...] = (
            self._begin_range,
            self._edit_range,
            self._end_range,
            self._drop_range,
        )
        act = self.choices.of(*acts)
        new = act(value)
        if new is not None:
            self._put(self.organizer, new, act.__name__, etag=bool(self.choices.below(2)))

    def _begin_range(self, value: SchedulingObject) -> SchedulingObject | None:
        """Make an instance the first of a range, perhaps with a change."""
        if value.master is None or not recurs(value.master):
            return None
        instances = instances_of(value)
        if not instances:
            return None
        found = derived(value, instances[self.choices.below(len(instances))])
        assert found is not None
        return self._changed(value.with_component(with_range(found, "THISANDFUTURE")), found.instance)

    def _edit_range(self, value: SchedulingObject) -> SchedulingObject | None:
        component = self._range(value)
        return None if component is None else self._changed(value, component.instance)

    def _end_range(self, value: SchedulingObject) -> SchedulingObject | None:
        """Let a range describe its first instance only."""
        component = self._range(value)
        return None if component is None else value.with_component(with_range(component, None))

    def _drop_range(self, value: SchedulingObject) -> SchedulingObject | None:
        component = self._range(value)
        return None if component is None else value.without_instances(component.instance)

    def _range(self, value: SchedulingObject) -> SchedulingComponent | None:
        ranges = [each for each in value.overrides if each.is_range]
        return ranges[self.choices.below(len(ranges))] if ranges else None

    def _changed(self, value: SchedulingObject, instance: str) -> SchedulingObject:
        """The object with another title, time, status or attendee in one component."""
        component = value.by_instance[instance]
        match self.choices.below(5):
            case 0:
                return value.with_component(component.with_value("SUMMARY", f"Range {self.choices.below(3)}"))
            case 1:
                return value.with_component(later_component(component, 1 + self.choices.below(2)))
            case 2:
                user = self.person(self.choices.of(*self.attendees)).user
                if attendee_line(component, user, self.office.directory) is not None:
                    return value.with_component(map_attendee(component, user, self.office.directory, lambda line: None))
                invited = [*component.all("ATTENDEE"), made("ATTENDEE", user.address)]
                return value.with_component(component.with_lines("ATTENDEE", invited))
            case 3:
                cancelled = component.token("STATUS") == "CANCELLED"
                return value.with_component(component.with_value("STATUS", None if cancelled else "CANCELLED"))
        return value


class AllEdits(RangeEdits, Delegations):
    """A meeting with edits of ranges, and delegations."""
