"""RFC 3744, its properties: principals, owners, privileges and the access control lists that follow from the policy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from server.dav.core import names
from server.dav.core.names import caldav, dav
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import (
    EVERY,
    OWNED,
    PRINCIPAL,
    PRINCIPALS,
    Kind,
    Kinds,
    Owned,
    PrincipalResource,
    Resource,
    delegates_href,
    principal_href,
)
from server.dav.rfc3744 import acl as acl
from server.domain.principals import Principal
from server.domain.privileges import CONTAINED, Privilege

WITH_OWNER = Kinds.of(Owned, *OWNED, *PRINCIPALS)
_CALENDARS = frozenset({Kind.CALENDAR_HOME, Kind.CALENDAR, Kind.INBOX, Kind.OUTBOX, Kind.CALENDAR_OBJECT})

_DESCRIPTIONS = {
    dav("all"): "Everything",
    dav("read"): "Read",
    caldav("read-free-busy"): "See when somebody is busy",
    dav("read-current-user-privilege-set"): "See what one may do",
    dav("write"): "Change everything",
    dav("write-properties"): "Change properties",
    dav("write-content"): "Change content",
    dav("bind"): "Make members",
    dav("unbind"): "Delete members",
    dav("unlock"): "Remove the locks of others",
    dav("read-acl"): "See who may do what",
    dav("write-acl"): "Decide who may do what",
    caldav("schedule-deliver"): "Deliver scheduling messages",
    caldav("schedule-deliver-invite"): "Deliver invitations",
    caldav("schedule-deliver-reply"): "Deliver replies",
    caldav("schedule-query-freebusy"): "Ask when somebody is busy",
    caldav("schedule-send"): "Send scheduling messages",
    caldav("schedule-send-invite"): "Send invitations",
    caldav("schedule-send-reply"): "Send replies",
    caldav("schedule-send-freebusy"): "Ask when others are busy",
}


def privilege(name: str) -> str:
    """A `DAV:privilege` element."""
    return f"<D:privilege>{names.element(name)}</D:privilege>"


def _supported(name: str, *inner: str) -> str:
    description = f'<D:description xml:lang="en">{_DESCRIPTIONS[name]}</D:description>'
    return f"<D:supported-privilege>{privilege(name)}{description}{''.join(inner)}</D:supported-privilege>"


@lru_cache(maxsize=len(Kind))
def supported_privileges(kind: Kind) -> str:
    """The tree of privileges (§5.3) of a kind of resource.

    CALDAV:read-free-busy lies within DAV:read (RFC 4791 §6.1.1), those of inbox and outbox within DAV:all (RFC 6638
    §6.3).
    """
    free_busy = (_supported(caldav("read-free-busy")),) if kind in _CALENDARS else ()
    parts = ("write-properties", "write-content", "bind", "unbind")
    scheduling = {Kind.INBOX: Privilege.SCHEDULE_DELIVER, Kind.OUTBOX: Privilege.SCHEDULE_SEND}.get(kind)
    return _supported(
        dav("all"),
        _supported(dav("read"), *free_busy, _supported(dav("read-current-user-privilege-set"))),
        _supported(dav("write"), *(_supported(dav(part)) for part in parts)),
        _supported(dav("unlock")),
        _supported(dav("read-acl")),
        _supported(dav("write-acl")),
        *(() if scheduling is None else (_supported(scheduling, *map(_supported, sorted(CONTAINED[scheduling]))),)),
    )


def _supported_privilege_set(request: Request, resource: Resource) -> str:
    return supported_privileges(resource.kind)


def _current_user_privilege_set(request: Request, resource: Resource) -> str:
    held = request.privileges(resource)
    return "".join(privilege(name) for name in _DESCRIPTIONS if name in held)


def _owner(request: Request, resource: Owned) -> str:
    return names.href(request.url(principal_href(resource.owner)))


def _nothing(request: Request, resource: Resource) -> None:
    return None


def _acl_restrictions(request: Request, resource: Resource) -> str:
    return "<D:no-invert/>"


def _principal_collection_set(request: Request, resource: Resource) -> str:
    return names.href(request.url("/principals/"))


def _principal_url(request: Request, resource: PrincipalResource) -> str:
    return names.href(request.url(principal_href(resource.owner)))


def _alternate_uri_set(request: Request, resource: PrincipalResource) -> str:
    return names.href(request.url(principal_href(resource.owner, by_uid=False)))


def _href(request: Request, principal: Principal) -> str:
    return names.href(request.url(principal_href(principal)))


async def _load_members(request: Request, resources: Sequence[PrincipalResource]) -> list[str]:
    members = await request.site.people.members_of([resource.found for resource in resources])
    return ["".join(_href(request, item) for item in members[resource.owner.id]) for resource in resources]


async def _load_groups(request: Request, resources: Sequence[PrincipalResource]) -> list[str]:
    """The groups that each is a direct member of, those of delegates too (caldav-proxy §5.2)."""
    principals = [resource.found for resource in resources]
    groups = await request.site.people.groups_of(principals)
    delegators = await request.site.people.delegators(principals, through_groups=False)
    return [
        "".join(_href(request, item) for item in groups[id_])
        + "".join(names.href(request.url(delegates_href(item.principal, item.rights))) for item in delegators[id_])
        for id_ in (resource.owner.id for resource in resources)
    ]


STANDARD = Standard(
    "RFC 3744",
    properties=(
        Property(dav("alternate-URI-set"), PRINCIPAL, _alternate_uri_set),
        Property(dav("principal-URL"), PRINCIPAL, _principal_url),
        Property(dav("group-member-set"), PRINCIPAL, _nothing, load=_load_members),
        Property(dav("group-membership"), PRINCIPAL, _nothing, load=_load_groups),
        Property(dav("owner"), WITH_OWNER, _owner, same_for_members=True),
        Property(dav("supported-privilege-set"), EVERY, _supported_privilege_set, same_for_members=True),
        Property(
            dav("current-user-privilege-set"),
            EVERY,
            _current_user_privilege_set,
            same_for_members=True,
            privilege=Privilege.READ_OWN_PRIVILEGES,
        ),
        Property(dav("acl"), EVERY, acl.render, same_for_members=True, privilege=Privilege.READ_ACL, load=acl.load),
        Property(dav("inherited-acl-set"), EVERY, acl.inherited_from, same_for_members=True),
        Property(dav("acl-restrictions"), EVERY, _acl_restrictions, same_for_members=True),
        Property(dav("principal-collection-set"), EVERY, _principal_collection_set, same_for_members=True),
    ),
    tokens=(("access-control", EVERY),),
)
