"""The one table of errors: how HTTP, DAV and JSON answer each, and what metrics call it.

A front end renders its own columns: DAV the precondition element (RFC 4918 §16), others problem+json (RFC 9457).
"""

from __future__ import annotations

from dataclasses import dataclass

from server.domain import errors
from server.domain.errors import KoyomiError

DAV, CALENDARSERVER = "{DAV:}", "{http://calendarserver.org/ns/}"
ROOMS = "{urn:koyomi:rooms}"
CALDAV, CARDDAV = "{urn:ietf:params:xml:ns:caldav}", "{urn:ietf:params:xml:ns:carddav}"
MAX_REASON = 1000
"""Characters of what is said about an error."""


@dataclass(frozen=True, slots=True)
class Row:
    """How an error is answered."""

    status: int
    problem: str
    """The last segment of its problem type; empty where the status says all there is to say (RFC 9457 §4.2.1)."""
    label: str
    """What metrics call it."""
    precondition: str | None = None
    """Element of the `DAV:error` body in calendars (and where nothing else is said)."""
    card_precondition: str | None = None
    """Element in address books, where it is another one (RFC 6352 §6.3.2.1)."""
    dav_status: int | None = None
    """The status in DAV, where its RFCs name another one than a JSON API would give."""


class Refused(KoyomiError):
    """A request that the protocol itself refuses, with the status that its RFC names."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message or None)
        self.status = status


def _data(
    status: int, problem: str, label: str, precondition: str | None = None, card_precondition: str | None = None
) -> Row:
    """The row of data that a calendar or address book does not take: 403 in DAV, whatever is wrong (RFC 4791 §1.3)."""
    return Row(status, problem, label, precondition, card_precondition, dav_status=403)


TABLE: dict[type[KoyomiError], Row] = {
    KoyomiError: Row(500, "internal-error", "KoyomiError"),
    errors.NotFound: Row(404, "not-found", "NotFound"),
    errors.BadRequest: Row(400, "bad-request", "BadRequest"),
    errors.InvalidRequest: Row(422, "invalid-request", "InvalidRequest"),
    errors.TooManyRequests: Row(429, "too-many-requests", "TooManyRequests"),
    errors.PreconditionRequired: Row(428, "precondition-required", "PreconditionRequired"),
    errors.RequestTimedOut: Row(408, "request-timed-out", "RequestTimedOut"),
    errors.AccessDenied: Row(403, "access-denied", "AccessDenied", f"{DAV}need-privileges"),
    errors.PersonalOnly: Row(403, "personal-only", "PersonalOnly", f"{DAV}need-privileges"),
    errors.SameResource: Row(403, "same-resource", "SameResource"),
    errors.PermanentCollection: Row(403, "permanent-collection", "PermanentCollection"),
    errors.DefaultCalendarNeeded: Row(
        403, "default-calendar-needed", "DefaultCalendarNeeded", f"{CALDAV}default-calendar-needed"
    ),
    errors.SignInRequired: Row(401, "sign-in-required", "SignInRequired"),
    errors.SignInDelayed: Row(429, "sign-in-delayed", "SignInDelayed"),
    errors.CredentialsRefused: Row(403, "credentials-refused", "CredentialsRefused"),
    errors.ScopeMissing: Row(403, "scope-missing", "ScopeMissing"),
    errors.PreconditionFailed: Row(412, "precondition-failed", "PreconditionFailed"),
    # MKCOL on a mapped URL is 405 (RFC 4918 §9.3.1).
    errors.AlreadyExists: Row(409, "already-exists", "AlreadyExists", f"{DAV}resource-must-be-null", dav_status=405),
    errors.AlreadyReserved: Row(409, "already-reserved", "AlreadyReserved", f"{ROOMS}already-reserved"),
    errors.NameTaken: Row(409, "name-taken", "NameTaken", f"{DAV}resource-must-be-null", dav_status=405),
    errors.InvalidPrincipal: Row(422, "invalid-principal", "InvalidPrincipal"),
    errors.ParentMissing: Row(409, "parent-missing", "ParentMissing"),
    errors.WriteConflict: Row(503, "write-conflict", "WriteConflict"),
    errors.Unavailable: Row(503, "unavailable", "Unavailable"),
    errors.TooManyConflicts: Row(503, "too-many-conflicts", "TooManyConflicts"),
    errors.InvalidData: _data(
        422, "invalid-data", "InvalidData", f"{CALDAV}valid-calendar-data", f"{CARDDAV}valid-address-data"
    ),
    errors.UnsupportedMediaType: _data(
        415,
        "unsupported-media-type",
        "UnsupportedMediaType",
        f"{CALDAV}supported-calendar-data",
        f"{CARDDAV}supported-address-data",
    ),
    errors.InvalidCalendarData: _data(
        422, "invalid-calendar-data", "InvalidCalendarData", f"{CALDAV}valid-calendar-data"
    ),
    errors.InvalidCalendarObject: _data(
        422, "invalid-calendar-object", "InvalidCalendarObject", f"{CALDAV}valid-calendar-object-resource"
    ),
    errors.UnknownTimezone: _data(
        422, "unknown-timezone", "UnknownTimezone", f"{CALDAV}valid-calendar-object-resource"
    ),
    errors.UnsupportedComponent: _data(
        422, "unsupported-component", "UnsupportedComponent", f"{CALDAV}supported-calendar-component"
    ),
    errors.InvalidAddressData: _data(422, "invalid-address-data", "InvalidAddressData", f"{CARDDAV}valid-address-data"),
    errors.UidConflict: _data(
        409, "uid-conflict", "UidConflict", f"{CALDAV}no-uid-conflict", f"{CARDDAV}no-uid-conflict"
    ),
    errors.SchedulingRefused: Row(403, "scheduling-refused", "SchedulingRefused"),
    errors.OrganizerChangeRefused: Row(
        403,
        "organizer-change-refused",
        "OrganizerChangeRefused",
        f"{CALDAV}allowed-organizer-scheduling-object-change",
    ),
    errors.AttendeeChangeRefused: Row(
        403, "attendee-change-refused", "AttendeeChangeRefused", f"{CALDAV}allowed-attendee-scheduling-object-change"
    ),
    errors.DifferentOrganizers: _data(
        422, "different-organizers", "DifferentOrganizers", f"{CALDAV}same-organizer-in-all-components"
    ),
    errors.SchedulingObjectExists: _data(
        409, "scheduling-object-exists", "SchedulingObjectExists", f"{CALDAV}unique-scheduling-object-resource"
    ),
    errors.UnknownAccessRestriction: _data(
        422, "unknown-access-restriction", "UnknownAccessRestriction", f"{CALENDARSERVER}valid-access-restriction"
    ),
    errors.AccessRestrictionChange: Row(
        403,
        "access-restriction-change",
        "AccessRestrictionChange",
        f"{CALENDARSERVER}valid-access-restriction-change",
    ),
    errors.RestrictedMessage: _data(
        422, "restricted-message", "RestrictedMessage", f"{CALENDARSERVER}no-access-restrictions"
    ),
    errors.InvalidSplitPoint: Row(403, "invalid-split-point", "InvalidSplitPoint", f"{CALDAV}valid-rid-parameter"),
    errors.SplitRefused: Row(403, "split-refused", "SplitRefused", f"{CALENDARSERVER}invalid-split"),
    errors.AttendeeCommentRefused: Row(
        403, "attendee-comment-refused", "AttendeeCommentRefused", f"{CALENDARSERVER}valid-attendee-comment-change"
    ),
    errors.DateTimeTooEarly: _data(422, "date-time-too-early", "DateTimeTooEarly", f"{CALDAV}min-date-time"),
    errors.DateTimeTooLate: _data(422, "date-time-too-late", "DateTimeTooLate", f"{CALDAV}max-date-time"),
    errors.TooManyAttendees: _data(
        422, "too-many-attendees", "TooManyAttendees", f"{CALDAV}max-attendees-per-instance"
    ),
    errors.TooManyInstances: _data(422, "too-many-instances", "TooManyInstances", f"{CALDAV}max-instances"),
    errors.InvalidSchedulingMessage: Row(
        400, "invalid-scheduling-message", "InvalidSchedulingMessage", f"{CALDAV}valid-scheduling-message"
    ),
    errors.InvalidOrganizer: Row(403, "invalid-organizer", "InvalidOrganizer", f"{CALDAV}valid-organizer"),
    errors.ResourceTooLarge: _data(
        413, "resource-too-large", "ResourceTooLarge", f"{CALDAV}max-resource-size", f"{CARDDAV}max-resource-size"
    ),
    errors.InvalidFilter: _data(
        422, "invalid-filter", "InvalidFilter", f"{CALDAV}valid-filter", f"{CARDDAV}supported-filter"
    ),
    errors.UnsupportedFilter: _data(
        422, "unsupported-filter", "UnsupportedFilter", f"{CALDAV}supported-filter", f"{CARDDAV}supported-filter"
    ),
    errors.UnsupportedCollation: _data(
        422,
        "unsupported-collation",
        "UnsupportedCollation",
        f"{CALDAV}supported-collation",
        f"{CARDDAV}supported-collation",
    ),
    errors.QuotaExceeded: Row(507, "quota-exceeded", "QuotaExceeded", f"{DAV}quota-not-exceeded"),
    errors.TooManyCollections: Row(
        403, "too-many-collections", "TooManyCollections", f"{CALENDARSERVER}max-collections"
    ),
    errors.TooManyMembers: Row(403, "too-many-members", "TooManyMembers", f"{CALENDARSERVER}max-resources"),
    errors.InvalidSyncToken: Row(403, "invalid-sync-token", "InvalidSyncToken", f"{DAV}valid-sync-token"),
    errors.SyncTraversalRefused: Row(
        403, "sync-traversal-refused", "SyncTraversalRefused", f"{DAV}sync-traversal-supported"
    ),
    errors.OutgoingRefused: Row(403, "outgoing-refused", "OutgoingRefused"),
    errors.OutgoingFailed: Row(502, "outgoing-failed", "OutgoingFailed"),
    errors.OutgoingTimedOut: Row(504, "outgoing-timed-out", "OutgoingTimedOut"),
    errors.OutgoingTooLarge: Row(502, "outgoing-too-large", "OutgoingTooLarge"),
    errors.MailRefused: Row(502, "mail-refused", "MailRefused"),
    errors.AddressNotSupported: Row(502, "address-not-supported", "AddressNotSupported"),
    errors.BusUnavailable: Row(503, "bus-unavailable", "BusUnavailable"),
    errors.MailDelayed: Row(502, "mail-delayed", "MailDelayed"),
    errors.ConfigurationError: Row(500, "configuration-error", "ConfigurationError"),
    errors.DatabaseError: Row(500, "database-error", "DatabaseError"),
    errors.JobAbandoned: Row(500, "job-abandoned", "JobAbandoned"),
}


def translate(error: KoyomiError) -> Row:
    """The row of an error's class, or of the nearest class above it."""
    if isinstance(error, Refused):
        return Row(error.status, "", "Refused")
    return next(TABLE[cls] for cls in type(error).__mro__ if cls in TABLE)


def reason(error: KoyomiError) -> str:
    """What is wrong, in words; shortened where what a client sent makes it long."""
    return error.message if len(error.message) <= MAX_REASON else error.message[:MAX_REASON] + " …"
