"""The words in which rooms answer, by language. Texts with names in braces are filled by `str.format`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.booking.deciding import Reason


@dataclass(frozen=True, slots=True)
class RoomTexts:
    """The texts of a language."""

    reasons: Mapping[Reason, str]
    """Why something is declined or waits: with `{when}`, `{minutes}`, `{day}`, `{capacity}` and `{people}`."""
    some_declined: str
    """Of a series, with `{count}`, `{total}` and `{days}`."""
    booked_until: str
    """Of a series that reaches beyond the booking window, with `{day}`."""
    crowded: str
    """A warning, with `{capacity}` and `{people}`."""
    next_free: str
    """With `{when}`."""
    other_room: str
    """With `{room}`."""
    kept: str
    """To the organizer of a booking that has the time of one that was moved to it, with `{when}` of that."""


ENGLISH = RoomTexts(
    reasons={
        Reason.PENDING: "The request waits for approval.",
        Reason.BUSY: "It is taken: {when}.",
        Reason.SERIES_CONFLICTS: "Too many instances of the series conflict with other bookings.",
        Reason.NOT_ALLOWED: "You may not book it.",
        Reason.EXTERNAL: "Only people of this organisation may book it.",
        Reason.NO_TIME: "The meeting has no duration.",
        Reason.RECURRING: "It takes no recurring meetings.",
        Reason.BEYOND_WINDOW: "It can be booked until {day}.",
        Reason.TOO_SHORT: "A booking lasts at least {minutes} minutes.",
        Reason.TOO_LONG: "A booking lasts at most {minutes} minutes.",
        Reason.CLOSED: "It is not open at this time.",
        Reason.TOO_MANY_PEOPLE: "It is for {capacity} people; {people} are invited.",
        Reason.TOO_OFTEN: "The series has too many instances.",
    },
    some_declined="{count} of {total} instances are declined: {days}.",
    booked_until="The series is booked until {day}. Later instances may still be declined.",
    crowded="It is for {capacity} people; {people} are invited.",
    next_free="Next free: {when}.",
    other_room="Free at this time: {room}.",
    kept="Another booking overlaps this one now and is declined: {when}. This booking stays.",
)
GERMAN = RoomTexts(
    reasons={
        Reason.PENDING: "Die Anfrage wartet auf eine Genehmigung.",
        Reason.BUSY: "Belegt: {when}.",
        Reason.SERIES_CONFLICTS: "Zu viele Termine der Serie fallen mit anderen Buchungen zusammen.",
        Reason.NOT_ALLOWED: "Sie dürfen hier nicht buchen.",
        Reason.EXTERNAL: "Nur Angehörige dieser Organisation dürfen buchen.",
        Reason.NO_TIME: "Der Termin hat keine Dauer.",
        Reason.RECURRING: "Serien werden nicht angenommen.",
        Reason.BEYOND_WINDOW: "Buchbar bis {day}.",
        Reason.TOO_SHORT: "Eine Buchung dauert mindestens {minutes} Minuten.",
        Reason.TOO_LONG: "Eine Buchung dauert höchstens {minutes} Minuten.",
        Reason.CLOSED: "Zu dieser Zeit geschlossen.",
        Reason.TOO_MANY_PEOPLE: "Für {capacity} Personen; {people} sind eingeladen.",
        Reason.TOO_OFTEN: "Die Serie hat zu viele Termine.",
    },
    some_declined="{count} von {total} Terminen sind abgelehnt: {days}.",
    booked_until="Die Serie ist bis {day} gebucht. Spätere Termine können noch abgelehnt werden.",
    crowded="Für {capacity} Personen; {people} sind eingeladen.",
    next_free="Wieder frei: {when}.",
    other_room="Zu dieser Zeit frei: {room}.",
    kept="Eine andere Buchung überschneidet sich jetzt mit dieser und wird abgelehnt: {when}. Diese Buchung bleibt.",
)
JAPANESE = RoomTexts(
    reasons={
        Reason.PENDING: "承認待ちです。",
        Reason.BUSY: "予約済みです: {when}。",
        Reason.SERIES_CONFLICTS: "繰り返しの予定のうち、ほかの予約と重なる回が多すぎます。",
        Reason.NOT_ALLOWED: "予約する権限がありません。",
        Reason.EXTERNAL: "組織内の人だけが予約できます。",
        Reason.NO_TIME: "予定に長さがありません。",
        Reason.RECURRING: "繰り返しの予定は受け付けません。",
        Reason.BEYOND_WINDOW: "{day}まで予約できます。",
        Reason.TOO_SHORT: "予約は{minutes}分以上です。",
        Reason.TOO_LONG: "予約は{minutes}分以内です。",
        Reason.CLOSED: "この時間は利用できません。",
        Reason.TOO_MANY_PEOPLE: "定員は{capacity}人ですが、{people}人が招待されています。",
        Reason.TOO_OFTEN: "繰り返しの回数が多すぎます。",
    },
    some_declined="{total}回のうち{count}回を辞退します: {days}。",
    booked_until="{day}までの回を予約しました。その後の回は辞退することがあります。",
    crowded="定員は{capacity}人ですが、{people}人が招待されています。",
    next_free="次に空く時間: {when}。",
    other_room="この時間に空いている部屋: {room}。",
    kept="ほかの予約がこの予約と重なったため、そちらを辞退します: {when}。この予約はそのままです。",
)
ROOM_TEXTS: Mapping[str, RoomTexts] = {"de": GERMAN, "en": ENGLISH, "ja": JAPANESE}
"""By language, as `server.imip.catalogue.CATALOGUE`."""
