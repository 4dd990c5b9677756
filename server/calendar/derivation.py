"""The version of the code that derives columns from a calendar object's text.

Occurrences, alarms, zone keys and busy types are computed when an object is written. A change of this code that gives
another result for a text that may be stored already needs a new `VERSION`: servers then compute all older objects
again, in the background (`storage_plugins.postgres.upkeep.occurrence_jobs`). `koyomi db reexpand` does the same at
once.

The time key of every object begins with the version, so that an object which a server of an older version writes during
an upgrade is found, too.

Versions:

* (none): keys without a version.
* 2: zone keys in place of TZIDs as written; events that the calendar's owner has declined are free; the recurrence of
  series that are not stored whole; broken values that are read leniently (`docs/standards.md`).
* 3: instances at local times that do not exist; UNTIL, RDATE and EXDATE of a series of dates at local midnight.
* 4: a VTIMEZONE is believed by the kind of its name (`server.calendar.vtimezone`).
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

VERSION = 4

PREFIX = f"v{VERSION:03}"
"""What the time keys of this version begin with. It sorts after those of older versions, which are hexadecimal digits
or lower numbers, and before those of later ones."""


def versioned(key: str, declined: Collection[int] = ()) -> str:
    """The time key of an object whose columns this version derives.

    :param key: a hash of what concerns time in the text.
    :param declined: the indexes of the components that the calendar's owner has declined.
    """
    if not declined:
        return f"{PREFIX}:{key}"
    return f"{PREFIX}:{key}-{blake2b(repr(sorted(declined)).encode(), digest_size=8).hexdigest()}"
