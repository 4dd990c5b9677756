"""Busy times of calendar users, asked for through an outbox (RFC 6638 §5, RFC 5546 §3.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from typing import Literal

from server.auth import policy
from server.calendar.aggregate import PRODUCT_ID
from server.calendar.component import parse_calendar
from server.calendar.contentline import Property, decode
from server.calendar.freebusy import BusyPeriod, merge
from server.domain.actors import Actor
from server.domain.errors import InvalidOrganizer
from server.domain.limits import Limits
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.itip.calendar_users import Directory
from server.itip.free_busy import FreeBusyRequest, read_request, reply
from server.process.computing import computed
from server.services.lookup import Found, Lookup
from server.services.permissions import principal_of
from server.services.scheduling.busy_events import busy_events
from server.services.scheduling.calendar_users import addressed, calendar_user
from server.services.time.free_busy import InboxAvailability, busy_people
from server.storage import Storage
from server.storage.access import Access
from server.storage.scheduling import Mailbox

Status = Literal["2.0;Success", "3.7;Invalid calendar user", "3.8;No authority", "5.1;Service unavailable"]
"""Request statuses of attendees (RFC 6638 §10.4, RFC 5546 §3.6)."""
SUCCESS: Status = "2.0;Success"
INVALID: Status = "3.7;Invalid calendar user"
DENIED: Status = "3.8;No authority"
UNAVAILABLE: Status = "5.1;Service unavailable"

AVAILABILITY = "{urn:ietf:params:xml:ns:caldav}calendar-availability"
_PEOPLE_AT_ONCE = 200
"""People whose busy times one statement reads."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer for one attendee."""

    recipient: str
    """The address as the request has it."""
    status: Status
    calendar: str | None = None
    """The reply as iCalendar text; only of `SUCCESS`."""


@dataclass(slots=True)
class _Asked:
    """What is known of the people whose busy times are asked for; by id."""

    people: Mapping[int, Principal]
    """Without the members of groups that lead to too many people."""
    denied: set[int] = field(default_factory=set)
    busy: dict[int, list[BusyPeriod] | None] = field(default_factory=dict)
    """None: they cannot be computed with bounded work."""
    masked: list[tuple[int, int]] = field(default_factory=list)
    """Pairs of people and objects that do not count."""


