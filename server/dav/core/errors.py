"""How DAV answers errors: by status and precondition element (RFC 4918 §16), as `server.http.errors` maps them."""

from __future__ import annotations

from server.dav.core import names
from server.dav.core.names import dav
from server.domain import errors
from server.http import errors as http
from server.http.errors import reason, translate
from server.http.paths import encode


class Refused(http.Refused):
    """A request that DAV refuses, with the status and precondition that its RFC names."""

    def __init__(self, status: int, precondition: str | None = None, message: str = "", inner: str = "") -> None:
        super().__init__(status, message)
        self.precondition = precondition
        self.inner = inner
        """Markup inside the precondition element."""


def status_of(error: errors.KoyomiError) -> int:
    """The status of the answer."""
    row = translate(error)
    return row.dav_status or row.status


def precondition_of(error: errors.KoyomiError, *, card: bool = False) -> str | None:
    """The precondition element; `card`: the request was for an address book."""
    if isinstance(error, Refused):
        return error.precondition
    row = translate(error)
    return row.card_precondition if card and row.card_precondition else row.precondition


def body(error: errors.KoyomiError, *, card: bool = False, collection_href: str = "", prefix: str = "") -> str | None:
    """The `DAV:error` body; None where the status says all there is to say.

    `card`: the request was for an address book. `collection_href` is where a conflicting UID's resource lies; the
    calendar of a scheduling object that has the UID lies beside it. `prefix` is the path under which a proxy shows this
    server.
    """
    precondition = precondition_of(error, card=card)
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
        if error.collection is None or error.name is None:
            return ""
        home_href = collection_href.rstrip("/").rpartition("/")[0]
        return names.href(f"{home_href}/{encode(error.collection)}/{encode(error.name)}")
    if isinstance(error, errors.AlreadyReserved):
        return _taken(error)
    if isinstance(error, errors.UnsupportedFilter):
        return error.element
    if isinstance(error, errors.InvalidData):
        told = error.line is None or error.message.startswith(f"Line {error.line}")
        return names.escape(reason(error) if told else f"line {error.line}: {reason(error)}")
    return ""


def _taken(error: errors.AlreadyReserved) -> str:
    """When another booking has the room. The answer contains nothing else about that booking."""
    if error.start is None or error.end is None:
        return ""
    times = (("start", error.start), ("end", error.end))
    return "".join(names.element(f"{http.ROOMS}{name}", f"{time:%Y%m%dT%H%M%SZ}") for name, time in times)
