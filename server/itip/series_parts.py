"""The parts of a series before an instance, and from it on: the master of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from server.calendar.expand import written_time
from server.calendar.recurrence_ids import instance_id
from server.calendar.recurrence_set import recurrence_set
from server.calendar.rrule import parse_rule
from server.calendar.values import listed_values
from server.calendar.work import Work
from server.domain.occurrences import LATEST, Kind, later
from server.itip.instances import derived, recurs, start_of
from server.itip.lines import Line
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

SERIES = ("RRULE", "RDATE", "EXDATE", "EXRULE")
"""The properties that say which instances a series has."""

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_TIMES = ("DTSTART", "DTEND", "DUE")


def instances_from(
    value: SchedulingObject, start: datetime | None, names: tuple[str, ...]
) -> Iterator[tuple[datetime, str]]:
    """The instances that some properties of the master give from a time on, in order."""
    master, anchor = value.master, value.anchor
    assert master is not None
    assert anchor is not None
    gone = tuple(set(SERIES) - set(names))
    found = recurrence_set([(0, master.without(*gone).component)], value.zones, Work())
    if not found.recurs:
        yield anchor.utc, instance_id(anchor.utc, anchor)
        return
    begin = later(anchor.utc, -_DAY) if start is None else start
    for instance in found.instances(begin, LATEST):
        yield instance.start_utc, instance.recurrence_id


def series_before(value: SchedulingObject, at: str) -> SchedulingComponent | None:
    """The master with its instances before one; None where it has none.

    :raises InvalidData: for rules and times that cannot be read.
    """
    master, anchor, point = value.master, value.anchor, start_of(at)
    if master is None or anchor is None or point is None or anchor.utc >= point:
        return None
    is_date = anchor.kind is Kind.DATE
    until = written_time(later(point, -_DAY if is_date else -_SECOND), anchor.kind)

    def bounded(line: Line) -> Line | None:
        if line.name != "RRULE":
            return _filtered(value, line, lambda instance: instance < at)
        parts = [part for part in line.value.strip().split(";") if part and not _is_part(part, "UNTIL", "COUNT")]
        if next(instances_from(value, None, ("RRULE",)))[0] >= point:
            return None
        return line.with_value(";".join([*parts, f"UNTIL={until}"])) if _reaches(value, point) else line

    series = master.map_lines(bounded)
    only = instance_id(anchor.utc, anchor)
    return None if not recurs(series) and only in value.exdates else series


def series_from(value: SchedulingObject, at: str) -> SchedulingComponent | None:
    """The master with its instances from one on, as a series that starts with the first of them; None without any.

    :raises InvalidData: for rules and times that cannot be read.
    """
    master, point = value.master, start_of(at)
    if master is None or point is None:
        return None
    by_rule = _first(value, point, ("RRULE",)) if master.first("RRULE") is not None else None
    start = by_rule or _first(value, point, ("RDATE",))
    if start is None:
        return None
    model = derived(value.with_components([master]), start)
    if model is None:
        return None
    times = {name: model.first(name) for name in _TIMES}

    def moved(line: Line) -> Line | None:
        if line.name in times:
            return times[line.name] or line
        if line.name != "RRULE":
            return _filtered(value, line, lambda instance: instance >= at)
        if by_rule is None:
            return None
        count = parse_rule(line.value).count
        if count is None:
            return line
        before = sum(1 for _ in _until(instances_from(value, None, ("RRULE",)), point))
        parts = [
            f"COUNT={count - before}" if _is_part(part, "COUNT") else part for part in line.value.strip().split(";")
        ]
        return line.with_value(";".join(parts))

    series = master.map_lines(moved)
    return None if not recurs(series) and start in value.exdates else series


def _first(value: SchedulingObject, point: datetime, names: tuple[str, ...]) -> str | None:
    """The first instance that some properties give from a time on."""
    return next((each for start, each in instances_from(value, later(point, -_DAY), names) if start >= point), None)


def _reaches(value: SchedulingObject, point: datetime) -> bool:
    return _first(value, point, ("RRULE",)) is not None


def _until(instances: Iterator[tuple[datetime, str]], point: datetime) -> Iterator[str]:
    for start, instance in instances:
        if start >= point:
            return
        yield instance


def _filtered(value: SchedulingObject, line: Line, keep: Callable[[str], bool]) -> Line | None:
    """An EXDATE or RDATE with some of its values; None without any. Other lines, and unreadable ones, stay."""
    if line.name not in ("EXDATE", "RDATE"):
        return line
    written, instances = listed_values(line.value), value.instances_of(line)
    if len(written) != len(instances):
        return line
    kept = [part for part, instance in zip(written, instances, strict=True) if keep(instance)]
    if len(kept) == len(written):
        return line
    return line.with_value(",".join(kept)) if kept else None


def _is_part(part: str, *names: str) -> bool:
    return part.partition("=")[0].strip().upper() in names
