"""Privileges on resources (RFC 3744 §3, RFC 4791 §6.1.1, RFC 6638 §6)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from server.domain.objects import CollectionKind, HomeKind


class Privilege(StrEnum):
    """A privilege; the value is its qualified name."""

    READ = "{DAV:}read"
    WRITE = "{DAV:}write"
    WRITE_PROPERTIES = "{DAV:}write-properties"
    WRITE_CONTENT = "{DAV:}write-content"
    BIND = "{DAV:}bind"
    UNBIND = "{DAV:}unbind"
    READ_OWN_PRIVILEGES = "{DAV:}read-current-user-privilege-set"
    READ_ACL = "{DAV:}read-acl"
    WRITE_ACL = "{DAV:}write-acl"
    UNLOCK = "{DAV:}unlock"
    ALL = "{DAV:}all"
    READ_FREE_BUSY = "{urn:ietf:params:xml:ns:caldav}read-free-busy"
    SCHEDULE_DELIVER = "{urn:ietf:params:xml:ns:caldav}schedule-deliver"
    SCHEDULE_DELIVER_INVITE = "{urn:ietf:params:xml:ns:caldav}schedule-deliver-invite"
    SCHEDULE_DELIVER_REPLY = "{urn:ietf:params:xml:ns:caldav}schedule-deliver-reply"
    SCHEDULE_QUERY_FREE_BUSY = "{urn:ietf:params:xml:ns:caldav}schedule-query-freebusy"
    SCHEDULE_SEND = "{urn:ietf:params:xml:ns:caldav}schedule-send"
    SCHEDULE_SEND_INVITE = "{urn:ietf:params:xml:ns:caldav}schedule-send-invite"
    SCHEDULE_SEND_REPLY = "{urn:ietf:params:xml:ns:caldav}schedule-send-reply"
    SCHEDULE_SEND_FREE_BUSY = "{urn:ietf:params:xml:ns:caldav}schedule-send-freebusy"


Privileges = frozenset[Privilege]

NO_PRIVILEGES: Privileges = frozenset()
EVERY_PRIVILEGE: Privileges = frozenset(Privilege)
CONTAINED: dict[Privilege, Privileges] = {
    Privilege.READ: frozenset({Privilege.READ_FREE_BUSY, Privilege.READ_OWN_PRIVILEGES}),
    Privilege.WRITE: frozenset({Privilege.WRITE_PROPERTIES, Privilege.WRITE_CONTENT, Privilege.BIND, Privilege.UNBIND}),
    Privilege.SCHEDULE_DELIVER: frozenset(
        {
            Privilege.SCHEDULE_DELIVER_INVITE,
            Privilege.SCHEDULE_DELIVER_REPLY,
            Privilege.SCHEDULE_QUERY_FREE_BUSY,
        }
    ),
    Privilege.SCHEDULE_SEND: frozenset(
        {Privilege.SCHEDULE_SEND_INVITE, Privilege.SCHEDULE_SEND_REPLY, Privilege.SCHEDULE_SEND_FREE_BUSY}
    ),
    Privilege.ALL: EVERY_PRIVILEGE - {Privilege.ALL},
}
"""The privileges that an aggregate privilege contains (RFC 3744 §3.12, RFC 4791 §6.1.1, RFC 6638 §6.3)."""
READING: Privileges = CONTAINED[Privilege.READ] | {Privilege.READ}
WRITING: Privileges = CONTAINED[Privilege.WRITE] | {Privilege.WRITE}
DELIVERING: Privileges = CONTAINED[Privilege.SCHEDULE_DELIVER] | {Privilege.SCHEDULE_DELIVER}
"""Exist on an inbox only (RFC 6638 §6.1)."""
SENDING: Privileges = CONTAINED[Privilege.SCHEDULE_SEND] | {Privilege.SCHEDULE_SEND}
"""Exist on an outbox only (RFC 6638 §6.2)."""

_CORE: Privileges = EVERY_PRIVILEGE - {Privilege.READ_FREE_BUSY} - DELIVERING - SENDING
_IN_CALENDAR_HOMES: Privileges = _CORE | {Privilege.READ_FREE_BUSY}
_ON_COLLECTIONS: dict[CollectionKind, Privileges] = {
    "calendar": _IN_CALENDAR_HOMES,
    "addressbook": _CORE,
    "inbox": _IN_CALENDAR_HOMES | DELIVERING,
    "outbox": _IN_CALENDAR_HOMES | SENDING,
    "notification": _CORE,
}


def on_home(kind: HomeKind) -> Privileges:
    """The privileges that exist on a home."""
    return _IN_CALENDAR_HOMES if kind == "calendar" else _CORE


def on_collection(kind: CollectionKind) -> Privileges:
    """The privileges that exist on a collection and its members."""
    return _ON_COLLECTIONS[kind]


def expanded(privileges: Iterable[Privilege]) -> Privileges:
    """Privileges with all that they contain."""
    found: set[Privilege] = set()
    for privilege in privileges:
        found.add(privilege)
        found |= CONTAINED.get(privilege, NO_PRIVILEGES)
    return frozenset(found)
