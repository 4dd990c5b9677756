"""What a REQUEST or ADD does to the recipient's copy (RFC 5546 §3.2.2, §3.2.4; RFC 6638 §4.1).

* A message with the series replaces the copy, but for overrides that a later message brought. One with overrides alone
  changes these alone.
* What is the attendee's own stays (`server.itip.own_parts`). Their answer stays unless the message asks them anew.
* What they declined and removed stays away until they are asked anew: the whole object, or instances, which EXDATE
  excludes.
"""

from __future__ import annotations

from collections.abc import Iterable

from server.domain.errors import InvalidData
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.comparison import adds_instances, same_times
from server.itip.instances import derived, describing, excluded, instances_of, master_instance, with_exdates
from server.itip.lines import Line, spelled
from server.itip.messages import Message, Method
from server.itip.own_parts import has_own_parts, with_organizer_status, with_own_parts
from server.itip.participants import (
    DECLINED,
    NEEDS_ACTION,
    SERVER,
    attendee_line,
    organizer,
    partstat,
    schedule_agent,
)
from server.itip.reception import (
    IGNORED,
    UID_TAKEN,
    Memory,
    Outcome,
    Received,
    Version,
    memory_of,
    remembered,
    version_of,
)
from server.itip.scheduling_object import MASTER, SchedulingComponent, SchedulingObject


def receive_request(
    message: Message,
    copy: SchedulingObject | None,
    directory: Directory,
    memory: Memory | None = None,
    asked: frozenset[str] | None = None,
) -> Received:
    """What a REQUEST or ADD does.

    :param copy: the object of its UID in the recipient's calendars.
    :param asked: the instances for which the organizer's server asks the recipient anew; None where it is not known, as
        for mail: then NEEDS-ACTION asks anew wherever the recipient had not answered this SEQUENCE.
    """
    user = message.recipient
    if copy is not None and not has_same_organizer(copy, message, directory):
        return Received(Outcome.REFUSED, UID_TAKEN)
    if copy is not None and not is_followed(copy, user, directory):
        memory, base = Memory(), None
    else:
        memory, base = memory_of(copy) if memory is None else memory, copy
    return _Invitation(message, copy, base, directory, memory, asked).received()


def has_same_organizer(copy: SchedulingObject, message: Message, directory: Directory) -> bool:
    """Whether the organizer of an object is that of a message to its owner, and somebody else than the owner."""
    own, others = organizer(copy, directory), organizer(message.object, directory)
    return own is not None and others is not None and own.key == others.key != message.recipient.key


def is_followed(copy: SchedulingObject, user: CalendarUser, directory: Directory) -> bool:
    """Whether a copy follows its organizer: the server schedules it, and its owner is invited in it."""
    lines = [line for component in copy.components for line in component.all("ORGANIZER")]
    if any(schedule_agent(line) != SERVER for line in lines):
        return False
    return any(attendee_line(component, user, directory) is not None for component in copy.components)


