"""Finding a resource for an actor: services read and change only what was found here."""

from __future__ import annotations

from dataclasses import replace

from server.auth import policy
from server.domain.actors import Actor
from server.domain.errors import AccessDenied, SignInRequired, WriteConflict
from server.domain.grants import NO_GRANTS, Grants
from server.domain.objects import Collection, Home, Object, Target
from server.domain.principals import Principal
from server.domain.privileges import NO_PRIVILEGES, Privilege, Privileges
from server.domain.resolution import Resolution
from server.domain.values import value
from server.services.watching import SEEING, Watching
from server.storage import Storage


@value
class Found:
    """The resources that a target names, as far as they exist, in the actor's view.

    Only this module makes instances: it asks the policy for each.
    """

    viewer: Principal | None
    """The actor's principal, as it is stored now. None: the installation."""
    target: Target | None
    """The path that was resolved."""
    privileges: Privileges = NO_PRIVILEGES
    """The actor's privileges on the member, else on the collection and its members; without a collection, those on the
    home or the principal."""
    owner: Principal | None = None
    home: Home | None = None
    collection: Collection | None = None
    object: Object | None = None
    grants: Grants = NO_GRANTS
    asked_by_all: bool = True
    """As in `Lookup`."""

    @property
    def name(self) -> str:
        """The last name of the target: that of the member, the collection or the owner."""
        target = self.target
        return "" if target is None else target.object or target.collection or target.owner

    @property
    def sees_part(self) -> bool:
        """Whether the actor sees a part of the member only."""
        return self.collection is not None and policy.sees_part(self.collection, self.object)

    def require(self, *privileges: Privilege) -> None:
        """Raises `AccessDenied` for the first of these privileges that the actor lacks."""
        for privilege in privileges:
            if privilege not in self.privileges:
                raise AccessDenied("", privilege)

    def demand_sight(self, need: Privilege) -> None:
        """Raises `AccessDenied` for `need` if the actor may not see which members the collection has."""
        if self.collection is not None and Privilege.READ not in self.privileges:
            raise AccessDenied("", need)

    def holder(self) -> Found:
        """The collection of a member, the home of a collection, and any other resource itself.

        DAV:bind and DAV:unbind are privileges on that resource (RFC 3744 §3.9, §3.10).
        """
        target = self.target
        if target is None or target.home is None:
            return self
        held, collection, name = self.privileges, self.collection, target.collection
        if target.object is None:
            if collection is not None:
                held = policy.on_home(self.viewer, self.owner, target.home, self.grants)
            collection = name = None
        elif collection is not None and self.sees_part:
            held = policy.on_collection(
                self.viewer, self.owner, collection, self.grants, asked_by_all=self.asked_by_all
            )
        above = Target(target.owner, target.by, target.home, name)
        return replace(self, target=above, privileges=held, collection=collection, object=None)

    def of_owner(self, known: Resolution) -> Found:
        """The same in the home of the collection's owner and as the owner sees it, with the viewer's privileges there.

        What the viewer of a shared calendar changes for everybody is written so.
        """
        assert known.owner is not None
        assert known.collection is not None
        assert self.target is not None
        held = policy.on_collection(self.viewer, known.owner, known.collection, known.grants)
        if self.collection is not None:
            held = policy.on_member(held, self.collection, self.object)
        target = Target(known.owner.uid, "uid", self.target.home, known.collection.name, self.target.object)
        return Found(self.viewer, target, held, known.owner, known.home, known.collection, known.object, known.grants)

    def child(self, collection: Collection) -> Found:
        """One of the collections that the found home shows."""
        assert self.target is not None
        asked_by_all = self.asked_by_all
        held = policy.on_collection(self.viewer, self.owner, collection, self.grants, asked_by_all=asked_by_all)
        if not policy.sees_private(self.viewer, self.owner, collection, self.grants):
            collection = replace(collection, blocks=True)
        target = Target(self.target.owner, self.target.by, self.target.home, collection.name)
        return replace(self, target=target, privileges=held, collection=collection, object=None)

    def as_now(self, home: Home) -> Found:
        """The same home, as it was read again."""
        return replace(self, home=home)

    def new_member(self, name: str) -> Found:
        """A free name in the collection."""
        assert self.target is not None
        return replace(self, target=replace(self.target, object=name), object=None)


