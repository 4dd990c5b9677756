"""Partial retrieval of a card (RFC 6352 §10.4, CARDDAV:address-data): lines are left out, none is rewritten."""

from __future__ import annotations

from dataclasses import dataclass

from server.calendar.contentline import Property, content_lines, fold
from server.contacts.properties import split_name

_ALWAYS = frozenset(("BEGIN", "END", "VERSION"))
"""Kept whether asked for or not: without them no client can read the rest, and RFC 6352 §10.4 leaves that open."""


@dataclass(frozen=True, slots=True)
class PropertySelection:
    """A property that is asked for (CARDDAV:prop, RFC 6352 §10.4.2)."""

    name: str
    """As asked for, in any case; without a group it means the property in any group and in none."""
    no_value: bool = False
    """Without its value: name and parameters only."""


@dataclass(frozen=True, slots=True)
class AddressDataSelection:
    """The requested part of a card: these properties, or all if there are none."""

    properties: tuple[PropertySelection, ...] = ()


def select(card: str, selection: AddressDataSelection) -> str:
    """The part of a stored card that is asked for, in the order and form of the card.

    :raises InvalidCalendarData: for a text that is no card; a stored one is.
    """
    if not selection.properties:
        return card
    with_value = {wanted.name.upper() for wanted in selection.properties if not wanted.no_value}
    without_value = {wanted.name.upper() for wanted in selection.properties if wanted.no_value}
    parts: list[str] = []
    for line in content_lines(card):
        name = split_name(line.name)[1]
        if line.name in with_value or name in with_value:
            parts.append(card[line.start : line.end])
        elif line.name in without_value or name in without_value:
            parts.append(_head(card, line))
        elif name in _ALWAYS:
            parts.append(card[line.start : line.end])
    return "".join(parts)


def _head(card: str, line: Property) -> str:
    """The line without its value (`novalue="yes"`)."""
    raw = card[line.start : line.end]
    written = raw[: len(line.name)] if raw[: len(line.name)].upper() == line.name else line.name
    parameters = f";{line.parameter_text}" if line.parameter_text else ""
    return fold(f"{written}{parameters}:", raw[len(raw.rstrip("\r\n")) :])
