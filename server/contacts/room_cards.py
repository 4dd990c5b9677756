"""Cards of rooms and equipment: vCard 3.0 (RFC 2426), which Apple's apps read, and 4.0 (RFC 6350)."""

from __future__ import annotations

from server.calendar.contentline import escape_text, fold
from server.domain.rooms import ListedRoom

PRODUCT_ID = "-//Koyomi//directory//EN"
"""Of the cards that `as_version_4` converts."""
_KIND = "X-ADDRESSBOOKSERVER-KIND"


def room_card(listed: ListedRoom) -> str:
    """The card of a room in vCard 3.0, with CRLF. It is the same for the same room."""
    principal, room = listed.principal, listed.room
    name = escape_text(principal.display_name or principal.name)
    place = ", ".join(part for part in (room.building, room.floor, room.number) if part)
    lines = [
        "BEGIN:VCARD",
        "VERSION:3.0",
        f"PRODID:{PRODUCT_ID}",
        f"UID:{escape_text(principal.uid)}",
        f"{_KIND}:{'device' if room.type == 'EQUIPMENT' else 'location'}",
        f"FN:{name}",
        f"N:{name};;;;",
        *(f"EMAIL;TYPE=INTERNET:{escape_text(address)}" for address in principal.emails),
        f"CALADRURI:mailto:{principal.emails[0]}" if principal.emails else f"CALADRURI:urn:x-uid:{principal.uid}",
    ]
    if place or room.site:
        lines.append(f"ADR;TYPE=WORK:;{escape_text(place)};;{escape_text(room.site)};;;")
    if room.position is not None:
        lines.append(f"GEO:{room.position.latitude:.6f};{room.position.longitude:.6f}")
    if room.time_zone:
        lines.append(f"TZ;VALUE=TEXT:{escape_text(room.time_zone)}")
    if room.photograph:
        lines.append(f"PHOTO;VALUE=URI:{room.photograph}")
    if room.features:
        lines.append(f"CATEGORIES:{','.join(escape_text(feature) for feature in sorted(room.features))}")
    if note := _note(listed):
        lines.append(f"NOTE:{escape_text(note)}")
    return "".join(fold(line) for line in (*lines, "END:VCARD"))


def is_room_card(text: str) -> bool:
    """Whether `room_card` made a text."""
    return f"\r\nPRODID:{PRODUCT_ID}\r\n" in text[:200]


def as_version_4(text: str) -> str:
    """A card that `room_card` made, in vCard 4.0."""
    return "".join(fold(_line_4(line)) for line in text.replace("\r\n ", "").split("\r\n") if line)


def _line_4(line: str) -> str:
    name, _, value = line.partition(":")
    match name:
        case "VERSION":
            return "VERSION:4.0"
        case "UID":
            return f"UID;VALUE=TEXT:{value}"
        case "X-ADDRESSBOOKSERVER-KIND":
            return f"KIND:{value}"
        case "EMAIL;TYPE=INTERNET":
            return f"EMAIL:{value}"
        case "GEO":
            return f"GEO:geo:{value.replace(';', ',')}"
        case "TZ;VALUE=TEXT":
            return f"TZ:{value}"
        case "PHOTO;VALUE=URI":
            return f"PHOTO:{value}"
    return line


def _note(listed: ListedRoom) -> str:
    room = listed.room
    facts = [
        "" if room.capacity is None else f"Capacity: {room.capacity}",
        f"Features: {', '.join(sorted(room.features))}" if room.features else "",
        f"Accessibility: {room.accessibility}" if room.accessibility else "",
        f"Contact: {room.contact}" if room.contact else "",
    ]
    return "\n".join(fact for fact in facts if fact)
