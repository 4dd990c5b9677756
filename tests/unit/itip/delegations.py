"""The machine with delegation: attendees delegate the meeting or single instances, and take it back by an answer."""

from __future__ import annotations

from server.itip.instances import derived
from server.itip.lines import made
from server.itip.participants import attendee_line, map_attendee
from server.itip.scheduling_component import MASTER, SchedulingComponent
from tests.unit.itip.further_edits import FurtherEdits
from tests.unit.itip.meeting_machine import ATTENDEES, instances_of
from tests.unit.itip.post_office import Person


class Delegations(FurtherEdits):
    """A meeting of which every third act of an attendee is a delegation, also to people who are not invited.

    The delegates answer, decline, delete and delegate as all attendees do; the organizer changes and removes all alike.
    """

    attendees = (*ATTENDEES, "emil")

    def _act_of_attendee(self, name: str) -> None:
        if self.choices.below(3):
            super()._act_of_attendee(name)
            return
        person, delegate = self.person(name), self.person(self.choices.of(*self.attendees))
        value = person.value
        if value is None or person is delegate:
            return
        components = value.components
        if self.choices.below(2):
            instances = [each for each in instances_of(value) if self._is_open(person, value, each)]
            if not instances:
                return
            found = derived(value, instances[self.choices.below(len(instances))])
            assert found is not None
            components = [found]
        elif self.choices.below(2):
            components = [each for each in components if each.instance == MASTER]
        new = value
        for component in components:
            if self._is_open(person, value, component.instance):
                new = new.with_component(self._delegating(component, person, delegate))
        told = ", ".join(each.instance or "the series" for each in components)
        self._put(person, new, f"delegates {told} to {delegate.user.address}")

    def _delegating(self, component: SchedulingComponent, person: Person, delegate: Person) -> SchedulingComponent:
        """A component as an app writes it whose owner delegates."""
        directory = self.office.directory
        answer = {"PARTSTAT": "DELEGATED", "RSVP": None, "DELEGATED-TO": [delegate.user.address]}
        component = map_attendee(component, person.user, directory, lambda line: line.with_parameters(answer))
        if attendee_line(component, delegate.user, directory) is not None:
            return component
        line = made("ATTENDEE", delegate.user.address, {"DELEGATED-FROM": [person.user.address]})
        return component.with_lines("ATTENDEE", [*component.all("ATTENDEE"), line])
