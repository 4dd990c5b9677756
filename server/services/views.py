"""Views of the objects in shared calendars, rendered at each write.

The owner has a text with their own alarms and transparency. Each sharee has a view, or sees the neutral text, which has
no personal parts (`server.calendar.personal`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.calendar.alarms import alarm_triggers
from server.calendar.component import parse_calendar
from server.calendar.personal import busy_types, compose, neutral, same_order, same_shared, split
from server.calendar.visibility import Sight, busy_to_others, may_be_private, part_of, shown_to_others, sights
from server.domain.contents import ObjectView, Views
from server.domain.errors import ResourceTooLarge
from server.domain.etags import etag_of
from server.domain.occurrences import AlarmTrigger, Busy
from server.storage.reads import SharedObject

MAX_PERSONAL = 256 * 1024
"""Bytes of the personal parts that one person may keep in one object."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The changes that follow from a text which a sharee puts."""

    owner_text: str | None
    """The new text of the owner; None: it stays, because only personal parts changed."""
    view: ObjectView
    """The sharee's new view."""


def render(stored: SharedObject) -> Views:
    """The neutral text and all views of a stored object."""
    return views_of(stored.text, stored.personal, stored.state, owner=stored.owner)


def views_of(
    owner_text: str,
    personal: Mapping[int, str],
    based_on: tuple[int, int] = (0, 0),
    own: ObjectView | None = None,
    owner: frozenset[str] = frozenset(),
) -> Views:
    """The neutral text and all views that follow from the owner's text.

    `personal` are the personal parts of those who have views, by principal; `own` is a view that is rendered already;
    `owner` are the addresses of the calendar's owner. Of a private object the neutral text is what others see, and a
    view, `own` too, is that with what is personal in the components that they see whole.
    """
    shared = neutral(owner_text)
    owner_busy = busy_types(owner_text, owner)
    kinds = sights(parse_calendar(owner_text)) if may_be_private(owner_text) else None
    if kinds is not None:
        parts = personal if own is None else {**personal, own.principal_id: own.personal}
        others = part_of(owner_text, shared, kinds, owner_busy, owner)
        views = [
            _part_of(principal, owner_text, compose(shared, part), part, kinds, owner_busy, owner)
            for principal, part in parts.items()
        ]
        return Views(others.etag, others.text, others.busy, tuple(views), based_on)
    views = [
        view_of(principal, shared, part, owner_busy, owner)
        for principal, part in personal.items()
        if own is None or principal != own.principal_id
    ]
    if own is not None:
        views.append(own)
    differs = shared != owner_text
    return Views(
        etag_of(shared.encode()),
        shared if differs else None,
        _different(shared, owner_busy, owner) if differs else None,
        tuple(views),
        based_on,
    )


def view_of(
    principal: int, shared: str, personal: str, owner_busy: tuple[Busy, ...], owner: frozenset[str] = frozenset()
) -> ObjectView:
    """The view that follows from a principal's personal parts."""
    return _view(principal, compose(shared, personal), personal, owner_busy, owner)


def decide(principal: int, text: str, stored: SharedObject | None, owner: frozenset[str] = frozenset()) -> Decision:
    """The changes that follow from a text that a sharee puts in place of an object, or (None) as a new one.

    The owner keeps their personal parts; of a new object the owner gets the shared parts. The sharee's view is the text
    that they put, unless its components are in another order than the owner's. `owner` are the addresses of the
    calendar's owner. Raises `InvalidCalendarData`, `ResourceTooLarge`.
    """
    put = split(text)
    if len(put.personal) > MAX_PERSONAL:
        raise ResourceTooLarge("Alarms and other personal parts are too large.")
    if stored is None:
        return Decision(put.shared, _view(principal, text, put.personal, busy_types(put.shared, owner), owner))
    if same_shared(put.shared, stored.neutral):
        seen = text if same_order(text, stored.text) else compose(stored.neutral, put.personal)
        return Decision(None, _view(principal, seen, put.personal, busy_types(stored.text, owner), owner))
    owner_text = compose(put.shared, split(stored.text).personal)
    return Decision(owner_text, _view(principal, text, put.personal, busy_types(owner_text, owner), owner))


def _view(principal: int, text: str, personal: str, owner_busy: tuple[Busy, ...], owner: frozenset[str]) -> ObjectView:
    data = text.encode()
    different = _different(text, owner_busy, owner)
    return ObjectView(principal, etag_of(data), text, len(data), personal, different, alarms_of(text))


def alarms_of(text: str) -> tuple[AlarmTrigger, ...]:
    """The triggers of the alarms in a text. Raises `InvalidCalendarData`."""
    return alarm_triggers(enumerate(parse_calendar(text).components)) if "VALARM" in text.upper() else ()


def _part_of(
    principal: int,
    text: str,
    whole: str,
    personal: str,
    kinds: Sequence[Sight],
    owner_busy: tuple[Busy, ...],
    owner: frozenset[str],
) -> ObjectView:
    """A view of a private object; `whole` has the components of it that others see whole."""
    shown = shown_to_others(text, whole, kinds)
    data, busy = shown.encode(), busy_to_others(whole, kinds, owner_busy, owner)
    return ObjectView(principal, etag_of(data), shown, len(data), personal, busy, alarms_of(shown))


def _different(text: str, owner_busy: tuple[Busy, ...], owner: frozenset[str]) -> tuple[Busy, ...] | None:
    """The busy types of the components of a text; None if they are the owner's."""
    busy = busy_types(text, owner)
    return None if busy == owner_busy else busy