class _Invitation:
    """The merge of one message into one copy."""

    def __init__(
        self,
        message: Message,
        copy: SchedulingObject | None,
        base: SchedulingObject | None,
        directory: Directory,
        memory: Memory,
        asked: frozenset[str] | None,
    ) -> None:
        self._message = message
        self._user = message.recipient
        self._copy = copy
        """What is stored."""
        self._base = base
        """What the message updates; None where it replaces all of what is stored."""
        self._directory = directory
        self._memory = memory
        self._asked = asked
        self._removed = set(memory.removed)
        self._object = message.object if message.method is not Method.ADD else _as_override(message.object, base)

    def received(self) -> Received:
        """The result."""
        offered = [each for each in self._object.components if self._own_line(each) is not None]
        current = [each for each in offered if self._is_current(each)]
        versions = {each.instance: version_of(each) for each in current}
        if not current:
            return IGNORED
        taken = [each for each in current if self._is_wanted(each)]
        new = self._merged(taken) if taken else None
        if new is not None and self._base is not None and same_object(self._base, new):
            new = None
        memory = remembered(self._memory, versions, self._removed)
        brought = new is not None and (self._copy is None or self._base is None)
        later = any(self._is_later(each.instance, versions[each.instance]) for each in taken)
        item = brought or (not self._message.quiet and bool(taken) and (new is not None or later))
        return Received(Outcome.APPLIED, object=new, item=item, memory=memory)

    # -- which components count ---------------------------------------------------------------------------------------

    def _own_line(self, component: SchedulingComponent) -> Line | None:
        return attendee_line(component, self._user, self._directory)

    def _is_current(self, component: SchedulingComponent) -> bool:
        latest = self._memory.latest(component.instance)
        return latest is None or version_of(component) >= latest

    def _is_later(self, instance: str, version: Version) -> bool:
        latest = self._memory.latest(instance)
        return latest is None or version > latest

    def _is_wanted(self, component: SchedulingComponent) -> bool:
        """Whether a component is told to somebody who may have declined and removed it."""
        own = self._own_line(component)
        assert own is not None
        if self._base is not None:
            if component.instance == MASTER or component.instance not in self._removed:
                return self._base.master is not None or self._is_held_or_open(component, own)
        elif MASTER not in self._removed and component.instance not in self._removed:
            return partstat(own) != DECLINED or self._copy is not None
        if partstat(own) != NEEDS_ACTION:
            return False
        return self._asked is None or component.instance in self._asked

    def _is_held_or_open(self, component: SchedulingComponent, own: Line) -> bool:
        """Of a copy without the series: whether it has the instance, or the recipient has not declined it."""
        assert self._base is not None
        return component.instance in self._base.by_instance or partstat(own) != DECLINED

    # -- the new object -----------------------------------------------------------------------------------------------

    def _merged(self, taken: list[SchedulingComponent]) -> SchedulingObject:
        series = next((each for each in taken if each.instance == MASTER), None)
        if self._base is None:
            self._removed.discard(MASTER)
        if series is not None or self._base is None:
            components = self._replaced(taken, series)
            frame = self._object
        else:
            components = self._updated(taken)
            frame = self._base
        components = [with_organizer_status(each, self._base) for each in components]
        new = frame.with_method(None).with_components(components)
        for other in (self._object, self._base):
            if other is not None and other is not frame:
                new = _with_timezones_of(new, other)
        return new

    def _updated(self, taken: list[SchedulingComponent]) -> list[SchedulingComponent]:
        """The copy with some overrides in place of its own, or added."""
        assert self._base is not None
        components = {each.instance: each for each in self._base.components}
        for each in taken:
            components[each.instance] = self._own(each)
        back = {each.instance for each in taken}
        self._removed -= back
        master = components.get(MASTER)
        if master is not None:
            master = without_exdates(self._base, master, back)
            if self._message.method is Method.ADD:
                master = _with_dates(self._base, master, taken)
            components[MASTER] = master
        return list(components.values())

    def _replaced(
        self, taken: list[SchedulingComponent], series: SchedulingComponent | None
    ) -> list[SchedulingComponent]:
        """The components of the message, with what of the copy outlives them."""
        components = {each.instance: self._own(each) for each in taken}
        if self._base is None or series is None:
            return list(components.values())
        version = version_of(series)
        dropped = frozenset(excluded(self._object))
        anew = self._asks_anew(series, self._base.master)
        told = {each.instance for each in self._object.components}
        for override in self._base.overrides:
            instance = override.instance
            own_version = self._memory.versions.get(instance)
            if instance in components or instance in self._removed:
                continue
            if own_version is not None and own_version > version:
                components[instance] = override
            elif override.token("STATUS") == "CANCELLED":
                if instance in dropped:
                    components[instance] = override
            elif instance not in told and instance not in dropped and not anew:
                kept = self._kept_override(override)
                if kept is not None:
                    components[instance] = kept
        absent = self._absent(components, anew, dropped)
        if absent:
            components[MASTER] = with_exdates(self._object, components[MASTER], absent)
        return list(components.values())

    def _absent(self, components: dict[str, SchedulingComponent], anew: bool, dropped: frozenset[str]) -> list[str]:
        """The instances that the recipient has removed and that stay away."""
        kept = []
        for instance in sorted(self._removed - {MASTER}):
            if instance in components or anew or not self._has(instance):
                self._removed.discard(instance)
            elif instance not in dropped:
                kept.append(instance)
        return kept

    def _has(self, instance: str) -> bool:
        if instance in self._object.by_instance or instance in excluded(self._object):
            return True
        try:
            return master_instance(self._object, instance) is not None
        except InvalidData:
            return False

    def _kept_override(self, override: SchedulingComponent) -> SchedulingComponent | None:
        """An override that the message does not have: the recipient's answer for one instance, or their own parts."""
        assert self._base is not None
        before = self._base.master
        known = self._own_line(override)
        series = None if before is None else self._own_line(before)
        if before is None or known is None or series is None or not self._has(override.instance):
            return None
        if partstat(known) == partstat(series) and not has_own_parts(override, before):
            return None
        again = derived(self._object, override.instance)
        if again is None:
            return None
        return with_own_parts(again, override, self._user, self._directory, answered_anew=False)

    def _own(self, component: SchedulingComponent) -> SchedulingComponent:
        """A component of the message with what is the recipient's own."""
        source = self._base if self._base is not None else self._copy
        before = None if source is None else describing(source, component.instance)
        if before is None and self._base is None and self._copy is not None and self._copy.components:
            before = self._copy.components[0]
        anew = before is None or self._base is None or self._asks_anew(component, before)
        return with_own_parts(component, before, self._user, self._directory, answered_anew=anew)

    def _asks_anew(self, component: SchedulingComponent, before: SchedulingComponent | None) -> bool:
        """Whether the recipient's answer of before no longer counts."""
        own = self._own_line(component)
        if own is None or partstat(own) != NEEDS_ACTION or before is None or self._base is None:
            return False
        known = self._own_line(before)
        if known is None or partstat(known) == NEEDS_ACTION:
            return True
        if before.token("STATUS") == "CANCELLED":
            return True
        if self._asked is None:
            return component.sequence > before.sequence
        if component.instance in self._asked:
            return True
        if component.instance != before.instance:
            again = derived(self._base, component.instance)
            return again is None or not same_times(self._base, again, self._object, component)
        if not same_times(self._base, before, self._object, component):
            return True
        return component.instance == MASTER and adds_instances(self._base, self._object)


