"""Reading XML that clients send: entities, DTDs and network off."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeAlias

from lxml import etree

from server.dav.core import xml_trees
from server.domain.errors import BadRequest

Element: TypeAlias = etree._Element

REMEMBERED_SIZE = 1500
"""Bytes up to which bodies are remembered."""
SMALL = 8_000
"""Bytes up to which any body is parsed on the event loop (measured: 0.5 µs a byte for one of invented names)."""
LARGE = 64_000
"""Bytes from which every body is parsed in a thread."""
MAX_CHILDREN = 10_000
"""Child elements that `elements` returns; the hrefs of a multiget have their own limit."""
MAX_TAGS = 200_000
"""Tags of a request body: a tree of a million empty elements would take over 100 MiB."""


def parse(body: bytes) -> Element:
    """The root element of a request body. Raises `BadRequest`.

    libxml2 itself refuses more than 256 levels of nesting and texts over 10 MB; the size of the whole is bounded by the
    reader of the body.
    """
    if body.count(b"<") > MAX_TAGS:
        raise BadRequest("The XML body has too many elements.")
    return xml_trees.read(body)


_remembered = lru_cache(256)(parse)


def parse_again(body: bytes) -> Element:
    """The root element of a request body that may have come before; the tree is not to be changed. Raises `BadRequest`.

    Apps ask for the same properties again and again: short bodies are remembered with their trees.
    """
    return _remembered(body) if len(body) <= REMEMBERED_SIZE else parse(body)


_threads = ThreadPoolExecutor(2, "xml")
"""Threads for bodies that would block the event loop, apart from those that compute recurrences."""


async def parse_body(body: bytes, *, again: bool) -> Element:
    """As `parse`, or `parse_again` if `again`; a body that takes long is parsed in a thread. Raises `BadRequest`."""
    if len(body) <= SMALL:
        return parse_again(body) if again else parse(body)
    if len(body) < LARGE and xml_trees.is_familiar(body):
        return xml_trees.read_familiar(body)
    return await asyncio.get_running_loop().run_in_executor(_threads, parse, body)


def elements(parent: Element) -> list[Element]:
    """Child elements, without entity references and the like. Raises `BadRequest` for more than `MAX_CHILDREN`."""
    if len(parent) > MAX_CHILDREN:
        raise BadRequest(f"An XML element has more than {MAX_CHILDREN} child elements.")
    return [child for child in parent if isinstance(child.tag, str)]


def child(parent: Element, name: str) -> Element | None:
    """The first child element of that name."""
    return parent.find(name)


def text_of(element: Element | None) -> str:
    """Text of an element, without white space around it; empty for None."""
    return (element.text or "").strip() if element is not None else ""


def to_fragment(element: Element) -> str:
    """An element as text that stands on its own: every namespace that it uses is declared in it.

    `xml:lang` in scope is kept as an attribute (RFC 4918 §4.3).
    """
    text = etree.tostring(element, encoding="utf-8", with_tail=False)
    copy = xml_trees.read(text)
    language = element.xpath("string(ancestor-or-self::*[@xml:lang][1]/@xml:lang)")
    if language:
        copy.set("{http://www.w3.org/XML/1998/namespace}lang", str(language))
    if b'xmlns=""' not in text:  # which the cleaning up would lose
        etree.cleanup_namespaces(copy)
    return etree.tostring(copy, encoding="unicode").replace("\r", "&#13;")


def inner_text(fragment: str) -> str:
    """Character data of a stored fragment."""
    return "".join(str(part) for part in xml_trees.read(fragment.encode()).itertext())
