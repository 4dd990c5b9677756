"""Reading request bodies: what costs too much, or would reach outside, is refused."""

from __future__ import annotations

import pytest

from server.dav.core import xml
from server.domain.errors import BadRequest

REFUSED = {
    "not XML": b"BEGIN:VCALENDAR",
    "nothing": b"",
    "broken": b"<a><b></a>",
    "a million elements": b"<a>" + b"<b/>" * 1_000_000 + b"</a>",
    "too deep": b"<a>" * 5000 + b"</a>" * 5000,
    "a document type": b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
    "an external entity": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "an unknown encoding": b'<?xml version="1.0" encoding="x-none"?><a/>',
    "invalid UTF-8": b"<a>\xff\xfe</a>",
    "a NUL": b"<a>\x00</a>",
    "an undeclared prefix": b"<a><D:b/></a>",
    "an undeclared prefix, and something odd after it": b'<a><D:b/><c xmlns="relative"/></a>',
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        xml.parse(body)


def test_a_large_multiget_is_read() -> None:
    root = xml.parse(b'<m xmlns="DAV:">' + b"<href>/a</href>" * 20_000 + b"</m>")
    assert len(root) == 20_000


def test_fragment_keeps_language_and_namespaces() -> None:
    root = xml.parse(b'<p xmlns="DAV:" xml:lang="de" xmlns:z="urn:z"><z:note a="1">x\r<z:b/></z:note></p>')
    text = xml.to_fragment(root[0])
    again = xml.parse(text.encode())
    assert again.tag == "{urn:z}note"
    assert again.get("{http://www.w3.org/XML/1998/namespace}lang") == "de"
    assert again[0].tag == "{urn:z}b"
