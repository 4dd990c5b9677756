"""The German texts of mails."""

from __future__ import annotations

from datetime import date, datetime

from server.calendar.rrule import Frequency
from server.imip.catalogue.texts import Texts

_DAYS = ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag")
_MONTHS = (
    "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
    "Dezember",
)  # fmt: skip


def _dated(day: date) -> str:
    return f"{_DAYS[day.weekday()]}, {day.day}. {_MONTHS[day.month - 1]} {day.year}"


def _clock(time: datetime) -> str:
    return f"{time:%H:%M}"


GERMAN = Texts(
    subjects={
        "invited": "Einladung: {summary}",
        "updated": "Geänderte Einladung: {summary}",
        "cancelled": "Abgesagt: {summary}",
        "cancelled_days": "An einzelnen Tagen abgesagt: {summary}",
        "accepted": "Zugesagt: {summary}",
        "tentative": "Mit Vorbehalt zugesagt: {summary}",
        "declined": "Abgelehnt: {summary}",
        "delegated": "Weitergegeben: {summary}",
        "answered": "Beantwortet: {summary}",
        "proposed": "Anderer Termin vorgeschlagen: {summary}",
        "proposal_declined": "Vorschlag abgelehnt: {summary}",
        "asked_for_update": "Bitte erneut senden: {summary}",
    },
    intros={
        "invited": "{name} lädt Sie ein.",
        "updated": "{name} hat eine Einladung geändert.",
        "cancelled": "{name} hat den Termin abgesagt oder lädt Sie nicht mehr ein.",
        "cancelled_days": "{name} hat den Termin an den Tagen unten abgesagt oder lädt Sie an ihnen nicht mehr ein.",
        "accepted": "{name} hat zugesagt.",
        "tentative": "{name} hat mit Vorbehalt zugesagt.",
        "declined": "{name} hat abgelehnt.",
        "delegated": "{name} hat die Einladung an jemand anderen weitergegeben.",
        "answered": "{name} hat geantwortet.",
        "proposed": "{name} schlägt einen anderen Termin vor.",
        "proposal_declined": "{name} bleibt beim bisherigen Termin.",
        "asked_for_update": "{name} bittet Sie, die Einladung erneut zu senden.",
    },
    notice_subject="Für {owner}: {subject}",
    notice="Dies ging an {owner}; Sie handeln in Vertretung. Antworten Sie im Kalender von {owner}.",
    untitled="(ohne Titel)",
    when="Wann",
    where="Wo",
    what="Titel",
    repeats="Wiederholung",
    description="Beschreibung",
    organizer="Organisiert von",
    attendees="Teilnehmende",
    link="Link",
    comment="Kommentar",
    changes="Was sich geändert hat",
    new="{new} (neu)",
    gone="{old} (entfällt)",
    changed="{new} (bisher: {old})",
    description_changed="geändert",
    your_time="In Ihrer Zeitzone",
    instances="Tage",
    answer="Antworten Sie mit Ihrer Kalender-App; sie findet die Einladung im Anhang.",
    statuses={
        "NEEDS-ACTION": "keine Antwort",
        "ACCEPTED": "zugesagt",
        "DECLINED": "abgelehnt",
        "TENTATIVE": "mit Vorbehalt",
        "DELEGATED": "weitergegeben",
        "COMPLETED": "erledigt",
        "IN-PROCESS": "in Arbeit",
    },
    every={
        Frequency.YEARLY: ("jedes Jahr", "alle {interval} Jahre"),
        Frequency.MONTHLY: ("jeden Monat", "alle {interval} Monate"),
        Frequency.WEEKLY: ("jede Woche", "alle {interval} Wochen"),
        Frequency.DAILY: ("jeden Tag", "alle {interval} Tage"),
        Frequency.HOURLY: ("jede Stunde", "alle {interval} Stunden"),
        Frequency.MINUTELY: ("jede Minute", "alle {interval} Minuten"),
        Frequency.SECONDLY: ("jede Sekunde", "alle {interval} Sekunden"),
    },
    on_days="am {days}",
    until="bis {date}",
    times="{count}-mal",
    weekdays=_DAYS,
    separator=", ",
    dated=_dated,
    clock=_clock,
    range="{start} – {end}",
    day_and_time="{day}, {time}",
)
