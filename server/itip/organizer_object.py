"""What is stored of an organizer's object: addresses and names from the directory, answers from the attendees.

An organizer does not answer for people here: a PARTSTAT of theirs gives way to their last answer, which is what the
stored object says. A PARTSTAT of people elsewhere is stored, since some apps apply mailed answers themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.calendar.attendance import address_key
from server.domain.errors import AttendeeCommentRefused
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.change import Change
from server.itip.comparison import adds_instances, difference, only_instance, same_rules, same_times
from server.itip.delegation import delegates
from server.itip.instances import derived, describing, excluded, master_instance, recurs
from server.itip.lines import Line
from server.itip.participants import (
    ATTENDEE_COMMENT,
    NEEDS_ACTION,
    SERVER,
    attendees,
    force_send,
    map_attendees,
    organized_by,
    partstat,
    schedule_agent,
)
from server.itip.room_locations import with_rooms_in_location
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

_ANSWER = ("PARTSTAT", "RSVP", "DELEGATED-TO", "DELEGATED-FROM")


@dataclass(frozen=True, slots=True)
class Prepared:
    """An organizer's object as it is stored, without statuses and SEQUENCE of this change."""

    object: SchedulingObject
    rescheduled: frozenset[str]
    """The instances whose attendees are asked anew (RFC 6638 §3.2.8)."""
    asked: dict[str, frozenset[str]]
    """Keys of attendees whom the organizer asks anew, or sends to by SCHEDULE-FORCE-SEND, with the instances."""
    reasked: dict[str, frozenset[str]]
    """Of these, those whose answer is reset."""
    before: dict[str, SchedulingComponent]
    """How each component was, by instance: of a new override, what its series said."""


def prepare(change: Change, organizer: CalendarUser) -> Prepared:
    """The object to store. `change.new` must be the organizer's.

    :raises AttendeeCommentRefused: when the app writes a comment of an attendee.
    """
    assert change.new is not None
    new = _from_present_address(with_organizer(change.new), organizer)
    old = change.old
    if change.rooms_in_location:
        new = with_rooms_in_location(old, new, change.directory)
    # What is stored was described when it was written.
    stored = {} if old is None else old.by_instance
    new = new.map_components(
        lambda component: (
            component
            if component.instance in stored and component.is_written_as(stored[component.instance])
            else with_directory(component, change.directory)
        )
    )
    if old is not None:
        new = _with_delegates(old, new, change.directory)
        new = _with_answered_overrides(old, new, change.directory)
        new = _with_comments(old, new, change.directory)
    preparation = _Preparation(change, organizer, new)
    return preparation.result()


def with_organizer(value: SchedulingObject) -> SchedulingObject:
    """The object with the ORGANIZER of one component on those that have none, or another address of the organizer.

    A scheduling object has one value in all its components (RFC 6638 §3.1).
    """
    lines = [component.first("ORGANIZER") for component in value.components]
    known = next((line for line in lines if line is not None), None)
    if known is None or all(line is not None and line.value == known.value for line in lines):
        return value
    return value.map_components(lambda component: organized_by(known, component))


def _from_present_address(value: SchedulingObject, organizer: CalendarUser) -> SchedulingObject:
    """The object with a present address of the organizer as ORGANIZER, where an app has written a former one."""

    def present(line: Line) -> Line:
        is_former = line.name == "ORGANIZER" and address_key(line.value) in organizer.former
        return line.with_value(organizer.address) if is_former else line

    return value.map_components(lambda component: component.map_lines(present)) if organizer.former else value


def with_directory(component: SchedulingComponent, directory: Directory) -> SchedulingComponent:
    """A component with each attendee once, CN and CUTYPE of people here, and addresses that others understand."""
    seen: set[str] = set()

    def known(line: Line) -> Line | None:
        if line.name == "ORGANIZER":
            return described(line, directory.user(line.value))
        if line.name != "ATTENDEE":
            return line
        user = directory.user(line.value)
        if user.key in seen:
            return None
        seen.add(user.key)
        return described(line, user)

    return component.map_lines(known)


def described(line: Line, user: CalendarUser) -> Line:
    """An ORGANIZER or ATTENDEE with what the directory says of them. Mail addresses stay, after `mailto:`."""
    if not user.is_here:
        return line
    if not line.value.startswith("mailto:"):
        mail = line.value.strip()
        is_mail = mail[:7].lower() == "mailto:"
        line = line.with_value(f"mailto:{mail[7:]}" if is_mail else user.address)
    wanted: dict[str, str | None] = {}
    if user.cn:
        wanted["CN"] = user.cn
    if line.name == "ATTENDEE" and user.cutype is not None:
        individual = user.cutype == "INDIVIDUAL"
        if not individual or (line.parameter("CUTYPE") or "INDIVIDUAL").upper() != "INDIVIDUAL":
            wanted["CUTYPE"] = None if individual else user.cutype
    return line.with_parameters(wanted) if wanted else line


