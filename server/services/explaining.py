"""What somebody may do with a path, in words, and why."""

from __future__ import annotations

from collections.abc import Iterator

from server.auth import policy
from server.domain.actors import Actor
from server.domain.errors import AccessDenied
from server.domain.objects import Target
from server.domain.principals import Principal
from server.domain.privileges import CONTAINED, Privilege, Privileges
from server.services.lookup import Found, Lookup


async def explain(lookup: Lookup, actor: Actor, target: Target | None) -> list[str]:
    """Lines that say what an actor may do with the resource of a target, and what gives it to them.

    Raises `SignInRequired` if the actor is disabled.
    """
    assert actor.principal is not None
    name = actor.principal.name
    try:
        found = await lookup.find(actor, target, Privilege.READ, or_need=Privilege.READ_FREE_BUSY)
    except AccessDenied:
        return [f"{name} may neither read nor ask for busy times there, and is not told whether it exists."]
    return [*_reasons(name, found), _may(name, found.privileges), *_member(name, found)]


def _reasons(name: str, found: Found) -> Iterator[str]:
    viewer, owner, collection = found.viewer, found.owner, found.collection
    if viewer is None or owner is None or found.target is None or found.target.home is None:
        yield "Everybody who is signed in reads principals and the folders above homes."
        return
    whose = f"the home of {owner.name}"
    match policy.relation(viewer, owner):
        case "owner":
            yield f"It lies in {whose}, which is their own."
        case "admin" if owner.id != viewer.id:
            yield f"{name} is an administrator; it lies in {whose}."
        case _:
            yield f"It lies in {whose}."
    if collection is not None and collection.rights != "owner":
        yield f"It is somebody else's: {owner.name} has it because it was shared for {collection.rights}."
    yield from _grants(viewer, found)


def _grants(viewer: Principal, found: Found) -> Iterator[str]:
    assert found.owner is not None
    grants, collection = found.grants, found.collection
    concerned = grants.groups | {viewer.id}
    for delegate, rights in grants.delegates:
        if delegate in concerned:
            yield f"They are a delegate of {found.owner.name} who may {rights}{_by_group(delegate, viewer)}."
    if collection is None:
        return
    for id_, whom, shared in grants.shares:
        if id_ == collection.id and whom in concerned:
            yield f"It is shared with them for {shared}{_by_group(whom, viewer)}."
    for ace in grants.aces:
        if ace.collection_id == collection.id and (ace.whom in ("all", "authenticated") or ace.whom in concerned):
            verb = "grants" if ace.grants else "denies"
            yield f"An access control entry {verb} them {_names(frozenset(ace.privileges))}."


def _by_group(whom: int, viewer: Principal) -> str:
    return "" if whom == viewer.id else ", by a group"


def _may(name: str, held: Privileges) -> str:
    return f"{name} has {_names(held)}." if held else f"{name} has no privilege."


def _names(held: Privileges) -> str:
    """The names of privileges, without those that another one contains."""
    contained = frozenset[Privilege]().union(*(CONTAINED.get(each, frozenset()) for each in held))
    return ", ".join(each.rpartition("}")[2] for each in Privilege if each in held - contained)


def _member(name: str, found: Found) -> Iterator[str]:
    if found.target is not None and found.target.collection is not None and found.collection is None:
        yield "Nothing has this name."
        return
    if found.target is None or found.target.object is None:
        if found.collection is not None and found.collection.kind in ("calendar", "inbox"):
            yield f"Of what is private in it, {name} sees {'a part' if _sees_parts(found) else 'the whole'}."
        return
    if found.object is None:
        yield "Nothing has this name."
    elif found.sees_part:
        yield f"It is private: {name} sees a block, and may not write it."
    elif found.object.private:
        yield f"It is private: {name} sees the whole, and others see a block."
    else:
        yield "It is not private."


def _sees_parts(found: Found) -> bool:
    return found.collection is not None and (found.collection.blocks or found.collection.view is not None)
