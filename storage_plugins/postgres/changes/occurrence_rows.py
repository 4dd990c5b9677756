"""Occurrences and alarms as the arguments of `koyomi_put_object_4`: one array for each column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.domain.occurrences import AlarmTrigger, Busy, Kind, Materialised, Occurrence

KINDS = (Kind.TIMED, Kind.FLOATING, Kind.DATE)
"""By the number in column `kind`."""
BUSY = (Busy.FREE, Busy.BUSY, Busy.TENTATIVE, Busy.UNAVAILABLE)
"""By the number in column `busy`."""

_KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_BUSY_NUMBERS = {busy: number for number, busy in enumerate(BUSY)}
_NOTHING = (False, None, None, None, None, None, *[None] * 10)


def arguments(materialised: Materialised | None) -> tuple[Any, ...]:
    """Arguments of `koyomi_put_object_4`, from `p_materialised` to `p_alarms`."""
    if materialised is None:
        return _NOTHING
    return (
        True,
        materialised.span_start,
        materialised.span_end,
        materialised.endless,
        materialised.expanded_from,
        materialised.expanded_until,
        *columns(materialised.occurrences),
        alarms(materialised) or None,
    )


def columns(rows: Sequence[Occurrence]) -> tuple[list[Any], ...]:
    """Occurrences as arguments, from `p_components` to `p_recurrence_ids`."""
    return (
        [row.component for row in rows],
        [_KIND_NUMBERS[row.kind] for row in rows],
        [_BUSY_NUMBERS[row.busy] for row in rows],
        [row.matches for row in rows],
        [row.start for row in rows],
        [row.end for row in rows],
        [row.matches_from for row in rows],
        [row.matches_until for row in rows],
        [row.recurrence_id for row in rows],
    )


def derived(materialised: Materialised | None) -> tuple[list[str] | None, str | None]:
    """The keys of the zones, and the recurrence."""
    if materialised is None:
        return None, None
    return list(materialised.zones) or None, materialised.recurrence


def busy_number(busy: Busy) -> int:
    """The number in column `busy`."""
    return _BUSY_NUMBERS[busy]


def alarms(materialised: Materialised) -> list[dict[str, Any]]:
    """The alarms of an object's own text, with the times at which they ring next."""
    return [
        alarm(trigger) | {"next_at": None if ring.at is None else ring.at.isoformat(), "floating": ring.floating}
        for trigger, ring in zip(materialised.alarms, materialised.next_rings, strict=True)
    ]


def alarm(trigger: AlarmTrigger) -> dict[str, Any]:
    """A row of `alarm` as a JSON object, without the keys of the object."""
    return {
        "component": trigger.component,
        "alarm": trigger.alarm,
        "at": None if trigger.at is None else trigger.at.isoformat(),
        "days": trigger.days,
        "seconds": trigger.seconds,
        "from_end": trigger.from_end,
        "repeat": trigger.repeat,
        "interval_seconds": trigger.interval,
    }
