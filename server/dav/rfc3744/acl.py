"""RFC 3744 §5.5: DAV:acl, what everybody may do with a resource; and DAV:inherited-acl-set (§5.7).

What follows from owning a home, from being an administrator or a delegate, and from sharing cannot be changed by the
ACL method, and so is protected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.auth import policy
from server.dav.core import names
from server.dav.core.names import caldav, dav
from server.dav.core.request import Request
from server.dav.core.resource import (
    OBJECTS,
    InCollection,
    InHome,
    Kind,
    Resource,
    delegates_href,
    holder_of,
    parent_of,
    principal_href,
)
from server.domain.grants import NOTHING_GRANTED, AccessList
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.services.lookup import Found

_FACTS = "acl"
WITH_DELEGATES = frozenset(
    {
        Kind.CALENDAR_HOME,
        Kind.CALENDAR,
        Kind.CALENDAR_OBJECT,
        Kind.INBOX,
        Kind.OUTBOX,
        Kind.NOTIFICATIONS,
        Kind.NOTIFICATION,
    }
)
"""Kinds of resources to which delegates have access."""
_SHARED = {"read": ("read",), "write": ("read", "write")}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the lists of all resources in a home are made of."""

    administrators: tuple[Principal, ...]
    granted: AccessList


def privilege(name: str) -> str:
    """A `DAV:privilege` element."""
    return f"<D:privilege>{names.element(name)}</D:privilege>"


def ace(
    principal: str, privileges: Sequence[str], *, grants: bool = True, protected: bool = True, inherited: str = ""
) -> str:
    """A `DAV:ace`. `principal` is markup; `inherited` the URL of the resource that it comes from."""
    verb = "grant" if grants else "deny"
    more = "<D:protected/>" if protected else ""
    more += f"<D:inherited>{names.href(inherited)}</D:inherited>" if inherited else ""
    what = "".join(privilege(name) for name in privileges)
    return f"<D:ace><D:principal>{principal}</D:principal><D:{verb}>{what}</D:{verb}>{more}</D:ace>"


async def load(request: Request, resources: Sequence[Resource]) -> list[None]:
    """Finds out what the lists of resources, and of those listed with them, need: once for each home."""
    readable: dict[int, list[Found]] = {}
    for resource in resources:
        if isinstance(resource, InHome):
            found = readable.setdefault(resource.home.id, [])
            if Privilege.READ_ACL in resource.found.privileges:
                found.append(resource.found)
    administrators: tuple[Principal, ...] | None = None
    for home_id, found in readable.items():
        if not found:
            # The lists are there, but not to be read.
            request.facts[_FACTS, home_id] = Facts((), NOTHING_GRANTED)
            continue
        if administrators is None:
            administrators = tuple(await request.site.people.administrators(found[0]))
        granted = await request.site.people.access_list(found)
        request.facts[_FACTS, home_id] = Facts(administrators, granted)
    return [None] * len(resources)


def render(request: Request, resource: Resource) -> str | None:
    """The entries of a resource, in the order in which they count."""
    if not isinstance(resource, InHome):
        return ace("<D:authenticated/>", (dav("read"),))
    facts = request.facts.get((_FACTS, resource.home.id))
    if not isinstance(facts, Facts):
        return None
    out = [ace(_href(request, holder), _held(request, resource, holder)) for holder in _holders(resource, facts)]
    if resource.kind in WITH_DELEGATES:
        from_home = "" if resource.kind is Kind.CALENDAR_HOME else request.url(_above(resource)[-1])
        write = names.href(request.url(delegates_href(resource.owner, "write")))
        read = names.href(request.url(delegates_href(resource.owner, "read")))
        out.append(ace(write, (dav("read"), dav("write")), inherited=from_home))
        out.append(ace(read, (dav("read"),), inherited=from_home))
        if resource.kind is Kind.OUTBOX:
            out.append(ace(write, (caldav("schedule-send"),)))
            out += [ace(_href(request, whom), sorted(policy.INVITING)) for whom in _inviting(resource, facts)]
    if isinstance(resource, InCollection) and resource.collection.kind in policy.GRANTABLE:
        out += _own(request, resource, facts.granted, resource.collection.id)
    if resource.kind is Kind.INBOX:
        last = policy.for_everyone(resource.owner, asked_by_all=resource.found.asked_by_all)
        out.append(ace("<D:authenticated/>", last.privileges))
    return "".join(out)


