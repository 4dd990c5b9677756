"""The limits on all input, as plain values.

Pure code uses these values and is independent of settings. `server.settings` has an option of the same name for each,
with these defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on input. Sizes are bytes of UTF-8, all bounds are inclusive."""

    max_resource_size: int = 10 * MIB
    """One calendar object or address object (CALDAV:max-resource-size, CARDDAV:max-resource-size)."""
    quota_bytes: int = 1024 * MIB
    """All objects and dead properties of one home (RFC 4331), where the home has no quota of its own."""
    max_collections: int = 250
    """Collections in a home, inbox and outbox included."""
    max_members: int = 250_000
    """Objects in a collection."""
    max_name_length: int = 1000
    """A collection's or object's name: its path segment, decoded."""
    max_uid_length: int = 1000
    """The UID of an object."""
    max_attendees: int = 2_000
    """ATTENDEE properties of one component (CALDAV:max-attendees-per-instance)."""
    max_components: int = 10_000
    """Components of one object at every level: overrides, alarms, time zones and their observances."""
    min_date_time: datetime = datetime(1, 1, 1, tzinfo=UTC)
    """Earliest date or time in a calendar object (CALDAV:min-date-time); UTC."""
    max_date_time: datetime = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    """Latest date or time in a calendar object (CALDAV:max-date-time); UTC."""
    max_xml_size: int = 4 * MIB
    """The XML body of a request."""
    max_property_size: int = MIB // 4
    """The value of one dead property, as XML."""
    max_properties: int = 200
    """Dead properties of one resource."""
    max_personal_properties_size: int = MIB
    """All properties that one person sets for themselves on a collection of somebody else's."""
    max_multiget_hrefs: int = 20_000
    """Hrefs of one calendar-multiget or addressbook-multiget."""
