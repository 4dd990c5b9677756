"""The policy by a table: every kind of grant on every kind of resource, and which methods of RFC 3744 App. B follow."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.auth import policy
from server.dav.core.resource import PRINCIPALS, Kind
from server.domain.grants import NO_GRANTS, Ace, Grants
from server.domain.objects import Collection, CollectionKind, Rights
from server.domain.principals import Principal
from server.domain.privileges import EVERY_PRIVILEGE, Privilege

NOW = datetime(2024, 1, 1, tzinfo=UTC)
OWNER = Principal(1, "owner", "individual", "owner", "Owner", (), frozenset(), False, 0)
VIEWER = Principal(2, "viewer", "individual", "viewer", "Viewer", (), frozenset(), False, 0)
ADMIN = Principal(3, "admin", "individual", "admin", "Admin", (), frozenset({"admin"}), False, 0)
GROUP, OTHER = 10, 11
CALENDAR = 100

R, W, FB = "{DAV:}read", "{DAV:}write", "{urn:ietf:params:xml:ns:caldav}read-free-busy"
WP, WC, BIND, UNBIND = "{DAV:}write-properties", "{DAV:}write-content", "{DAV:}bind", "{DAV:}unbind"
RCU, RACL, WACL = "{DAV:}read-current-user-privilege-set", "{DAV:}read-acl", "{DAV:}write-acl"
ALL, UNLOCK = "{DAV:}all", "{DAV:}unlock"

READING = frozenset({R, FB, RCU})
WRITING = frozenset({W, WP, WC, BIND, UNBIND})
DELIVER, SEND = (f"{{urn:ietf:params:xml:ns:caldav}}schedule-{name}" for name in ("deliver", "send"))
QUERY = "{urn:ietf:params:xml:ns:caldav}schedule-query-freebusy"
DELIVERING = frozenset({DELIVER, f"{DELIVER}-invite", f"{DELIVER}-reply", QUERY})
SENDING = frozenset({SEND, f"{SEND}-invite", f"{SEND}-reply", f"{SEND}-freebusy"})
EVERYTHING = READING | WRITING | DELIVERING | SENDING | {RACL, WACL, ALL, UNLOCK}
NOTHING: frozenset[str] = frozenset()

CALENDAR_TREE = (Kind.CALENDAR_HOME, Kind.CALENDAR, Kind.INBOX, Kind.OUTBOX, Kind.CALENDAR_OBJECT)
BESIDES = (Kind.NOTIFICATIONS, Kind.NOTIFICATION)
CARD_TREE = (Kind.ADDRESSBOOK_HOME, Kind.ADDRESSBOOK, Kind.ADDRESS_OBJECT)
IN_HOMES = (*CALENDAR_TREE, *BESIDES, *CARD_TREE)
SHARED_KINDS = (Kind.CALENDAR, Kind.CALENDAR_OBJECT, Kind.ADDRESSBOOK, Kind.ADDRESS_OBJECT)
SCHEDULING_KINDS = (Kind.INBOX, Kind.OUTBOX)
HOMES = (Kind.CALENDAR_HOME, Kind.ADDRESSBOOK_HOME)

METHODS = {
    "GET, PROPFIND, REPORT, COPY from": ({R}, "self"),
    "free-busy-query": ({FB}, "self"),
    "PROPPATCH": ({WP}, "self"),
    "PUT over, COPY over": ({WC}, "self"),
    "PUT new, COPY to, MKCALENDAR": ({BIND}, "parent"),
    "DELETE, MOVE from": ({UNBIND}, "parent"),
    "MOVE over": ({BIND, UNBIND}, "parent"),
    "ACL": ({WACL}, "self"),
    "PROPFIND of acl, acl-principal-prop-set": ({RACL}, "self"),
    "PROPFIND of current-user-privilege-set": ({RCU}, "self"),
}
"""RFC 3744 App. B: the privileges that a method needs, on the resource or on what it lies in."""
PARENTS = {
    Kind.CALENDAR: Kind.CALENDAR_HOME,
    Kind.ADDRESSBOOK: Kind.ADDRESSBOOK_HOME,
    Kind.CALENDAR_OBJECT: Kind.CALENDAR,
    Kind.ADDRESS_OBJECT: Kind.ADDRESSBOOK,
}


HOLDERS: dict[Kind, CollectionKind] = {
    Kind.CALENDAR: "calendar",
    Kind.CALENDAR_OBJECT: "calendar",
    Kind.INBOX: "inbox",
    Kind.OUTBOX: "outbox",
    Kind.NOTIFICATIONS: "notification",
    Kind.NOTIFICATION: "notification",
    Kind.ADDRESSBOOK: "addressbook",
    Kind.ADDRESS_OBJECT: "addressbook",
}
"""The kind of collection that a resource is or lies in."""


def collection(rights: Rights = "owner", kind: CollectionKind = "calendar") -> Collection:
    return Collection(7, CALENDAR, "work", kind, rights, (), 1, 1, 1, 0, 0, 0, NOW, NOW, 7)


def ace(whom: int | str, *names: str, grants: bool = True, on: int = CALENDAR) -> Ace:
    return Ace(on, whom, grants, tuple(map(Privilege, names)))  # type: ignore[arg-type]


def held(
    kind: Kind, grants: Grants = NO_GRANTS, viewer: Principal = VIEWER, rights: Rights = "owner"
) -> frozenset[str]:
    if kind in HOMES:
        return policy.on_home(viewer, OWNER, "calendar" if kind is Kind.CALENDAR_HOME else "addressbook", grants)
    return policy.on_collection(viewer, OWNER, collection(rights, kind=HOLDERS[kind]), grants)


def there(names: frozenset[str], kind: Kind) -> frozenset[str]:
    """Without what there is not on a kind of resource."""
    absent = (
        (frozenset() if kind in CALENDAR_TREE else {FB})
        | (frozenset() if kind is Kind.INBOX else DELIVERING)
        | (frozenset() if kind is Kind.OUTBOX else SENDING)
    )
    return names - absent


DELEGATED = frozenset(CALENDAR_TREE) | frozenset(BESIDES)
SHARED = frozenset(SHARED_KINDS)
LISTED = frozenset((*SHARED_KINDS, *SCHEDULING_KINDS))
"""What has an access control list, or lies in what has one."""
MEMBER = frozenset({GROUP})
TABLE: dict[str, tuple[Grants, frozenset[Kind], frozenset[str]]] = {
    "nothing": (NO_GRANTS, frozenset(IN_HOMES), NOTHING),
    "member of a group without grants": (Grants(MEMBER), frozenset(IN_HOMES), NOTHING),
    "delegate reading": (Grants(delegates=((VIEWER.id, "read"),)), DELEGATED, READING),
    "delegate writing": (Grants(delegates=((VIEWER.id, "write"),)), DELEGATED, READING | WRITING | SENDING),
    "both": (Grants(delegates=((VIEWER.id, "read"), (VIEWER.id, "write"))), DELEGATED, READING | WRITING | SENDING),
    "delegate through a group": (Grants(MEMBER, delegates=((GROUP, "write"),)), DELEGATED, READING | WRITING | SENDING),
    "another's delegate": (Grants(MEMBER, delegates=((OTHER, "write"),)), DELEGATED, NOTHING),
    "shared reading": (Grants(shares=((CALENDAR, VIEWER.id, "read"),)), SHARED, READING),
    "shared writing": (Grants(shares=((CALENDAR, VIEWER.id, "write"),)), SHARED, READING | WRITING),
    "shared free-busy": (Grants(shares=((CALENDAR, VIEWER.id, "free-busy"),)), SHARED, frozenset({FB})),
    "shared with a group": (Grants(MEMBER, shares=((CALENDAR, GROUP, "write"),)), SHARED, READING | WRITING),
    "shared with another": (Grants(MEMBER, shares=((CALENDAR, OTHER, "write"),)), SHARED, NOTHING),
    "another collection shared": (Grants(shares=((101, VIEWER.id, "write"),)), SHARED, NOTHING),
    "acl read": (Grants(aces=(ace(VIEWER.id, R),)), LISTED, READING),
    "acl write": (Grants(aces=(ace(VIEWER.id, W),)), LISTED, WRITING),
    "acl all": (Grants(aces=(ace(VIEWER.id, ALL),)), LISTED, EVERYTHING),
    "acl bind": (Grants(aces=(ace(VIEWER.id, BIND),)), LISTED, frozenset({BIND})),
    "acl unbind": (Grants(aces=(ace(VIEWER.id, UNBIND),)), LISTED, frozenset({UNBIND})),
    "acl content": (Grants(aces=(ace(VIEWER.id, WC),)), LISTED, frozenset({WC})),
    "acl properties": (Grants(aces=(ace(VIEWER.id, WP),)), LISTED, frozenset({WP})),
    "acl write-acl": (Grants(aces=(ace(VIEWER.id, WACL),)), LISTED, frozenset({WACL})),
    "acl read-acl": (Grants(aces=(ace(VIEWER.id, RACL),)), LISTED, frozenset({RACL})),
    "acl free-busy": (Grants(aces=(ace(VIEWER.id, FB),)), LISTED, frozenset({FB})),
    "acl parts of write": (Grants(aces=(ace(VIEWER.id, WP, WC, BIND, UNBIND),)), LISTED, WRITING),
    "acl for a group": (Grants(MEMBER, aces=(ace(GROUP, R),)), LISTED, READING),
    "acl for all": (Grants(aces=(ace("all", R),)), LISTED, READING),
    "acl for authenticated": (Grants(aces=(ace("authenticated", R),)), LISTED, READING),
    "acl for unauthenticated": (Grants(aces=(ace("unauthenticated", R),)), LISTED, NOTHING),
    "acl for the owner": (Grants(aces=(ace("owner", R),)), LISTED, NOTHING),
    "acl for another": (Grants(MEMBER, aces=(ace(OTHER, R),)), LISTED, NOTHING),
    "acl of another collection": (Grants(aces=(ace(VIEWER.id, R, on=101),)), LISTED, NOTHING),
    "denied, then granted": (
        Grants(aces=(ace(VIEWER.id, R, grants=False), ace("authenticated", R))),
        LISTED,
        NOTHING,
    ),
    "granted, then denied": (Grants(aces=(ace(VIEWER.id, R), ace("all", R, grants=False))), LISTED, READING),
    "part denied": (
        Grants(aces=(ace("all", BIND, grants=False), ace(VIEWER.id, R, W))),
        LISTED,
        READING | {WP, WC, UNBIND},
    ),
    "denied by acl, shared": (
        Grants(shares=((CALENDAR, VIEWER.id, "read"),), aces=(ace(VIEWER.id, ALL, grants=False),)),
        SHARED,
        READING,
    ),
    "shared reading, acl bind": (
        Grants(shares=((CALENDAR, VIEWER.id, "read"),), aces=(ace(VIEWER.id, BIND),)),
        SHARED,
        READING | {BIND},
    ),
}
"""What is granted, the kinds of resources that it is granted on, and the privileges that follow there."""


def by_everyone(kind: Kind) -> frozenset[str]:
    """What everybody who is signed in holds."""
    return DELIVERING if kind is Kind.INBOX else NOTHING


def is_both(grant: str) -> bool:
    """Whether a row is of sharing and of an access control list."""
    grants = TABLE[grant][0]
    return bool(grants.shares) and bool(grants.aces)


CASES = [
    (grant, kind) for grant, kind in product(TABLE, IN_HOMES) if kind not in SCHEDULING_KINDS or not is_both(grant)
]
"""Inboxes and outboxes are not shared."""


@pytest.mark.parametrize(("grant", "kind"), CASES)
def test_grants(grant: str, kind: Kind) -> None:
    grants, kinds, expected = TABLE[grant]
    assert held(kind, grants) == there(expected if kind in kinds else NOTHING, kind) | by_everyone(kind)


def test_rfc6638_6_who_may_deliver_is_decided_by_the_list_of_the_inbox() -> None:
    nobody = ace("authenticated", DELIVER, grants=False)
    assert held(Kind.INBOX, Grants(aces=(nobody,))) == NOTHING
    assert held(Kind.INBOX, Grants(aces=(ace(VIEWER.id, DELIVER), nobody))) == DELIVERING
    assert held(Kind.INBOX, Grants(aces=(ace(OTHER, DELIVER), nobody))) == NOTHING
    assert held(Kind.INBOX, Grants(aces=(ace(VIEWER.id, QUERY, grants=False),))) == DELIVERING - {QUERY, DELIVER}
    assert held(Kind.INBOX, Grants(aces=(ace(VIEWER.id, ALL, grants=False),))) == NOTHING
    assert held(Kind.INBOX, Grants(aces=(nobody,)), viewer=OWNER) == there(EVERYTHING, Kind.INBOX)


def test_rfc6638_6_who_may_send_is_decided_by_the_list_of_the_outbox() -> None:
    assert held(Kind.OUTBOX) == NOTHING
    assert held(Kind.OUTBOX, Grants(aces=(ace(VIEWER.id, SEND),))) == SENDING
    assert held(Kind.OUTBOX, Grants(aces=(ace(VIEWER.id, f"{SEND}-freebusy"),))) == {f"{SEND}-freebusy"}
    assert held(Kind.INBOX, Grants(aces=(ace(VIEWER.id, SEND),))) == DELIVERING


@pytest.mark.parametrize(
    ("grant", "kind", "method"),
    [
        (grant, kind, method)
        for grant, kind, method in product(TABLE, PARENTS, METHODS)
        if kind not in SCHEDULING_KINDS or not is_both(grant)
    ],
)
def test_methods(grant: str, kind: Kind, method: str) -> None:
    grants, kinds, expected = TABLE[grant]
    needed, where = METHODS[method]
    place = PARENTS[kind] if where == "parent" else kind
    allowed = needed <= (there(expected, place) if place in kinds else NOTHING)
    assert (needed <= held(place, grants)) is allowed


@pytest.mark.parametrize("kind", IN_HOMES)
@pytest.mark.parametrize("viewer", [OWNER, ADMIN])
def test_owner_and_administrator_have_everything(viewer: Principal, kind: Kind) -> None:
    assert held(kind, viewer=viewer) == there(EVERYTHING, kind)


@pytest.mark.parametrize("kind", [Kind.CALENDAR, Kind.CALENDAR_OBJECT])
def test_what_a_home_only_shows(kind: Kind) -> None:
    """The owner of a home, and their delegates, have in it what was shared with the owner."""
    write = Grants(delegates=((VIEWER.id, "write"),))
    read = Grants(delegates=((VIEWER.id, "read"),))
    assert held(kind, viewer=OWNER, rights="read") == READING
    assert held(kind, viewer=OWNER, rights="write") == READING | WRITING
    assert held(kind, write, rights="read") == READING
    assert held(kind, write, rights="write") == READING | WRITING
    assert held(kind, read, rights="write") == READING
    assert held(kind, Grants(shares=((CALENDAR, VIEWER.id, "write"),)), rights="write") == NOTHING
    assert held(kind, viewer=ADMIN, rights="read") == there(EVERYTHING, kind)


def test_above_homes_all_who_are_signed_in_read() -> None:
    assert policy.on_fixed(VIEWER) == {R, RCU}
    assert policy.on_fixed(ADMIN) == {R, RCU, RACL}


def test_principals_are_read_by_all_and_changed_by_themselves() -> None:
    assert policy.on_principal(VIEWER, OWNER) == {R, RCU}
    assert policy.on_principal(OWNER, OWNER) == {R, RCU, RACL, WP}
    assert policy.on_principal(ADMIN, OWNER) == {R, RCU, RACL, WP}


def test_every_kind_has_rules() -> None:
    fixed = {Kind.ROOT, Kind.PRINCIPALS, Kind.HOMES}
    assert fixed | PRINCIPALS | set(HOMES) | set(HOLDERS) == set(Kind)
    assert set(HOLDERS.values()) == set(get_args(CollectionKind))


def test_only_delegates_act_for_the_owner() -> None:
    direct, by_group = Grants(delegates=((VIEWER.id, "read"),)), Grants(MEMBER, delegates=((GROUP, "write"),))
    assert policy.acts_for(VIEWER, OWNER, direct)
    assert policy.acts_for(VIEWER, OWNER, by_group)
    assert not policy.acts_for(VIEWER, OWNER, Grants(shares=((CALENDAR, VIEWER.id, "write"),)))
    for somebody in (OWNER, ADMIN, None):
        assert not policy.acts_for(somebody, OWNER, by_group)


def test_views_are_for_those_who_read_what_is_anothers() -> None:
    assert policy.may_keep_view(VIEWER, OWNER, collection(), READING)
    assert policy.may_keep_view(OWNER, OWNER, collection("read"), READING)
    assert not policy.may_keep_view(OWNER, OWNER, collection(), EVERYTHING)
    assert not policy.may_keep_view(VIEWER, OWNER, collection(), frozenset({FB}))


ACES = st.lists(
    st.builds(
        Ace,
        st.sampled_from([CALENDAR, 101]),
        st.sampled_from([VIEWER.id, GROUP, OTHER, "all", "authenticated", "unauthenticated", "owner"]),
        st.booleans(),
        st.lists(st.sampled_from(sorted(EVERY_PRIVILEGE)), min_size=1, max_size=3).map(tuple),
    ),
    max_size=6,
).map(tuple)
RIGHTS = st.sampled_from(["read", "write"])
GRANTS = st.builds(
    Grants,
    st.sampled_from([frozenset(), MEMBER]),
    st.lists(st.tuples(st.sampled_from([VIEWER.id, GROUP, OTHER]), RIGHTS), max_size=2).map(tuple),
    st.lists(
        st.tuples(
            st.sampled_from([CALENDAR, 101]),
            st.sampled_from([VIEWER.id, GROUP, OTHER]),
            st.sampled_from(["read", "write", "free-busy"]),
        ),
        max_size=2,
    ).map(tuple),
    ACES,
)


@given(GRANTS, st.sampled_from(SHARED_KINDS))
def test_grants_add_up(grants: Grants, kind: Kind) -> None:
    """All together give what each gives alone: no kind of grant takes from another."""
    alone = [
        Grants(grants.groups, delegates=grants.delegates),
        Grants(grants.groups, shares=grants.shares),
        Grants(grants.groups, aces=grants.aces),
    ]
    assert held(kind, grants) == frozenset().union(*(held(kind, part) for part in alone))


@given(GRANTS, st.sampled_from(SHARED_KINDS))
def test_a_denial_never_gives(grants: Grants, kind: Kind) -> None:
    without = Grants(grants.groups, grants.delegates, grants.shares, tuple(item for item in grants.aces if item.grants))
    assert held(kind, grants) <= held(kind, without)
