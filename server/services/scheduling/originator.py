"""CALDAV:originator of an item in an inbox: who sent its message, where the message itself does not say so.

The property is that of early drafts of RFC 6638. Only proposals (COUNTER) have it: they name all attendees.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import escape, unescape

from server.itip.messages import Message, Method

_CALDAV = "urn:ietf:params:xml:ns:caldav"
ORIGINATOR = f"{{{_CALDAV}}}originator"
_HREF = re.compile(r"<D:href>(.*)</D:href>")


def properties_of(message: Message) -> Mapping[str, str]:
    """The property of the item that a message becomes."""
    if message.method is not Method.COUNTER:
        return {}
    href = f"<D:href>{escape(message.sender.address)}</D:href>"
    return {ORIGINATOR: f'<C:originator xmlns:C="{_CALDAV}" xmlns:D="DAV:">{href}</C:originator>'}


def originator_of(properties: Mapping[str, str]) -> str | None:
    """The address in the property of an item; None without one."""
    found = _HREF.search(properties.get(ORIGINATOR, ""))
    return None if found is None else unescape(found[1])
