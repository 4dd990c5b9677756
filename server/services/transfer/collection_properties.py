"""Files with the properties of a collection, beside those of the objects: `.Radicale.props`, and vdirsyncer's files.

Radicale stores property texts under short names. `.Koyomi.props`, which Radicale ignores, has the rest: properties that
contain elements, as XML, and a collection name that a folder cannot have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from server.calendar.calendar_object import CALENDAR_COMPONENTS, read_timezone
from server.domain.errors import InvalidData
from server.domain.limits import Limits
from server.domain.objects import Collection, HomeKind

RADICALE = ".Radicale.props"
KOYOMI = ".Koyomi.props"
DISPLAYNAME = "{DAV:}displayname"
DESCRIPTIONS: dict[HomeKind, str] = {
    "calendar": "{urn:ietf:params:xml:ns:caldav}calendar-description",
    "addressbook": "{urn:ietf:params:xml:ns:carddav}addressbook-description",
}
COLOR = "{http://apple.com/ns/ical/}calendar-color"
_ORDER = "{http://apple.com/ns/ical/}calendar-order"
_TIMEZONE = "{urn:ietf:params:xml:ns:caldav}calendar-timezone"
_COMPONENTS = "{urn:ietf:params:xml:ns:caldav}supported-calendar-component-set"
_SOURCE = "{http://calendarserver.org/ns/}source"

_PREFIXES = {
    "C": "urn:ietf:params:xml:ns:caldav",
    "CR": "urn:ietf:params:xml:ns:carddav",
    "D": "DAV:",
    "CS": "http://calendarserver.org/ns/",
    "ICAL": "http://apple.com/ns/ical/",
    "ME": "http://me.com/_namespace/",
    "RADICALE": "http://radicale.org/ns/",
    "INF": "http://inf-it.com/ns/ab/",
}
"""Namespaces by the prefixes that Radicale's versions write in front of names."""
_STANDARD = frozenset((_PREFIXES["D"], _PREFIXES["C"], _PREFIXES["CR"], _PREFIXES["CS"]))
_SETTABLE = re.compile(
    r"\{DAV:\}displayname|\{urn:ietf:params:xml:ns:caldav\}(calendar-description|schedule-calendar-transp|default-alarm-.*)"
    r"|\{urn:ietf:params:xml:ns:carddav\}addressbook-description"
)
"""Properties in the namespaces of the standards that can be set; all others there are computed."""
_NAME = re.compile(r"(?:\{([^{}\s]+)\}|([A-Z]+):)([\w.-]+)")
_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,10}")
_MAX_SIZE = 16 * 1024 * 1024
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)

Tag = Literal["VCALENDAR", "VADDRESSBOOK", "VSUBSCRIBED"]
_TAGS: tuple[Tag, ...] = ("VCALENDAR", "VADDRESSBOOK", "VSUBSCRIBED")


@dataclass(slots=True)
class Shown:
    """The properties of a collection, as files have them."""

    tag: Tag | None = None
    """Its kind; None if it follows from the files of the objects."""
    name: str | None = None
    """Its name, if it differs from the folder's."""
    components: tuple[str, ...] = ()
    timezone: str | None = None
    source: str | None = None
    """Address of a subscribed calendar."""
    properties: dict[str, str] = field(default_factory=dict)
    """`{ns}local` to the XML element as text."""
    refused: list[tuple[Path, str]] = field(default_factory=list)
    """Files and properties that are refused, with the reason."""

    @property
    def kind(self) -> HomeKind | None:
        """The kind of home that it belongs to."""
        return None if self.tag is None else "addressbook" if self.tag == "VADDRESSBOOK" else "calendar"


def text_property(name: str, text: str) -> str:
    """The XML element of a property whose value is a text."""
    namespace, _, local = name[1:].partition("}")
    return f"<{local} xmlns={quoteattr(namespace)}>{escape(text, {chr(13): '&#13;'})}</{local}>"


def text_of(fragment: str) -> str | None:
    """The text of a property; None if it contains elements or has attributes."""
    element = etree.fromstring(fragment.encode(), _PARSER)
    return None if len(element) or element.attrib else element.text or ""


def equal(one: str, other: str) -> bool:
    """Whether two properties have the same value."""
    if one == other:
        return True
    first, second = (etree.tostring(etree.fromstring(each.encode(), _PARSER), method="c14n2") for each in (one, other))
    return first == second or (text_of(one) is not None and text_of(one) == text_of(other))


# -- reading ----------------------------------------------------------------------------------------------------------


def read_folder(folder: Path, limits: Limits) -> Shown:
    """The properties in the files of a collection's folder. Those that are not valid are in `refused`."""
    shown = Shown()
    for file, take in ((RADICALE, _take_texts), (KOYOMI, _take_elements)):
        path = folder / file
        if not path.is_file():
            continue
        try:
            document = json.loads(_read(path))
        except (ValueError, RecursionError) as error:
            line = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else "not UTF-8 text"
            shown.refused.append((path, f"This is not a JSON document ({line})."))
            continue
        if not isinstance(document, dict):
            shown.refused.append((path, "This is not a JSON object."))
            continue
        take(shown, path, document, limits)
    for file, name in (("displayname", DISPLAYNAME), ("color", COLOR)):
        path = folder / file
        if shown.tag is None and path.is_file() and path.stat().st_size <= 1000:
            text = path.read_text("utf-8", "replace").strip()
            if text:
                shown.properties[name] = text_property(name, text)
    return shown


