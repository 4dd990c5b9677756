"""The machine with what is around a meeting: delegates who act, a group whose members change, somebody elsewhere,
addresses that change, an organizer who leaves, and an attendee who is deleted and perhaps erased."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from server.calendar.attendance import address_key
from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import CalendarUser, Directory, here
from server.itip.change import Change, InvitedGroups
from server.itip.erasing import erased
from server.itip.groups import Group, invited_groups, with_members
from server.itip.handing_over import plan_hand_over
from server.itip.lines import made
from server.itip.messages import Message, Plan
from server.itip.participants import attendee_line, organizer
from server.itip.planning import plan_change, scheduling_role
from server.itip.receiving import receive
from server.itip.reception import Memory, Outcome, Received, Rows, after_change, with_answers, with_resets
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.itip.meeting_machine import ATTENDEES, MeetingMachine
from tests.unit.itip.post_office import ELSEWHERE, Letter, Person, PostOffice

HERE = ("ann", "bea", "carl")
OUTSIDER = "dora"
MEMBERS = ("bea", "carl")
"""Who may be in the group."""
TEAM = here(20, ("mailto:team@example.com", "urn:x-uid:team"), cutype="GROUP")
DELEGATE = here(30, ("mailto:zoe@example.com", "urn:x-uid:zoe"))
_DOMAINS = ("@example.com", *(f"{number}@example.net" for number in range(3)))
MAILED = "1.1"
"""SCHEDULE-STATUS of people elsewhere: a message was mailed."""


@dataclass(frozen=True, slots=True)
class HandedOver(Letter):
    """A message about a hand-over."""

    former: CalendarUser | None = None


class WiderOffice(PostOffice):
    """People here, and somebody whose messages go to another server, which mails the answers."""

    def __init__(self) -> None:
        super().__init__(HERE)
        self.directory = Directory([*(person.user for person in self.people.values()), TEAM, DELEGATE])
        outsider = Person(self.directory.user(f"mailto:{OUTSIDER}@example.com"))
        self.people[OUTSIDER] = outsider
        self._by_key[outsider.user.key] = outsider
        # The other server knows who the organizers are, whatever address they have.
        known = [f"mailto:{name}{end}" for name in HERE for end in _DOMAINS]
        others = CalendarUser("organizer", known[0], None, tuple(known))
        self._outside = Directory([here(1, (outsider.user.address,)), others])
        self.members: tuple[str, ...] = MEMBERS[:1]
        self.invited = InvitedGroups()
        self.acting: CalendarUser | None = None
        """Who acts in the next change; None: the owner."""
        self.lost = False
        """Whether a mail has arrived for somebody who had handed the meeting over: its answer is lost."""
        self.deleted: Person | None = None
        self.forgotten: frozenset[str] = frozenset()
        """The addresses of who is deleted, as they are compared."""

    def readdress(self, name: str, address: str) -> None:
        """Give somebody another address; the former ones still mean them."""
        person = self.people[name]
        known, former = person.user.addresses, person.user.former | {address_key(person.user.address)}
        former -= {address_key(address)}
        person.user = replace(person.user, address=address, addresses=(address, *known), former=former)
        others = [each for each in self.directory.users if each.key != person.user.key]
        self.directory = Directory([person.user, *others])

    def delete(self, name: str, *, erase: bool) -> None:
        """Delete somebody: the server does not know the addresses any more. `erase`: nor do the meetings of others."""
        person = self.deleted = self.people[name]
        known = person.user.addresses
        for each in self.people.values() if erase else ():
            if each is not person and each.value is not None and each.user.is_here:
                each.value = erased(each.value, person.user, f"urn:x-uid:{name}", self.directory)
        self.forgotten = person.user.former | {address_key(each) for each in known}
        person.value, person.memory, person.rows = None, Memory(), Rows()
        self.directory = Directory([each for each in self.directory.users if each.key != person.user.key])
        self.members = tuple(each for each in self.members if each != name)

    def change(
        self, person: Person, new: SchedulingObject | None, now: datetime, *, etag: bool = False, tag: bool = False
    ) -> tuple[Plan, list[Letter]]:
        """As there. The outsider's server sends mail alone."""
        is_here = person.user.is_here
        directory = self.directory if is_here else self._outside
        user = directory.user(person.user.address)
        floor = max((version.sequence for version in person.memory.versions.values()), default=-1)
        change = Change(
            person.value,
            new,
            user,
            directory,
            now,
            etag_matches=etag,
            tag_matches=tag,
            sequence_floor=floor if person.value is None else -1,
            acting=self.acting if is_here else None,
        )
        plan = plan_change(self._with_groups(change))
        if plan.role is SchedulingRole.ATTENDEE:
            person.memory = after_change(person.memory, person.value, plan, user, directory)
        person.rows = with_resets(person.rows, plan.resets)
        person.value = plan.with_statuses({}, directory)
        return plan, [self._letter(person, self._seen_here(message)) for message in plan.messages]

    def _with_groups(self, change: Change) -> Change:
        new = change.new
        if new is None or not invited_groups(self.directory, change.old, new):
            return change
        if scheduling_role(new, change.owner, self.directory) is not SchedulingRole.ORGANIZER:
            return change
        groups = {TEAM.key: Group(TEAM, tuple(self.people[name].user for name in self.members))}
        expanded, self.invited = with_members(
            change.old,
            new,
            change.owner,
            self.directory,
            groups,
            self.invited.left_out,
            change.now,
            100,
            has_seen=change.etag_matches,
        )
        return replace(change, new=expanded, groups=self.invited)

    def deliver(self, letter: Letter, now: datetime) -> tuple[Received, list[Letter]]:
        """As there. The outsider's server receives as ours does, but knows nobody else."""
        message = letter.message
        if self.directory.key(message.recipient.address) in self.forgotten:
            self._note_status(message, ELSEWHERE)
            return Received(Outcome.REFUSED, ELSEWHERE), []
        if not message.recipient.is_here:
            person, outside = self.person(message.recipient), self._outside
            sent = replace(
                message,
                sender=outside.user(message.sender.address),
                recipient=outside.user(message.recipient.address),
                quiet=False,
            )
            result = receive(sent, person.value, outside, now, memory=person.memory, rows=person.rows)
            person.value = result.object or person.value
            person.memory = result.memory or person.memory
            person.rows = with_answers(person.rows, result.answers)
            self._note_status(message, MAILED)
            return result, []
        self.lost |= not message.sender.is_here and self.person(message.recipient).value is None
        former = letter.former if isinstance(letter, HandedOver) else None
        if former is None:
            return super().deliver(letter, now)
        directory = self.directory
        self.directory = directory.with_former(former, message.sender)
        try:
            return super().deliver(letter, now)
        finally:
            self.directory = directory

    def hand_over(self, former: Person, to: Person, now: datetime) -> list[Letter]:
        """Let somebody else organize the meeting."""
        assert former.value is not None
        plan = plan_hand_over(former.value, former.user, to.user, self.directory, former.rows.resets, now)
        former.value = None
        to.rows = with_resets(replace(to.rows, answers=(), resets=()), plan.resets)
        to.value = plan.object
        letters = (self._letter(to, message) for message in plan.messages)
        return [HandedOver(each.message, each.resets, former.user) for each in letters]

    def _seen_here(self, message: Message) -> Message:
        """A message with the calendar users that our directory knows."""
        sender, recipient = (self.directory.user(each.address) for each in (message.sender, message.recipient))
        if recipient.key != message.recipient.key:
            # The other server mails to the organizer whom the object names.
            recipient = organizer(message.object, self.directory) or recipient
        return replace(message, sender=sender, recipient=recipient)


