"""The words about check-ins, by language: of mails, of the page, and of a room that leaves a series.

Texts with names in braces are filled by `str.format`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.imip.catalogue import Language


@dataclass(frozen=True, slots=True)
class CheckInTexts:
    """The texts of a language."""

    link_subject: str
    """With `{room}` and `{summary}`."""
    link: str
    """Above the link, with `{room}`, `{before}` and `{after}` in minutes."""
    link_until: str
    """With `{room}`, `{before}`; of a room that releases nothing."""
    link_series: str
    """Behind it, of a series."""
    released_subject: str
    """With `{room}` and `{summary}`."""
    released: str
    """With `{room}`."""
    left_series: str
    """COMMENT of a room, with `{count}`."""
    title: str
    """Of the page, with `{room}`."""
    button: str
    open: str
    too_early: str
    """With `{when}`."""
    checked_in: str
    no_show: str
    nothing: str
    unknown: str


ENGLISH = CheckInTexts(
    link_subject="Check in: {room}, {summary}",
    link="Say by this link that you use {room}, from {before} minutes before the start until {after} minutes after it. "
    "Otherwise others may get the room.",
    link_until="Say by this link that you use {room}, from {before} minutes before the start.",
    link_series="The link is the same for each instance of the series.",
    released_subject="Released: {room}, {summary}",
    released="Nobody has checked in, so that others may use {room} now. The meeting stays in your calendar.",
    left_series="Nobody has checked in {count} times in a row.",
    title="Check in: {room}",
    button="Check in",
    open="You can check in now.",
    too_early="You can check in from {when}.",
    checked_in="It is checked in.",
    no_show="Nobody has checked in, and the room was released.",
    nothing="There is no booking to check in.",
    unknown="This link is not valid, or has expired.",
)
GERMAN = CheckInTexts(
    link_subject="Einchecken: {room}, {summary}",
    link="Sagen Sie mit diesem Link, dass Sie {room} nutzen: ab {before} Minuten vor dem Beginn und bis {after} "
    "Minuten danach. Sonst können andere den Raum bekommen.",
    link_until="Sagen Sie mit diesem Link, dass Sie {room} nutzen: ab {before} Minuten vor dem Beginn.",
    link_series="Der Link ist für jeden Termin der Serie derselbe.",
    released_subject="Freigegeben: {room}, {summary}",
    released="Niemand hat eingecheckt, darum können andere {room} jetzt nutzen. Der Termin bleibt in Ihrem Kalender.",
    left_series="Niemand hat eingecheckt, {count}-mal in Folge.",
    title="Einchecken: {room}",
    button="Einchecken",
    open="Sie können jetzt einchecken.",
    too_early="Sie können einchecken ab: {when}.",
    checked_in="Es ist eingecheckt.",
    no_show="Niemand hat eingecheckt, und der Raum wurde freigegeben.",
    nothing="Es gibt keine Buchung zum Einchecken.",
    unknown="Dieser Link ist ungültig oder abgelaufen.",
)
JAPANESE = CheckInTexts(
    link_subject="チェックイン: {room}、{summary}",
    link="{room}を利用する場合は、開始の{before}分前から開始後{after}分までに、このリンクでお知らせください。"
    "お知らせがない場合、ほかの人が利用できるようになります。",
    link_until="{room}を利用する場合は、開始の{before}分前から、このリンクでお知らせください。",
    link_series="このリンクは、繰り返しのどの回でも同じです。",
    released_subject="解放: {room}、{summary}",
    released="チェックインがなかったため、{room}はほかの人が利用できるようになりました。予定はカレンダーに残ります。",
    left_series="{count}回続けてチェックインがありませんでした。",
    title="チェックイン: {room}",
    button="チェックイン",
    open="チェックインできます。",
    too_early="チェックインできるのは{when}からです。",
    checked_in="チェックイン済みです。",
    no_show="チェックインがなかったため、解放されました。",
    nothing="チェックインする予約はありません。",
    unknown="このリンクは無効か、期限が切れています。",
)
CHECK_IN_TEXTS: Mapping[Language, CheckInTexts] = {"en": ENGLISH, "de": GERMAN, "ja": JAPANESE}
