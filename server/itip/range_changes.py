"""What a change of a series with ranges (RANGE=THISANDFUTURE) is to somebody who attends it: what they saw, and see."""

from __future__ import annotations

from dataclasses import dataclass

from server.itip.audience import View, viewed
from server.itip.calendar_users import Directory
from server.itip.comparison import Difference, difference, same_times
from server.itip.instances import derived, excluded, master_instance
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject


@dataclass(frozen=True, slots=True)
class ViewChange:
    """What differs in the view of one attendee."""

    significant: bool
    """Whether they are told (`Difference.is_significant`), apart from what is gone."""
    participation: bool
    """Whether others take part otherwise."""
    gone: tuple[str, ...]
    """Instances, or ranges from an instance on, that are cancelled for them."""


def view_change(
    before: tuple[SchedulingObject, View], after: tuple[SchedulingObject, View], directory: Directory
) -> ViewChange:
    """What differs for somebody who attends the series before and after.

    :param before: the organizer's object, and their view of it; as `after`.
    """
    (old, _), (new, view) = before, after
    seen, sees = viewed(*before), viewed(*after)
    found = [_difference(seen, sees, each, directory) for each in sees.components]
    known = [each for each in found if each is not None]
    significant = len(known) < len(found) or any(each.is_significant or each.excluded for each in known)
    significant = significant or not seen.by_instance.keys() <= sees.by_instance.keys()
    return ViewChange(significant, any(each.participation for each in known), tuple(_gone(old, new, view, seen)))


def _difference(
    before: SchedulingObject, after: SchedulingObject, component: SchedulingComponent, directory: Directory
) -> Difference | None:
    """What differs in a component that somebody sees; None where they saw no such component, or instance."""
    instance = component.instance
    known = before.by_instance.get(instance)
    if known is None and master_instance(before, instance) is not None:
        known = derived(before, instance)
    if known is None or known.is_range != component.is_range:
        return None
    return difference(before, known, after, component, directory)


def _gone(old: SchedulingObject, new: SchedulingObject, view: View, seen: SchedulingObject) -> list[str]:
    """The instances that somebody saw and that a CANCEL names: those that EXDATE excludes now, and components that do
    not invite them. Of a series that moves there are none."""
    assert old.master is not None
    assert new.master is not None
    if not same_times(old, old.master, new, new.master):
        return []
    candidates = [*sorted(excluded(new).keys() - excluded(old).keys()), *new.by_instance]
    return [
        each
        for each in dict.fromkeys(candidates)
        if each != MASTER
        and each not in view.instances
        and (each in seen.by_instance or master_instance(seen, each) is not None)
    ]


def changes_ranges(old: SchedulingObject, new: SchedulingObject) -> bool:
    """Whether ranges begin, end, or move the instances that they describe."""
    before, after = ({each.instance: each for each in value.ranges} for value in (old, new))
    if before.keys() != after.keys():
        return True
    return any(not same_times(old, before[each], new, after[each]) for each in after)
