"""How the organizer's object and an attendee's copy come to agree, whatever messages between them are lost, doubled, or
cross each other.

What each side knows:

* The organizer's object says how the meeting is. Each message about it has a version (SEQUENCE, DTSTAMP), and the copy
  takes no older one than it has (`Memory.versions`).
* The attendee's copy says what the attendee answers. Only the attendee changes it, or the organizer who asks anew: a
  reset has the SEQUENCE from which on answers count, and both sides know it (`Reset`; messages to people here bring
  it). The organizer takes no older answer than the last one (`Answered`).

So each side is right about its own part. As long as they disagree, a message is on its way:

1. A change of the organizer is a message to the attendee, an answer is one to the organizer.
2. A REQUEST that says another answer than the copy, which stays, is followed by a REPLY with the answer of the copy.
   That is newer than all REPLYs before.
3. A REPLY that came out of order, or was sent again (2) and changed something, is followed by a quiet REQUEST with all
   that the organizer's object says to the attendee then, about instances that the REPLY did not name, too.

The exchange ends with a REQUEST that says what the copy says. It does end: a REPLY that was sent again counts, unless
the attendee was asked anew or has answered again meanwhile, which the REQUEST of (3) says.

All of it concerns people here. A server elsewhere knows the answers that were mailed to it, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.itip.attendee import reply_object
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.messages import Message, Method
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject


def reply_again(
    crossed: Sequence[SchedulingComponent],
    frame: SchedulingObject,
    user: CalendarUser,
    to: CalendarUser,
    directory: Directory,
    dtstamp: str,
) -> Message:
    """The REPLY about components whose answer a REQUEST did not know. It leaves no item in the organizer's inbox.

    :param frame: the object whose VCALENDAR and VTIMEZONEs it has.
    """
    return Message(Method.REPLY, user, to, reply_object(frame, crossed, user, to, directory, dtstamp), quiet=True)


def answered_after(answered: Mapping[str, int], crossed: Sequence[SchedulingComponent]) -> dict[str, int]:
    """The SEQUENCE of the recipient's last answer about each instance after the REPLY (`Memory.answered`).

    :param answered: the same before it.
    """
    named = {each.instance: each.sequence for each in crossed}
    return {**answered, **{key: max(sequence, answered.get(key, 0)) for key, sequence in named.items()}}
