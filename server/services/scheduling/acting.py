"""Who writes in the calendar of somebody else, and acts for them (RFC 5545 §3.2.18, RFC 6638 §6.2)."""

from __future__ import annotations

from server.calendar.attendance import address_keys
from server.calendar.component import parse_calendar
from server.calendar.roles import attendee_keys
from server.domain.actors import Actor
from server.domain.contents import ObjectContent
from server.domain.principals import Principal
from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import CalendarUser, Directory
from server.services.lookup import Found
from server.services.permissions import collection_of
from server.services.scheduling.calendar_users import address_of
from server.services.scheduling.planned import may_send, owner_of
from server.storage import Storage


def acting_person(found: Found) -> Principal | None:
    """Who acts in a found home that is somebody else's; None: its owner, or the installation."""
    viewer, owner = found.viewer, found.owner
    return None if viewer is None or owner is None or viewer.id == owner.id else viewer


def acting_user(found: Found, directory: Directory) -> CalendarUser | None:
    """The same as a calendar user of a directory that knows `acting_addresses`."""
    person = acting_person(found)
    return None if person is None else directory.user(address_of(person))


def acting_addresses(found: Found) -> frozenset[str]:
    """The address by which a directory knows who acts; none if the owner does."""
    person = acting_person(found)
    return frozenset() if person is None else frozenset((address_of(person),))


async def organizes_for_owner(storage: Storage, actor: Actor, found: Found, content: ObjectContent) -> bool:
    """Whether a new object is a meeting of the calendar's owner whose ORGANIZER an app has taken from who acts.

    It is not where who acts organizes the meeting in their own home: then it is a copy for the owner to see. If who
    acts may not send in the owner's name, it is one only if it invites others, which is refused then.
    """
    person, organizer = acting_person(found), content.scheduling.organizer
    if person is None or organizer is None or found.object is not None or not content.scheduling.one_organizer:
        return False
    if collection_of(found).kind != "calendar" or organizer not in address_keys(person.uid, person.name, person.emails):
        return False
    own = await storage.mailboxes(person.id, [person.id], content.uid)
    if any(each.object is not None and each.object.role is SchedulingRole.ORGANIZER for each in own):
        return False
    if await may_send(storage, actor, found):
        return True
    owner = owner_of(found)
    both = {key for each in (person, owner) for key in address_keys(each.uid, each.name, each.emails)}
    return not both.issuperset(attendee_keys(parse_calendar(content.text)))
