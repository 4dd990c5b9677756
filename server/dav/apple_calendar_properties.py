"""Apple's properties of calendars: colour and order, and subscribed collections (CS:source), as its apps set them."""

from __future__ import annotations

import re

from server.dav.core import names, xml
from server.dav.core.errors import Refused
from server.dav.core.names import apple_ical, calendarserver, dav
from server.dav.core.registry import Property, Standard
from server.dav.core.request import Request
from server.dav.core.resource import CALENDAR, CollectionResource, Resource
from server.dav.core.xml import Element

_ORDER = re.compile(r"[+-]?\d{1,10}\Z")
MAX_URL = 8000
"""Characters of a subscription's address."""


def _nothing(request: Request, resource: Resource) -> None:
    return None


def _read(request: Request, resource: Resource, element: Element) -> str:
    return xml.to_fragment(element)


def _read_order(request: Request, resource: Resource, element: Element) -> str:
    if not _ORDER.match(xml.text_of(element)):
        raise Refused(409, message="calendar-order is a whole number.")
    return xml.to_fragment(element)


def _source(request: Request, resource: CollectionResource) -> str | None:
    return names.href(resource.collection.source) if resource.collection.source else None


def _read_source(request: Request, resource: Resource, element: Element) -> str:
    href = xml.text_of(element.find(dav("href"))) or xml.text_of(element)
    if not href or len(href) > MAX_URL:
        raise Refused(409, message="source holds the address of the calendar subscribed to.")
    return href


STANDARD = Standard(
    "Apple's calendar properties",
    properties=(
        Property(apple_ical("calendar-color"), CALENDAR, _nothing, read=_read, stored=True),
        Property(apple_ical("calendar-order"), CALENDAR, _nothing, read=_read_order, stored=True),
        Property(calendarserver("source"), CALENDAR, _source, read=_read_source),
    ),
)
