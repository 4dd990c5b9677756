"""Trees of XML whose names strangers choose.

libxml2 keeps every name that it reads, of elements, attributes, prefixes, namespaces and entities, until the thread
ends that read it (measured: 85 bytes for each). Whoever invents names would fill a worker's memory for good. So the
worker's own thread reads only what is made of tags that it knows, or of a few thousand that it gets to know; all else
is read by a thread of its own, which takes the names along when it ends and the tree is gone.
"""

from __future__ import annotations

import re
import threading

from lxml import etree

from server.domain.errors import BadRequest

MAX_KNOWN = 4096
"""Different tags that are remembered; an app has some dozens."""
MAX_NEW = 256
"""Different tags that one text may add to them."""
MAX_TAG = 400
"""Bytes of such a tag, with its attributes and namespaces."""

_OTHER_MARKUP = re.compile(rb"<!|&(?!amp;|lt;|gt;|quot;|apos;|#)|\x00")
"""Declarations, comments, entities; and NUL, which encodings of two and four bytes have."""
_DECLARATION = re.compile(
    rb"""\?xml\s+version=["']1\.0["'](\s+encoding=["']utf-8["'])?(\s+standalone=["'](yes|no)["'])?\s*\?\Z""",
    re.IGNORECASE,
)
_VALUE = re.compile(rb"""(\s(?!xmlns)[^\s="']+\s*=\s*)("[^"]*"|'[^']*')""")
"""An attribute that declares no namespace: its value is no name, and is another in every request."""
_seen: set[bytes] = set()


def read(text: bytes) -> etree._Element:
    """The root element of a text. Raises `BadRequest` when it is not well-formed, or has a document type."""
    return read_familiar(text) if is_familiar(text) else _read_apart(text)


def is_familiar(text: bytes) -> bool:
    """Whether reading a text adds no names, or such as there is room for."""
    if not text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") or _OTHER_MARKUP.search(text):
        return False
    tags = {piece.partition(b">")[0] for piece in text.split(b"<")[1:]} - _seen
    if len(tags) > MAX_NEW:
        return False
    if not all(map(_is_plain, tags)):
        return False
    new = {_VALUE.sub(rb"\1", tag) for tag in tags} - _seen
    if len(_seen) + len(new) > MAX_KNOWN:
        return False
    _seen.update(new)
    return True


def _is_plain(tag: bytes) -> bool:
    """Whether what stands between `<` and the next `>` is a whole tag of no unusual length."""
    if tag.startswith(b"?"):
        return _DECLARATION.match(tag) is not None
    doubles, singles = tag.count(b'"'), tag.count(b"'")
    return len(tag) <= MAX_TAG and not (doubles and singles) and doubles % 2 == singles % 2 == 0


def _read_apart(text: bytes) -> etree._Element:
    """As `read_familiar`, in a thread of its own, for any text."""
    found: list[etree._Element | BadRequest] = []

    def work() -> None:
        try:
            found.append(read_familiar(text))
        except BadRequest as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(found[0], BadRequest):
        raise found[0]
    return found[0]


def read_familiar(text: bytes) -> etree._Element:
    """As `read`, of a text that `is_familiar`."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True, huge_tree=False
    )
    try:
        root = etree.fromstring(text, parser)
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise BadRequest(f"The body is not well-formed XML: {str(error)[:200]}") from None
    if root is None:
        raise BadRequest("The body has no XML element.")
    # lxml forgets of namespaces that are wrong when something harmless is odd later on.
    wrong = parser.error_log.filter_from_errors()
    if wrong:
        raise BadRequest(f"The body is not well-formed XML: {wrong[0].message[:200]}")
    if root.getroottree().docinfo.internalDTD is not None:
        raise BadRequest("A document type declaration is not allowed.")
    return root
