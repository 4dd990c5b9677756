"""What is stored of an attendee's copy when their app writes it (RFC 6638 §3.2.2.1).

The organizer's lines stay as they are stored: what an app changed of them is put back, however it spells what it did
not change. The attendee's own lines are taken from the app: their answer, alarms, TRANSP, progress of a task, private
properties. Other times are refused, since the person must see that nothing was moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from server.calendar.attendance import address_key
from server.calendar.personal import is_personal
from server.calendar.recurrence_ids import instance_id
from server.domain.errors import AttendeeChangeRefused
from server.itip.audience import SHARED_X_PROPERTIES
from server.itip.change import Change
from server.itip.comparison import same_rules, same_times
from server.itip.delegation import answer, delegates, with_delegates
from server.itip.instances import derived, excluded, master_instance, with_exdates, with_range, without_first
from server.itip.lines import Line
from server.itip.organizer_object import described
from server.itip.participants import (
    ATTENDEE_COMMENT,
    DELEGATED,
    NEEDS_ACTION,
    PARTSTAT_DTSTAMP,
    attendee_line,
    attendee_lines,
    attendees,
    partstat,
)
from server.itip.scheduling_component import MASTER, SchedulingComponent, Subcomponent
from server.itip.scheduling_object import SchedulingObject

_OWN = frozenset(
    (
        "TRANSP",
        "PERCENT-COMPLETE",
        "COMPLETED",
        "CREATED",
        "DTSTAMP",
        "LAST-MODIFIED",
        "COMMENT",
    )
)
_ANSWERED = ("ACCEPTED", "TENTATIVE")


@dataclass(frozen=True, slots=True)
class Copy:
    """An attendee's copy as it is stored."""

    object: SchedulingObject
    before: dict[str, SchedulingComponent]
    """How each of its components was: of a new override, what the series said."""
    excluded: tuple[str, ...]
    """Instances that the app took out by EXDATE."""
    left_out: tuple[str, ...]
    """Overrides that the app left out of a copy without a master."""
    delegates: dict[str, Line] = field(default_factory=dict)
    """The ATTENDEE line of the delegate, by instance."""
    begun: tuple[str, ...] = ()
    """The ranges (THISANDFUTURE) that begin later, since the app took out their first instances."""


def merged_copy(change: Change) -> Copy:
    """The copy to store.

    :raises AttendeeChangeRefused: for another start, end, rule or RDATE, instances that the series does not have, no
        ATTENDEE of the owner, and a delegation without a delegate.
    """
    return _Merge(change).result()


