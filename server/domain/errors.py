"""The tree of domain errors.

All errors for callers are subclasses of `KoyomiError`. The docstring is the default message, and fields carry the
context. They are independent of protocols: `server.http.errors` maps each to status, DAV precondition, problem type and
metric label in one table. The storage plugin converts database errors to these in one place.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from server.domain.principals import Principal
from server.domain.privileges import Privilege


class KoyomiError(Exception):
    """Something went wrong."""

    write: int | None = None
    """The index of the write that failed in a change set; None if no single write failed."""

    def __init__(self, message: str | None = None) -> None:
        self.message: str = message or self.default_message()
        super().__init__(self.message)

    @classmethod
    def default_message(cls) -> str:
        """The first line of the class's docstring."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0]


# -- requests ---------------------------------------------------------------------------------------------------------


class NotFound(KoyomiError):
    """There is nothing at this path."""


class BadRequest(KoyomiError):
    """The request cannot be understood."""


class InvalidRequest(KoyomiError):
    """The request has values that the operation does not take."""

    def __init__(self, errors: tuple[tuple[str, str], ...], message: str | None = None) -> None:
        super().__init__(message)
        self.errors = errors
        """For each value, where it stands (RFC 6901, or the name of a parameter) and what is wrong with it."""


class TooManyRequests(KoyomiError):
    """There were too many requests in a short time; try again later."""

    def __init__(self, retry_after: int, message: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds."""


class PreconditionRequired(KoyomiError):
    """The request must say in If-Match which state of the resource it changes (RFC 6585 §3)."""


class RequestTimedOut(KoyomiError):
    """The body of the request did not come in time."""


class AccessDenied(KoyomiError):
    """A privilege is needed that the signed-in person does not have."""

    def __init__(
        self, href: str, privilege: Privilege, message: str | None = None, sender: Principal | None = None
    ) -> None:
        super().__init__(message)
        self.href = href
        """The path of the resource that lacks the privilege, without a proxy's prefix."""
        self.sender = sender
        """In whose name messages would be sent; None: the privilege is about something else."""
        self.privilege = privilege
        """Its value is the qualified name."""


class PersonalOnly(KoyomiError):
    """Only personal parts may be changed here, such as alarms and transparency."""


class SameResource(KoyomiError):
    """Source and destination are the same resource (RFC 4918 §9.8.5, §9.9.4)."""


class PermanentCollection(KoyomiError):
    """Every home keeps this collection: it is not deleted, replaced, copied or moved."""


class DefaultCalendarNeeded(KoyomiError):
    """Invitations are put into this calendar: choose another for them before it is deleted (RFC 6638 §4.3.1.1)."""


class SignInRequired(KoyomiError):
    """Signing in is required."""


class SignInDelayed(KoyomiError):
    """Too many failed sign-ins; try again later."""

    def __init__(self, retry_after: int, message: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds."""


class CredentialsRefused(KoyomiError):
    """These credentials do not open this part of the server."""


class ScopeMissing(KoyomiError):
    """The service token is not made for this operation."""


class PreconditionFailed(KoyomiError):
    """The resource is not in the state that the request demands."""


class AlreadyExists(KoyomiError):
    """Something exists at this path already."""


class NameTaken(AlreadyExists):
    """Another principal has this name, address or id."""

    def __init__(self, taken: str, message: str | None = None) -> None:
        super().__init__(message)
        self.taken = taken
        """The name, address or id that is taken."""


class InvalidPrincipal(KoyomiError):
    """The data of the principal is not valid."""


class ParentMissing(KoyomiError):
    """The collection that would hold the resource does not exist."""


class WriteConflict(KoyomiError):
    """The state read before a write was changed by another; read again and repeat."""

    turn: Callable[[], AbstractAsyncContextManager[None]] | None = None
    """Queues with the others for the repetition; None: it is repeated at once."""


class Unavailable(KoyomiError):
    """The database does not answer in time; try again later."""

    def __init__(self, message: str | None = None, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds."""


class TooManyConflicts(Unavailable):
    """Too many others write at the same time; try again later."""


# -- data that a client sends -----------------------------------------------------------------------------------------


class InvalidData(KoyomiError):
    """The data of the resource is not acceptable."""

    def __init__(self, message: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        """The line of the text, counted from 1 as a person sees it in an editor (continuation lines count)."""


class UnsupportedMediaType(InvalidData):
    """The media type is not one that this collection takes."""


class InvalidCalendarData(InvalidData):
    """This is not well-formed iCalendar data."""


class InvalidCalendarObject(InvalidData):
    """This iCalendar data breaks the rules for a calendar object resource (RFC 4791 §4.1)."""


class UnknownTimezone(InvalidCalendarObject):
    """A TZID names no time zone that is known, and its VTIMEZONE is missing."""

    def __init__(self, tzid: str, line: int | None = None) -> None:
        super().__init__(f"The time zone {tzid[:80]!r} is not known, and its VTIMEZONE is missing.", line)
        self.tzid = tzid


class UnsupportedComponent(InvalidData):
    """The calendar does not take components of this type."""


class InvalidAddressData(InvalidData):
    """This is not well-formed vCard data, or not a single vCard."""


class UidConflict(InvalidData):
    """The UID is in use by another resource of the collection, or differs from that of the resource written to."""

    def __init__(self, name: str | None = None, message: str | None = None) -> None:
        super().__init__(message)
        self.name = name
        """The name of the member that has the UID, in the collection written to."""


class SchedulingRefused(KoyomiError):
    """Scheduling does not allow this change (RFC 6638 §3.2.4)."""


class OrganizerChangeRefused(SchedulingRefused):
    """An organizer may not change the event in this way."""


class AttendeeChangeRefused(SchedulingRefused):
    """An attendee may not change the event in this way: only its organizer may."""


class DifferentOrganizers(SchedulingRefused):
    """All components of a scheduling object have the same ORGANIZER."""


class SchedulingObjectExists(SchedulingRefused):
    """A scheduling object with this UID is in another calendar of the same person."""

    def __init__(self, collection: str | None = None, name: str | None = None, message: str | None = None) -> None:
        super().__init__(message)
        self.collection = collection
        """The name of that calendar in the home that was written to; None where this home does not show it."""
        self.name = name
        """The name of that object in its calendar."""


class AttendeeCommentRefused(SchedulingRefused):
    """Only the server writes what attendees comment in private."""


class UnknownAccessRestriction(InvalidData):
    """X-CALENDARSERVER-ACCESS is PUBLIC, PRIVATE, CONFIDENTIAL or RESTRICTED, and stands there once."""


class AccessRestrictionChange(KoyomiError):
    """Only the owner of a calendar sets X-CALENDARSERVER-ACCESS of what is in it."""


class RestrictedMessage(InvalidData):
    """A scheduling message has no X-CALENDARSERVER-ACCESS."""


class InvalidSplitPoint(SchedulingRefused):
    """The time at which a series is to be divided is not in the form that its DTSTART has."""


class SplitRefused(SchedulingRefused):
    """The series cannot be divided at this time."""


class AlreadyReserved(KoyomiError):
    """The room or equipment is taken at this time."""

    def __init__(self, start: datetime | None = None, end: datetime | None = None) -> None:
        super().__init__()
        self.start = start
        """When the other's booking begins, in UTC; None where this is not known."""
        self.end = end
        self.home_id: int | None = None
        """The home of the room whose calendar was written to."""


class DateTimeTooEarly(InvalidData):
    """A date or time lies before the earliest that is allowed."""


class DateTimeTooLate(InvalidData):
    """A date or time lies after the latest that is allowed."""


class TooManyAttendees(InvalidData):
    """There are more attendees than are allowed."""


class TooManyInstances(InvalidData):
    """The recurrence set cannot be computed with bounded work."""


class InvalidSchedulingMessage(InvalidData):
    """The message breaks the rules of iTIP for its method (RFC 5546 §3)."""


class InvalidOrganizer(KoyomiError):
    """ORGANIZER is no calendar user address of the owner of the outbox (RFC 6638 §5.2.2)."""


class ResourceTooLarge(InvalidData):
    """The resource is larger than is allowed."""


class InvalidFilter(KoyomiError):
    """The filter is not valid."""


class UnsupportedFilter(KoyomiError):
    """The filter names something that cannot be filtered by."""

    def __init__(self, message: str, element: str) -> None:
        super().__init__(message)
        self.element = element
        """The refused component, property or parameter filter as XML text (RFC 4791 §7.8, RFC 6352 §8.6)."""


class UnsupportedCollation(KoyomiError):
    """The collation is not supported."""


# -- limits and sync --------------------------------------------------------------------------------------------------


class QuotaExceeded(KoyomiError):
    """The quota of the home would be exceeded."""


class TooManyCollections(KoyomiError):
    """The home holds as many collections as are allowed."""


class TooManyMembers(KoyomiError):
    """The collection holds as many members as are allowed."""


class InvalidSyncToken(KoyomiError):
    """The sync token is not valid (any more); start with an initial synchronisation."""


class SyncTraversalRefused(KoyomiError):
    """A synchronisation of infinite depth is not possible here."""


# -- requests to other servers ----------------------------------------------------------------------------------------


class OutgoingRefused(KoyomiError):
    """Koyomi does not send requests to this address."""


class OutgoingFailed(KoyomiError):
    """The other server did not answer as it should."""


class OutgoingTimedOut(OutgoingFailed):
    """The other server did not answer in time."""


class OutgoingTooLarge(OutgoingFailed):
    """The other server's answer is too large."""


# -- mail -------------------------------------------------------------------------------------------------------------


class MailRefused(KoyomiError):
    """The mail server does not take this mail, also not later."""


class AddressNotSupported(MailRefused):
    """The mail server takes no addresses that are not ASCII, and the mail has one (RFC 6531 §3.2)."""


class BusUnavailable(KoyomiError):
    """The event bus does not answer."""


class MailDelayed(KoyomiError):
    """The mail server does not take the mail now; try again later."""


# -- running ----------------------------------------------------------------------------------------------------------


class ConfigurationError(KoyomiError):
    """A setting is wrong."""


class DatabaseError(KoyomiError):
    """The database cannot be used as it is."""


class JobAbandoned(KoyomiError):
    """The job was interrupted each time that it was tried."""