def principal_as_seen(viewer: Principal | None, principal: Principal) -> Found:
    """A principal that was read before, with the privileges that the viewer has on it."""
    held = policy.on_principal(viewer, principal)
    return Found(viewer, Target(principal.uid, "uid"), held, principal)


class Lookup:
    """Finds resources.

    :param asked_by_all: whether the installation lets everyone ask when people are busy
        (`server.auth.policy.for_everyone`).
    :param watching: records that administrators read what is others'.
    """

    def __init__(self, storage: Storage, *, asked_by_all: bool = True, watching: Watching | None = None) -> None:
        self._storage = storage
        self._watching = watching
        self.asked_by_all = asked_by_all

    async def resolve(self, principal_id: int, target: Target | None, *, text: bool) -> Resolution:
        """Read a principal, to confirm a sign-in, and the resources of a target. The result is `known` of `find`."""
        return await self._storage.resolve(principal_id, target, text=text)

    async def in_owners_home(self, found: Found) -> Found:
        """What was found in a shared calendar, in the home of its owner and with the text that the owner sees.

        Raises `WriteConflict` if it has changed since it was found.
        """
        collection, viewer = found.collection, found.viewer
        assert collection is not None
        assert found.target is not None
        place = await self._storage.owners_target(collection)
        if place is None:
            raise WriteConflict
        place = replace(place, object=found.target.object)
        known = await self._storage.resolve(None if viewer is None else viewer.id, place, text=True)
        if known.owner is None or known.collection is None or known.collection.id != collection.id:
            raise WriteConflict
        if _state(known.object) != _state(found.object):
            raise WriteConflict
        return found.of_owner(known)

    async def find(
        self,
        actor: Actor,
        target: Target | None,
        need: Privilege,
        *,
        or_need: Privilege = Privilege.READ,
        text: bool = False,
        known: Resolution | None = None,
    ) -> Found:
        """Find the resources of a target by one statement. The target None means the fixed resources above principals
        and homes.

        Raises `AccessDenied`, which names `need`, if the actor has neither DAV:read nor `need` nor `or_need` on the
        collection, or on the home if there is no such collection. The error is the same for resources that exist and
        for free names. The caller demands all other privileges on the result.

        `known` is the result of the statement that confirmed the sign-in. Sharees of a calendar get their own view by
        its owner's URL, too. Raises `SignInRequired` if the principal is disabled or deleted.
        """
        found = known if known is not None else await self._storage.resolve(actor.viewer_id, target, text=text)
        viewer = None if actor.principal is None else found.viewer
        if actor.principal is not None and (viewer is None or viewer.disabled):
            raise SignInRequired
        if target is None:
            return Found(viewer, None, policy.on_fixed(viewer))
        if target.home is None:
            return Found(viewer, target, policy.on_principal(viewer, found.owner), found.owner)
        if found.owner is None:
            return Found(viewer, target)
        if found.collection is None:
            held = policy.on_home(viewer, found.owner, target.home, found.grants)
        else:
            asked_by_all = self.asked_by_all
            held = policy.on_collection(viewer, found.owner, found.collection, found.grants, asked_by_all=asked_by_all)
        if held.isdisjoint((Privilege.READ, need, or_need)):
            raise AccessDenied("", need)
        if viewer is not None and viewer.is_admin and need in SEEING and self._watching is not None:
            others = viewer.id != found.owner.id and found.owner.kind != "directory"
            if others and found.home is not None:
                # Before anything is given out.
                await self._watching.reads(actor, viewer, found.owner, target.home)
        if (
            viewer is not None
            and found.collection is not None
            and policy.sees_as_sharee(viewer, found.owner, found.collection, found.grants)
        ):
            found = await self._storage.seen_by(found, viewer.id, text=text)
        elif (
            found.collection is not None
            and found.collection.view is None
            and not policy.sees_private(viewer, found.owner, found.collection, found.grants)
        ):
            found = await self._storage.with_blocks(found, text=text)
        if found.collection is not None:
            held = policy.on_member(held, found.collection, found.object)
        return Found(
            viewer,
            target,
            held,
            found.owner,
            found.home,
            found.collection,
            found.object,
            found.grants,
            self.asked_by_all,
        )


def _state(found: Object | None) -> tuple[int, int] | None:
    return None if found is None else (found.id, found.revision)