class _Preparation:
    """The answers of an object that an organizer writes."""

    def __init__(self, change: Change, organizer: CalendarUser, new: SchedulingObject) -> None:
        self._change = change
        self._directory = change.directory
        self._organizer = organizer
        self._new = new
        self._asked: dict[str, set[str]] = {}
        self._reasked: dict[str, set[str]] = {}
        self._before: dict[str, SchedulingComponent] = {}

    def result(self) -> Prepared:
        """The object with the answers of its attendees."""
        old, rescheduled = self._change.old, set[str]()
        components: list[SchedulingComponent] = []
        for component in self._new.components:
            before = _before(old, component)
            if before is not None:
                self._before[component.instance] = before
            if old is not None and self._is_rescheduled(old, before, component):
                rescheduled.add(component.instance)
            is_new = before is None or component.instance in rescheduled or bool(self._change.mailed)
            if not is_new and before is not None and component.is_written_as(before):
                components.append(component)
                continue
            components.append(self._answered(component, before, component.instance in rescheduled))
        return Prepared(
            self._new.with_components(components),
            frozenset(rescheduled),
            {key: frozenset(instances) for key, instances in self._asked.items()},
            {key: frozenset(instances) for key, instances in self._reasked.items()},
            self._before,
        )

    def _is_rescheduled(
        self, old: SchedulingObject, before: SchedulingComponent | None, component: SchedulingComponent
    ) -> bool:
        if self._change.quiet:
            return False
        if before is None:
            return True
        if not same_times(old, before, self._new, component):
            return True
        if component.instance != MASTER:
            return False
        if recurs(before) and not recurs(component) and self._had_override(old):
            return True
        if same_rules(old, before, self._new, component) and not set(excluded(old)) - set(excluded(self._new)):
            return False
        return adds_instances(old, self._new)

    def _had_override(self, old: SchedulingObject) -> bool:
        """Whether the only instance that is left of a series had other times or answers than the series."""
        override = old.by_instance.get(only_instance(self._new) or MASTER)
        if override is None or override.instance == MASTER:
            return False
        original = derived(old.without_instances(override.instance), override.instance)
        if original is None:
            return True
        found = difference(old, original, old, override, self._directory)
        return found.times or found.participation

    def _answered(
        self, component: SchedulingComponent, before: SchedulingComponent | None, rescheduled: bool
    ) -> SchedulingComponent:
        known = {} if before is None else attendees(before, self._directory)
        gone = known.keys() - attendees(component, self._directory).keys()
        instance = component.instance

        def answered(line: Line) -> Line:
            user = self._directory.user(line.value)
            forced = force_send(line)
            if forced:
                line = line.with_parameter("SCHEDULE-FORCE-SEND", None)
            if user.key == self._organizer.key or schedule_agent(line) != SERVER:
                return line
            if forced == "REQUEST":
                self._asked.setdefault(user.key, set()).add(instance)
            if rescheduled and not user.is_group:
                return line.with_parameters({"PARTSTAT": NEEDS_ACTION, "RSVP": "TRUE", "DELEGATED-TO": None})
            before = known.get(user.key)
            if before is not None and user.is_here and delegates(before, self._directory) & gone:
                return self._asked_anew(line, user, instance)
            return self._with_answer(line, before, user, instance, forced == "REQUEST")

        return map_attendees(component, answered)

    def _with_answer(self, line: Line, before: Line | None, user: CalendarUser, instance: str, forced: bool) -> Line:
        if self._change.quiet:
            return line
        if not user.is_here:
            arrived = before is not None and (user.key, instance) in self._change.mailed
            return _with_answer_of(line, before) if arrived and before is not None else line
        if before is None or schedule_agent(before) != SERVER:
            return line if partstat(line) == NEEDS_ACTION else line.with_parameter("PARTSTAT", NEEDS_ACTION)
        seen = self._change.etag_matches and not self._change.tag_matches
        # Of a room that answers at once, no answer is lost that the app has not read.
        asks = not user.may_organize and (line.parameter("RSVP") or "").upper() == "TRUE"
        seen = seen or (asks and not self._change.tag_matches)
        if (line.parameter("PARTSTAT") or "").upper() == NEEDS_ACTION != partstat(before) and (forced or seen):
            return self._asked_anew(line, user, instance)
        if self._change.tag_matches and not forced:
            line = line.with_parameter("SCHEDULE-STATUS", before.params.get("SCHEDULE-STATUS"))
            return _with_answer_of(line, before)
        return line if partstat(line) == partstat(before) else _with_answer_of(line, before)

    def _asked_anew(self, line: Line, user: CalendarUser, instance: str) -> Line:
        """The ATTENDEE of somebody who is asked anew, while others are not."""
        self._asked.setdefault(user.key, set()).add(instance)
        self._reasked.setdefault(user.key, set()).add(instance)
        return line.with_parameters({"PARTSTAT": NEEDS_ACTION, "RSVP": "TRUE", "DELEGATED-TO": None})


