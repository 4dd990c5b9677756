"""What a message changed in its recipient's object, for apps to show (Apple's caldav-schedulingchanges §4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from server.itip.audience import told_participant
from server.itip.calendar_users import Directory
from server.itip.comparison import BOOKKEEPING
from server.itip.instances import derived, describing
from server.itip.lines import Line
from server.itip.messages import Message, Method
from server.itip.own_parts import is_own
from server.itip.participants import ATTENDEE_COMMENT, PRIVATE_COMMENT, attendee_line, partstat
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

Action = Literal["create", "update", "cancel", "reply"]
Properties = Mapping[str, frozenset[str]]
"""Names of properties, each with the names of the parameters that changed."""

_REQUESTS = (Method.REQUEST, Method.ADD)
_PARTICIPANTS = ("ATTENDEE", "ORGANIZER")
_UNCOUNTED = BOOKKEEPING | {"RECURRENCE-ID", ATTENDEE_COMMENT}


@dataclass(frozen=True, slots=True)
class Recurrence:
    """An instance that was changed, or the master (`MASTER`)."""

    instance: str
    """The identifier, which is the RECURRENCE-ID in UTC."""
    properties: Properties | None
    """None where the instance was cancelled."""


@dataclass(frozen=True, slots=True)
class ScheduleChanges:
    """What the server did with a message."""

    action: Action
    attendee: str | None = None
    """Of an answer: the address, as the organizer's object has it."""
    recurrences: tuple[Recurrence, ...] = ()


def schedule_changes(
    message: Message, before: SchedulingObject | None, after: SchedulingObject | None, directory: Directory
) -> ScheduleChanges | None:
    """What a message changed; None for one that sets nothing, as a COUNTER.

    :param before: the recipient's object before the message.
    :param after: the object after it.
    """
    if after is None:
        return None
    if message.method in _REQUESTS:
        return ScheduleChanges("create") if before is None else _updated(message, before, after)
    if message.method is Method.CANCEL:
        instances = [component.instance for component in message.object.components]
        if MASTER in instances:
            return ScheduleChanges("cancel")
        return ScheduleChanges("cancel", None, tuple(Recurrence(each, None) for each in instances))
    if message.method is Method.REPLY and before is not None:
        return _replied(message, before, after, directory)
    return None


def _updated(message: Message, before: SchedulingObject, after: SchedulingObject) -> ScheduleChanges:
    found: list[Recurrence] = []
    for instance in dict.fromkeys((*after.by_instance, *before.by_instance)):
        old, new = _described(before, instance), _described(after, instance)
        if old is None or new is None or old.is_written_as(new):
            continue
        properties = _differing(old, new)
        if properties:
            found.append(Recurrence(instance, properties))
    if not found:
        found = [Recurrence(component.instance, {}) for component in message.object.components]
    return ScheduleChanges("update", None, tuple(found))


def _described(value: SchedulingObject, instance: str) -> SchedulingComponent | None:
    """How an object has an instance; the series where a single component of it cannot be derived."""
    return derived(value, instance) or describing(value, instance)


def _differing(old: SchedulingComponent, new: SchedulingComponent) -> Properties:
    """The properties that differ and that are not the recipient's own."""
    stayed = {line.content for line in old.lines} & {line.content for line in new.lines}
    before, after = _lines(old, stayed), _lines(new, stayed)
    found: dict[str, set[str]] = {}
    for key in before.keys() | after.keys():
        one, other = before.get(key), after.get(key)
        if one is None or other is None:
            found.setdefault(key[0], set())
        elif one.parameter_text != other.parameter_text:
            names = {name for name in {*one.params, *other.params} if one.params.get(name) != other.params.get(name)}
            if names:
                found.setdefault(key[0], set()).update(names)
    return {name: frozenset(parameters) for name, parameters in found.items()}


def _lines(component: SchedulingComponent, stayed: AbstractSet[tuple[str, str, str]]) -> dict[tuple[str, str], Line]:
    """The lines that count, by name and value, without those that stayed as they were."""
    found: dict[tuple[str, str], Line] = {}
    for line in component.lines:
        if line.content not in stayed and line.name not in _UNCOUNTED and not is_own(line.name):
            found[line.name, line.value] = told_participant(line) if line.name in _PARTICIPANTS else line
    return found


def _replied(
    message: Message, before: SchedulingObject, after: SchedulingObject, directory: Directory
) -> ScheduleChanges:
    address: str | None = None
    found: list[Recurrence] = []
    for component in message.object.components:
        instance = after.instance_of(component.first("RECURRENCE-ID"))
        old, new = derived(before, instance), derived(after, instance)
        line = None if new is None else attendee_line(new, message.sender, directory)
        if new is None or line is None:
            continue
        address = address or line.value
        known = None if old is None else attendee_line(old, message.sender, directory)
        properties: dict[str, frozenset[str]] = {}
        if known is None or partstat(known) != partstat(line):
            properties["ATTENDEE"] = frozenset(("PARTSTAT",))
        if _comments(old, message, directory) != _comments(new, message, directory):
            properties[PRIVATE_COMMENT] = frozenset()
        found.append(Recurrence(instance, properties))
    return ScheduleChanges("reply", address or message.sender.address, tuple(found))


def _comments(component: SchedulingComponent | None, message: Message, directory: Directory) -> list[str]:
    lines: Iterable[Line] = () if component is None else component.all(ATTENDEE_COMMENT)
    return [
        line.value
        for line in lines
        if directory.key(line.parameter("X-CALENDARSERVER-ATTENDEE-REF") or "") == message.sender.key
    ]
