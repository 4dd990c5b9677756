"""RFC 6352, CardDAV: the properties, addressbook-query, addressbook-multiget, and GET on an address book."""

from server.dav.core.names import carddav
from server.dav.core.registry import Getter, Report, Standard
from server.dav.core.resource import ADDRESSBOOK, InHome, Kind, Kinds
from server.dav.rfc6352.get_addressbook import get_addressbook
from server.dav.rfc6352.multiget import addressbook_multiget
from server.dav.rfc6352.properties import PROPERTIES
from server.dav.rfc6352.query import addressbook_query

KINDS = Kinds.of(InHome, Kind.ADDRESSBOOK_HOME, Kind.ADDRESSBOOK, Kind.ADDRESS_OBJECT)

STANDARD = Standard(
    "RFC 6352",
    properties=PROPERTIES,
    reports=(
        Report(carddav("addressbook-multiget"), KINDS, addressbook_multiget),
        Report(carddav("addressbook-query"), KINDS, addressbook_query),
    ),
    getters=(Getter(ADDRESSBOOK, get_addressbook),),
    tokens=(("addressbook", KINDS | {Kind.PRINCIPAL, Kind.ROOT}),),
)
