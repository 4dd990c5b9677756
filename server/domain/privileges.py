"""Privileges (RFC 3744 §3, RFC 4791 §6.1.1): what somebody may do with a resource."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


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


Privileges = frozenset[Privilege]

NO_PRIVILEGES: Privileges = frozenset()
EVERY_PRIVILEGE: Privileges = frozenset(Privilege)
CONTAINED: dict[Privilege, Privileges] = {
    Privilege.READ: frozenset({Privilege.READ_FREE_BUSY, Privilege.READ_OWN_PRIVILEGES}),
    Privilege.WRITE: frozenset({Privilege.WRITE_PROPERTIES, Privilege.WRITE_CONTENT, Privilege.BIND, Privilege.UNBIND}),
    Privilege.ALL: EVERY_PRIVILEGE - {Privilege.ALL},
}
"""The privileges that an aggregate privilege contains (RFC 3744 §3.12, RFC 4791 §6.1.1)."""
READING: Privileges = CONTAINED[Privilege.READ] | {Privilege.READ}
WRITING: Privileges = CONTAINED[Privilege.WRITE] | {Privilege.WRITE}


def expanded(privileges: Iterable[Privilege]) -> Privileges:
    """Privileges with all that they contain."""
    found: set[Privilege] = set()
    for privilege in privileges:
        found.add(privilege)
        found |= CONTAINED.get(privilege, NO_PRIVILEGES)
    return frozenset(found)
