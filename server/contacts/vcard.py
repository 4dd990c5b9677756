"""Reading an address object for the write path (RFC 6352 §5.1, §6.3.2.1).

What can be understood in one way only is accepted and kept byte by byte, whatever its version: vCard 3.0 (RFC 2426) and
4.0 (RFC 6350), and 2.1, which old phones and mail programs export. Folds, bare LF, a byte order mark, groups, unknown
properties, parameters without a name, quoted-printable values, a missing FN or N, VERSION at another place than the
second line: all of these are understood. Refused, with the line, is what is not one card or no content line; a card
without VERSION (it decides how values are read); and a card without UID or with two: RFC 6352 §5.1 demands it, it is
what makes copies of a card recognisable, and every client that synchronises writes it. (An import may give a card a
UID, see `server.contacts.aggregate`; a PUT must not change what was sent.) A card within a card (AGENT of vCard 2.1) is
refused too: an address object is a single one (RFC 6352 §5.1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from server.calendar.contentline import Property, content_lines, decode
from server.contacts.properties import components, is_agent, items, split_name, text
from server.domain.errors import InvalidAddressData, InvalidCalendarData, ResourceTooLarge, UnsupportedMediaType
from server.domain.limits import Limits

Version = Literal["2.1", "3.0", "4.0"]

MAX_PROPERTIES = 20_000
"""Content lines of one card: room for a group of as many members, and an end to the work that a card can cause."""

SUMMARY_LENGTH = 1000
"""Characters of one text of a summary."""

_VERSIONS: dict[str, Version] = {"2.1": "2.1", "3.0": "3.0", "4.0": "4.0"}
_URN_UUID = re.compile(r"(?i)\Aurn:uuid:")
_URI_SCHEME = re.compile(r"(?i)\A(?:tel|mailto):")


@dataclass(frozen=True, slots=True)
class AddressObject:
    """A card as it is stored, with what listings and search show of it.

    Texts are unescaped and have no spaces around; tuples have the order of the card and no empty texts.
    """

    text: str
    """The text that the client sent. Only folds inside of a character are moved (RFC 6350 §3.2)."""
    version: Version
    uid: str
    kind: str
    """`individual`, `group`, `org`, `location` or what else the card says, in lower case (RFC 6350 §6.1.4; Apple's
    X-ADDRESSBOOKSERVER-KIND in vCard 3.0)."""
    full_name: str
    """FN; where that is empty, what comes nearest to it: the parts of N, the organization, a nickname, an address."""
    family_name: str
    given_name: str
    nicknames: tuple[str, ...]
    organization: tuple[str, ...]
    """The organization's name and its units (ORG)."""
    title: str
    emails: tuple[str, ...]
    phones: tuple[str, ...]
    members: tuple[str, ...]
    """Of a group: the UIDs of its members as `bare_uid` gives them, or their URIs (MEMBER; Apple's
    X-ADDRESSBOOKSERVER-MEMBER in vCard 3.0)."""

    def summary(self) -> dict[str, str]:
        """Values that listings and search show, by property in lower case, without empty ones.

        Several values stand in lines of their own; a text is cut after `SUMMARY_LENGTH` characters.
        """
        values = {
            "kind": self.kind,
            "fn": self.full_name,
            "n": "\n".join((self.family_name, self.given_name)).strip(),
            "nickname": "\n".join(self.nicknames),
            "org": "\n".join(self.organization),
            "title": self.title,
            "email": "\n".join(self.emails),
            "tel": "\n".join(self.phones),
        }
        return {name: value[:SUMMARY_LENGTH] for name, value in values.items() if value}


def read_address_object(body: bytes, limits: Limits) -> AddressObject:
    """Read the body of a write.

    :raises ResourceTooLarge: for more bytes than `limits.max_resource_size`.
    :raises UnsupportedMediaType: for a VERSION of vCard that is not known.
    :raises InvalidAddressData: for what is not exactly one card, with the line where one can be named.
    """
    if len(body) > limits.max_resource_size:
        raise ResourceTooLarge(f"The card has {len(body)} bytes; {limits.max_resource_size} are allowed.")
    try:
        card = decode(body)
        lines = _single_card(card)
    except InvalidCalendarData as error:
        raise InvalidAddressData(error.message, error.line) from None
    by_name: dict[str, list[Property]] = {}
    for line in lines:
        by_name.setdefault(split_name(line.name)[1], []).append(line)
    version = _version(by_name)
    uid = _uid(by_name, limits)
    name = _structure(by_name, "N")
    organization = _structure(by_name, "ORG")
    nicknames = tuple(item for line in by_name.get("NICKNAME", ()) for item in items(line) if item)
    emails = tuple(_addresses(by_name, "EMAIL"))
    phones = tuple(_addresses(by_name, "TEL"))
    return AddressObject(
        text=card,
        version=version,
        uid=uid,
        kind=_first(by_name, "KIND", "X-ADDRESSBOOKSERVER-KIND").lower() or "individual",
        full_name=(
            _first(by_name, "FN")
            or " ".join(filter(None, (name[3:4] + name[1:3] + name[0:1] + name[4:5])))
            or ", ".join(filter(None, organization))
            or next(iter(nicknames + emails + phones), "")
        ),
        family_name=name[0] if name else "",
        given_name=name[1] if len(name) > 1 else "",
        nicknames=nicknames,
        organization=tuple(filter(None, organization)),
        title=_first(by_name, "TITLE"),
        emails=emails,
        phones=phones,
        members=tuple(bare_uid(uri) for uri in _texts(by_name, "MEMBER", "X-ADDRESSBOOKSERVER-MEMBER")),
    )


