"""Calendar users: ORGANIZER and ATTENDEE values compared as people, not as spellings (RFC 6638 §2.4.1).

The service looks up the principals of all `addresses` of the objects concerned and makes a `Directory` of them. Every
function of iTIP asks the directory whom an address means: two addresses are the same calendar user when their `key` is
equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.calendar.attendance import address_key
from server.itip.scheduling_object import SchedulingObject


@dataclass(frozen=True, slots=True)
class CalendarUser:
    """A person, room or group here, or an address elsewhere."""

    key: str
    """Equal for all addresses of one calendar user: `principal:ID` here, else the address by `address_key`."""
    address: str
    """The address to write where an app wrote one that only this server understands: `mailto:`, or `urn:x-uid:`."""
    principal_id: int | None = None
    """None for people elsewhere."""
    addresses: tuple[str, ...] = ()
    """All addresses, aliases and former ones included; of people here only."""
    cn: str | None = None
    """The name to show; None: as the organizer wrote it."""
    cutype: str | None = None
    """CUTYPE of people here: `INDIVIDUAL`, `GROUP`, `ROOM`, `RESOURCE`."""
    former: frozenset[str] = frozenset()
    """Those of the addresses, by `address_key`, that they do not have any more: nothing is sent from them."""

    @property
    def is_here(self) -> bool:
        """Whether this installation delivers to them."""
        return self.principal_id is not None

    @property
    def is_group(self) -> bool:
        """Whether it is a group here, which takes part by its members (`server.itip.groups`)."""
        return self.cutype == "GROUP"

    @property
    def may_organize(self) -> bool:
        """Whether they may be an organizer: rooms and resources are not."""
        return self.cutype not in ("ROOM", "RESOURCE")

    @property
    def has_mail_address(self) -> bool:
        """Whether their address is a mail address, so that a message may be mailed to them."""
        return self.address.lower().startswith("mailto:")


def here(
    principal_id: int, addresses: Iterable[str], cn: str | None = None, cutype: str = "INDIVIDUAL"
) -> CalendarUser:
    """A principal as a calendar user.

    :param addresses: `mailto:` addresses first, then `urn:x-uid:`, then former addresses and the others.
    """
    known = tuple(addresses)
    written = next((each for each in known if each.lower().startswith(("mailto:", "urn:"))), known[0] if known else "")
    return CalendarUser(f"principal:{principal_id}", written, principal_id, known, cn, cutype)


class Directory:
    """Who the addresses of some objects are.

    :param users: the people here, each with all of their addresses. An address of two users is that of the first.
    """

    def __init__(self, users: Iterable[CalendarUser] = ()) -> None:
        self.users = tuple(users)
        """The people here."""
        self.has_groups = any(user.is_group for user in self.users)
        """Whether one of them is a group."""
        self._known: dict[str, CalendarUser] = {}
        for user in self.users:
            for address in (*user.addresses, user.address):
                self._known.setdefault(address_key(address), user)
        self._found: dict[str, CalendarUser] = {}

    def user(self, address: str) -> CalendarUser:
        """The calendar user of an address as written; one elsewhere where nobody here has it."""
        found = self._found.get(address)
        if found is None:
            key = address_key(address)
            found = self._known.get(key)
            if found is None:
                found = CalendarUser(key, address.strip())
            self._found[address] = found
        return found

    def with_former(self, former: CalendarUser, user: CalendarUser) -> Directory:
        """The directory in which the addresses of one calendar user are those of another."""
        merged = Directory(each for each in self.users if each.key != former.key)
        merged._known |= {address_key(address): user for address in (*former.addresses, former.address)}
        return merged

    def key(self, address: str) -> str:
        """The key of the calendar user of an address."""
        return self.user(address).key

    def same(self, one: str, other: str) -> bool:
        """Whether two addresses are those of one calendar user."""
        return one == other or self.key(one) == self.key(other)


def addresses(*objects: SchedulingObject | None) -> frozenset[str]:
    """The calendar user addresses that objects name, as written: what the service looks up for a `Directory`."""
    found: set[str] = set()
    for each in objects:
        if each is None:
            continue
        for component in each.components:
            for line in component.lines:
                if line.name in ("ATTENDEE", "ORGANIZER"):
                    found.add(line.value.strip())
                    for parameter in ("DELEGATED-TO", "DELEGATED-FROM", "MEMBER", "SENT-BY"):
                        if parameter in line.parameter_text.upper():
                            found.update(line.params.get(parameter, ()))
    return frozenset(found)
