"""The version of the code that derives columns from a calendar object's text.

Occurrences, alarms, zone keys and busy types are computed when an object is written, and the column `derived` holds the
version of the code that did it. A change of this code that gives another result for a text that may be stored already
needs a new `VERSION`: servers then compute all older objects again, in the background
(`storage_plugins.postgres.upkeep.rederivation`). `koyomi db rederive` does the same at once.

Every server writes its own version, and 0 is the column's default. So an object that a server of an older version
writes during an upgrade is found, too.

Versions:

* 0: to be derived again, or by code that knew no versions.
* 2: zone keys in place of TZIDs as written; events that the calendar's owner has declined are free; the recurrence of
  series that are not stored whole; broken values that are read leniently (`docs/standards.md`).
* 3: instances at local times that do not exist; UNTIL, RDATE and EXDATE of a series of dates at local midnight.
* 4: a VTIMEZONE is believed by the kind of its name (`server.calendar.vtimezone`).
* 5: whose scheduling object it is, organizer and sequence (`server.calendar.roles`); travel around events.
* 6: whether others see a part of it at most (`server.calendar.visibility`).
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

VERSION = 6

FIRST_WITH_RECURRENCE = 2
"""The version since which the recurrence of a series is stored."""

PREFIX = f"v{VERSION:03}"
"""What the time keys of this version begin with: a text that another version derived is derived anew when it is written
again. Servers that do not know the column `derived` find what is older than they are by it. So it sorts after those of
older versions, which are hexadecimal digits or lower numbers, and before those of later ones."""


def versioned(key: str, declined: Collection[int] = ()) -> str:
    """The time key of an object whose columns this version derives.

    :param key: a hash of what concerns time in the text.
    :param declined: the indexes of the components that the calendar's owner has declined.
    """
    if not declined:
        return f"{PREFIX}:{key}"
    return f"{PREFIX}:{key}-{blake2b(repr(sorted(declined)).encode(), digest_size=8).hexdigest()}"