def _with_answer_of(line: Line, before: Line) -> Line:
    """An ATTENDEE with the answer that another state of it has."""
    if partstat(line) == partstat(before) and all(line.params.get(each) == before.params.get(each) for each in _ANSWER):
        return line
    return line.with_parameters({name: before.params.get(name) for name in _ANSWER})


def _before(old: SchedulingObject | None, component: SchedulingComponent) -> SchedulingComponent | None:
    """How an instance was: its component, or what its series said; None where there was no such instance.

    Of a range (THISANDFUTURE) that begins, it is what described the instances without an override.
    """
    if old is None:
        return None
    instance = component.instance
    own = old.by_instance.get(instance)
    if own is not None and (instance == MASTER or not component.is_range or own.is_range):
        return own
    if instance in excluded(old) or master_instance(old, instance) is None:
        return None
    return derived(old if own is None else old.without_instances(instance), instance)


def _with_delegates(old: SchedulingObject, new: SchedulingObject, directory: Directory) -> SchedulingObject:
    """The object with the delegates whom attendees named after the app read it.

    The app has not read the delegation where its ATTENDEE of the delegator does not name the delegate.
    """

    def delegated(component: SchedulingComponent) -> SchedulingComponent:
        before = describing(old, component.instance)
        if before is None or not any("DELEGATED-TO" in line.parameter_text.upper() for line in before.all("ATTENDEE")):
            return component
        stored, sent = attendees(before, directory), attendees(component, directory)
        unread = {
            key
            for delegator, line in stored.items()
            if delegator in sent
            for key in delegates(line, directory) - delegates(sent[delegator], directory)
        }
        more = [line for key, line in stored.items() if key in unread and key not in sent]
        return component.with_lines("ATTENDEE", [*component.all("ATTENDEE"), *more]) if more else component

    return new.map_components(delegated)


def _with_answered_overrides(old: SchedulingObject, new: SchedulingObject, directory: Directory) -> SchedulingObject:
    """The object with the overrides that attendees' answers made, where the app left them out and the series goes on.

    Answers are the attendees': an app that has not read them yet cannot remove them.
    """
    gone = [each for each in old.overrides if each.instance not in new.by_instance and not each.is_range]
    if not gone or old.master is None or new.master is None:
        return new
    if not same_times(old, old.master, new, new.master):
        return new
    dropped = excluded(new)
    for override in gone:
        if override.instance in dropped or master_instance(new, override.instance) is None:
            continue
        original = derived(old.without_instances(override.instance), override.instance)
        again = derived(new, override.instance)
        if original is None or again is None:
            continue
        found = difference(old, original, old, override, directory)
        if found.is_significant or not found.participation:
            continue
        answers = attendees(override, directory)
        made = map_attendees(
            again,
            lambda line, answers=answers: (  # type: ignore[misc]
                _with_answer_of(line, answers[directory.key(line.value)])
                if directory.key(line.value) in answers
                else line
            ),
        )
        new = new.with_component(made)
    return new


def _with_comments(old: SchedulingObject, new: SchedulingObject, directory: Directory) -> SchedulingObject:
    """The object with the private comments of its attendees, which the server alone writes.

    :raises AttendeeCommentRefused: for comments that are not stored.
    """
    stored = {
        (directory.key(reference), line.value)
        for component in old.components
        for line in component.all(ATTENDEE_COMMENT)
        if (reference := line.parameter("X-CALENDARSERVER-ATTENDEE-REF")) is not None
    }

    def commented(component: SchedulingComponent) -> SchedulingComponent:
        sent = component.all(ATTENDEE_COMMENT)
        if not sent and not stored:
            return component
        for line in sent:
            reference = line.parameter("X-CALENDARSERVER-ATTENDEE-REF")
            if reference is None or (directory.key(reference), line.value) not in stored:
                raise AttendeeCommentRefused
        before = old.by_instance.get(component.instance)
        invited = attendees(component, directory)
        lines = component.all(ATTENDEE_COMMENT) if before is None else before.all(ATTENDEE_COMMENT)
        kept = [
            line for line in lines if directory.key(line.parameter("X-CALENDARSERVER-ATTENDEE-REF") or "") in invited
        ]
        return component.with_lines(ATTENDEE_COMMENT, kept)

    return new.map_components(commented)
