"""The copy of a room: what of a meeting others may read in its calendar, and when it leaves the calendar."""

from __future__ import annotations

from server.booking.policy import Policy
from server.calendar.contentline import escape_text, unescape_text
from server.itip.instances import with_exdates
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

_BODY = ("DESCRIPTION", "X-ALT-DESC", "STYLED-DESCRIPTION", "COMMENT")
_ATTACHMENTS = ("ATTACH", "IMAGE", "STRUCTURED-DATA")


def without_cancelled(copy: SchedulingObject) -> SchedulingObject | None:
    """The copy of a room without what is cancelled: its series excludes cancelled instances. None: all is cancelled."""
    gone = [each.instance for each in copy.components if each.token("STATUS") == "CANCELLED"]
    if not gone:
        return copy
    if MASTER in gone or len(gone) == len(copy.components):
        return None
    left = copy.without_instances(*gone)
    if copy.master is None:
        return left
    new = [each for each in gone if each not in copy.exdates]
    return left.with_component(with_exdates(copy, copy.master, new)) if new else left


def discreet(copy: SchedulingObject, policy: Policy) -> SchedulingObject:
    """The copy as a policy wants it: without what it strips, and with the organizer's name in the title.

    A copy that is so already stays as it is.
    """
    gone = (
        *(_BODY if policy.strip_body else ()),
        *(_ATTACHMENTS if policy.strip_attachments else ()),
    )
    if not gone and not policy.strip_subject and not policy.organizer_in_subject:
        return copy

    def changed(component: SchedulingComponent) -> SchedulingComponent:
        made = component.without(*gone) if any(line.name in gone for line in component.lines) else component
        title = _title(made, policy)
        return made if title == made.value("SUMMARY") else made.with_value("SUMMARY", title)

    components = [changed(each) for each in copy.components]
    alike = all(made is each for made, each in zip(components, copy.components, strict=True))
    return copy if alike else copy.with_components(components)


def _title(component: SchedulingComponent, policy: Policy) -> str | None:
    """SUMMARY as it is written; None: there is none."""
    written = component.value("SUMMARY")
    name = _organizer(component) if policy.organizer_in_subject else ""
    if policy.strip_subject:
        return escape_text(name) or None
    if not name:
        return written
    title = unescape_text(written or "").strip()
    begins = f"{name}: "
    if title == name or title.startswith(begins):
        return written
    return escape_text(begins + title if title else name)


def _organizer(component: SchedulingComponent) -> str:
    """The organizer's name, or their address without its scheme."""
    line = component.first("ORGANIZER")
    if line is None:
        return ""
    name = (line.parameter("CN") or "").strip()
    return " ".join(name.split()) or line.value.strip().removeprefix("mailto:")
