"""RFC 4918, WebDAV: one module per method, the properties of §15, and conditional requests."""

from server.dav.core.registry import Standard
from server.dav.core.resource import COLLECTIONS, EVERY, HOMES, MADE, OBJECTS
from server.dav.core.shapes import BELOW, MEMBERS, SHAPES
from server.dav.rfc4918.copymove import copy, move
from server.dav.rfc4918.delete import delete
from server.dav.rfc4918.get import get
from server.dav.rfc4918.options import options
from server.dav.rfc4918.properties import PROPERTIES
from server.dav.rfc4918.propfind import propfind
from server.dav.rfc4918.proppatch import proppatch
from server.dav.rfc4918.put import put, refuse_put
from server.http.routes import Route

WRITABLE = MEMBERS | {BELOW}
"""Where PUT finds a collection missing, or writes."""

STANDARD = Standard(
    "RFC 4918",
    properties=PROPERTIES,
    routes=(
        Route("OPTIONS", SHAPES, options),
        Route("GET", SHAPES, get),
        Route("HEAD", SHAPES, get),
        Route("PROPFIND", SHAPES, propfind),
        Route("PROPPATCH", SHAPES, proppatch),
        Route("PUT", WRITABLE, put),
        Route("PUT", SHAPES - WRITABLE, refuse_put),
        # A body that these do not define is refused (RFC 4918 §8.4).
        Route("DELETE", SHAPES, delete, takes_body=False),
        Route("COPY", SHAPES, copy, takes_body=False),
        Route("MOVE", SHAPES, move, takes_body=False),
    ),
    offers=(
        ("OPTIONS", EVERY),
        ("GET", EVERY),
        ("HEAD", EVERY),
        ("PROPFIND", EVERY),
        ("PROPPATCH", HOMES | COLLECTIONS | OBJECTS),
        ("PUT", OBJECTS),
        ("DELETE", OBJECTS | MADE),
        ("COPY", OBJECTS | MADE),
        ("MOVE", OBJECTS | MADE),
    ),
    tokens=(("1", EVERY), ("3", EVERY)),
)

__all__ = ["STANDARD"]
