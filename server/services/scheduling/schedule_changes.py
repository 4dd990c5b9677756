"""CS:schedule-changes of the items in an inbox: what their messages changed (Apple's caldav-schedulingchanges)."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from server.itip.schedule_changes import Recurrence, ScheduleChanges
from server.itip.scheduling_component import MASTER

_NAMESPACE = "http://calendarserver.org/ns/"
SCHEDULE_CHANGES = f"{{{_NAMESPACE}}}schedule-changes"


def as_property(changes: ScheduleChanges, dtstamp: str) -> str:
    """The XML of the property.

    :param dtstamp: when the message took effect, as a UTC value.
    """
    inner = "".join(map(_recurrence, changes.recurrences))
    if changes.attendee is not None:
        inner = f"<S:attendee>{escape(changes.attendee)}</S:attendee>{inner}"
    action = f"<S:{changes.action}>{inner}</S:{changes.action}>" if inner else f"<S:{changes.action}/>"
    value = f"<S:dtstamp>{dtstamp}</S:dtstamp><S:action>{action}</S:action>"
    return f'<S:schedule-changes xmlns:S="{_NAMESPACE}">{value}</S:schedule-changes>'


def _recurrence(recurrence: Recurrence) -> str:
    instance = recurrence.instance
    where = "<S:master/>" if instance == MASTER else f"<S:recurrenceid>{escape(instance)}</S:recurrenceid>"
    if recurrence.properties is None:
        return f"<S:recurrence>{where}</S:recurrence>"
    changed = "".join(
        f"<S:changed-property name={quoteattr(name)}>"
        + "".join(f"<S:changed-parameter name={quoteattr(parameter)}/>" for parameter in sorted(parameters))
        + "</S:changed-property>"
        for name, parameters in sorted(recurrence.properties.items())
    )
    return f"<S:recurrence>{where}<S:changes>{changed}</S:changes></S:recurrence>"
