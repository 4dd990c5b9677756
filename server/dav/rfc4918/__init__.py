"""RFC 4918, WebDAV: one module per method, the properties of §15, and conditional requests."""

from server.dav.core.registry import Standard
from server.dav.core.resource import COLLECTIONS, EVERY, HOMES, OBJECTS, Kind
from server.dav.rfc4918.copymove import copy, move
from server.dav.rfc4918.delete import delete
from server.dav.rfc4918.get import get
from server.dav.rfc4918.options import options
from server.dav.rfc4918.properties import PROPERTIES
from server.dav.rfc4918.propfind import propfind
from server.dav.rfc4918.proppatch import proppatch
from server.dav.rfc4918.put import put

MADE = frozenset({Kind.CALENDAR, Kind.ADDRESSBOOK})
"""Collections that people make, move and delete."""

STANDARD = Standard(
    "RFC 4918",
    properties=PROPERTIES,
    methods=(
        ("OPTIONS", EVERY, options),
        ("GET", EVERY, get),
        ("HEAD", EVERY, get),
        ("PROPFIND", EVERY, propfind),
        ("PROPPATCH", HOMES | COLLECTIONS | OBJECTS, proppatch),
        ("PUT", OBJECTS, put),
        ("DELETE", OBJECTS | MADE, delete),
        ("COPY", OBJECTS | MADE, copy),
        ("MOVE", OBJECTS | MADE, move),
    ),
    tokens=(("1", EVERY), ("3", EVERY)),
)

__all__ = ["STANDARD"]
