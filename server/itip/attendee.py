"""What an attendee's change sends (RFC 6638 §3.2.2, RFC 5546 §3.2.3): REPLY to the organizer, with what changed.

* A REPLY tells of the components whose PARTSTAT or private comment changed, of instances that were excluded or left
  out (declined), and of all where SCHEDULE-FORCE-SEND=REPLY asks for it. A copy that is deleted is declined whole.
* Cancelled components are not answered.
* Who delegates also sends a REQUEST to the delegate (RFC 5546 §3.2.2.3), unless both the delegate and the organizer are
  here (`server.itip.delegation`).
* With another SCHEDULE-AGENT than SERVER in the stored copy, the server does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from server.domain.errors import AttendeeChangeRefused
from server.domain.scheduling import SchedulingRole
from server.itip.attendee_copy import Copy, merged_copy
from server.itip.audience import message_object, told, told_participant
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.change import Change
from server.itip.delegation import Answer, answer
from server.itip.instances import covering, derived, excluded, with_range
from server.itip.lines import Line, made
from server.itip.messages import Message, Method, Plan
from server.itip.organizer import UNREACHABLE, is_reachable
from server.itip.organizer_object import with_directory
from server.itip.participants import (
    DECLINED,
    NEEDS_ACTION,
    PRIVATE_COMMENT,
    SERVER,
    attendee_line,
    force_send,
    map_attendee,
    organizer,
    partstat,
    schedule_agent,
)
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

_IN_REPLIES = frozenset(
    (
        "UID",
        "SEQUENCE",
        "RECURRENCE-ID",
        "SUMMARY",
        "DTSTART",
        "DTEND",
        "DURATION",
        "DUE",
        "COMMENT",
        "PERCENT-COMPLETE",
        "COMPLETED",
    )
)


def plan_attendee_change(change: Change) -> Plan:
    """The plan of an object that the owner of the calendar attends, before (if there was one) and after the change.

    :raises AttendeeChangeRefused: for what an attendee may not change.
    """
    assert change.new is not None
    to = _organizer(change, change.new)
    agent = _agent(change.new)
    if change.old is None:
        described = _described(change)
        if agent != SERVER:
            return Plan(SchedulingRole.ATTENDEE, described)
        answered = [
            component
            for component in described.components
            if _answer(component, change) not in ((None,) if _is_forced(change) else (None, NEEDS_ACTION))
            and not _is_cancelled(component)
        ]
        return _plan(change, described, to, answered, [])
    if _agent(change.old) != SERVER:
        if agent == SERVER:
            raise AttendeeChangeRefused("Who took over the answers to an organizer keeps them.")
        return Plan(SchedulingRole.ATTENDEE, _described(change))
    if agent != SERVER and not to.is_here:
        return Plan(SchedulingRole.ATTENDEE, _described(change))
    copy = merged_copy(change)
    return _plan(change, copy.object, to, _replied(change, copy), _delegations(change, copy, to))


def plan_attendee_removal(change: Change) -> Plan:
    """The plan of an attendee's copy that is deleted, or stays as an object without scheduling: it is declined."""
    old = change.old
    assert old is not None
    if _agent(old) != SERVER or not change.reply:
        return Plan(SchedulingRole.ATTENDEE, change.new)
    declined = [
        _declined(component, change)
        for component in old.components
        if _answer(component, change) is not None and (not _is_cancelled(component) or _stands_out(component, change))
    ]
    plan = _plan(change, old, _organizer(change, old), declined, [])
    return Plan(SchedulingRole.ATTENDEE, change.new, plan.messages)


def left_to_client(value: SchedulingObject) -> bool:
    """Whether an attendee's object says that the server shall not answer (RFC 6638 §7.1)."""
    return _agent(value) != SERVER


