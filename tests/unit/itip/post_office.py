"""Some people whose calendars exchange iTIP messages, as a service would do it, without storage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import CalendarUser, Directory, here
from server.itip.change import Change, utc_stamp
from server.itip.messages import Message, Method, Plan
from server.itip.participants import with_schedule_statuses
from server.itip.planning import plan_change
from server.itip.receiving import receive
from server.itip.reception import Memory, Outcome, Received, Rows, after_change, resets_of, with_answers, with_resets
from server.itip.refreshing import refreshes
from server.itip.scheduling_object import SchedulingObject

ELSEWHERE = "3.7"
"""SCHEDULE-STATUS of people elsewhere: no mail is sent."""


@dataclass(slots=True)
class Person:
    """Somebody with one object of one UID, and what the server keeps of it in rows."""

    user: CalendarUser
    value: SchedulingObject | None = None
    memory: Memory = field(default_factory=Memory)
    rows: Rows = field(default_factory=Rows)
    inbox: list[Message] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way."""

    message: Message
    resets: dict[str, int] | None = None
    """When the recipient was last asked anew, by the organizer's rows."""


class PostOffice:
    """The people of one conversation."""

    def __init__(self, names: Iterable[str], elsewhere: Iterable[str] = ()) -> None:
        self.people: dict[str, Person] = {}
        for number, name in enumerate(names, 1):
            forms = (f"mailto:{name}@example.com", f"urn:x-uid:{name}", f"/principals/users/{name}/")
            self.people[name] = Person(here(number, forms))
        self.directory = Directory(person.user for person in self.people.values())
        for name in elsewhere:
            self.people[name] = Person(self.directory.user(f"mailto:{name}@example.org"))
        self._by_key = {person.user.key: person for person in self.people.values()}

    def person(self, user: CalendarUser) -> Person:
        """Whose calendar user this is."""
        return self._by_key[user.key]

    def change(
        self, person: Person, new: SchedulingObject | None, now: datetime, *, etag: bool = False, tag: bool = False
    ) -> tuple[Plan, list[Letter]]:
        """A change by the owner of an object: what is stored at once, and what is to be delivered."""
        floor = max((version.sequence for version in person.memory.versions.values()), default=-1)
        change = Change(
            person.value,
            new,
            person.user,
            self.directory,
            now,
            etag_matches=etag,
            tag_matches=tag,
            sequence_floor=floor if person.value is None else -1,
        )
        plan = plan_change(change)
        if plan.role is SchedulingRole.ATTENDEE:
            person.memory = after_change(person.memory, person.value, plan, person.user, self.directory)
        person.rows = with_resets(person.rows, plan.resets)
        person.value = plan.with_statuses({}, self.directory)
        return plan, [self._letter(person, message) for message in plan.messages]

    def deliver(self, letter: Letter, now: datetime) -> tuple[Received, list[Letter]]:
        """Deliver a message: what it did, and what is to be delivered then."""
        message = letter.message
        person = self.person(message.recipient)
        if not message.recipient.is_here:
            result = Received(Outcome.REFUSED, ELSEWHERE)
        else:
            result = receive(
                message,
                person.value,
                self.directory,
                now,
                memory=person.memory,
                resets=letter.resets,
                rows=person.rows,
            )
        if result.object is not None:
            person.value = result.object
        if result.memory is not None:
            person.memory = result.memory
        if result.answers:
            person.rows = with_answers(person.rows, result.answers)
        person.rows = with_resets(person.rows, result.resets)
        if result.item:
            person.inbox.append(message)
        self._note_status(message, result.status)
        more = [self._letter(person, each) for each in result.messages]
        if result.changed and result.object is not None:
            invited = frozenset(user.key for user in result.invited)
            answered = frozenset((message.sender.key,))
            quiet = refreshes(result.object, result.changed, self.directory, utc_stamp(now), answered, invited)
            more += [self._letter(person, each) for each in quiet]
        return result, more

    def _letter(self, sender: Person, message: Message) -> Letter:
        """A message with what goes with it."""
        return Letter(message, resets_of(sender.rows.resets, message.recipient))

    def _note_status(self, message: Message, status: str) -> None:
        """The SCHEDULE-STATUS of a delivery in the sender's object; a refresh of other people's answers has none."""
        if message.quiet or message.method not in (Method.REQUEST, Method.CANCEL, Method.REPLY):
            return
        sender = self.person(message.sender)
        if sender.value is not None:
            sender.value = with_schedule_statuses(sender.value, {message.recipient.key: status}, self.directory)
