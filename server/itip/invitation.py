"""What a REQUEST or ADD does to the recipient's copy (RFC 5546 §3.2.2, §3.2.4; RFC 6638 §4.1).

* A message with the series replaces the copy, except overrides that a later message brought. One with overrides alone
  changes these alone.
* What is the attendee's own stays (`server.itip.own_parts`). Their answer stays unless the message asks them anew.
* What somebody has cancelled gives way to the meeting of another organizer here, who has taken the UID over.
* What they declined and removed stays away until they are asked anew: the whole object, or instances, which EXDATE
  excludes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from server.itip.calendar_users import Directory
from server.itip.comparison import same_times
from server.itip.crossed_answers import answered_after, reply_again
from server.itip.delegation import NOBODY, Answer, answer
from server.itip.instances import covering, derived, describing, excluded, with_exdates, with_range, without_first
from server.itip.lines import Line
from server.itip.merging import (
    as_override,
    gives_way,
    has_instance,
    has_same_organizer,
    is_followed,
    same_object,
    with_dates,
    with_organizer_of,
    with_timezones_of,
    without_ended_event,
    without_exdates,
)
from server.itip.messages import Message, Method
from server.itip.own_parts import (
    as_cancelled,
    has_own_parts,
    with_access_of,
    with_answer_for,
    with_organizer_status,
    with_own_parts,
)
from server.itip.participants import DECLINED, NEEDS_ACTION, attendee_line, map_attendee, partstat
from server.itip.reception import (
    IGNORED,
    UID_TAKEN,
    Memory,
    Outcome,
    Received,
    Version,
    is_void,
    memory_of,
    remembered,
    version_of,
)
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject


def receive_request(
    message: Message,
    copy: SchedulingObject | None,
    directory: Directory,
    memory: Memory | None = None,
    resets: Mapping[str, int] | None = None,
    *,
    dtstamp: str,
) -> Received:
    """What a REQUEST or ADD does.

    Where it crossed an answer, which stays, the answer is sent again to an organizer here
    (`server.itip.crossed_answers`).

    :param copy: the object of its UID in the recipient's calendars.
    :param resets: the SEQUENCE at which the recipient was last asked anew about each instance, by the rows of an
        organizer here: an answer to an older one no longer counts, for both alike. None where it is not known, as for
        mail: then NEEDS-ACTION asks anew wherever the recipient had not answered this SEQUENCE.
    :param dtstamp: the time now, as a UTC value.
    """
    user = message.recipient
    is_others = copy is not None and not has_same_organizer(copy, message, directory)
    if copy is not None and is_others and not (message.sender.is_here and gives_way(copy, user, directory)):
        return Received(Outcome.REFUSED, UID_TAKEN)
    if copy is not None and (is_others or not is_followed(copy, user, directory)):
        memory, base = Memory(), None
    else:
        memory, base = memory_of(copy) if memory is None else memory, copy
    return _Invitation(message, copy, base, directory, memory, resets, dtstamp).received()


class _Invitation:
    """The merge of one message into one copy."""

    def __init__(
        self,
        message: Message,
        copy: SchedulingObject | None,
        base: SchedulingObject | None,
        directory: Directory,
        memory: Memory,
        resets: Mapping[str, int] | None,
        dtstamp: str,
    ) -> None:
        self._message = message
        self._user = message.recipient
        self._copy = copy
        """What is stored."""
        self._base = base
        """What the message updates; None where it replaces all of what is stored."""
        self._directory = directory
        self._memory = memory
        self._resets = resets
        self._answered = dict(memory.answered)
        self._dtstamp = dtstamp
        self._removed = set(memory.removed)
        self._kept: list[str] = []
        """Overrides of the copy whose answer stays though the message does not have them."""
        self._absent_again: list[str] = []
        """Instances that stay away though the message does not say that the recipient declined them."""
        self._ended: list[SchedulingComponent] = []
        """Overrides that follow a declined series again, as they are stored from now on."""
        self._object = message.object if message.method is not Method.ADD else as_override(message.object, base)

    def received(self) -> Received:
        """The result."""
        offered = [each for each in self._object.components if self._own_line(each) is not None]
        current = [each for each in offered if self._is_current(each)]
        versions = {each.instance: version_of(each) for each in current}
        if not current:
            return IGNORED
        taken = self._taken(current)
        self._ended = self._ended_overrides(current, taken)
        new = merged = self._merged(taken) if taken or self._ended else None
        if new is not None and self._base is not None and same_object(self._base, new):
            new = None
        messages = self._answers_again(merged, current, taken)
        memory = replace(remembered(self._memory, versions, self._removed), answered=self._answered)
        brought = new is not None and (self._copy is None or self._base is None)
        later = any(self._is_later(each.instance, versions[each.instance]) for each in taken)
        item = brought or (not self._message.quiet and bool(taken) and (new is not None or later))
        return Received(Outcome.APPLIED, object=new, item=item, memory=memory, messages=messages)

    def _taken(self, current: list[SchedulingComponent]) -> list[SchedulingComponent]:
        """The components that are told: a series comes with its ranges (THISANDFUTURE), which say how it is."""
        taken = [each for each in current if self._is_wanted(each)]
        if not any(each.instance == MASTER or each.is_range for each in taken):
            return taken
        return [each for each in current if each in taken or each.instance == MASTER or each.is_range]

    def _answers_again(
        self, merged: SchedulingObject | None, current: list[SchedulingComponent], taken: list[SchedulingComponent]
    ) -> tuple[Message, ...]:
        """A REPLY about the components whose answer is another than the organizer knows."""
        to = self._message.sender
        if not to.is_here or (self._base is None and self._copy is not None):
            return ()
        crossed: list[SchedulingComponent] = []
        if merged is not None:
            crossed += [merged.by_instance[instance] for instance in self._kept]
        for instance in self._absent_again:
            alone = derived(self._object, instance)
            if alone is not None and self._answer(alone)[0] != DECLINED:
                alone = with_range(alone, None)
                crossed.append(map_attendee(alone, self._user, self._directory, _as_declined))
        for told in current:
            if told not in taken:
                own = map_attendee(told, self._user, self._directory, _as_declined)
            else:
                assert merged is not None
                own = merged.by_instance.get(told.instance, told)
            if self._answer(own) not in ((NEEDS_ACTION, NOBODY), self._answer(told)):
                crossed.append(own)
        if not crossed:
            return ()
        self._answered = answered_after(self._answered, crossed)
        frame = self._object if merged is None else merged
        return (reply_again(crossed, frame, self._user, to, self._directory, self._dtstamp),)

    def _answer(self, component: SchedulingComponent) -> Answer:
        own = self._own_line(component)
        return (NEEDS_ACTION, NOBODY) if own is None else answer(own, self._directory)

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
        instance, base = component.instance, self._base
        held = None if base is None else base.by_instance.get(instance)
        away = instance in self._removed or (MASTER in self._removed and held is None)
        if away:
            return partstat(own) == NEEDS_ACTION and self._is_void(instance, component.sequence)
        if base is None:
            return partstat(own) != DECLINED or self._copy is not None
        # Of a copy without the series: whether it has the instance, or the recipient has not declined it.
        return base.master is not None or held is not None or partstat(own) != DECLINED

    def _ended_overrides(
        self, current: list[SchedulingComponent], taken: list[SchedulingComponent]
    ) -> list[SchedulingComponent]:
        """The instances that somebody who declined the series was asked about, and that are as the series again."""
        series = next((each for each in current if each.instance == MASTER and each not in taken), None)
        if series is None or self._base is None:
            return []
        version, told = version_of(series), self._object.by_instance
        return [
            as_cancelled(each, version)
            for each in self._base.overrides
            if each.instance not in told
            and self._memory.versions.get(each.instance, version) <= version
            and each.token("STATUS") != "CANCELLED"
        ]

    # -- the new object -----------------------------------------------------------------------------------------------

    def _merged(self, taken: list[SchedulingComponent]) -> SchedulingObject:
        series = next((each for each in taken if each.instance == MASTER), None)
        if series is not None or self._base is None:
            components = self._replaced(taken, series)
            frame = self._object
        else:
            components = self._updated(taken)
            frame = self._base
        components = with_organizer_status(with_organizer_of(self._object, components), self._base)
        new = without_ended_event(frame.with_method(None).with_components(components))
        for other in (self._object, self._base):
            if other is not None and other is not frame:
                new = with_timezones_of(new, other)
        return with_access_of(new, self._base if self._base is not None else self._copy)

    def _updated(self, taken: list[SchedulingComponent]) -> list[SchedulingComponent]:
        """The copy with some overrides in place of its own, or added."""
        assert self._base is not None
        components = {each.instance: each for each in self._base.components}
        for each in self._ended:
            components[each.instance] = each
        for each in taken:
            components[each.instance] = self._own(each)
        back = {each.instance for each in taken}
        self._removed -= back
        master = components.get(MASTER)
        if master is not None:
            master = without_exdates(self._base, master, back)
            if self._message.method is Method.ADD:
                master = with_dates(self._base, master, taken)
            components[MASTER] = master
        return list(components.values())

    def _replaced(
        self, taken: list[SchedulingComponent], series: SchedulingComponent | None
    ) -> list[SchedulingComponent]:
        """The components of the message, with what of the copy outlives them."""
        begun_later = [each.instance for each in taken if self._begins_later(each)]
        components = {each.instance: self._own(each) for each in taken}
        if series is not None and MASTER in self._removed:
            # The series comes back, without the instances of their own that are not asked about.
            held = frozenset[str]() if self._base is None else self._base.by_instance.keys()
            self._removed |= self._object.by_instance.keys() - held
        self._removed -= components.keys()
        if series is None:
            return list(components.values())
        version = version_of(series)
        dropped = frozenset(excluded(self._object))
        told = {each.instance for each in self._object.components}
        for override in () if self._base is None else self._base.overrides:
            instance = override.instance
            own_version = self._memory.versions.get(instance)
            if instance in components or instance in self._removed:
                continue
            if own_version is not None and own_version > version:
                components[instance] = override
            elif instance in dropped:
                if override.token("STATUS") == "CANCELLED":
                    components[instance] = with_range(override, None)
            elif instance not in told and not override.is_range:
                kept = self._kept_override(override, components)
                if kept is not None:
                    components[instance] = kept
        absent = self._absent(components, series, dropped)
        for instance in self._memory.cancelled - components.keys() - self._removed:
            made = derived(self._object, instance)
            takes_place = instance not in dropped and has_instance(self._object, instance)
            if made is not None and takes_place and self._memory.versions[instance] > version:
                components[instance] = as_cancelled(made, self._memory.versions[instance])
        if absent:
            self._absent_again = [each for each in absent if each not in told]
            components[MASTER] = with_exdates(self._object, components[MASTER], absent)
        return self._without_firsts(components, begun_later)

    def _begins_later(self, component: SchedulingComponent) -> bool:
        """Whether the recipient has removed the first instance of a range (THISANDFUTURE), and that alone."""
        is_away = component.instance in self._removed and MASTER not in self._removed
        return component.is_range and is_away and not self._is_wanted(component)

    def _without_firsts(
        self, components: dict[str, SchedulingComponent], begun_later: list[str]
    ) -> list[SchedulingComponent]:
        """The components with ranges that begin after their first instances, which the recipient has removed."""
        for instance in begun_later:
            components[MASTER] = with_exdates(self._object, components[MASTER], [instance])
            value = self._object.with_components(components.values())
            components = without_first(value, components[instance]).by_instance
            self._removed.add(instance)
            self._absent_again.append(instance)
            self._kept += components.keys() - value.by_instance.keys()
        return list(components.values())

    def _absent(
        self, components: dict[str, SchedulingComponent], series: SchedulingComponent, dropped: frozenset[str]
    ) -> list[str]:
        """The instances that the recipient has removed and that stay away."""
        kept = []
        for instance in sorted(self._removed - {MASTER}):
            # An override of the message that is not wanted stays away, whatever the series asks.
            back = instance not in self._object.by_instance and self._is_void(instance, series.sequence)
            if instance in components or back:
                self._removed.discard(instance)
            elif instance not in dropped and has_instance(self._object, instance):
                kept.append(instance)
        return kept

    def _kept_override(
        self, override: SchedulingComponent, components: Mapping[str, SchedulingComponent]
    ) -> SchedulingComponent | None:
        """An override that the message does not have: the recipient's answer for one instance, or their own parts.

        The answer is one to the present time only; an instance that moved back follows the answer for its series.

        :param components: those of the message, as the copy has them from now on.
        """
        assert self._base is not None
        described = covering(self._object, override.instance)
        assert described is not None
        merged = components.get(described.instance, described)
        # Of a copy that had single instances alone, the series is the one that the message brings.
        before = covering(self._base, override.instance) or described
        known = self._own_line(override)
        series = None if before is None else self._own_line(before)
        if before is None or known is None or series is None or not has_instance(self._object, override.instance):
            return None
        again = derived(self._object, override.instance)
        if again is None:
            return None
        # What is cancelled is not answered.
        open_then = override.token("STATUS") != "CANCELLED" or override.instance in self._answered
        answered = self._answer(override) != self._answer(before) and open_then
        answered = answered and not self._is_void(override.instance, merged.sequence, override)
        if answered and same_times(self._base, override, self._object, again):
            self._kept.append(override.instance)
        else:
            if not has_own_parts(with_answer_for(override, before, self._user, self._directory), before):
                return None
            override = with_answer_for(override, merged, self._user, self._directory)
        return with_own_parts(again, override, self._user, self._directory, answered_anew=False)

    def _own(self, component: SchedulingComponent) -> SchedulingComponent:
        """A component of the message with what is the recipient's own."""
        source = self._base if self._base is not None else self._copy
        look_up = covering if component.is_range else describing
        before = None if source is None else look_up(source, component.instance)
        if before is None and self._base is None and self._copy is not None and self._copy.components:
            before = self._copy.components[0]
        if before is not None and before.token("STATUS") == "CANCELLED" and before.instance not in self._answered:
            series = None if self._base is None else covering(self._base, before.instance)
            before = with_answer_for(before, series, self._user, self._directory)
        anew = before is None or self._base is None or self._asks_anew(component, before)
        return with_own_parts(component, before, self._user, self._directory, answered_anew=anew)

    def _asks_anew(self, component: SchedulingComponent, before: SchedulingComponent | None) -> bool:
        """Whether the recipient's answer of before no longer counts."""
        own = self._own_line(component)
        if own is None or partstat(own) != NEEDS_ACTION or before is None or self._base is None:
            return False
        return self._own_line(before) is None or self._is_void(component.instance, component.sequence, before)

    def _is_void(self, instance: str, sequence: int, before: SchedulingComponent | None = None) -> bool:
        """Whether what the recipient answered about an instance is void (`server.itip.reception.is_void`)."""
        return is_void(instance, sequence, before, self._answered, self._resets)


def _as_declined(line: Line) -> Line:
    return line.with_parameters({"PARTSTAT": DECLINED, "RSVP": None})
