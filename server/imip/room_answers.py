"""What a room says with its answer: why it declines, and when it or a room like it is free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from server.booking.deciding import ACCEPTED, DECLINED, OPEN, Answer, Decision, Reason, RoomRules, Slot
from server.booking.free_time import Period
from server.booking.policy import Policy
from server.calendar.zones import Zone
from server.imip.catalogue import CATALOGUE, Language
from server.imip.catalogue.room_answers import ROOM_TEXTS
from server.imip.description import period_in_words
from server.itip.scheduling_component import MASTER

MAX_DAYS = 10
"""Declined instances that the answer for a series lists."""
TIMELY = frozenset((Reason.BUSY, Reason.CLOSED, Reason.SERIES_CONFLICTS))
"""What another time or another room may cure."""


@dataclass(frozen=True, slots=True)
class Instead:
    """What somebody may do in place of what a room declines."""

    instance: str
    """The first instance that is declined for its time."""
    slot: Period | None
    """When the room is free next."""
    room: str
    """The name of a room like it that is free; empty without one."""


def first_declined(decision: Decision) -> Slot | None:
    """The first instance for which another time or room may be had."""
    return next(
        (
            slot
            for instance, slot in decision.slots.items()
            if decision.answers[instance].partstat == DECLINED
            and not TIMELY.isdisjoint(decision.answers[instance].reasons)
        ),
        None,
    )


def comments(
    decision: Decision, policy: Policy, room: RoomRules, language: Language, zone: Zone, instead: Instead | None
) -> dict[str, str]:
    """COMMENT of the answers, by instance; of `MASTER`, that of the series. None where nothing is to be said.

    :param zone: gives times their clock.
    """
    words = _Words(decision, policy, room, language, zone, instead)
    found = {instance: words.of_instance(instance, answer) for instance, answer in decision.answers.items()}
    if any(slot.in_series for slot in decision.slots.values()):
        found[MASTER] = words.of_series()
    return {instance: text for instance, text in found.items() if text}


class _Words:
    """The words about one decision."""

    def __init__(
        self,
        decision: Decision,
        policy: Policy,
        room: RoomRules,
        language: Language,
        zone: Zone,
        instead: Instead | None,
    ) -> None:
        self._decision, self._policy, self._room, self._zone = decision, policy, room, zone
        self._texts, self._own, self._instead = CATALOGUE[language], ROOM_TEXTS[language], instead

    def of_instance(self, instance: str, answer: Answer) -> str:
        """What is said of one instance."""
        if answer.partstat == OPEN:
            return ""
        parts = self._reasons(instance, answer) if self._policy.response_details else []
        return self._joined(parts)

    def of_series(self) -> str:
        """What is said of a series."""
        decision = self._decision
        if decision.of_series == OPEN:
            return ""
        series = {each: decision.answers[each] for each, slot in decision.slots.items() if slot.in_series}
        declined = [each for each, answer in series.items() if answer.partstat == DECLINED]
        parts: list[str] = []
        if self._policy.response_details and decision.of_series == DECLINED:
            told = dict.fromkeys(each for instance in declined for each in series[instance].reasons)
            first = {reason: next(each for each in declined if reason in series[each].reasons) for reason in told}
            parts += [self._reason(reason, instance) for reason, instance in first.items()]
            parts += self._alternatives(declined)
        elif self._policy.response_details:
            common = next(instance for instance, each in series.items() if each.partstat == decision.of_series)
            parts += self._reasons(common, series[common])
            if declined:
                parts.append(
                    self._own.some_declined.format(count=len(declined), total=len(series), days=self._days(declined))
                )
        if decision.booked_until is not None and self._policy.response_details:
            parts.append(self._own.booked_until.format(day=self._day_of(decision.booked_until)))
        return self._joined(parts)

    def _joined(self, parts: Iterable[str]) -> str:
        return " ".join(dict.fromkeys(each for each in (*parts, self._policy.additional_response) if each))

    def _reasons(self, instance: str, answer: Answer) -> list[str]:
        parts = [self._reason(each, instance) for each in answer.reasons]
        if answer.partstat == DECLINED:
            return parts + self._alternatives([instance])
        if answer.partstat == ACCEPTED and instance in self._decision.crowded:
            parts.append(self._filled(self._own.crowded, instance))
        return parts

    def _reason(self, reason: Reason, instance: str) -> str:
        minutes = self._policy.min_duration_minutes if reason is Reason.TOO_SHORT else self._policy.max_duration_minutes
        return self._filled(self._own.reasons.get(reason, ""), instance, minutes=minutes)

    def _filled(self, text: str, instance: str, minutes: int | None = None) -> str:
        slot, answer = self._decision.slots[instance], self._decision.answers[instance]
        when = "" if answer.conflict is None else self._when(answer.conflict)
        last = self._decision.window_ends
        day = "" if last is None else self._day_of(last)
        return text.format(when=when, minutes=minutes, day=day, capacity=self._room.capacity, people=slot.people)

    def _alternatives(self, instances: Iterable[str]) -> list[str]:
        instead = self._instead
        if instead is None or instead.instance not in instances:
            return []
        parts = [] if instead.slot is None else [self._own.next_free.format(when=self._when(instead.slot))]
        return parts + ([self._own.other_room.format(room=instead.room)] if instead.room else [])

    def _when(self, period: Period) -> str:
        return period_in_words(self._texts, *period, self._zone)

    def _days(self, instances: list[str]) -> str:
        starts = [self._decision.slots[each].start for each in instances]
        days = [self._day_of(each) for each in starts[:MAX_DAYS]]
        return self._texts.separator.join([*days, "…"] if len(starts) > MAX_DAYS else days)

    def _day_of(self, time: datetime) -> str:
        return self._texts.dated(self._zone.to_local(time).date())
