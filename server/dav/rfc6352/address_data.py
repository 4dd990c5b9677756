"""CARDDAV:address-data in reports (RFC 6352 §10.4): which properties are asked for, and the card, whole or in part."""

from __future__ import annotations

from server.contacts.partial import AddressDataSelection, select
from server.contacts.room_cards import as_version_4, is_room_card
from server.contacts.vcard import version_of
from server.dav.core import xml
from server.dav.core.errors import Refused
from server.dav.core.names import carddav, dav, escape
from server.dav.core.registry import MemberValue
from server.dav.core.request import Request
from server.dav.core.resource import Kind
from server.dav.rfc4918.propfind import ALLPROP, PROP, PROPNAME, names_in
from server.dav.rfc6352.filter_xml import read_address_data

ADDRESS_DATA = carddav("address-data")


def asked_for(request: Request, root: xml.Element) -> tuple[list[str], MemberValue]:
    """The properties that a report asks for, and how address-data is read from rows.

    Raises `UnsupportedMediaType` for a media type or version that is not offered, `InvalidFilter`.
    """
    prop = root.find(PROP)
    selection = AddressDataSelection()
    version: str | None = None
    if prop is not None:
        element = prop.find(ADDRESS_DATA)
        if element is not None:
            data = read_address_data(element)
            selection, version = data.selection, data.version
        wanted = names_in(prop)
    elif root.find(ALLPROP) is not None or root.find(PROPNAME) is not None:
        known = request.site.registry.by_kind[Kind.ADDRESS_OBJECT]
        wanted = [name for name, item in known.items() if item.in_allprop]
    else:
        wanted = [dav("getetag")]

    if version is None and not selection.properties:
        return wanted, MemberValue(("text",), escape)

    def render(text: str) -> str:
        if version == "4.0" and is_room_card(text):
            text = as_version_4(text)
        if version is not None and version_of(text) != version:
            raise Refused(415, carddav("supported-address-data-conversion"))
        return escape(select(text, selection) if selection.properties else text)

    return wanted, MemberValue(("text",), render, heavy=True)
