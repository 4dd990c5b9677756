"""Trees of XML: what strangers invent is read right, and leaves nothing in memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from server.dav.core import xml_trees
from server.domain.errors import BadRequest

NAMES = st.sampled_from(["a", "D:b", "c1", "x"])
VALUES = st.text(st.sampled_from("ab <>\"'&=xmlns:/\n"), max_size=8)


def attribute(name: str, value: str, quote: str) -> str:
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace(quote, "&#34;" if quote == '"' else "&#39;")
    return f" {name}={quote}{escaped}{quote}"


ATTRIBUTES = st.dictionaries(st.sampled_from(["p", "q", "D:r"]), st.tuples(VALUES, st.sampled_from("\"'")), max_size=3)
ELEMENTS = st.recursive(
    VALUES.map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")),
    lambda inner: st.builds(
        lambda name, attributes, content: (
            f"<{name}{''.join(attribute(key, *value) for key, value in attributes.items())}>{''.join(content)}</{name}>"
        ),
        NAMES, ATTRIBUTES, st.lists(inner, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip


@given(ELEMENTS, st.sampled_from(["", "<?xml version='1.0' encoding='utf-8'?>", "<?xml version='1.0'?>\n<!-- - -->"]))
def test_reads_what_libxml2_reads(inner: str, before: str) -> None:
    text = f'{before}<r xmlns:D="DAV:">{inner}</r>'.encode()
    expected = etree.fromstring(text, etree.XMLParser(remove_comments=True))
    assert etree.tostring(xml_trees.read(text), method="c14n") == etree.tostring(expected, method="c14n")


@pytest.mark.parametrize(
    "text",
    [
        b'<!DOCTYPE r [<!ELEMENT r ANY>]><r/>',
        b"<r>&invented;</r>",
        b"\xff\xfe<\x00r\x00/\x00>",
        b'<?xml version="1.0" encoding="utf-7"?>+ADw-r/+AD4-',
        b"\x4c\xa7\x94\x93",
        b"""<r a='"' b=">" invented="1" c='"'/>""",
        b"<r " + b"a" * xml_trees.MAX_TAG + b"='1'/>",
        b"<r><![CDATA[ <invented> ]]></r>",
        b"<?invented?><r/>",
        b'<r a="',
    ],
)  # fmt: skip
def test_what_may_hide_names_is_read_apart(text: bytes) -> None:
    assert not xml_trees.is_familiar(text)


def test_values_of_attributes_are_no_names() -> None:
    room = len(xml_trees._seen)
    for number in range(50):
        xml_trees.read(b'<r xmlns="DAV:"><range start="%d" end=\'%d\'/></r>' % (number, number + 1))
    assert len(xml_trees._seen) <= room + 3


@pytest.mark.parametrize("text", [b"<unclosed>", b"<!-- --><unclosed>", b"", b"<!DOCTYPE r><r/>", b"<D:r/>"])
def test_what_is_not_well_formed_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        xml_trees.read(text)


INVENT = """
from pathlib import Path
from server.dav.core import xml_trees

def memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def invent(round):
    names = "".join(f"<n{round}-{number} a{round}-{number}='' xmlns='n:{round}-{number}'/>" for number in range(3000))
    xml_trees.read(f"<r>{names}</r>".encode())

for round in range(20):
    invent(round)
before = memory()
for round in range(20, 200):
    invent(round)
print(memory() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_invented_names_leave_nothing_in_memory() -> None:
    done = subprocess.run([sys.executable, "-c", INVENT], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 16 << 20  # more than a million names, which would take over 40 MB