def _read(path: Path) -> str:
    with path.open("rb") as file:
        body = file.read(_MAX_SIZE + 1)
    if len(body) > _MAX_SIZE:
        raise ValueError("too large")
    return body.decode()


def _take_texts(shown: Shown, path: Path, document: Mapping[str, object], limits: Limits) -> None:
    tag = document.get("tag")
    shown.tag = next((each for each in _TAGS if each == tag), None)
    if tag and shown.tag is None:
        shown.refused.append((path, f"The tag {str(tag)[:40]!r} is not known."))
    for key, value in document.items():
        match = _NAME.fullmatch(key)
        if match is None or key == "tag" or not isinstance(value, str):
            continue
        namespace = match[1] or _PREFIXES.get(match[2])
        if namespace is not None:
            _take(shown, path, f"{{{namespace}}}{match[3]}", value, limits)


def _take(shown: Shown, path: Path, name: str, value: str, limits: Limits) -> None:
    """Read one property with a text."""
    try:
        if name == _COMPONENTS:
            components = [each.strip().upper() for each in value.split(",")]
            shown.components = tuple(sorted(CALENDAR_COMPONENTS.intersection(components)))
        elif name == _TIMEZONE:
            if value.strip():
                read_timezone(value)
                shown.timezone = value
        elif name == _SOURCE:
            shown.source = value.strip() or None
        elif _allowed(name) and value:
            if name == _ORDER and not _WHOLE_NUMBER.fullmatch(value.strip()):
                raise InvalidData("An order is a whole number.")
            _set(shown, name, text_property(name, value), limits)
    except InvalidData as error:
        shown.refused.append((path, f"{name}: {error.message}"))


def _take_elements(shown: Shown, path: Path, document: Mapping[str, object], limits: Limits) -> None:
    name, properties = document.get("name"), document.get("properties", {})
    if isinstance(name, str):
        shown.name = name
    if not isinstance(properties, dict):
        shown.refused.append((path, "properties is not a JSON object."))
        return
    for key, value in properties.items():
        try:
            if not _allowed(key):
                raise InvalidData("This is not settable.")
            if not isinstance(value, str) or etree.fromstring(value.encode(), _PARSER).tag != key:
                raise InvalidData("The value is not the XML element of this name.")
            _set(shown, key, value, limits)
        except InvalidData as error:
            shown.refused.append((path, f"{key[:200]}: {error.message}"))
        except (etree.XMLSyntaxError, ValueError):
            shown.refused.append((path, f"{key[:200]}: The value is not well-formed XML."))


def _allowed(name: str) -> bool:
    namespace = name[1:].partition("}")[0]
    return namespace not in _STANDARD or _SETTABLE.fullmatch(name) is not None


def _set(shown: Shown, name: str, fragment: str, limits: Limits) -> None:
    if len(fragment) > limits.max_property_size or len(shown.properties) >= limits.max_properties:
        raise InvalidData("The value is too large, or there are too many properties.")
    try:
        etree.fromstring(fragment.encode(), _PARSER)
    except (etree.XMLSyntaxError, ValueError):
        raise InvalidData("The text holds characters that XML cannot carry.") from None
    shown.properties[name] = fragment


# -- writing ----------------------------------------------------------------------------------------------------------


def write_folder(folder: Path, collection: Collection) -> None:
    """Write the files that `read_folder` reads. They have the name of the collection if the folder has another one."""
    kind: HomeKind = "addressbook" if collection.kind == "addressbook" else "calendar"
    texts: dict[str, str] = {"tag": "VADDRESSBOOK" if kind == "addressbook" else "VCALENDAR"}
    elements: dict[str, str] = {}
    if collection.source is not None:
        texts["tag"] = "VSUBSCRIBED"
        texts[_short(_SOURCE)] = collection.source
    if kind == "calendar":
        texts[_short(_COMPONENTS)] = ",".join(collection.components or sorted(CALENDAR_COMPONENTS))
    if collection.timezone:
        texts[_short(_TIMEZONE)] = collection.timezone
    for name, fragment in collection.properties.items():
        text = text_of(fragment)
        if text:
            texts[_short(name)] = text
        else:
            elements[name] = fragment
    _write(folder / RADICALE, texts)
    more: dict[str, object] = {}
    if folder.name != collection.name:
        more["name"] = collection.name
    if elements:
        more["properties"] = elements
    if more:
        _write(folder / KOYOMI, more)


def _short(name: str) -> str:
    namespace, _, local = name[1:].partition("}")
    prefix = next((prefix for prefix, known in _PREFIXES.items() if known == namespace), None)
    return name if prefix is None else f"{prefix}:{local}"


def _write(path: Path, document: Mapping[str, object]) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
