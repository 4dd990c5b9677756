"""Mails of Outlook with a meeting in TNEF. `python -m tests.unit.imip.tnef_kinds` writes them into the folder `mails`,
and the calendars that are read in them into `tnef`, whose files people review.

Each mail names in X-Follows the section of the specification or the public report that it follows.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from server.imip.mail import read_mail
from server.imip.parsing import messages_in
from tests.unit.imip.tnef_writer import (
    APPOINTMENT,
    BERLIN,
    COMMON,
    KOLKATA,
    MEETING,
    PUBLIC_STRINGS,
    Changed,
    Key,
    Old,
    Several,
    Short,
    Value,
    compressed_rtf,
    global_id,
    rtf,
    series,
    stream,
    vcal_uid,
    zone_structure,
)

MAILS = Path(__file__).with_name("mails")
CALENDARS = Path(__file__).with_name("tnef")

UTC_9, UTC_10 = (datetime(2026, 3, 2, hour, tzinfo=UTC) for hour in (9, 10))
SENT = datetime(2026, 2, 20, 8, 30, tzinfo=UTC)
EXCHANGE = bytes.fromhex("1D7F2C6B9A0E4C53A1D0")


def appointment(number: int) -> Key:
    return APPOINTMENT, number


def meeting(number: int) -> Key:
    return MEETING, number


def person(name: str, address: str, kind: int = 1, **more: Value) -> Mapping[Key, Value]:
    """A row of the recipients: its kind is 1 for To, 2 for Cc, 3 for Bcc, as for rooms."""
    return {0x0C15: kind, 0x3001: name, 0x3002: "SMTP", 0x3003: address} | (
        {0x5FFD: more["flags"]} if "flags" in more else {}
    )


DORA = person("Dora Berger", "dora@contoso.example", flags=3)
CLARA = person("Clara", "clara@example.com")
EVERYBODY = (DORA, CLARA, person("Gus", "gus@gmail.example", 2), person("Room 1", "room1@contoso.example", 3))


def basic() -> dict[Key, Value]:
    """What every message of a meeting from nine to ten has."""
    return {
        0x0042: "Dora Berger",
        0x0064: "SMTP",
        0x0065: "dora@contoso.example",
        0x0039: SENT,
        meeting(0x0003): global_id(EXCHANGE),
        appointment(0x8201): 1,
        appointment(0x820D): UTC_9,
        appointment(0x820E): UTC_10,
        meeting(0x001A): SENT,
    }


def request(values: Mapping[Key, Value], body: str = "", *, subject: str = "Planning", **more: object) -> bytes:
    made = {**basic(), 0x0037: subject, 0x0063: True, appointment(0x8224): 2, appointment(0x825E): BERLIN, **values}
    made |= {0x1000: body} if body else {}
    recipients = more.pop("recipients", EVERYBODY)
    return stream("IPM.Microsoft Schedule.MtgReq", made, recipients, **more)  # type: ignore[arg-type]


def answer(kind: str, values: Mapping[Key, Value]) -> bytes:
    made = {
        **basic(),
        0x0037: Old("Accepted: Planning"),
        0x003D: Old("Accepted: "),
        meeting(0x0003): global_id(vcal_uid("planning@example.com")),
        meeting(0x0001): SENT,
        **values,
    }
    return stream(f"IPM.Microsoft Schedule.MtgResp{kind}", made)


def recurring(blob: bytes) -> bytes:
    return request({appointment(0x8223): True, appointment(0x8216): blob, appointment(0x8260): BERLIN})


def at(day: int, hour: int = 10, month: int = 3, minute: int = 0) -> datetime:
    """A local time in Berlin, an hour ahead of UTC at the begin of the meeting."""
    return datetime(2026, month, day, hour, minute)


_weekly = partial(series, at(2), at(2, 11), 0x200B, 1)
_monthly = partial(series, at(2), at(2, 11), 0x200C)

KINDS: dict[str, tuple[str, bytes]] = {
    "tnef-request": (
        "[MS-OXCICAL] 2.1.3.1: a request with all that it may have; Thunderbird bug 77811",
        request(
            {
                0x0017: 2,
                0x0036: 2,
                appointment(0x8208): "Hall, left",
                (COMMON, 0x8503): True,
                (COMMON, 0x8501): 15,
                (PUBLIC_STRINGS, "Keywords"): Several(("Red", "Grün")),
                0x1A: "IPM.Schedule.Meeting.Request",
            },
            "Bring your plans.\r\nGrüße, Dora",
            attachment=b"a picture",
        ),
    ),
    "tnef-attributes-alone": (
        "[MS-OXTNEF] 2.1.3.3: subject, class, text and date as attributes, and code page 1251; no recipients",
        stream(
            "IPM.Microsoft Schedule.MtgReq",
            {key: value for key, value in basic().items() if key not in (0x0039, meeting(0x001A), 0x0064, 0x0065)}
            | {0x0065: "/O=CONTOSO/OU=EXCHANGE/CN=RECIPIENTS/CN=DORA", 0x0064: "EX"},
            subject="Встреча",
            body="Приходите",
            sent=SENT,
            codepage=1251,
        ),
    ),
    "tnef-html": (
        "[MS-OXCMSG] 2.2.1.56.9: the text as HTML alone, as Outlook on the web writes it",
        request(
            {
                0x1013: (
                    b"<html><head><title>x</title><style>p {color: red}</style></head><body><p>Agenda &amp; notes"
                    b"<br>One<!-- two --></p><div>Gr\xfc\xdfe</div></body></html>"
                )
            }
        ),
    ),
    "tnef-compressed-rtf": (
        "[MS-OXRTFCP] 2.2: the text as compressed RTF alone, as Outlook writes it; Thunderbird bug 77811",
        request({0x1009: compressed_rtf(rtf("Agenda {draft}\nGrüße an Дора 😀\n\nBring plans, bring plans."))}),
    ),
    "tnef-html-in-rtf": (
        "[MS-OXRTFEX] 2.1.3: compressed RTF that Outlook has made of HTML, with a font of another code page",
        request(
            {
                0x1009: compressed_rtf(
                    rb"{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0{\fonttbl{\f0\fswiss Arial;}{\f1\fswiss\fcharset204 A;}}"
                    rb"{\*\htmltag19 <html>}{\*\htmltag64 <p>}\htmlrtf {\htmlrtf0 Agenda: {\f1 \'cf\'eb\'e0\'ed}"
                    rb"\htmlrtf\par}\htmlrtf0 {\*\htmltag72 </p>}{\*\htmltag27 </html>}}"
                )
            }
        ),
    ),
    "tnef-damaged-rtf": (
        "[MS-OXRTFCP] 2.1.3.2: the checksum of the text differs; the meeting counts without a description",
        request({0x1009: compressed_rtf(rtf("Agenda"))[:-3] + b"xxx"}),
    ),
    "tnef-uid-of-another-program": (
        "[MS-OXCICAL] 2.1.3.1.1.20.26: vCal-Uid, the UID that another program gave",
        request({meeting(0x0003): global_id(vcal_uid("7kukuqrf@google.com"))}),
    ),
    "tnef-all-day": (
        "[MS-OXCICAL] 2.1.3.1.1.20.6: a meeting of whole days, free",
        request(
            {
                appointment(0x8215): True,
                appointment(0x8224): 0,
                appointment(0x820D): datetime(2026, 3, 1, 23, tzinfo=UTC),
                appointment(0x820E): datetime(2026, 3, 3, 23, tzinfo=UTC),
            }
        ),
    ),
    "tnef-zone-structure": (
        "[MS-OXOCAL] 2.2.1.39: the zone of Outlook 2003, by its structure and description",
        request(
            {
                appointment(0x825E): b"",
                appointment(0x8233): zone_structure(300, -60, (11, 0, 1, 2), (3, 0, 2, 2)),
                appointment(0x8234): "(GMT-05:00) Eastern Time (US & Canada)",
            }
        ),
    ),
    "tnef-zone-without-summer": (
        "[MS-OXOCAL] 2.2.1.41: a zone of one offset",
        request({appointment(0x825E): KOLKATA}),
    ),
    "tnef-utc": (
        "[MS-OXCICAL] 2.1.3.1.1.20.8: a meeting without a zone, in UTC",
        request({appointment(0x825E): b"", 0x0017: Short(0)}),
    ),
    "tnef-daily": (
        "[MS-OXOCAL] 4.1: every other day, ten times",
        recurring(series(at(2), at(2, 11), 0x200A, 0, 2880, count=10)),
    ),
    "tnef-working-days": (
        "[MS-OXOCAL] 2.2.1.44.1: every working day is daily, with days of the week",
        recurring(series(at(2), at(2, 11), 0x200A, 1, 1, (0x3E,), last=at(31))),
    ),
    "tnef-weekly": (
        "[MS-OXOCAL] 4.1: with deleted instances and modified ones that have texts; Thunderbird bug 1535391",
        recurring(
            _weekly(
                2,
                (0x0A,),
                deleted=[at(4, 0), at(16, 0)],
                changed=[
                    Changed(at(18), at(19, 14), at(19, 15), "Planning, later", "Küche", busy=1, reminder=5),
                    Changed(at(30), at(31, 0), at(1, 0, 4), all_day=True, subject="計画"),
                ],
                last=at(30, 0, 6),
            )
        ),
    ),
    "tnef-weekly-before-2007": (
        "[MS-OXOCAL] 2.2.1.44.4: WriterVersion2 0x3008 has no ChangeHighlight",
        recurring(_weekly(1, (0x02,), changed=[Changed(at(9), at(10), at(10, 12), location="Café")], version=0x3008)),
    ),
    "tnef-monthly": (
        "[MS-OXOCAL] 2.2.1.44.1.3: on the 30th, or the last day of a shorter month",
        recurring(series(at(30), at(30, 11), 0x200C, 2, 1, (30,), count=6)),
    ),
    "tnef-monthly-end": (
        "[MS-OXOCAL] 2.2.1.44.1: on the last day",
        recurring(series(at(31), at(31, 11), 0x200C, 4, 3, (31,))),
    ),
    "tnef-monthly-nth": (
        "[MS-OXOCAL] 2.2.1.44.1.3: on the first Monday of every other month",
        recurring(_monthly(3, 2, (0x02, 1), count=5)),
    ),
    "tnef-monthly-last-working-day": (
        "[MS-OXOCAL] 2.2.1.44.1.3: on the last working day",
        recurring(series(at(31), at(31, 11), 0x200C, 3, 1, (0x3E, 5))),
    ),
    "tnef-yearly": (
        "[MS-OXOCAL] 2.2.1.44.1: a period of twelve months",
        recurring(series(at(2), at(2, 11), 0x200D, 2, 12, (2,))),
    ),
    "tnef-yearly-nth": (
        "[MS-OXOCAL] 2.2.1.44.1: every second year on the first Monday of March",
        recurring(series(at(2), at(2, 11), 0x200D, 3, 24, (0x02, 1), last=at(5))),
    ),
    "tnef-all-day-series": (
        "[MS-OXCICAL] 2.1.3.2.2: UNTIL and EXDATE of whole days are dates",
        request(
            {
                appointment(0x8215): True,
                appointment(0x820D): datetime(2026, 3, 1, 23, tzinfo=UTC),
                appointment(0x820E): datetime(2026, 3, 2, 23, tzinfo=UTC),
                appointment(0x8216): series(at(2, 0), at(3, 0), 0x200A, 0, 1440, last=at(6), deleted=[at(4, 0)]),
            }
        ),
    ),
    "tnef-instance": (
        "[MS-OXOCAL] 2.2.1.27: an instance of a series, by its global object id and PidLidExceptionReplaceTime",
        request(
            {
                meeting(0x0003): global_id(EXCHANGE, at(9)),
                meeting(0x000A): True,
                appointment(0x8228): datetime(2026, 3, 9, 9, tzinfo=UTC),
                appointment(0x820D): datetime(2026, 3, 10, 12, tzinfo=UTC),
                appointment(0x820E): datetime(2026, 3, 10, 13, tzinfo=UTC),
                appointment(0x8201): 2,
            }
        ),
    ),
    "tnef-instance-cancelled": (
        "[MS-OXOCAL] 2.2.6.8: an instance that is cancelled, by PidLidStartRecurrenceTime",
        stream(
            "IPM.Microsoft Schedule.MtgCncl",
            {
                **basic(),
                0x0037: "Canceled: Planning",
                0x003D: "Canceled: ",
                meeting(0x0003): global_id(EXCHANGE, at(9)),
                meeting(0x000E): 10 << 12 | 0 << 6,
                appointment(0x825E): BERLIN,
            },
            EVERYBODY,
        ),
    ),
    "tnef-cancel": (
        "[MS-OXCICAL] 2.1.3.1.1.1: IPM.Schedule.Meeting.Canceled",
        stream(
            "IPM.Microsoft Schedule.MtgCncl",
            {**basic(), 0x0037: "Canceled: Planning", 0x0E1D: "Planning", appointment(0x8201): 3},
            EVERYBODY,
        ),
    ),
    "tnef-accepted": ("[MS-OXCICAL] 2.1.3.1.1.1: IPM.Schedule.Meeting.Resp.Pos", answer("P", {0x1000: "I come."})),
    "tnef-declined": ("[MS-OXCICAL] 2.1.3.1.1.1: IPM.Schedule.Meeting.Resp.Neg", answer("N", {meeting(0x0001): UTC_9})),
    "tnef-tentative": (
        "[MS-OXCICAL] 2.1.3.1.1.1: IPM.Schedule.Meeting.Resp.Tent",
        answer("A", {meeting(0x0001): UTC_10}),
    ),
    "tnef-counter": (
        "[MS-OXCICAL] 2.1.3.1.1.1: PidLidAppointmentCounterProposal makes an answer a COUNTER",
        answer(
            "A",
            {
                appointment(0x8257): True,
                appointment(0x8250): datetime(2026, 3, 2, 13, tzinfo=UTC),
                appointment(0x8251): datetime(2026, 3, 2, 14, tzinfo=UTC),
                appointment(0x825E): BERLIN,
            },
        ),
    ),
    "tnef-no-meeting": (
        "nextcloud/mail's reports of winmail.dat: rich text as TNEF, of any mail",
        stream("IPM.Microsoft Mail.Note", {0x0037: "Hello", 0x1000: "Hello"}),
    ),
}


def mail_with(data: bytes, follows: str, message_id: str) -> bytes:
    """A mail of dora to clara, whose answers are to the organizer clara."""
    lines = [
        f"X-Follows: {follows}",
        "Authentication-Results: mx.example.com; dmarc=pass (p=none) header.from=contoso.example",
        "From: =?utf-8?q?Dora_Berger?= <dora@contoso.example>",
        'To: "Clara" <clara@example.com>',
        f"Message-ID: <{message_id}@contoso.example>",
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed; boundary=x",
        "",
        "--x",
        "Content-Type: text/plain",
        "",
        "The meeting is in winmail.dat",
        "--x",
        'Content-Type: application/ms-tnef; name="winmail.dat"',
        "Content-Transfer-Encoding: base64",
        "",
        *base64.encodebytes(data).decode().splitlines(),
        "",
        "--x--",
        "",
    ]
    return "\r\n".join(lines).encode()


def mails() -> Iterator[tuple[str, bytes]]:
    """Names and mails."""
    for name, (follows, data) in KINDS.items():
        yield name, mail_with(data, follows, name)


def main() -> None:
    """Write the files."""
    for name, data in mails():
        (MAILS / f"{name}.eml").write_bytes(data)
        (CALENDARS / f"{name}.ics").write_bytes("".join(messages_in(read_mail(data)).messages).encode())


if __name__ == "__main__":
    main()
