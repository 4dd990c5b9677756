"""The senders who may act for others towards a person, as a property of the person's inbox."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.sax.saxutils import escape, unescape

ACTS_FOR_OTHERS = "{urn:koyomi:mail}acts-for-others"
"""The property: the mail addresses, with space between them, of senders who may act for others, such as assistants of
organizers and calendar services that send in their own name."""

_ELEMENT = re.compile(r"<[^>]*>")


def senders_in(text: str) -> frozenset[str]:
    """The addresses in the property."""
    return frozenset(unescape(_ELEMENT.sub(" ", text)).split())


def senders_as(addresses: Iterable[str]) -> str:
    """The property for addresses."""
    return f'<acts-for-others xmlns="urn:koyomi:mail">{escape(" ".join(sorted(addresses)))}</acts-for-others>'
