"""What a CANCEL does to the recipient's copy (RFC 5546 §3.2.5): it stays, with STATUS:CANCELLED.

A CANCEL without RECURRENCE-ID concerns all of the copy, for an attendee who is no longer invited as for a meeting that
does not take place. Of several instances, each is cancelled in an override of its own.
"""

from __future__ import annotations

from server.domain.errors import InvalidData
from server.itip.calendar_users import Directory
from server.itip.instances import derived, excluded, master_instance, with_range, without_first
from server.itip.merging import has_same_organizer, is_followed, without_ended_event, without_exdates
from server.itip.messages import Message
from server.itip.own_parts import as_cancelled, with_organizer_status
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
from server.itip.scheduling_component import MASTER, THIS_AND_FUTURE, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject


def receive_cancel(
    message: Message, copy: SchedulingObject | None, directory: Directory, memory: Memory | None = None
) -> Received:
    """What a CANCEL does. Of an object that the recipient does not have, only the version is remembered.

    An instance that they have removed stays away; the message lies in the inbox all the same.
    """
    if copy is not None and not has_same_organizer(copy, message, directory):
        return Received(Outcome.REFUSED, UID_TAKEN)
    if copy is not None and not is_followed(copy, message.recipient, directory):
        return IGNORED
    memory = memory_of(copy) if memory is None else memory
    cancelled = [each for each in message.object.components if _is_current(each, memory)]
    if not cancelled:
        return IGNORED
    versions = {each.instance: version_of(each) for each in cancelled}
    after = remembered(memory, versions, memory.removed, cancels=True)
    new = copy
    if new is not None:
        for component in cancelled:
            new = _with_cancelled(new, component, memory)
        new = without_ended_event(new)
    if copy is None or (new is copy and not any(_is_news(each, copy, memory) for each in cancelled)):
        return Received(Outcome.IGNORED, memory=after)
    return Received(Outcome.APPLIED, object=None if new is copy else new, item=not message.quiet, memory=after)


def _is_current(component: SchedulingComponent, memory: Memory) -> bool:
    latest = memory.latest(component.instance)
    return latest is None or version_of(component) >= latest


def _is_news(component: SchedulingComponent, copy: SchedulingObject, memory: Memory) -> bool:
    """Whether the recipient, who has removed an instance from their copy, does not know that it is cancelled."""
    latest = memory.latest(component.instance)
    is_later = latest is None or version_of(component) > latest
    return is_later and component.instance in memory.removed and _has_instance(copy, component.instance)


def _with_cancelled(copy: SchedulingObject, component: SchedulingComponent, memory: Memory) -> SchedulingObject:
    """The copy with what a component of a CANCEL names cancelled; the copy itself where that is so already."""
    version = version_of(component)
    if component.instance == MASTER:
        return copy.map_components(
            lambda each: _cancelled(each, component) if _is_older(each, version, memory) else each
        )
    own = copy.by_instance.get(component.instance)
    if own is not None and own.is_range and not component.is_range:
        # The first instance of a range alone.
        first = with_range(_cancelled(own, component), None)
        return copy.with_components([*without_first(copy, own).components, first])
    if own is not None:
        return copy.with_component(_cancelled(own, component))
    if component.instance in memory.removed or not _has_instance(copy, component.instance):
        return copy
    made = derived(copy, component.instance)
    if made is None:
        return copy
    if component.is_range:
        made = with_range(made, THIS_AND_FUTURE)
    return copy.with_component(*with_organizer_status([_cancelled(made, component)], copy))


def _is_older(component: SchedulingComponent, version: Version, memory: Memory) -> bool:
    """Whether a CANCEL of the whole concerns a component: a later message, or one of the same change, invites to it.

    Somebody who is removed from a series and stays invited to an instance of it gets both messages.
    """
    latest = memory.latest(component.instance)
    if latest is not None and component.instance != MASTER and latest >= version:
        return False
    return latest is None or latest <= version


def _has_instance(copy: SchedulingObject, instance: str) -> bool:
    """Whether the series of the copy has an instance, without regard to EXDATE: that may be the organizer's."""
    master = copy.master
    if master is None:
        return False
    if instance in excluded(copy):
        copy = copy.with_component(without_exdates(copy, master, [instance]))
    try:
        return master_instance(copy, instance) is not None
    except InvalidData:
        return False


def _cancelled(component: SchedulingComponent, by: SchedulingComponent) -> SchedulingComponent:
    """A component with STATUS:CANCELLED and the version of the CANCEL; the component itself where it is cancelled."""
    if component.token("STATUS") == "CANCELLED" and component.sequence >= by.sequence:
        return component
    return as_cancelled(component, version_of(by))
