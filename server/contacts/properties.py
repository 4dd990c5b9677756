"""Features of content lines that only vCard has: groups, parameters without a name, structured and encoded values.

The lines themselves are read by `server.calendar.contentline`: vCard and iCalendar share their syntax (RFC 6350 §3,
RFC 2426 §2, RFC 5545 §3.1), and what old exports of either break of it.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from server.calendar.contentline import Property, split_list, split_structure, unescape_text

STRUCTURED = frozenset(("N", "ADR", "ORG", "GENDER"))
"""Properties whose value has components between semicolons (RFC 6350 §6, RFC 2426 §3)."""

LISTS = frozenset(("NICKNAME", "CATEGORIES"))
"""Properties whose value is a list of texts between commas (RFC 6350 §6, RFC 2426 §3)."""

_CHARSET = re.compile(
    r"(?i)(?:utf-?8|us-ascii|iso-8859-\d{1,2}|(?:windows-|cp)\d{3,4}|koi8-[ru]|gb\w+|big5|shift_jis|euc-\w\w)"
)
"""Character sets that old exports name; codecs of any other kind are not tried."""

_MEANING_OF_NAMELESS = {
    "7BIT": "ENCODING",
    "8BIT": "ENCODING",
    "BASE64": "ENCODING",
    "QUOTED-PRINTABLE": "ENCODING",
    "INLINE": "VALUE",
    "URL": "VALUE",
    "CONTENT-ID": "VALUE",
    "CID": "VALUE",
}
"""Parameters that a bare value sets; any other bare value is a TYPE, as in `TEL;WORK;FAX:` of vCard 2.1."""


def split_name(name: str) -> tuple[str, str]:
    """Group and name: `("ITEM1", "TEL")` for `ITEM1.TEL`; the group is empty when there is none."""
    group, _, plain = name.rpartition(".")
    return group, plain


def is_agent(line: Property) -> bool:
    """Whether this is an AGENT of vCard 2.1, whose value is the card that follows as lines of its own."""
    return split_name(line.name)[1] == "AGENT" and not line.value.strip()


def parameter_values(line: Property) -> dict[str, tuple[str, ...]]:
    """Values by upper-case parameter name; a list in quotes (`TYPE="voice,home"`, RFC 6350 §5.6) is a list for TYPE."""
    if not line.parameter_text:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for name, written in line.params.items():
        values = tuple(written)
        if not values:
            values, name = (name,), _MEANING_OF_NAMELESS.get(name, "TYPE")
        if name == "TYPE":
            values = tuple(part.strip() for value in values for part in value.split(","))
        found[name] = found.get(name, ()) + values
    return found


def raw_value(line: Property) -> str:
    """The value with quoted-printable resolved, its escapes still in place.

    Bytes that the CHARSET does not know are replaced and NUL is left out: it cannot be stored.
    """
    if "QUOTED-PRINTABLE" not in line.parameter_text.upper():
        return line.value
    octets = binascii.a2b_qp(line.value.encode()).replace(b"\0", b"")
    charset = parameter_values(line).get("CHARSET", ("utf-8",))[0]
    if not _CHARSET.fullmatch(charset):
        charset = "utf-8"
    try:
        return octets.decode(charset, errors="replace")
    except LookupError:
        return octets.decode(errors="replace")


def text(line: Property) -> str:
    """The whole value as a person reads it."""
    return unescape_text(raw_value(line))


def components(line: Property) -> tuple[str, ...]:
    """The components of a structured value (N, ADR, ORG) as a person reads them, without spaces around."""
    return tuple(unescape_text(part).strip() for part in split_structure(raw_value(line)))


def items(line: Property) -> tuple[str, ...]:
    """The texts of a list (NICKNAME, CATEGORIES) as a person reads them, without spaces around."""
    return tuple(unescape_text(part).strip() for part in split_list(raw_value(line)))


def readings(line: Property) -> Iterator[str]:
    """Every text that the value can be found by: the whole of it, and the parts of a structure or list.

    So `equals` finds one nickname of several, and `starts-with` a given name, which stands behind the family name.
    """
    yield text(line)
    _, name = split_name(line.name)
    if name in LISTS:
        yield from items(line)
    elif name in STRUCTURED:
        for part in split_structure(raw_value(line)):
            yield unescape_text(part).strip()
            if "," in part:
                yield from (unescape_text(item).strip() for item in split_list(part))