class WiderWorld(MeetingMachine):
    """A meeting of three people here and one elsewhere, of whom two may be invited through a group."""

    office: WiderOffice

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.office = WiderOffice()
        self._organizer = HERE[0]
        self._checked = ""

    @property
    def organizer(self) -> Person:
        """Who organizes it now."""
        return self.person(self._organizer)

    def _step(self) -> None:
        if self.choices.below(6) or self._deleted:
            super()._step()
            return
        value = self.organizer.value
        assert value is not None
        match self.choices.below(6):
            case 0:
                self._invite_the_group(value)
            case 1:
                self._change_members(value)
            case 2:
                name = self.choices.of(*(each for each in HERE if self.person(each) is not self.office.deleted))
                self.office.readdress(name, f"mailto:{name}{self.choices.below(3)}@example.net")
                self.history.append(f"{name} has another address")
            case 3 if self._organizer == HERE[0] and not self._is_sending():
                self._hand_over()
            case 4 if self.office.deleted is None:
                self._delete_person(value)
            case _:
                self.office.acting = DELEGATE
                self.history.append("zoe acts for")
                try:
                    super()._step()
                finally:
                    self.office.acting = None

    def _invite_the_group(self, value: SchedulingObject) -> None:
        def invited(component: SchedulingComponent) -> SchedulingComponent:
            if attendee_line(component, TEAM, self.office.directory) is not None:
                return component
            return component.with_lines("ATTENDEE", [*component.all("ATTENDEE"), made("ATTENDEE", TEAM.address)])

        self._put(self.organizer, value.map_components(invited), "invites the group")

    def _change_members(self, value: SchedulingObject) -> None:
        """Change the members, and let the job of the server follow."""
        chosen = self.choices.of((), MEMBERS[:1], MEMBERS[1:], MEMBERS)
        self.office.members = tuple(each for each in chosen if self.person(each) is not self.office.deleted)
        self._put(self.organizer, read_object(value.text), f"has a group of {self.office.members}", etag=True)

    def _hand_over(self) -> None:
        self._tick()
        former, self._organizer = self.organizer, "bea"
        self.history.append("ann leaves")
        letters = self.office.hand_over(former, self.organizer, self.now)
        self._send(letters)
        for letter in letters:
            # What is sent later to people here goes behind it.
            if letter.message.recipient.is_here:
                self.waiting.remove(letter)
                self._send(self.office.deliver(letter, self.now)[1])

    def _delete_person(self, value: SchedulingObject) -> None:
        """Delete an attendee, whose messages go with the home, and let the job of the server follow the group."""
        name = MEMBERS[1]
        key = self.person(name).user.key
        self.waiting = [
            each for each in self.waiting if key not in (each.message.sender.key, each.message.recipient.key)
        ]
        erase = not self.waiting and bool(self.choices.below(2))
        self.history.append(f"{name} is {'erased' if erase else 'deleted'}")
        was_member = name in self.office.members
        self.office.delete(name, erase=erase)
        self.attendees = tuple(each for each in ATTENDEES if each != name)
        value = self.organizer.value or value
        if was_member and invited_groups(self.office.directory, value):
            self._put(self.organizer, read_object(value.text), f"has a group of {self.office.members}", etag=True)

    def _is_sending(self) -> bool:
        """Whether messages of the organizer are on their way: then the meeting is not handed over."""
        return any(each.message.sender.key == self.organizer.user.key for each in self.waiting)

    def _act_of_attendee(self, name: str) -> None:
        if name != self._organizer:
            super()._act_of_attendee(name)

    def check(self) -> None:
        """All copies here agree with the organizer's object, and that elsewhere in times and texts."""
        for name in self.attendees:
            if name != self._organizer and not (name == OUTSIDER and self.office.lost):
                self._check_copy(name)

    def _check_copy(self, name: str) -> None:
        self._checked = name
        super()._check_copy(name)

    def _facts(self, value: SchedulingObject, component: SchedulingComponent) -> tuple[object, ...]:
        *facts, answers = super()._facts(value, component)
        if self._checked == OUTSIDER:
            return tuple(facts)  # others' answers are never mailed
        assert isinstance(answers, dict)
        unknown = {TEAM.key, *self.office.forgotten}
        return (*facts, {key: each for key, each in answers.items() if key not in unknown})