def scheduled_by_server(
    value: SchedulingObject, held: SchedulingObject, owner: CalendarUser, directory: Directory
) -> SchedulingObject:
    """An attendee's object, without SCHEDULE-AGENT if the organizer's object, `held`, lets the server invite them."""
    lines = (attendee_line(component, owner, directory) for component in held.components)
    if not any(line is not None and schedule_agent(line) == SERVER for line in lines):
        return value

    def by_server(line: Line) -> Line:
        return line.without_parameters("SCHEDULE-AGENT") if line.name in ("ORGANIZER", "ATTENDEE") else line

    return value.map_components(lambda component: component.map_lines(by_server))


def _stands_out(component: SchedulingComponent, change: Change) -> bool:
    """Whether a cancelled instance has an answer of its own, which a decline of the series leaves as it is.

    The instance may take place again.
    """
    assert change.old is not None
    master, answer = change.old.master, _answer(component, change)
    if master is None or _is_cancelled(master) or answer in (NEEDS_ACTION, DECLINED):
        return False
    return answer != _answer(master, change)


def _plan(
    change: Change,
    value: SchedulingObject,
    to: CalendarUser,
    replied: list[SchedulingComponent],
    more: list[Message],
) -> Plan:
    """The plan of a copy with a REPLY about these components."""
    if not replied:
        return Plan(SchedulingRole.ATTENDEE, value, tuple(more))
    if not is_reachable(to):
        return Plan(SchedulingRole.ATTENDEE, value, tuple(more), unreachable={to.key: UNREACHABLE})
    message = reply_object(value, replied, change.owner, to, change.directory, change.dtstamp)
    reply = Message(Method.REPLY, change.owner, to, message)
    return Plan(SchedulingRole.ATTENDEE, value, (reply, *more))


def _replied(change: Change, copy: Copy) -> list[SchedulingComponent]:
    """The components of a REPLY, each with the answer."""
    assert change.old is not None
    forced = _is_forced(change)
    found: list[SchedulingComponent] = []
    series = _changed_answer(change, copy, MASTER)
    for component in copy.object.components:
        given = _full_answer(component, change)
        if given is None or _is_cancelled(component):
            continue
        before = copy.before.get(component.instance)
        known = None if before is None else _full_answer(before, change)
        changed = before is None or given != known or _comment(before) != _comment(component)
        # Overrides follow the answer for the series where they did before, unless the REPLY says otherwise.
        changed = changed or given == _followed_answer(change, copy, component)
        if changed or forced or component.instance in copy.begun:
            found.append(component)
    gone = list(copy.excluded)
    if series is not None and series[0] == DECLINED:
        # Nothing was said of instances that were excluded while the series was declined.
        gone += [each for each in excluded(copy.object) if each not in gone]
    for instance in gone:
        original = derived(change.old, instance)
        if original is not None and not _is_cancelled(original) and _answer(original, change) is not None:
            found.append(_declined(with_range(original, None), change))
    for instance in copy.left_out:
        original = change.old.by_instance[instance]
        if not _is_cancelled(original) and _answer(original, change) not in (None, DECLINED):
            found.append(_declined(original, change))
    return found


def _is_forced(change: Change) -> bool:
    """Whether SCHEDULE-FORCE-SEND asks for a REPLY (RFC 6638 §7.2)."""
    components = () if change.new is None else change.new.components
    return any(force_send(line) == "REPLY" for component in components for line in component.all("ORGANIZER"))


def _described(change: Change) -> SchedulingObject:
    """An object that is stored as the app sent it, except for addresses and names."""
    assert change.new is not None

    return change.new.map_components(lambda component: with_directory(component, change.directory))


def _delegations(change: Change, copy: Copy, to: CalendarUser) -> list[Message]:
    """The REQUESTs to those to whom the attendee delegates, and whom no organizer here tells."""
    by_delegate: dict[str, list[SchedulingComponent]] = {}
    for instance, line in copy.delegates.items():
        component = copy.object.by_instance[instance]
        if _is_cancelled(component):
            continue
        by_delegate.setdefault(change.directory.key(line.value), []).append(told(component, change.dtstamp))
    messages: list[Message] = []
    for components in by_delegate.values():
        line = copy.delegates[components[0].instance]
        delegate = change.directory.user(line.value)
        if is_reachable(delegate) and delegate.key != to.key and not (delegate.is_here and to.is_here):
            request = message_object(copy.object, components, Method.REQUEST)
            messages.append(Message(Method.REQUEST, change.owner, delegate, request))
    return messages