def version_of(card: str) -> str:
    """The VERSION of a stored card (RFC 6352 §5.1.1: it is not converted into another)."""
    lines = content_lines(card)
    return next((line.value.strip() for line in lines if split_name(line.name)[1] == "VERSION"), "")


def bare_uid(uid: str) -> str:
    """A UID without `urn:uuid:`, as members of groups refer to cards whether or not the card's own UID has it."""
    return _URN_UUID.sub("", uid)


def _single_card(card: str) -> list[Property]:
    """The lines between BEGIN and END of the one card that the text must be."""
    lines: list[Property] = []
    state = "before"
    for line in content_lines(card):
        if line.name in ("BEGIN", "END"):
            component = line.value.strip().upper()
            if component != "VCARD":
                raise InvalidAddressData(
                    f"Line {line.line}: {line.name}:{component[:40]} is no part of a vCard.", line.line
                )
            if (line.name, state) == ("BEGIN", "before"):
                state = "in"
            elif (line.name, state) == ("END", "in"):
                state = "after"
            elif state == "after":
                raise InvalidAddressData(
                    f"Line {line.line}: only one vCard is allowed in an address object.", line.line
                )
            elif line.name == "BEGIN":
                if lines and is_agent(lines[-1]):
                    message = (
                        f"Line {line.line}: the vCard holds another one (AGENT of vCard 2.1); only one is allowed."
                    )
                    raise InvalidAddressData(message, line.line)
                raise InvalidAddressData(f"Line {line.line}: a vCard begins before the one before it ends.", line.line)
            else:
                raise InvalidAddressData("A vCard begins with BEGIN:VCARD.", line.line)
        elif state != "in":
            raise InvalidAddressData(f"Line {line.line}: {line.name[:40]} stands outside of the vCard.", line.line)
        else:
            lines.append(line)
            if len(lines) > MAX_PROPERTIES:
                raise InvalidAddressData(f"A vCard may have {MAX_PROPERTIES} properties.", line.line)
    if state == "before":
        raise InvalidAddressData("There is no vCard: BEGIN:VCARD is missing.", 1)
    if state == "in":
        raise InvalidAddressData("The vCard does not end: END:VCARD is missing.", card.count("\n") + 1)
    return lines


def _version(by_name: dict[str, list[Property]]) -> Version:
    lines = by_name.get("VERSION")
    if not lines:
        raise InvalidAddressData("The vCard has no VERSION.", 1)
    values = {line.value.strip() for line in lines}
    if len(values) > 1:
        raise InvalidAddressData("The vCard has several values of VERSION.", lines[1].line)
    value = values.pop()
    if value not in _VERSIONS:
        raise UnsupportedMediaType(f"Version {value[:40]!r} of vCard is not supported.", lines[0].line)
    return _VERSIONS[value]


def _uid(by_name: dict[str, list[Property]], limits: Limits) -> str:
    lines = by_name.get("UID", [])
    values = {value: line for line in lines if (value := text(line).strip())}
    if not values:
        raise InvalidAddressData("The vCard has no UID.", lines[0].line if lines else None)
    if len(values) > 1:
        raise InvalidAddressData("The vCard has several values of UID.", lines[-1].line)
    uid, line = values.popitem()
    if any(character < " " for character in uid):
        raise InvalidAddressData("The UID holds a line break or another control character.", line.line)
    if len(uid.encode()) > limits.max_uid_length:
        raise InvalidAddressData(f"The UID is longer than {limits.max_uid_length} bytes.", line.line)
    return uid


def _texts(by_name: dict[str, list[Property]], *names: str) -> list[str]:
    """Every value of these properties that is not empty."""
    lines = (line for name in names for line in by_name.get(name, ()))
    return [value for line in lines if (value := text(line).strip())]


def _first(by_name: dict[str, list[Property]], *names: str) -> str:
    return next(iter(_texts(by_name, *names)), "")


def _structure(by_name: dict[str, list[Property]], name: str) -> tuple[str, ...]:
    """The components of the first such property."""
    lines = by_name.get(name)
    return components(lines[0]) if lines else ()


def _addresses(by_name: dict[str, list[Property]], name: str) -> list[str]:
    """E-mail addresses or phone numbers, also where they are URIs."""
    return [_URI_SCHEME.sub("", value) for value in _texts(by_name, name)]
