"""The one table from domain errors to HTTP status and precondition element."""

from __future__ import annotations

from dataclasses import dataclass

from server.dav.core import names
from server.dav.core.names import caldav, calendarserver, carddav, dav
from server.dav.core.paths import encode
from server.domain import errors
from server.http import errors as http


@dataclass(frozen=True, slots=True)
class Translation:
    """How an error is answered."""

    status: int
    precondition: str | None = None
    """Element of the `DAV:error` body in calendars (and where nothing else is said)."""
    card_precondition: str | None = None
    """Element in address books, where it is another one (RFC 6352 §6.3.2.1)."""


TABLE: dict[type[errors.KoyomiError], Translation] = {
    errors.NotFound: Translation(404),
    errors.BadRequest: Translation(400),
    errors.RequestTimedOut: Translation(408),
    errors.AccessDenied: Translation(403, dav("need-privileges")),
    errors.PersonalOnly: Translation(403, dav("need-privileges")),
    errors.SameResource: Translation(403),
    errors.PermanentCollection: Translation(403),
    errors.DefaultCalendarNeeded: Translation(403, caldav("default-calendar-needed")),
    errors.SignInRequired: Translation(401),
    errors.SignInDelayed: Translation(429),
    errors.PreconditionFailed: Translation(412),
    errors.AlreadyExists: Translation(405, dav("resource-must-be-null")),
    errors.ParentMissing: Translation(409),
    errors.WriteConflict: Translation(503),
    errors.Unavailable: Translation(503),
    errors.InvalidData: Translation(403, caldav("valid-calendar-data"), carddav("valid-address-data")),
    errors.UnsupportedMediaType: Translation(403, caldav("supported-calendar-data"), carddav("supported-address-data")),
    errors.InvalidCalendarData: Translation(403, caldav("valid-calendar-data")),
    errors.InvalidCalendarObject: Translation(403, caldav("valid-calendar-object-resource")),
    errors.UnsupportedComponent: Translation(403, caldav("supported-calendar-component")),
    errors.InvalidAddressData: Translation(403, carddav("valid-address-data"), carddav("valid-address-data")),
    errors.UidConflict: Translation(403, caldav("no-uid-conflict"), carddav("no-uid-conflict")),
    errors.OrganizerChangeRefused: Translation(403, caldav("allowed-organizer-scheduling-object-change")),
    errors.AttendeeChangeRefused: Translation(403, caldav("allowed-attendee-scheduling-object-change")),
    errors.DifferentOrganizers: Translation(403, caldav("same-organizer-in-all-components")),
    errors.SchedulingObjectExists: Translation(403, caldav("unique-scheduling-object-resource")),
    errors.AttendeeCommentRefused: Translation(403, calendarserver("valid-attendee-comment-change")),
    errors.DateTimeTooEarly: Translation(403, caldav("min-date-time")),
    errors.DateTimeTooLate: Translation(403, caldav("max-date-time")),
    errors.TooManyAttendees: Translation(403, caldav("max-attendees-per-instance")),
    errors.TooManyInstances: Translation(403, caldav("max-instances")),
    errors.InvalidSchedulingMessage: Translation(400, caldav("valid-scheduling-message")),
    errors.InvalidOrganizer: Translation(403, caldav("valid-organizer")),
    errors.ResourceTooLarge: Translation(403, caldav("max-resource-size"), carddav("max-resource-size")),
    errors.InvalidFilter: Translation(403, caldav("valid-filter"), carddav("supported-filter")),
    errors.UnsupportedFilter: Translation(403, caldav("supported-filter"), carddav("supported-filter")),
    errors.UnsupportedCollation: Translation(403, caldav("supported-collation"), carddav("supported-collation")),
    errors.QuotaExceeded: Translation(507, dav("quota-not-exceeded")),
    errors.TooManyCollections: Translation(403, calendarserver("max-collections")),
    errors.TooManyMembers: Translation(403, calendarserver("max-resources")),
    errors.InvalidSyncToken: Translation(403, dav("valid-sync-token")),
    errors.SyncTraversalRefused: Translation(403, dav("sync-traversal-supported")),
}


MAX_REASON = 1000
"""Characters of what is said about an error."""


class Refused(http.Refused):
    """A request that DAV refuses, with the status and precondition that its RFC names."""

    def __init__(self, status: int, precondition: str | None = None, message: str = "", inner: str = "") -> None:
        super().__init__(status, message)
        self.precondition = precondition
        self.inner = inner
        """Markup inside the precondition element."""


def translate(error: errors.KoyomiError) -> Translation:
    """The row of an error's class, or of the nearest class above it."""
    if isinstance(error, http.Refused):
        precondition = error.precondition if isinstance(error, Refused) else None
        return Translation(error.status, precondition, precondition)
    for cls in type(error).__mro__:
        found = TABLE.get(cls)
        if found is not None:
            return found
    return Translation(500)


def body(error: errors.KoyomiError, *, card: bool = False, collection_href: str = "", prefix: str = "") -> str | None:
    """The `DAV:error` body; None where the status says all there is to say.

    `card`: the request was for an address book. `collection_href` is where a conflicting UID's resource lies. `prefix`
    is the path under which a proxy shows this server.
    """
    row = translate(error)
    precondition = row.card_precondition if card and row.card_precondition else row.precondition
    if precondition is None:
        return None
    inner = _inner(error, collection_href, prefix)
    return f"{names.PROLOGUE}<D:error {names.DECLARATIONS}>{names.element(precondition, inner)}</D:error>\n"


def _inner(error: errors.KoyomiError, collection_href: str, prefix: str) -> str:
    """Markup inside the precondition element: what its RFC puts there, else what is wrong, and on which line."""
    if isinstance(error, Refused):
        return error.inner
    if isinstance(error, errors.AccessDenied):
        privilege = names.element(dav("privilege"), names.element(error.privilege))
        return names.element(dav("resource"), names.href(prefix + error.href) + privilege)
    if isinstance(error, errors.UidConflict):
        return names.href(collection_href + encode(error.name)) if error.name is not None else ""
    if isinstance(error, errors.SchedulingObjectExists):
        return names.href(prefix + error.href) if error.href is not None else ""
    if isinstance(error, errors.UnsupportedFilter):
        return error.element
    if isinstance(error, errors.InvalidData):
        told = error.line is None or error.message.startswith(f"Line {error.line}")
        return names.escape(reason(error) if told else f"line {error.line}: {reason(error)}")
    return ""


def reason(error: errors.KoyomiError) -> str:
    """What is wrong, in words; shortened where what a client sent makes it long."""
    return error.message if len(error.message) <= MAX_REASON else error.message[:MAX_REASON] + " …"
