"""Erasing somebody who is deleted from the meetings in the calendars of others. Nothing is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from server.auth import policy
from server.domain.actors import Actor
from server.domain.changes import ChangeSet, WriteLimits
from server.domain.contents import ObjectContent
from server.domain.errors import AccessDenied, InvalidData, NotFound
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import addresses
from server.itip.erasing import erased
from server.itip.scheduling_object import read_object
from server.services.changing import change
from server.services.lookup import Found, Lookup
from server.services.objects import Objects, text_of
from server.services.permissions import collection_of, member_of
from server.services.scheduling.calendar_users import address_of, directory_of
from server.storage import Storage
from server.storage.directory import PrincipalRecord
from server.storage.scheduling import MeetingPlace

_PAGE = 100


@dataclass(slots=True)
class Erased:
    """What an erasure has changed."""

    objects: int = 0
    """Objects and inbox items of others."""
    people: int = 0
    """Others in whose calendars these lie."""
    refused: int = 0
    """Objects that name the person as before, since they cannot be read."""


class Erasure:
    """The erasure of one person. It can be broken off and repeated, until the person is purged."""

    def __init__(
        self,
        storage: Storage,
        objects: Objects,
        limits: WriteLimits,
        actor: Actor,
        *,
        past: bool,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._storage, self._objects, self._limits, self._actor = storage, objects, limits, actor
        self._past, self._now = past, now
        self._lookup = Lookup(storage)

    async def erase(self, person: PrincipalRecord) -> Erased:
        """Put `urn:x-uid:` and "former member" in place of the addresses and the name of a person, in all meetings that
        their calendar home knows of. Meetings that are over stay, unless `past`.

        Raises `AccessDenied`.
        """
        if Privilege.UNBIND not in policy.on_directory(self._actor.principal):
            raise AccessDenied("", Privilege.UNBIND)
        done, people, after = Erased(), set[int](), ""
        while uids := await self._storage.meeting_uids(person.id, after=after, limit=_PAGE):
            for uid in uids:
                async for place in self._places(uid):
                    if place.owner.id == person.id:
                        continue
                    try:
                        if await change(partial(self._found, place), partial(self._erase, person)):
                            done.objects += 1
                            people.add(place.owner.id)
                    except NotFound:
                        continue  # it was deleted meanwhile
                    except InvalidData:
                        done.refused += 1
            after = uids[-1]
        done.people = len(people)
        return done

    async def _places(self, uid: str) -> AsyncIterator[MeetingPlace]:
        """Where the objects and inbox items of a UID lie. Texts are read one by one."""
        after = (0, 0)
        while page := await self._storage.meeting_places(uid, after=after, limit=_PAGE):
            for each in page:
                yield each
            after = page[-1].owner.id, page[-1].id

    async def _found(self, place: MeetingPlace) -> Found:
        target = Target(place.owner.uid, "uid", "calendar", place.collection, place.name)
        found = await self._lookup.find(self._actor, target, Privilege.WRITE_CONTENT, text=True)
        if found.object is None:
            raise NotFound
        return found

    async def _erase(self, person: PrincipalRecord, found: Found) -> bool:
        """Erase the person from one object; returns whether it named them."""
        member, collection = member_of(found), collection_of(found)
        old = read_object(await text_of(self._storage, found))
        address = address_of(person)
        directory = await directory_of(self._storage, addresses(old) | {address})
        new = erased(old, directory.user(address), address, directory)
        if new.text == old.text:
            return False
        body = new.text.encode()
        stays = not self._past and member.role is not SchedulingRole.INBOX
        # A content for the stored object has no times where they stay.
        if stays and _is_over(await self._objects.content(collection, body, None), self._now()):
            return False
        content = await self._objects.content(collection, body, member)
        content = replace(content, schedule_tag=member.schedule_tag)
        put = await self._objects.put_of(collection, found.name, content, member)
        await self._storage.apply(ChangeSet((put,), self._limits, self._actor.cause))
        return True


def _is_over(content: ObjectContent, now: datetime) -> bool:
    times = content.materialised
    return times is not None and not times.endless and times.span_end is not None and times.span_end <= now
