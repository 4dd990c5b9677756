"""Delegation: an attendee lets somebody else attend in their place (RFC 5546 §2.1.2, §3.2.2.3, §3.4.2.3, §4.2.5).

RFC 5546 does not say what becomes of a delegation that crosses another message. These rules do; the organizer's side
and the attendees' side follow them alike:

* DELEGATED is an answer, with those whom DELEGATED-TO names. It counts as each answer does: its SEQUENCE is at least
  that of the last reset of the delegator, and it is their newest by SEQUENCE and DTSTAMP. Overrides follow it.
* A delegation that counts invites the delegate: the organizer's server adds their ATTENDEE and sends them a REQUEST. It
  asks them anew, with the SEQUENCE that the component has. Who is invited already stays as they are.
* Delegates here hear from an organizer here alone, since a REQUEST of the delegator may say what no longer holds. Where
  one of the two is elsewhere, the delegator sends the REQUEST.
* A delegation that does not count invites nobody.
* The delegator's copy is refreshed, too, after a delegation that invites somebody or does not count: a message that was
  sent before may have taken the delegate out of it, or may not.
* An answer of somebody here whom nobody has invited yet waits: their server sends it again when the organizer invites
  them (RFC 5546 §5.2.2).
* A reset asks the delegator anew, and the delegate, who stays invited.
* Delegators who answer again speak for themselves only: the delegate stays invited. They may delegate to another.
* An organizer who removes the delegate asks the delegator anew. Only the organizer removes delegates.
"""

from __future__ import annotations

from collections.abc import Collection

from server.itip.calendar_users import Directory
from server.itip.lines import Line
from server.itip.participants import DELEGATED, NEEDS_ACTION, attendees, partstat
from server.itip.scheduling_component import SchedulingComponent

NOBODY = frozenset[str]()

Answer = tuple[str, frozenset[str]]
"""PARTSTAT, and the keys of the delegates."""


def delegates(line: Line, directory: Directory) -> frozenset[str]:
    """The keys of those to whom an attendee has delegated, by their ATTENDEE; none where they answered otherwise."""
    if partstat(line) != DELEGATED:
        return NOBODY
    return frozenset(directory.key(address) for address in line.params.get("DELEGATED-TO", ()))


def answer(line: Line, directory: Directory) -> Answer:
    """The answer of an ATTENDEE: equal where two say the same."""
    return partstat(line), delegates(line, directory)


def with_delegates(
    component: SchedulingComponent,
    keys: Collection[str],
    source: SchedulingComponent,
    delegator: Line,
    directory: Directory,
) -> SchedulingComponent:
    """A component of the delegator's copy with the delegates who are missing in it, as the organizer will invite them.

    :param keys: those of the delegates.
    :param source: another component, which has their lines.
    """
    invited = attendees(component, directory)
    asked = {"PARTSTAT": NEEDS_ACTION, "RSVP": "TRUE", "DELEGATED-TO": None, "DELEGATED-FROM": delegator.value}
    more = [
        line.with_parameters(asked)
        for key, line in attendees(source, directory).items()
        if key in keys and key not in invited
    ]
    return component.with_lines("ATTENDEE", [*component.all("ATTENDEE"), *more]) if more else component