class _Merge:
    def __init__(self, change: Change) -> None:
        assert change.old is not None
        assert change.new is not None
        self._change = change
        self._owner = change.owner
        self._directory = change.directory
        self._old = change.old
        self._new = change.new
        self._before: dict[str, SchedulingComponent] = {}
        self._delegates: dict[str, Line] = {}

    def result(self) -> Copy:
        old, new, stored = self._old, self._new, self._old.by_instance
        if not any(attendee_line(component, self._owner, self._directory) for component in new.components):
            raise AttendeeChangeRefused("An attendee stays an attendee of the meeting.")
        dropped = set(excluded(new)) - set(excluded(old))
        self._old = old = _with_later_ranges(old, dropped)
        sent = self._paired(set(excluded(new)))
        exdates = sorted(instance for instance in dropped if self._attends(instance))
        left_out: list[str] = []
        components: list[SchedulingComponent] = []
        for component in old.components:
            instance = component.instance
            app = sent.pop(instance, None)
            if instance in exdates:
                continue
            if app is not None:
                self._before[instance] = component
                components.append(self._merged(component, app, exdates))
            elif old.master is None:
                left_out.append(instance)
            else:
                self._before[instance] = component
                components.append(component)
        for instance, app in sent.items():
            original = derived(old, instance)
            if original is None:
                raise AttendeeChangeRefused("An attendee adds no instances.")
            self._before[instance] = original
            components.append(self._merged(original, app, ()))
        written = set(sent) | {c.instance for c in new.components}
        components = self._with_master_answer(components, written - _ranges_of_all(old))
        value = self._framed(components)
        value = value.map_components(self._with_transparency)
        begun = tuple(each.instance for each in value.ranges if each.instance not in stored)
        return Copy(value, self._before, tuple(exdates), tuple(left_out), self._delegates, begun)

    # -- which component is which -----------------------------------------------------------------------------------

    def _paired(self, dropped: set[str]) -> dict[str, SchedulingComponent]:
        """The components of the app by the instance of the stored copy that each means."""
        old, sent = self._old, dict[str, SchedulingComponent]()
        for component in self._new.components:
            instance = component.instance
            if instance == MASTER and old.master is None:
                # Some apps drop RECURRENCE-ID of a single instance.
                same = [each for each in old.components if same_times(old, each, self._new, component)]
                if not same:
                    raise AttendeeChangeRefused("The start and end of a meeting are the organizer's.")
                instance = same[0].instance
            elif instance not in old.by_instance:
                if instance in dropped:
                    continue
                if old.master is None or master_instance(old, instance) is None:
                    raise AttendeeChangeRefused("An attendee adds no instances.")
            sent.setdefault(instance, component)
        return sent

    def _attends(self, instance: str) -> bool:
        return instance in self._old.by_instance or master_instance(self._old, instance) is not None

    # -- one component ----------------------------------------------------------------------------------------------

    def _merged(
        self, before: SchedulingComponent, app: SchedulingComponent, exdates: Sequence[str]
    ) -> SchedulingComponent:
        """The organizer's lines of the stored component with the attendee's own lines of the app's."""
        if not same_times(self._old, before, self._new, app):
            raise AttendeeChangeRefused("The start and end of a meeting are the organizer's.")
        if not same_rules(self._old, before, self._new, app):
            raise AttendeeChangeRefused("The recurrence of a meeting is the organizer's.")
        if before.instance == MASTER and exdates:
            before = with_exdates(self._old, before, list(exdates))
        answers = self._answers(before, app)
        shared_x = {line.name for line in before.lines if line.name in SHARED_X_PROPERTIES}
        is_task = app.name == "VTODO"
        kept = [answers.get(id(line), line) for line in before.lines if not _is_own(line.name, shared_x, is_task)]
        delegate = self._delegate(before, app)
        if delegate is not None:
            kept.append(delegate)
            self._delegates[before.instance] = delegate
        remaining = Counter(line.content for line in kept)
        items: list[Line | Subcomponent] = []
        place = 0
        for item in app.items:
            if isinstance(item, Subcomponent):
                if item.name == "VALARM":
                    items.append(item)
                continue
            if not _is_own(item.name, shared_x, is_task):
                if not remaining[item.content]:
                    continue
                remaining[item.content] -= 1
            items.append(item)
            place = len(items)
        back: list[Line] = []
        for line in kept:
            if remaining[line.content]:
                remaining[line.content] -= 1
                back.append(line)
        inner = [each for each in before.subcomponents if each.name != "VALARM"]
        items[place:place] = [*back, *inner]
        if not back and not inner and len(items) == len(app.items):
            return app.with_items(app.items, before.instance) if app.instance != before.instance else app
        return app.with_items(items, before.instance)

    def _answers(self, before: SchedulingComponent, app: SchedulingComponent) -> dict[int, Line]:
        """The attendee's own ATTENDEEs, by the identity of the stored line, with the answer of the app."""
        sent = attendee_lines(app, self._owner, self._directory)
        stored = attendee_lines(before, self._owner, self._directory)
        known = {address_key(line.value): answer(line, self._directory) for line in stored}
        # Who is invited by two addresses answers once, by either.
        changed = next(
            (line for line in sent if answer(line, self._directory) != known.get(address_key(line.value))), None
        )
        if changed is None:
            return {}
        given = answer(changed, self._directory)
        found: dict[int, Line] = {}
        for line in stored:
            if answer(line, self._directory) == given:
                continue
            changes: dict[str, str | list[str] | None] = {
                "PARTSTAT": partstat(changed),
                PARTSTAT_DTSTAMP: self._change.dtstamp,
                "DELEGATED-TO": changed.params.get("DELEGATED-TO") if partstat(changed) == DELEGATED else None,
            }
            if partstat(changed) != NEEDS_ACTION:
                changes["RSVP"] = None
            found[id(line)] = line.with_parameters(changes)
        return found

    def _delegate(self, before: SchedulingComponent, app: SchedulingComponent) -> Line | None:
        """The one ATTENDEE that an attendee may add: to whom they delegate (RFC 5546 §3.2.2.3)."""
        sent = attendee_line(app, self._owner, self._directory)
        stored = attendee_line(before, self._owner, self._directory)
        if sent is None or stored is None or partstat(sent) != DELEGATED:
            return None
        named = delegates(sent, self._directory)
        if partstat(stored) == DELEGATED and named == delegates(stored, self._directory):
            return None
        invited = attendees(before, self._directory)
        added = [
            line
            for key, line in attendees(app, self._directory).items()
            if any(self._directory.key(each) == self._owner.key for each in line.params.get("DELEGATED-FROM", ()))
            and key not in invited
        ]
        if len(added) == 1 and self._directory.key(added[0].value) in named:
            line = described(added[0], self._directory.user(added[0].value))
            return line.with_parameters({"PARTSTAT": NEEDS_ACTION, "RSVP": "TRUE", PARTSTAT_DTSTAMP: None})
        if not added and any(key in invited for key in named):
            return None
        raise AttendeeChangeRefused("Who delegates names one delegate, who says from whom.")

    # -- the whole --------------------------------------------------------------------------------------------------

    def _with_master_answer(
        self, components: list[SchedulingComponent], written: set[str]
    ) -> list[SchedulingComponent]:
        """Overrides that the app did not write follow its answer for the series where they followed it before."""
        old, master = self._old.master, next((each for each in components if each.instance == MASTER), None)
        if old is None or master is None or MASTER not in written:
            return components
        before = attendee_line(old, self._owner, self._directory)
        now = attendee_line(master, self._owner, self._directory)
        if before is None or now is None or answer(before, self._directory) == answer(now, self._directory):
            return components
        return [
            component if component.instance in written else self._following(component, before, now, master)
            for component in components
        ]

    def _following(
        self, component: SchedulingComponent, before: Line, now: Line, master: SchedulingComponent
    ) -> SchedulingComponent:
        own = attendee_line(component, self._owner, self._directory)
        if own is None or component.token("STATUS") == "CANCELLED":
            return component
        if answer(own, self._directory) != answer(before, self._directory):
            return component
        given = {name: now.params.get(name) for name in ("PARTSTAT", "RSVP", "DELEGATED-TO", PARTSTAT_DTSTAMP)}
        followed = component.map_lines(lambda line: line.with_parameters(given) if line is own else line)
        followed = followed.with_lines("TRANSP", master.all("TRANSP"))
        named = delegates(now, self._directory)
        completed = with_delegates(followed, named, master, now, self._directory)
        if completed is not followed:
            key = next(iter(named - attendees(followed, self._directory).keys()))
            self._delegates[component.instance] = attendees(completed, self._directory)[key]
        return completed

    def _with_transparency(self, component: SchedulingComponent) -> SchedulingComponent:
        """An event that the attendee has not answered does not make them busy; one that they take up does."""
        if component.name != "VEVENT":
            return component
        own = attendee_line(component, self._owner, self._directory)
        if own is None:
            return component
        given = partstat(own)
        if given == NEEDS_ACTION:
            return component if component.token("TRANSP") == "TRANSPARENT" else with_transparent(component)
        before = self._before.get(component.instance)
        stored = None if before is None else attendee_line(before, self._owner, self._directory)
        if before is None or stored is None:
            return component
        if not self._owner.may_organize:
            return self._as_room(component, before, given, partstat(stored))
        if partstat(stored) != NEEDS_ACTION or given not in _ANSWERED:
            return component
        # The app left what the server had written while there was no answer.
        if before.token("TRANSP") == component.token("TRANSP") == "TRANSPARENT":
            return component.without("TRANSP")
        return component

    def _as_room(
        self, component: SchedulingComponent, before: SchedulingComponent, given: str, known: str
    ) -> SchedulingComponent:
        """An event of a room, which is taken by what was accepted for it, whatever the app of a delegate says."""
        if given == known:
            return component.with_lines("TRANSP", before.all("TRANSP"))
        return component.without("TRANSP") if given in _ANSWERED else with_transparent(component)

    def _framed(self, components: list[SchedulingComponent]) -> SchedulingObject:
        """The components in the VCALENDAR of the app, with the VTIMEZONEs that are stored."""
        new, stored = self._new, self._old.timezones
        if [each.written for each in new.timezones] != [each.written for each in stored]:
            items = [item for item in new.items if item.name != "VTIMEZONE" or isinstance(item, Line)]
            place = next((index for index, item in enumerate(items) if not isinstance(item, Line)), len(items))
            items[place:place] = stored
            new = new.with_items(items)
        if any(each.instance == MASTER for each in components) and new.master is None:
            new = new.with_components([])  # the series stands in front of its overrides
        return new.with_components(components)


