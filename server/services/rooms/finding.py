"""Finding rooms and times for a meeting, as who asks may see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from server.booking.finding import Candidate, Findings, Needs, Wanted, find
from server.booking.suggesting import Participant, Suggestions, WantedTimes, suggest
from server.domain.actors import Actor
from server.domain.errors import BadRequest, NotFound, TooManyAttendees
from server.domain.limits import Limits
from server.domain.principals import Principal, name_key
from server.domain.rooms import RoomSearch
from server.process.computing import computed
from server.services.lookup import Lookup
from server.services.rooms.candidates import candidates
from server.services.scheduling.busy_times import BusyTimes
from server.storage import Storage
from server.storage.access import Access
from server.storage.scheduling import AddressedPrincipal, AddressSearch

MAX_WINDOW = timedelta(days=92)
"""The longest time that is searched."""
MAX_DURATION = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Where:
    """Only rooms of this site and building; empty: all."""

    site: str = ""
    building: str = ""


EVERYWHERE = Where()


class RoomFinding:
    """Finds rooms and times."""

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
        self._busy_times = BusyTimes(storage, access, lookup, limits, clock)

    async def find(self, actor: Actor, wanted: Wanted, zone: tzinfo, limit: int, where: Where = EVERYWHERE) -> Findings:
        """The rooms for a meeting that the actor organizes, ranked, at most `limit`.

        Raises `BadRequest` for a time that is over, and for too long a window.
        """
        self._check(wanted.start, wanted.until, wanted.duration)
        rooms = await self._candidates(actor, wanted.needs, wanted.duration, (wanted.start, wanted.until), where)
        return await computed(find, rooms, wanted, zone, limit)

    async def suggest_times(
        self,
        actor: Actor,
        required: Sequence[str],
        optional: Sequence[str],
        wanted: WantedTimes,
        zone: tzinfo,
        where: Where = EVERYWHERE,
    ) -> Suggestions:
        """The best times for a meeting of people here that the actor organizes.

        People and groups are given by name, e-mail address or id. If the needs of the room name no number of people,
        it seats all of them. The times of people whom the actor may not ask are not known.

        Raises `NotFound` for somebody who is not here, `TooManyAttendees`, and `BadRequest` as `find`.
        """
        self._check(wanted.start, wanted.end, wanted.duration)
        people = await self._people(required, optional)
        if wanted.needs is not None and not wanted.needs.people:
            wanted = replace(wanted, needs=replace(wanted.needs, people=len(people)))
        window = wanted.start, wanted.end
        here = [each.principal for each, _ in people if not each.elsewhere]
        busy = await self._busy_times.of_people(actor, here, *window)
        participants = [
            Participant(each.principal.display_name, busy.get(each.principal.id), is_required)
            for each, is_required in people
        ]
        rooms: list[Candidate] = []
        if wanted.needs is not None:
            rooms = await self._candidates(actor, wanted.needs, wanted.duration, window, where)
        return await computed(suggest, participants, rooms, wanted, zone)

    async def _candidates(
        self, actor: Actor, needs: Needs, duration: timedelta, window: tuple[datetime, datetime], where: Where
    ) -> list[Candidate]:
        search = RoomSearch(frozenset((needs.type,)), where.site or None, where.building or None)
        return await candidates(self._storage, self._lookup, actor, search, needs, duration, window, self._clock())

    async def _people(self, required: Sequence[str], optional: Sequence[str]) -> list[tuple[AddressedPrincipal, bool]]:
        """The people who are named, those of groups too, with whether they are required; each once."""
        names = [*required, *optional]
        keys = frozenset(name_key(name.removeprefix("mailto:")) for name in names)
        found = await self._storage.addressed(AddressSearch(frozenset(names), keys, keys))
        named: list[AddressedPrincipal] = []
        for name in names:
            key = name_key(name.removeprefix("mailto:"))
            each = next((each for each in found if _is_named(each, name, key)), None)
            if each is None or each.principal.kind in ("room", "resource"):
                raise NotFound(f"There is nobody named {name}.")
            named.append(each)
        groups = sorted({each.principal.id for each in named if each.principal.kind == "group"})
        members = await self._access.all_members_of(groups) if groups else {}
        people: dict[int, tuple[AddressedPrincipal, bool]] = {}
        for number, each in enumerate(named):
            for person in _people_of(each, members):
                people.setdefault(person.principal.id, (person, number < len(required)))
            if len(people) > self._limits.max_attendees:
                raise TooManyAttendees
        return list(people.values())

    def _check(self, start: datetime, end: datetime, duration: timedelta) -> None:
        if not timedelta(0) < duration <= MAX_DURATION:
            raise BadRequest(f"A meeting takes more than no time and at most {MAX_DURATION.days} days.")
        if start + duration > end:
            raise BadRequest("The window is shorter than the meeting.")
        if end - start > MAX_WINDOW:
            raise BadRequest(f"At most {MAX_WINDOW.days} days are searched.")
        if start + duration <= self._clock():
            raise BadRequest("That time is over.")


def _people_of(named: AddressedPrincipal, members: Mapping[int, Sequence[Principal]]) -> Sequence[AddressedPrincipal]:
    """Somebody who is named; of a group, the people in it."""
    if named.principal.kind != "group":
        return [named]
    return [AddressedPrincipal(each, ()) for each in members[named.principal.id] if each.kind == "individual"]


def _is_named(each: AddressedPrincipal, name: str, key: str) -> bool:
    principal: Principal = each.principal
    addresses = map(name_key, (*principal.emails, *each.former_addresses))
    return name == principal.uid or key == name_key(principal.name) or key in addresses
