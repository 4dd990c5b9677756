"""Handing a meeting over: somebody else organizes it from now on.

iTIP has no such act: ORGANIZER of a meeting never changes (RFC 6638 §3.2.4.3). For people here the server makes the
copies of the attendees follow, by a directory in which the former organizer's addresses are those of the new one
(`Directory.with_former`). For people elsewhere it is a REQUEST from another organizer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.change import utc_stamp
from server.itip.lines import Line, made
from server.itip.messages import Plan, Reset
from server.itip.organizer import is_reachable
from server.itip.participants import ACCEPTED, PRIVATE_PARAMETERS, all_attendees
from server.itip.refreshing import refreshes
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject


def plan_hand_over(
    value: SchedulingObject,
    former: CalendarUser,
    user: CalendarUser,
    directory: Directory,
    resets: Iterable[Reset],
    now: datetime,
) -> Plan:
    """The plan of a hand-over: the object of the new organizer, and a REQUEST to each attendee. Their answers stay.

    :param value: the object of the former organizer, who does not attend any more.
    :param user: the new organizer, who attends, also where they had declined.
    :param directory: the calendar users without `Directory.with_former`.
    :param resets: when the former organizer asked the attendees anew.
    """
    stamp = utc_stamp(now)
    sequence = value.sequence + 1
    new = value.map_components(lambda each: _handed_over(each, former, user, directory, sequence, stamp))
    merged = directory.with_former(former, user)
    elsewhere = frozenset(
        key for key, each in all_attendees(new, merged).items() if not each.is_here and is_reachable(each)
    )
    told = refreshes(new, frozenset(new.by_instance), merged, stamp, invited=elsewhere)
    return Plan(SchedulingRole.ORGANIZER, new, tuple(replace(each, quiet=False) for each in told), tuple(resets))


def _handed_over(
    component: SchedulingComponent,
    former: CalendarUser,
    user: CalendarUser,
    directory: Directory,
    sequence: int,
    stamp: str,
) -> SchedulingComponent:
    """A component that `user` organizes."""
    name = {"CN": [user.cn]} if user.cn else {}
    attends = {**name, "PARTSTAT": [ACCEPTED]}
    attendees: list[Line] = []
    for line in component.all("ATTENDEE"):
        key = directory.key(line.value)
        if key == user.key:
            attends = {**line.without_parameters("RSVP", *PRIVATE_PARAMETERS).params, **attends}
        elif key != former.key:
            attendees.append(line)
    attendees.insert(0, made("ATTENDEE", user.address, attends))
    component = component.with_lines("ORGANIZER", [made("ORGANIZER", user.address, name)])
    component = component.with_lines("ATTENDEE", attendees)
    return component.with_value("SEQUENCE", str(sequence)).with_value("DTSTAMP", stamp)