def reply_object(
    value: SchedulingObject,
    components: Iterable[SchedulingComponent],
    owner: CalendarUser,
    to: CalendarUser,
    directory: Directory,
    dtstamp: str,
) -> SchedulingObject:
    """A REPLY about some components of an attendee's copy, each with the answer.

    :param owner: who answers.
    :param to: the organizer.
    """
    found = [_reply(component, owner, to, directory, dtstamp) for component in components]
    return message_object(value, found, Method.REPLY)


def _reply(
    component: SchedulingComponent, owner: CalendarUser, to: CalendarUser, directory: Directory, dtstamp: str
) -> SchedulingComponent:
    """A component of a REPLY: who answers, to what, and when that is (RFC 5546 §3.2.3)."""
    names = {*_IN_REPLIES, "STATUS"} if component.name == "VTODO" else _IN_REPLIES
    own = attendee_line(component, owner, directory)
    delegated = {directory.key(each) for each in (own.params.get("DELEGATED-TO", ()) if own else ())}
    items: list[Line] = [made("DTSTAMP", dtstamp)]
    for line in component.lines:
        if line.name in names or (line.name == PRIVATE_COMMENT and to.is_here):
            items.append(line)
        elif line.name == "ORGANIZER":
            items.append(told_participant(line))
        elif line.name == "ATTENDEE":
            key = directory.key(line.value)
            if key == owner.key or key in delegated:
                items.append(told_participant(line))
    return component.with_items(items)


def _declined(component: SchedulingComponent, change: Change) -> SchedulingComponent:
    return map_attendee(
        component,
        change.owner,
        change.directory,
        lambda line: line.with_parameters({"PARTSTAT": DECLINED, "RSVP": None, "DELEGATED-TO": None}),
    )


def _answer(component: SchedulingComponent, change: Change) -> str | None:
    """The owner's PARTSTAT in a component; None where it does not invite them."""
    line = attendee_line(component, change.owner, change.directory)
    return None if line is None else partstat(line)


def _full_answer(component: SchedulingComponent, change: Change) -> Answer | None:
    """The owner's answer in a component; None where it does not invite them."""
    line = attendee_line(component, change.owner, change.directory)
    return None if line is None else answer(line, change.directory)


def _changed_answer(change: Change, copy: Copy, instance: str) -> Answer | None:
    """The owner's answer of before for the series, or a range of it; None where it is the same now."""
    before, now = copy.before.get(instance), copy.object.by_instance.get(instance)
    if before is None or now is None or _full_answer(before, change) == _full_answer(now, change):
        return None
    return _full_answer(before, change)


def _followed_answer(change: Change, copy: Copy, component: SchedulingComponent) -> Answer | None:
    """The answer of before that the organizer's server lets an override follow; None where nothing is followed.

    An override follows the range (THISANDFUTURE) that it lies in, a range the series.
    """
    if component.instance == MASTER:
        return None
    series = copy.object.master if component.is_range else covering(copy.object, component.instance)
    return None if series is None else _changed_answer(change, copy, series.instance)


def _comment(component: SchedulingComponent) -> str:
    return component.value(PRIVATE_COMMENT) or ""


def _is_cancelled(component: SchedulingComponent) -> bool:
    return component.token("STATUS") == "CANCELLED"


def _agent(value: SchedulingObject) -> str:
    for component in value.components:
        line = component.first("ORGANIZER")
        if line is not None:
            return schedule_agent(line)
    return SERVER


def _organizer(change: Change, value: SchedulingObject) -> CalendarUser:
    found = organizer(value, change.directory)
    assert found is not None
    return found