# -- parts of objects -------------------------------------------------------------------------------------------------


def same_object(one: SchedulingObject, other: SchedulingObject) -> bool:
    """Whether two objects say the same; DTSTAMP and the order of lines do not count."""
    return _content(one) == _content(other)


def _content(value: SchedulingObject) -> tuple[list[str], dict[str, tuple[list[tuple[str, str, str]], list[str]]]]:
    zones = sorted(each.written.strip() for each in value.timezones)
    return zones, {
        component.instance: (
            sorted(line.content for line in component.lines if line.name != "DTSTAMP"),
            sorted(each.written.strip() for each in component.subcomponents),
        )
        for component in value.components
    }


def without_exdates(
    value: SchedulingObject, master: SchedulingComponent, instances: Iterable[str]
) -> SchedulingComponent:
    """The master without some instances in its EXDATEs. A line with other values, too, keeps these.

    :param value: the object of the master.
    """
    gone = set(instances)
    lines: list[Line] = []
    for line in master.all("EXDATE"):
        named = instances_of(value, line)
        if not gone.intersection(named):
            lines.append(line)
            continue
        values = line.value.split(",")
        if len(values) == len(named):
            kept = [written for written, instance in zip(values, named, strict=True) if instance not in gone]
            if kept:
                lines.append(line.with_value(",".join(kept)))
    return master.with_lines("EXDATE", lines)


def _with_timezones_of(value: SchedulingObject, other: SchedulingObject) -> SchedulingObject:
    """The object with the VTIMEZONEs of another that its times name and it does not have."""
    named = {
        tzid.strip()
        for component in value.components
        for line in component.lines
        if "TZID" in line.parameter_text.upper() and (tzid := line.parameter("TZID")) is not None
    }
    missing = named - {_tzid(each.component.text("TZID")) for each in value.timezones}
    added = [each for each in other.timezones if _tzid(each.component.text("TZID")) in missing]
    if not added:
        return value
    items = list(value.items)
    place = next((index for index, item in enumerate(items) if isinstance(item, SchedulingComponent)), len(items))
    items[place:place] = added
    return value.with_items(items)


def _tzid(text: str | None) -> str:
    return (text or "").strip()


def _with_dates(
    copy: SchedulingObject, master: SchedulingComponent, added: list[SchedulingComponent]
) -> SchedulingComponent:
    """The master with an RDATE for each added instance that the series does not have."""
    lines = master.all("RDATE")
    for component in added:
        line = component.first("RECURRENCE-ID")
        try:
            known = master_instance(copy, component.instance) is not None
        except InvalidData:
            known = False
        if line is not None and not known:
            lines.append(spelled("RDATE", line.parameter_text, line.value))
    return master.with_lines("RDATE", lines)


def _as_override(message: SchedulingObject, copy: SchedulingObject | None) -> SchedulingObject:
    """An ADD as the REQUEST for the instances that it adds: each has the RECURRENCE-ID of its start."""
    components: list[SchedulingComponent] = []
    for component in message.components:
        start = component.first("DTSTART") or component.first("DUE")
        if component.instance != MASTER or start is None:
            components.append(component)
            continue
        recurrence_id = spelled("RECURRENCE-ID", start.parameter_text, start.value)
        owner = message if copy is None or copy.master is None else copy
        instance = owner.instance_of(recurrence_id)
        plain = component.without("RRULE", "RDATE", "EXDATE")
        components.append(plain.with_items([recurrence_id, *plain.items], instance))
    # `with_components` would put an override beside the master that it was made of.
    items = [item for item in message.items if not isinstance(item, SchedulingComponent)]
    return message.with_items([*items, *components])