class BusyTimes:
    """Answers requests for busy times."""

    def __init__(
        self,
        storage: Storage,
        access: Access,
        lookup: Lookup,
        limits: Limits,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._storage = storage
        self._access = access
        self._lookup = lookup
        self._limits = limits
        self._clock = clock

    async def ask(self, actor: Actor, outbox: Found, body: bytes) -> list[Answered]:
        """The answers for the attendees of a request, in its order.

        The owner of the outbox asks, also where a delegate acts for them. The answer for a group are the merged busy
        times of those members whom the owner may ask.

        Raises `AccessDenied` without CALDAV:schedule-send-freebusy on the outbox, `InvalidCalendarData`,
        `InvalidSchedulingMessage`, `InvalidOrganizer`, and `TooManyInstances` if the window is too long.
        """
        outbox.require(Privilege.SCHEDULE_SEND_FREE_BUSY)
        asker = principal_of(outbox)
        request = await computed(_read, body, self._limits.max_attendees)
        found = await addressed(self._storage, [line.value for line in (request.organizer, *request.attendees)])
        directory = Directory(map(calendar_user, found))
        if directory.user(request.organizer.value).principal_id != asker.id:
            raise InvalidOrganizer
        named = {each.principal.id: each.principal for each in found}
        recipients = [named.get(directory.user(line.value).principal_id or 0) for line in request.attendees]
        people = await self._people_of(recipients)
        asked = await self._busy(actor, asker, request, directory, _within(people.values(), self._limits.max_attendees))
        events = await self._events(actor, request, recipients, asked) if request.extended else {}
        return await computed(_answers, request, recipients, people, asked, events, self._clock())

    async def of_people(
        self, actor: Actor, people: Sequence[Principal], start: datetime, end: datetime
    ) -> dict[int, list[BusyPeriod] | None]:
        """The merged busy periods of people in a window, by id, as far as the actor may ask for them.

        None: the actor may not, or they cannot be computed with bounded work. Raises `TooManyInstances` if the window
        is too long.
        """
        asker = actor.principal
        by_id = {each.id: each for each in people}
        busy: dict[int, list[BusyPeriod] | None] = dict.fromkeys(by_id)
        ids = list(by_id)
        for at in range(0, len(ids), _PEOPLE_AT_ONCE):
            page = ids[at : at + _PEOPLE_AT_ONCE]
            found = await self._mailboxes(0 if asker is None else asker.id, page, None)
            allowed = [each for each in found if asker is None or self._may_ask(asker, by_id[each.principal_id], each)]
            busy |= await self._periods(actor, allowed, start, end)
        return busy

    async def _periods(
        self,
        actor: Actor,
        allowed: Sequence[Mailbox],
        start: datetime,
        end: datetime,
        masked: Iterable[tuple[int, int]] = (),
    ) -> dict[int, list[BusyPeriod] | None]:
        """The merged busy periods of the owners of inboxes, by id."""
        ids = [mailbox.principal_id for mailbox in allowed]
        periods = await busy_people(
            self._storage,
            self._lookup,
            ids,
            start,
            end,
            actor.origin,
            availability=_availability(allowed),
            masked=masked,
        )
        return dict(zip(ids, periods, strict=True))

    async def _events(
        self, actor: Actor, request: FreeBusyRequest, recipients: Iterable[Principal | None], asked: _Asked
    ) -> dict[int, str]:
        """The events of recipients who are no groups, as far as the actor may read them."""
        found = {}
        for recipient in recipients:
            if recipient is not None and asked.busy.get(recipient.id) is not None:
                masked = [object_id for person, object_id in asked.masked if person == recipient.id]
                window = request.start, request.end
                found[recipient.id] = await busy_events(self._storage, self._lookup, actor, recipient, window, masked)
        return found

    async def _people_of(self, recipients: Iterable[Principal | None]) -> dict[int, list[Principal]]:
        """For each recipient, the people whose busy times are the answer: of a group, its members."""
        here = {each.id: each for each in recipients if each is not None}
        groups = [each.id for each in here.values() if each.kind == "group"]
        members = await self._access.all_members_of(groups) if groups else {}
        return {
            id_: [member for member in members[id_] if member.kind != "group"] if each.kind == "group" else [each]
            for id_, each in here.items()
        }

    async def _busy(
        self,
        actor: Actor,
        asker: Principal,
        request: FreeBusyRequest,
        directory: Directory,
        people: Mapping[int, Principal],
    ) -> _Asked:
        asked = _Asked(people)
        ids = list(people)
        for at in range(0, len(ids), _PEOPLE_AT_ONCE):
            page = ids[at : at + _PEOPLE_AT_ONCE]
            mailboxes = await self._mailboxes(asker.id, page, request.masked_uid)
            masked = await computed(_masked, mailboxes, page, directory, asker.id) if request.masked_uid else []
            allowed = []
            for mailbox in mailboxes:
                person = people.get(mailbox.principal_id)
                if person is None or person.id not in page:
                    continue
                if self._may_ask(asker, person, mailbox):
                    allowed.append(mailbox)
                else:
                    asked.denied.add(person.id)
            asked.masked += masked
            asked.busy |= await self._periods(actor, allowed, request.start, request.end, masked)
        return asked

    async def _mailboxes(self, asker: int, people: Sequence[int], masked_uid: str | None) -> Sequence[Mailbox]:
        """The inboxes of people, and of their calendars what the answer needs."""
        if masked_uid:
            # An event of the asker counts for others to whom their calendar is shown, so their own home is read, too.
            return await self._storage.mailboxes(asker, list({*people, asker}), masked_uid)
        found = await self._storage.inboxes(asker, people)
        available = [each.principal_id for each in found if each.inbox and AVAILABILITY in each.inbox.properties]
        if not available:
            return found
        # A calendar gives floating times of the availability their zone.
        whole = {each.principal_id: each for each in await self._storage.mailboxes(asker, available, "")}
        return [whole.get(each.principal_id, each) for each in found]

    def _may_ask(self, asker: Principal, person: Principal, mailbox: Mailbox) -> bool:
        if mailbox.inbox is None:
            return False
        asked_by_all = self._lookup.asked_by_all
        return policy.may_ask(asker, person, mailbox.inbox, mailbox.grants, asked_by_all=asked_by_all)


def _read(body: bytes, max_attendees: int) -> FreeBusyRequest:
    return read_request(decode(body), max_attendees)


def _within(people: Iterable[Sequence[Principal]], limit: int) -> dict[int, Principal]:
    """The people of recipients, by id; of groups that lead to more than `limit` people in all, nobody."""
    found: dict[int, Principal] = {}
    for of_recipient in sorted(people, key=len):
        more = found | {person.id: person for person in of_recipient}
        if len(more) > limit:
            break
        found = more
    return found


def _availability(mailboxes: Iterable[Mailbox]) -> dict[int, InboxAvailability]:
    """CALDAV:calendar-availability of the inboxes that have it."""
    found = {}
    for mailbox in mailboxes:
        stored = "" if mailbox.inbox is None else mailbox.inbox.properties.get(AVAILABILITY, "")
        # The value is one element that holds text only.
        text = unescape(stored[stored.find(">") + 1 : stored.rfind("</")])
        if text.strip():
            first = min(mailbox.calendars, key=lambda each: each.name, default=None)
            found[mailbox.principal_id] = InboxAvailability(text, None if first is None else first.timezone)
    return found


def _masked(
    mailboxes: Iterable[Mailbox], people: Iterable[int], directory: Directory, asker: int
) -> list[tuple[int, int]]:
    """The pairs of people and objects that do not count (X-CALENDARSERVER-MASK-UID): those that the asker organizes,
    and for the asker those without an organizer."""
    found: set[tuple[int, int]] = set()
    for mailbox in mailboxes:
        if mailbox.object is None or mailbox.object.text is None:
            continue
        organizers = {
            line.value
            for component in parse_calendar(mailbox.object.text).components
            for line in component.all("ORGANIZER")
        }
        if not organizers and mailbox.principal_id == asker:
            found.add((asker, mailbox.object.id))
        elif organizers and {directory.user(address).principal_id for address in organizers} == {asker}:
            found |= {(person, mailbox.object.id) for person in people}
    return sorted(found)


def _answers(
    request: FreeBusyRequest,
    recipients: Sequence[Principal | None],
    people: Mapping[int, Sequence[Principal]],
    asked: _Asked,
    events: Mapping[int, str],
    now: datetime,
) -> list[Answered]:
    found = []
    for line, recipient in zip(request.attendees, recipients, strict=True):
        status, periods = (INVALID, []) if recipient is None else _outcome(request, people[recipient.id], asked)
        calendar = None
        if status == SUCCESS and recipient is not None:
            calendar = reply(request, line, periods, now, PRODUCT_ID, events.get(recipient.id, ""))
        found.append(Answered(_address(line), status, calendar))
    return found


def _outcome(
    request: FreeBusyRequest, people: Sequence[Principal], asked: _Asked
) -> tuple[Status, Sequence[BusyPeriod]]:
    """The status of a recipient, and the merged busy times of the people."""
    if any(person.id not in asked.people for person in people):
        return UNAVAILABLE, []
    known = [asked.busy[person.id] for person in people if person.id in asked.busy]
    if not known:
        denied = any(person.id in asked.denied for person in people)
        return (DENIED if denied else INVALID), []
    periods: list[BusyPeriod] = []
    for busy in known:
        if busy is None:
            return UNAVAILABLE, []
        periods += busy
    return SUCCESS, periods if len(known) == 1 else merge(periods, request.start, request.end)


def _address(line: Property) -> str:
    return line.value.strip()