def _own(request: Request, resource: InCollection, granted: AccessList, collection_id: int) -> list[str]:
    """What was granted on the collection itself, and which its members inherit."""
    inherited = request.url(_above(resource)[0]) if resource.kind in OBJECTS else ""
    out = []
    for share in granted.shares:
        if share.collection_id == collection_id:
            held = [dav(name) for name in _SHARED.get(share.rights, ())] or [caldav("read-free-busy")]
            out.append(ace(_href(request, share.whom), held, inherited=inherited))
    for entry in granted.entries:
        if entry.collection_id != collection_id:
            continue
        if isinstance(entry.whom, Principal):
            whom = _href(request, entry.whom)
        else:
            whom = "<D:property><D:owner/></D:property>" if entry.whom == "owner" else f"<D:{entry.whom}/>"
        out.append(ace(whom, entry.privileges, grants=entry.grants, protected=False, inherited=inherited))
    return out


def _inviting(resource: InHome, facts: Facts) -> list[Principal]:
    """Those who may invite from one of the shared calendars of the owner of an outbox."""
    if resource.kind is not Kind.OUTBOX:
        return []
    return list({share.whom.id: share.whom for share in facts.granted.shares if share.may_invite}.values())


def _holders(resource: InHome, facts: Facts) -> list[Principal]:
    """The owner of the home and the administrators."""
    others = [holder for holder in facts.administrators if holder.id != resource.owner.id]
    return [resource.owner, *others]


def _held(request: Request, resource: InHome, holder: Principal) -> Sequence[str]:
    """What a holder has without entries: everything, unless it is another's collection that their home shows."""
    rights = resource.collection.rights if isinstance(resource, InCollection) else "owner"
    if rights == "owner" or holder.id != resource.owner.id:
        return (dav("all"),)
    return [dav(name) for name in _SHARED[rights]]


def principals_in(resource: InHome, facts: Facts) -> list[Principal]:
    """The principals that the list names by URL, each once."""
    collection_id = resource.collection.id if isinstance(resource, InCollection) else 0
    named = [share.whom for share in facts.granted.shares if share.collection_id == collection_id]
    named += _inviting(resource, facts)
    named += [
        entry.whom
        for entry in facts.granted.entries
        if entry.collection_id == collection_id and isinstance(entry.whom, Principal)
    ]
    return list({item.id: item for item in (*_holders(resource, facts), *named)}.values())


async def facts_of(request: Request, resource: InHome) -> Facts:
    """What the list of a resource is made of."""
    await load(request, [resource])
    found = request.facts[_FACTS, resource.home.id]
    assert isinstance(found, Facts)
    return found


def inherited_from(request: Request, resource: Resource) -> str:
    """The resources whose lists count for this one too."""
    if not isinstance(resource, InCollection):
        return ""
    above = _above(resource)
    return "".join(names.href(request.url(href)) for href in (above if resource.kind in WITH_DELEGATES else above[:-1]))


def _above(resource: InHome) -> list[str]:
    """The URLs of the collection that a member lies in, and of the home that it or a collection lies in.

    Where members are listed, their collection stands for all of them.
    """
    collection = holder_of(resource) if isinstance(resource, InCollection) else resource
    home = parent_of(collection).href
    return [collection.href, home] if resource.kind in OBJECTS else [home]


def _href(request: Request, principal: Principal) -> str:
    return names.href(request.url(principal_href(principal)))
