"""XML names: namespaces, and how elements are written in answers.

Qualified names are strings in lxml's form, `{namespace}local`. Answers declare the known namespaces once, on the root
element, so that fragments can be joined without a tree.
"""

from __future__ import annotations

from functools import lru_cache

DAV = "DAV:"
CALDAV = "urn:ietf:params:xml:ns:caldav"
CARDDAV = "urn:ietf:params:xml:ns:carddav"
CALENDARSERVER = "http://calendarserver.org/ns/"
APPLE_ICAL = "http://apple.com/ns/ical/"
ROOMS = "urn:koyomi:rooms"
"""Of our own: the attributes of rooms and equipment, for which no standard has properties."""

PREFIXES = {DAV: "D", CALDAV: "C", CARDDAV: "A", CALENDARSERVER: "S", APPLE_ICAL: "I", ROOMS: "R"}

DECLARATIONS = " ".join(f'xmlns:{prefix}="{namespace}"' for namespace, prefix in PREFIXES.items())
"""Attributes of a root element that declare every prefix used in fragments."""

PROLOGUE = '<?xml version="1.0" encoding="utf-8"?>\n'
KEPT_LENGTH = 200
"""Characters of a qualified name up to which its tags are kept: clients choose names, and long ones fill memory."""


def dav(local: str) -> str:
    """Qualified name in `DAV:`."""
    return f"{{DAV:}}{local}"


def caldav(local: str) -> str:
    """Qualified name in CalDAV's namespace (RFC 4791 §4)."""
    return f"{{{CALDAV}}}{local}"


def carddav(local: str) -> str:
    """Qualified name in CardDAV's namespace (RFC 6352 §4)."""
    return f"{{{CARDDAV}}}{local}"


def calendarserver(local: str) -> str:
    """Qualified name in the namespace of Apple's extensions."""
    return f"{{{CALENDARSERVER}}}{local}"


def apple_ical(local: str) -> str:
    """Qualified name in the namespace of Apple's calendar properties."""
    return f"{{{APPLE_ICAL}}}{local}"


def rooms(local: str) -> str:
    """Qualified name in the namespace of the attributes of rooms."""
    return f"{{{ROOMS}}}{local}"


def split(name: str) -> tuple[str, str]:
    """Namespace (empty for none) and local part of a qualified name."""
    if name[0] == "{":
        namespace, _, local = name[1:].partition("}")
        return namespace, local
    return "", name


def tags(name: str) -> tuple[str, str, str]:
    """How an element is written: start tag, end tag, and the empty element."""
    return _kept_tags(name) if len(name) <= KEPT_LENGTH else _tags(name)


def _tags(name: str) -> tuple[str, str, str]:
    namespace, local = split(name)
    prefix = PREFIXES.get(namespace)
    if prefix:
        qualified, declaration = f"{prefix}:{local}", ""
    else:
        qualified, declaration = local, f' xmlns="{escape_attribute(namespace)}"'
    return f"<{qualified}{declaration}>", f"</{qualified}>", f"<{qualified}{declaration}/>"


_kept_tags = lru_cache(maxsize=1024)(_tags)


def element(name: str, inner: str = "") -> str:
    """An element with markup inside."""
    start, end, empty = tags(name)
    return start + inner + end if inner else empty


def escape(text: str) -> str:
    """Character data; carriage returns as references, since a parser would drop them (XML 1.0 §2.11)."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    if "\r" in text:
        text = text.replace("\r", "&#13;")
    return text


def escape_attribute(text: str) -> str:
    """Text of an attribute in double quotes."""
    return escape(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")


def href(path: str) -> str:
    """A `DAV:href` element."""
    return f"<D:href>{escape(path)}</D:href>"
