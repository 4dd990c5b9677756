"""What an organizer's change sends (RFC 6638 §3.2.1, RFC 5546 §3.2, §3.4): REQUEST and CANCEL, each with what concerns
the attendee.

* Only components that changed are sent; a changed master brings all components of the attendee.
* Instances that are cancelled (by EXDATE, by STATUS:CANCELLED, or since the attendee is no longer invited to them) go
  together in one CANCEL. A REQUEST follows for what else changed for the attendee; to people here also for an EXDATE
  of a series that they are invited to.
* What changes nobody's plans is not sent: alarms, the order of lines, private properties, SEQUENCE alone. Where only
  somebody's participation changed, people here get a quiet REQUEST, which refreshes their copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from server.domain.errors import OrganizerChangeRefused
from server.domain.scheduling import SchedulingRole
from server.itip.audience import NO_VIEW, View, message_object, part_view, told, view_components, views
from server.itip.calendar_users import CalendarUser
from server.itip.change import Change
from server.itip.comparison import Difference, difference, same_times
from server.itip.instances import derived, excluded, master_instance, with_range
from server.itip.lines import Line
from server.itip.messages import Message, Method, Plan, Reset
from server.itip.organizer_object import Prepared, prepare
from server.itip.participants import NEEDS_ACTION, all_attendees, attendees, map_attendees, partstat
from server.itip.range_changes import changes_ranges, view_change
from server.itip.scheduling_component import MASTER, THIS_AND_FUTURE, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

UNREACHABLE = "3.7"
"""SCHEDULE-STATUS of addresses that are no calendar users here and have no mail address."""


@dataclass(frozen=True, slots=True)
class _Action:
    """What an attendee is told."""

    request: tuple[str, ...] = ()
    cancel: tuple[str, ...] = ()
    quiet: bool = False


_NOTHING = _Action()


def plan_organizer_change(change: Change, organizer: CalendarUser) -> Plan:
    """The plan of a change of an object that the owner of the calendar organizes, or did before the change.

    :raises OrganizerChangeRefused: for an override without its series, or an organizer that may not be one.
    :raises AttendeeCommentRefused: when the app writes a comment of an attendee.
    """
    if change.new is None:
        return plan_organizer_removal(change, organizer)
    if not organizer.may_organize:
        raise OrganizerChangeRefused("Rooms and resources do not organize meetings.")
    if change.new.master is None:
        raise OrganizerChangeRefused("An organizer's object has the series of its instances.")
    return _OrganizerPlan(change, organizer, prepare(change, organizer)).plan()


def plan_organizer_removal(change: Change, organizer: CalendarUser) -> Plan:
    """The plan of an organizer's object that is deleted, or stays as an object without scheduling.

    Each attendee gets one CANCEL without RECURRENCE-ID, also those who know single instances only.
    """
    old = change.old
    assert old is not None
    messages: list[Message] = []
    whole: dict[str, SchedulingObject] = {}
    users = all_attendees(old, change.directory)
    for key, view in views(old, change.directory, organizer).items():
        user = users[key]
        if not is_reachable(user):
            continue
        first = view.since if view.has_master else view.instances[0]
        message = whole.get(first)
        if message is None:
            component = _cancelled(as_whole(old.by_instance[first]), old.sequence + 1)
            message = whole[first] = message_object(old, [told(component, change.dtstamp)], Method.CANCEL)
        messages.append(Message(Method.CANCEL, organizer, user, message))
    return Plan(SchedulingRole.ORGANIZER, change.new, tuple(messages))


def is_reachable(user: CalendarUser) -> bool:
    """Whether a message can be delivered here or mailed."""
    return user.is_here or user.has_mail_address


def as_whole(component: SchedulingComponent) -> SchedulingComponent:
    """An override as a component that names no instance."""
    component = component.without("RECURRENCE-ID")
    return component.with_items(component.items, MASTER)


def _cancelled(component: SchedulingComponent, sequence: int) -> SchedulingComponent:
    return component.with_value("STATUS", "CANCELLED").with_value("SEQUENCE", str(sequence))


class _OrganizerPlan:
    """Decides what each attendee is told, then writes the messages."""

    def __init__(self, change: Change, organizer: CalendarUser, prepared: Prepared) -> None:
        self._change = change
        self._directory = change.directory
        self._organizer = organizer
        self._prepared = prepared
        self._old = change.old
        self._new = prepared.object
        self._old_views = views(change.old, change.directory, organizer)
        self._new_views = views(self._new, change.directory, organizer)
        self._differences: dict[str, Difference | None] = {}
        self._excluded = frozenset(excluded(self._new)) if self._old is not None else frozenset[str]()
        self._told: dict[tuple[str, View], SchedulingComponent] = {}
        self._requests: dict[tuple[View, tuple[str, ...]], SchedulingObject] = {}
        self._cancels: dict[tuple[tuple[str, ...], str, str], SchedulingObject] = {}

    def plan(self) -> Plan:
        """The plan."""
        users = all_attendees(self._new, self._directory)
        if self._old is not None:
            users = {**users, **{k: u for k, u in all_attendees(self._old, self._directory).items() if k not in users}}
        actions: dict[str, _Action] = {}
        unreachable: dict[str, str] = {}
        decided: dict[tuple[View, View, frozenset[str], bool], _Action] = {}
        for key, user in users.items():
            old_view, new_view = self._old_views.get(key, NO_VIEW), self._new_views.get(key, NO_VIEW)
            if not old_view.instances and not new_view.instances:
                continue
            asked = self._prepared.asked.get(key, frozenset())
            signature = old_view, new_view, asked, user.is_here
            action = decided.get(signature)
            if action is None:
                action = decided[signature] = self._action(*signature)
            if action == _NOTHING:
                continue
            if is_reachable(user):
                actions[key] = action
            elif key in self._new_views:
                unreachable[key] = UNREACHABLE
        unreachable |= {} if self._change.groups is None else dict(self._change.groups.statuses)
        stored = self._stored(actions)
        messages = [
            message for key, action in actions.items() for message in self._messages(stored, users[key], action)
        ]
        return Plan(SchedulingRole.ORGANIZER, stored, tuple(messages), self._resets(stored, actions), unreachable)

    # -- what each attendee is told ---------------------------------------------------------------------------------

    def _action(self, old_view: View, new_view: View, asked: frozenset[str], here: bool) -> _Action:
        if not new_view.instances:
            return _Action(cancel=(MASTER,) if old_view.has_master else old_view.instances)
        if not old_view.instances or (new_view.has_master and not old_view.has_master):
            return _Action(request=new_view.instances, quiet=self._change.quiet and here)
        if old_view.has_master and not new_view.has_master:
            return _Action(request=new_view.instances, cancel=(MASTER,))
        if old_view.ranged or new_view.ranged:
            return self._ranged_action(old_view, new_view, asked, here)
        whole, cancel = False, list[str]()
        if new_view.has_master:
            whole, cancel = self._series_changes(old_view, new_view, here)
        else:
            cancel = [each for each in old_view.instances if each not in new_view.instances]
        changed = [each for each in new_view.instances if self._is_changed(each, old_view)]
        changed += [each for each in asked if each in new_view.instances and each not in changed]
        whole = whole or MASTER in changed
        refreshed = [each for each in new_view.instances if self._is_refreshed(each)] if here else []
        quiet = (self._change.quiet and here) or not (whole or changed or cancel)
        if whole or MASTER in refreshed:
            return _Action(new_view.instances, tuple(cancel), quiet)
        sent = {*changed, *refreshed}
        if not sent and not cancel:
            return _NOTHING
        return _Action(tuple(each for each in new_view.instances if each in sent), tuple(cancel), quiet)

    def _ranged_action(self, old_view: View, new_view: View, asked: frozenset[str], here: bool) -> _Action:
        """What somebody is told who attends a series that has ranges (THISANDFUTURE), or had: all of it, or nothing.

        A range says how instances are that have no component, so that no message about some components has all.
        """
        assert self._old is not None
        found = view_change((self._old, old_view), (self._new, new_view), self._directory)
        anew = bool(asked) or not self._prepared.rescheduled.isdisjoint(new_view.instances)
        if not (anew or found.significant or found.gone or (here and found.participation)):
            return _NOTHING
        quiet = (self._change.quiet and here) or not (anew or found.significant or found.gone)
        return _Action(new_view.instances, found.gone, quiet)

    def _series_changes(self, old_view: View, new_view: View, here: bool) -> tuple[bool, list[str]]:
        """Whether a series changed for somebody who is invited to it before and after, and its cancelled instances.

        An EXDATE is both: people here get the series, too. To others the CANCEL says it all.
        """
        master = self._difference(MASTER)
        assert master is not None
        whole = master.is_significant
        gone = [*sorted(master.excluded), *(each for each in new_view.absent if each not in old_view.absent)]
        cancel = [each for each in dict.fromkeys(gone) if self._attended(each, old_view)]
        for each in old_view.instances:
            if each in new_view.instances or each in new_view.absent or each in self._excluded:
                continue
            # The override is gone: the series says again how the instance is, unless it no longer has it.
            if whole or self._has_instance(each):
                whole = True
            else:
                cancel.append(each)
        for each in old_view.absent:
            if each not in new_view.absent and each not in new_view.instances and each not in self._excluded:
                whole = True
        if here and any(each in master.excluded for each in cancel):
            whole = True
        return whole, [] if master.times else cancel

    def _attended(self, instance: str, old_view: View) -> bool:
        if instance in old_view.instances:
            return True
        assert self._old is not None
        return instance not in old_view.absent and master_instance(self._old, instance) is not None

    def _has_instance(self, instance: str) -> bool:
        return master_instance(self._new, instance) is not None

    def _is_changed(self, instance: str, old_view: View) -> bool:
        found = self._difference(instance)
        if found is None or instance in self._prepared.rescheduled:
            return True
        invited = instance in old_view.instances or (old_view.has_master and instance not in old_view.absent)
        return found.is_significant or not invited

    def _is_refreshed(self, instance: str) -> bool:
        found = self._difference(instance)
        return found is not None and found.participation

    def _difference(self, instance: str) -> Difference | None:
        """What differs in a component of the new state; None where there was nothing before."""
        if instance not in self._differences:
            before = self._prepared.before.get(instance)
            self._differences[instance] = (
                None
                if before is None or self._old is None
                else difference(self._old, before, self._new, self._new.by_instance[instance], self._directory)
            )
        return self._differences[instance]

    # -- what is stored ---------------------------------------------------------------------------------------------

    def _stored(self, actions: Mapping[str, _Action]) -> SchedulingObject:
        """The object with RSVP of those who are asked, and with its SEQUENCE."""
        asked = {key for key, action in actions.items() if action.request and not action.quiet}

        def with_rsvp(line: Line) -> Line:
            if partstat(line) != NEEDS_ACTION or self._directory.key(line.value) not in asked:
                return line
            return line.with_parameter("RSVP", "TRUE")

        value = self._new.map_components(lambda component: map_attendees(component, with_rsvp)) if asked else self._new
        sends = any(not action.quiet for action in actions.values()) or (self._change.quiet and bool(actions))
        return self._with_sequence(value, sends)

    def _with_sequence(self, value: SchedulingObject, sends: bool) -> SchedulingObject:
        old = self._old
        floor = self._change.sequence_floor if old is None else old.sequence
        if sends and floor >= 0:
            sequence = str(value.sequence if value.sequence > floor else floor + 1)
            return value.map_components(lambda component: component.with_value("SEQUENCE", sequence))
        if old is None:
            return value

        def not_lower(component: SchedulingComponent) -> SchedulingComponent:
            before = old.by_instance.get(component.instance)
            if before is None or before.sequence <= component.sequence:
                return component
            return component.with_value("SEQUENCE", str(before.sequence))

        return value.map_components(not_lower)

    def _resets(self, stored: SchedulingObject, actions: Mapping[str, _Action]) -> tuple[Reset, ...]:
        """Whose answers of before no longer count: those of people in components that moved, or who are asked anew."""
        asked: dict[str, set[str]] = {}
        for component in stored.components:
            if component.instance in self._prepared.rescheduled:
                asked[component.instance] = self._invited(component)
        if self._old is not None and changes_ranges(self._old, stored):
            # What somebody answered about a range may have been about instances that another one describes now.
            concerned = {key for key, action in actions.items() if action.request and self._sees_ranges(key)}
            asked[MASTER] = asked.get(MASTER, set()) | concerned
        for component in self._moved_back(stored):
            asked.setdefault(component.instance, set()).update(self._invited(component))
        for key, instances in self._prepared.reasked.items():
            for instance in instances:
                asked.setdefault(instance, set()).add(key)
        if self._old is not None:
            for key, action in actions.items():
                if action.request and not self._old_views.get(key, NO_VIEW).instances:
                    for instance in action.request:
                        asked.setdefault(instance, set()).add(key)
        return tuple(Reset(instance, stored.sequence, frozenset(keys)) for instance, keys in asked.items() if keys)

    def _invited(self, component: SchedulingComponent) -> set[str]:
        return set(attendees(component, self._directory)) - {self._organizer.key}

    def _sees_ranges(self, key: str) -> bool:
        return any(views.get(key, NO_VIEW).ranged for views in (self._old_views, self._new_views))

    def _moved_back(self, stored: SchedulingObject) -> list[SchedulingComponent]:
        """The instances whose override is gone and that take place at another time again, as the series has them."""
        old = self._old
        if old is None:
            return []
        found = []
        for override in old.overrides:
            if override.instance not in stored.by_instance and self._has_instance(override.instance):
                again = derived(stored, override.instance)
                if again is not None and not same_times(old, override, stored, again):
                    found.append(again)
        return found

    # -- messages ---------------------------------------------------------------------------------------------------

    def _messages(self, stored: SchedulingObject, user: CalendarUser, action: _Action) -> Iterable[Message]:
        if action.cancel:
            since = self._old_views.get(user.key, NO_VIEW).since
            cancel = self._cancel(stored, user, action.cancel, since)
            yield Message(Method.CANCEL, self._organizer, user, cancel, self._change.quiet and user.is_here)
        if action.request:
            request = self._request(stored, self._new_views[user.key], action.request)
            yield Message(Method.REQUEST, self._organizer, user, request, action.quiet)

    def _request(self, stored: SchedulingObject, view: View, instances: tuple[str, ...]) -> SchedulingObject:
        found = self._requests.get((view, instances))
        if found is None:
            part_of = part_view(view, instances)
            components = []
            for component in view_components(stored, part_of):
                seen = part_of.series if component.instance == MASTER else NO_VIEW
                part = self._told.get((component.instance, seen))
                if part is None:
                    part = self._told[component.instance, seen] = told(component, self._change.dtstamp)
                components.append(part)
            found = self._requests[view, instances] = message_object(stored, components, Method.REQUEST)
        return found

    def _cancel(
        self, stored: SchedulingObject, user: CalendarUser, instances: tuple[str, ...], since: str
    ) -> SchedulingObject:
        """A CANCEL with all attendees of what is cancelled for all, else with the one who is no longer invited.

        :param since: the segment that was the series to the attendee (`View.since`).
        """
        invited = any(
            instance in view.instances or (instance != MASTER and view.has_master and instance not in view.absent)
            for view in set(self._new_views.values())
            for instance in instances
            if instance not in self._excluded
        )
        cache = instances, since, user.key if invited else ""
        found = self._cancels.get(cache)
        if found is None:
            sources = [self._cancelled_component(instance, since) for instance in instances]
            components = [
                told(
                    self._uninvited(each, user, stored) if invited else _cancelled(each, stored.sequence),
                    self._change.dtstamp,
                )
                for each in sources
                if each is not None
            ]
            is_new = self._old is None or all(
                each is self._new.by_instance.get(each.instance) for each in sources if each
            )
            frame = stored if is_new or self._old is None else self._old
            found = self._cancels[cache] = message_object(frame, components, Method.CANCEL)
        return found

    def _cancelled_component(self, instance: str, since: str) -> SchedulingComponent | None:
        """What is cancelled: as the organizer wrote it with STATUS:CANCELLED, else as it was."""
        if instance == MASTER != since:
            known = self._new.by_instance.get(since)
            if known is None or known.token("STATUS") != "CANCELLED":
                known = None if self._old is None else self._old.by_instance.get(since)
            return None if known is None else as_whole(known)
        own = self._new.by_instance.get(instance)
        if own is not None and own.token("STATUS") == "CANCELLED":
            return own
        before = None if self._old is None else derived(self._old, instance)
        # An EXDATE in the place of a range (THISANDFUTURE) cancels its first instance only.
        ranged = own is not None and own.is_range
        return before if before is None else with_range(before, THIS_AND_FUTURE if ranged else None)

    def _uninvited(
        self, component: SchedulingComponent, user: CalendarUser, stored: SchedulingObject
    ) -> SchedulingComponent:
        """A component with one attendee, who is removed; it has no STATUS, since it takes place (RFC 5546 §3.2.5)."""
        component = map_attendees(component, lambda line: line if self._directory.key(line.value) == user.key else None)
        return component.without("STATUS").with_value("SEQUENCE", str(stored.sequence))
