"""Finding a resource as somebody: the only way to what services read and change."""

from __future__ import annotations

from dataclasses import dataclass, replace

from server.auth import policy
from server.domain.actors import Actor
from server.domain.errors import AccessDenied, SignInRequired
from server.domain.grants import NO_GRANTS, Grants
from server.domain.objects import Collection, Home, Object, Target
from server.domain.principals import Principal
from server.domain.privileges import NO_PRIVILEGES, Privilege, Privileges
from server.domain.resolution import Resolution
from server.storage import Storage


@dataclass(frozen=True, slots=True)
class Found:
    """What a target names, as far as it exists, in the actor's view.

    Only this module makes it: it asks the policy for each.
    """

    viewer: Principal | None
    """The actor's principal as the database has it now; None: the installation."""
    target: Target | None
    """What was looked for."""
    privileges: Privileges = NO_PRIVILEGES
    """The actor's privileges on the collection and its members; where there is none, on the home or the principal."""
    owner: Principal | None = None
    home: Home | None = None
    collection: Collection | None = None
    object: Object | None = None
    grants: Grants = NO_GRANTS

    @property
    def name(self) -> str:
        """The name in the last place of the target: of the member, the collection or the owner."""
        target = self.target
        return "" if target is None else target.object or target.collection or target.owner

    def require(self, *privileges: Privilege) -> None:
        """Raises `AccessDenied` for the first of these privileges that the actor lacks."""
        for privilege in privileges:
            if privilege not in self.privileges:
                raise AccessDenied("", privilege)

    def demand_sight(self, need: Privilege) -> None:
        """Raises `AccessDenied` for `need` where the actor may not learn which members a collection has."""
        if self.collection is not None and Privilege.READ not in self.privileges:
            raise AccessDenied("", need)

    def holder(self) -> Found:
        """The collection that a member lies in, or the home of a collection; anything else itself.

        DAV:bind and DAV:unbind are held there (RFC 3744 §3.9, §3.10).
        """
        target = self.target
        if target is None or target.home is None:
            return self
        held, collection, name = self.privileges, self.collection, target.collection
        if target.object is None:
            if collection is not None:
                held = policy.on_home(self.viewer, self.owner, target.home, self.grants)
            collection = name = None
        above = Target(target.owner, target.by, target.home, name)
        return Found(self.viewer, above, held, self.owner, self.home, collection, None, self.grants)

    def child(self, collection: Collection) -> Found:
        """A collection that the home which was found shows."""
        assert self.target is not None
        held = policy.on_collection(self.viewer, self.owner, collection, self.grants)
        target = Target(self.target.owner, self.target.by, self.target.home, collection.name)
        return Found(self.viewer, target, held, self.owner, self.home, collection, None, self.grants)

    def new_member(self, name: str) -> Found:
        """A name in the collection that nothing has."""
        assert self.target is not None
        return replace(self, target=replace(self.target, object=name), object=None)


def principal_as_seen(viewer: Principal | None, principal: Principal) -> Found:
    """A principal that is known already, as somebody finds it."""
    held = policy.on_principal(viewer, principal)
    return Found(viewer, Target(principal.uid, "uid"), held, principal)


class Lookup:
    """Finds resources."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def resolve(self, principal_id: int, target: Target | None, *, text: bool) -> Resolution:
        """A principal as the database has it now, to confirm a sign-in, and what a target names (`known` of `find`)."""
        return await self._storage.resolve(principal_id, target, text=text)

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
        """What a target names, by one statement; None stands for the fixed resources above principals and homes.

        In a home that the actor may not read every target raises `AccessDenied`, whether it names something or not,
        except in a collection where they have `need`, the privilege that the error names, or `or_need`. The caller
        requires what it needs of what was found. `known` is what the statement that confirmed the sign-in found of the
        target. A calendar's sharees see their own view by its owner's URL too. Raises `SignInRequired` for a principal
        who is disabled or gone.
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
            held = policy.on_collection(viewer, found.owner, found.collection, found.grants)
        if held.isdisjoint((Privilege.READ, need, or_need)):
            raise AccessDenied("", need)
        if (
            viewer is not None
            and found.collection is not None
            and policy.sees_as_sharee(viewer, found.owner, found.collection, found.grants)
        ):
            found = await self._storage.seen_by(found, viewer.id, text=text)
        return Found(viewer, target, held, found.owner, found.home, found.collection, found.object, found.grants)
