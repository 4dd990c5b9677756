"""What rooms say with their answers, in each language."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from server.booking.deciding import DECLINED, Decision, Reason, Request, RoomRules, Slot, decide
from server.booking.policy import Policy, Requester
from server.calendar.iana import iana_zone
from server.calendar.zones import UTC_ZONE
from server.imip.catalogue import CATALOGUE, Language
from server.imip.catalogue.room_answers import ROOM_TEXTS
from server.imip.room_answers import Instead, comments, first_declined

NOW = datetime(2027, 1, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
BUSY = [(NOW + 9 * HOUR, NOW + 10 * HOUR)]
SAYS_NOTHING = {Reason.FREE, Reason.KEPT, Reason.LEFT_OPEN, Reason.LATER}


def declined(*, days: int = 1, policy: Policy | None = None) -> Decision:
    slots = [
        Slot(str(day), NOW + timedelta(days=day, hours=9), NOW + timedelta(days=day, hours=10), in_series=days > 1)
        for day in range(days)
    ]
    return decide(policy or Policy(), BUSY, Request(tuple(slots), NOW, days > 1), Requester(), RoomRules())


@pytest.mark.parametrize("language", list(CATALOGUE))
def test_each_language_has_words_for_each_reason(language: Language) -> None:
    texts = ROOM_TEXTS[language]
    assert set(texts.reasons) == set(Reason) - SAYS_NOTHING
    known = {"when": "W", "minutes": "M", "day": "D", "capacity": "C", "people": "P"}
    for reason, text in texts.reasons.items():
        filled = text.format(**known)
        assert filled != text or "{" not in text
        english = ROOM_TEXTS["en"].reasons[reason]
        assert {each for each in known if f"{{{each}}}" in text} == {each for each in known if f"{{{each}}}" in english}


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (
            "en",
            "It is taken: Monday, 4 January 2027, 10:00 – 11:00 (Europe/Berlin, UTC+01:00). "
            "Next free: Monday, 4 January 2027, 11:00 – 12:00 (Europe/Berlin, UTC+01:00). Free at this time: Attic.",
        ),
        (
            "de",
            "Belegt: Montag, 4. Januar 2027, 10:00 – 11:00 (Europe/Berlin, UTC+01:00). "
            "Wieder frei: Montag, 4. Januar 2027, 11:00 – 12:00 (Europe/Berlin, UTC+01:00). "
            "Zu dieser Zeit frei: Attic.",
        ),
        (
            "ja",
            "予約済みです: 2027年1月4日（月） 10:00 ～ 11:00 (Europe/Berlin, UTC+01:00)。 "
            "次に空く時間: 2027年1月4日（月） 11:00 ～ 12:00 (Europe/Berlin, UTC+01:00)。 "
            "この時間に空いている部屋: Attic。",
        ),
    ],
)
def test_a_decline_names_its_cause_and_what_is_free(language: Language, expected: str) -> None:
    berlin = iana_zone("Europe/Berlin")
    assert berlin is not None
    decision = declined()
    first = first_declined(decision)
    assert first is not None
    instead = Instead(first.instance, (NOW + 10 * HOUR, NOW + 11 * HOUR), "Attic")
    assert comments(decision, Policy(), RoomRules(), language, berlin, instead) == {"0": expected}


def test_a_series_lists_few_of_many_declined_instances() -> None:
    tolerant = Policy(conflict_percentage_allowed=None, max_conflict_instances=None)
    slots = tuple(Slot(str(n), NOW + n * HOUR, NOW + (n + 1) * HOUR, in_series=True) for n in range(24, 72))
    busy = [(NOW + 24 * HOUR, NOW + 44 * HOUR)]
    decision = decide(tolerant, busy, Request(slots, NOW, whole_series=True), Requester(), RoomRules())
    said = comments(decision, tolerant, RoomRules(), "en", UTC_ZONE, None)
    assert said[""].startswith("20 of 48 instances are declined: Tuesday, 5 January 2027, ")
    assert said[""].endswith(", ….")
    assert set(said) == {"", *(str(n) for n in range(24, 44))}


def test_nothing_is_said_of_what_another_time_would_not_cure() -> None:
    short = Policy(max_duration_minutes=30)
    decision = decide(short, (), Request((Slot("0", NOW, NOW + HOUR),), NOW), Requester(), RoomRules())
    assert decision.answers["0"].partstat == DECLINED
    assert first_declined(decision) is None
    assert comments(decision, short, RoomRules(), "en", UTC_ZONE, None) == {"0": "A booking lasts at most 30 minutes."}