def _ranges_of_all(value: SchedulingObject) -> set[str]:
    """The ranges (THISANDFUTURE) that describe all instances of a series, up to the next range.

    Apps that do not know ranges answer the series instead.
    """
    if value.anchor is None:
        return set()
    first = instance_id(value.anchor.utc, value.anchor)
    return {each.instance for each in value.ranges if each.instance <= first}


def _with_later_ranges(value: SchedulingObject, dropped: set[str]) -> SchedulingObject:
    """The copy in which ranges (THISANDFUTURE) begin after their first instances, where EXDATE excludes these.

    The first instances are overrides of their own.
    """
    firsts = [each for each in value.ranges if each.instance in dropped]
    if not firsts or value.master is None:
        return value
    shorter = value.with_component(with_exdates(value, value.master, sorted(dropped)))
    for each in firsts:
        shorter = without_first(shorter, each)
    alone = [with_range(each, None) for each in firsts]
    return shorter.with_components([*shorter.components, value.master, *alone])


def with_transparent(component: SchedulingComponent) -> SchedulingComponent:
    """An event that makes nobody busy."""
    return component.with_value("TRANSP", "TRANSPARENT")


def _is_own(name: str, shared_x: set[str], is_task: bool) -> bool:
    """Whether a property of an attendee's copy is the attendee's own.

    :param shared_x: the X- properties that the organizer sent.
    """
    if name in _OWN or is_personal(name) or (is_task and name == "STATUS"):
        return True
    return name.startswith("X-") and name not in shared_x and name != ATTENDEE_COMMENT
