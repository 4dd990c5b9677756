"""What a mail is about: the occasion decides on its subject and first sentence."""

from __future__ import annotations

from enum import StrEnum

from server.itip.calendar_users import CalendarUser, Directory
from server.itip.messages import Method
from server.itip.participants import attendee_line, partstat
from server.itip.scheduling_object import SchedulingObject


class Occasion(StrEnum):
    """The kinds of mail."""

    INVITED = "invited"
    UPDATED = "updated"
    CANCELLED = "cancelled"
    CANCELLED_DAYS = "cancelled_days"
    ACCEPTED = "accepted"
    TENTATIVE = "tentative"
    DECLINED = "declined"
    DELEGATED = "delegated"
    ANSWERED = "answered"
    PROPOSED = "proposed"
    PROPOSAL_DECLINED = "proposal_declined"
    ASKED_FOR_UPDATE = "asked_for_update"


ASKS = frozenset((Occasion.INVITED, Occasion.UPDATED))
"""Those that ask for an answer."""
_ANSWERS = {
    "ACCEPTED": Occasion.ACCEPTED,
    "TENTATIVE": Occasion.TENTATIVE,
    "DECLINED": Occasion.DECLINED,
    "DELEGATED": Occasion.DELEGATED,
}


def occasion_of(
    method: Method, message: SchedulingObject, before: SchedulingObject | None, sender: CalendarUser
) -> Occasion:
    """The occasion of a mail."""
    if method is Method.CANCEL:
        return Occasion.CANCELLED if message.master is not None else Occasion.CANCELLED_DAYS
    if method is Method.REPLY:
        directory = Directory([sender])
        lines = [attendee_line(each, sender, directory) for each in message.components]
        answers = {partstat(line) for line in lines if line is not None}
        return _ANSWERS.get(answers.pop(), Occasion.ANSWERED) if len(answers) == 1 else Occasion.ANSWERED
    if method is Method.COUNTER:
        return Occasion.PROPOSED
    if method is Method.DECLINECOUNTER:
        return Occasion.PROPOSAL_DECLINED
    if method is Method.REFRESH:
        return Occasion.ASKED_FOR_UPDATE
    return Occasion.INVITED if before is None else Occasion.UPDATED
