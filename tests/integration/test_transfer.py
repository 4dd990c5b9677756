"""Import and export by the commands, on a real PostgreSQL."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.calendar import octet_lines
from server.cli import main
from server.domain.actors import Actor
from server.domain.changes import ChangeSet, PropertyChanges, Put, Written
from server.domain.limits import Limits
from server.domain.objects import Collection, Home, HomeKind, NewCollection, Target
from server.domain.privileges import Privilege
from server.services.collections import Collections
from server.services.lookup import Lookup
from server.services.objects import Objects, write_limits
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.removals import Removals
from server.services.scheduling.sent import Sent
from server.services.transfer.collection_properties import Shown, text_property
from server.services.transfer.exporting import Exporter
from server.services.transfer.importing import Importer
from server.services.transfer.places import Places
from server.services.transfer.sources import Refused
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.storage import PostgresStorage
from tests.found import member_in
from tests.unit.auth.directory_in_memory import CountingHasher

ACTOR = Actor(None, "test")
CAUSE = ACTOR.cause
COLOR = "{http://apple.com/ns/ical/}calendar-color"
TRANSPARENT = (
    "{urn:ietf:params:xml:ns:caldav}schedule-calendar-transp",
    '<C:schedule-calendar-transp xmlns:C="urn:ietf:params:xml:ns:caldav"><C:opaque/></C:schedule-calendar-transp>',
)
_numbers = itertools.count(1)


def event(uid: str, *lines: str, name: str = "VEVENT") -> str:
    return "\r\n".join((f"BEGIN:{name}", f"UID:{uid}", "DTSTART:20260901T100000Z", *lines, f"END:{name}", ""))


def calendar(*components: str, head: str = "VERSION:2.0\r\nPRODID:x\r\n") -> str:
    return f"BEGIN:VCALENDAR\r\n{head}{''.join(components)}END:VCALENDAR\r\n"


def card(uid: str | None, name: str = "Ada") -> str:
    first = [] if uid is None else [f"UID:{uid}"]
    return "\r\n".join(("BEGIN:VCARD", "VERSION:3.0", *first, f"FN:{name}", f"N:{name};;;;", "END:VCARD", ""))


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


Koyomi = Callable[..., Result]


@pytest.fixture
def koyomi(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Koyomi:
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path, code: int | None = 0) -> Result:
        """Run a command, which ends with a code; None for any but 0."""
        result = CliRunner().invoke(main, [*map(str, words), "--database", database])
        assert result.exit_code == code or (code is None and result.exit_code), result.output
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def counts(result: Result) -> str:
    return next(line for line in result.stdout.splitlines() if line.endswith("refused"))


def on(database: str, act: Callable[[PostgresStorage], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with PostgresStorage(database, notify=False) as storage:
            return await act(storage)

    return asyncio.run(run())


async def collection_of(storage: PostgresStorage, owner: str, name: str, kind: HomeKind = "calendar") -> Collection:
    person = await PostgresDirectory(storage.database).principal(owner)
    assert person is not None
    found = (await storage.resolve(person.id, Target(person.uid, "uid", kind, name))).collection
    assert found is not None
    return found


def test_what_goes_where_and_a_second_run_changes_nothing(koyomi: Koyomi, tmp_path: Path) -> None:
    write(tmp_path, {"all.ics": calendar(event("a"), event("b"), event("c", name="VTODO")), "x.vcf": card("d")})
    first = koyomi("import", "--user", "ada", "all.ics", "x.vcf")
    assert counts(first) == "4 created, 0 changed, 0 unchanged, 0 refused"
    assert "Without a password: ada." in first.stderr
    assert counts(koyomi("import", "--user", "ada", "all.ics", "x.vcf")).startswith("0 created, 0 changed, 4 unchanged")
    koyomi("export", "--user", "ada", "out")
    assert {name for name in read(tmp_path / "out") if "Radicale" not in name} == {
        "calendar/a.ics", "calendar/b.ics", "tasks/c.ics", "addressbook/d.vcf",
    }  # fmt: skip


def test_a_new_calendar_takes_what_the_file_holds_and_its_name_and_colour(koyomi: Koyomi, database: str) -> None:
    head = "VERSION:2.0\r\nX-WR-CALNAME:Work & more\r\nX-APPLE-CALENDAR-COLOR:#00FF00\r\n"
    Path("work.ics").write_text(calendar(event("a"), event("b", name="VJOURNAL"), head=head), newline="")
    koyomi("import", "--user", "ada", "--collection", "work", "work.ics")
    made = on(database, lambda storage: collection_of(storage, "ada", "work"))
    assert made.components == ("VEVENT", "VJOURNAL")
    assert made.properties["{DAV:}displayname"] == '<displayname xmlns="DAV:">Work &amp; more</displayname>'
    assert "#00FF00" in made.properties[COLOR]


def test_refusals_are_told_with_file_and_line_and_cost_no_others(koyomi: Koyomi, tmp_path: Path) -> None:
    bad = event("b", "RRULE:FREQ=NEVER")
    text = calendar(event("a"), bad, event("a", "RECURRENCE-ID:20260902T100000Z"), event("c"))
    cards = card("d") + card("e").replace("VERSION:3.0", "VERSION:9") + card(None)
    damaged = card("f", "Zoé").encode().replace(b"FN:", b"FN:\xff")
    write(tmp_path, {"all.ics": text, "x.vcf": cards, "latin.vcf": damaged, "no.ics": "x"})
    result = koyomi("import", "--user", "ada", "all.ics", "x.vcf", "latin.vcf", "no.ics", code=1)
    assert counts(result) == "4 created, 0 changed, 0 unchanged, 4 refused"
    rule = text.splitlines().index("RRULE:FREQ=NEVER") + 1
    refused = [line for line in result.stderr.splitlines() if line.startswith("Refused: ")]
    assert [line.split(": ")[1] for line in refused] == [f"all.ics:{rule}", "x.vcf:8", "latin.vcf:4", "no.ics:1"]
    assert f"line {rule}" in refused[0].lower()


def test_a_component_that_the_calendar_does_not_take_is_refused(koyomi: Koyomi) -> None:
    Path("todo.ics").write_text(calendar(event("a", name="VTODO")), newline="")
    result = koyomi("import", "--user", "ada", "--collection", "calendar", "todo.ics", code=1)
    assert "todo.ics:1: This calendar takes VEVENT only." in result.stderr


def test_folders_keep_names_and_bytes(koyomi: Koyomi, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "in/work/one thing.ics": "\ufeff" + calendar(event("a")).replace("\r\n", "\n"),
        "in/work/Ü.ics": calendar(event("b")) + "\r\n",
        "in/work/no-uid.ics": calendar(event("x").replace("UID:x\r\n", "")),
        "in/work/.hidden.ics": calendar(event("h")),
        "in/people/x.vcf": card("c"),
        "in/work/displayname": "At work",
        "in/work/color": "#123456",
    }
    write(tmp_path, files)
    assert counts(koyomi("import", "--user", "ada", "in")).startswith("4 created")
    assert counts(koyomi("import", "--user", "ada", "in")).startswith("0 created, 0 changed, 4 unchanged")
    koyomi("export", "--user", "ada", "--collection", "work", "out")
    out = read(tmp_path / "out")
    for name in ("one thing.ics", "Ü.ics"):
        assert out[name] == (tmp_path / "in/work" / name).read_bytes()
    assert set(out) == {"one thing.ics", "Ü.ics", "no-uid.ics", ".Radicale.props", ".Koyomi.props"}
    assert json.loads(out[".Radicale.props"]) == {
        "tag": "VCALENDAR",
        "D:displayname": "At work",
        "ICAL:calendar-color": "#123456",
        "C:supported-calendar-component-set": "VEVENT",
    }
    assert json.loads(out[".Koyomi.props"]) == {"name": "work"}


def test_a_changed_file_changes_its_object_under_whatever_name_it_has(koyomi: Koyomi, tmp_path: Path) -> None:
    write(tmp_path, {"in/a.ics": calendar(event("a")), "in/b.ics": calendar(event("b"))})
    koyomi("import", "--user", "ada", "in")
    write(tmp_path, {"again/other.ics": calendar(event("a", "SUMMARY:New")), "again/a.ics": calendar(event("c"))})
    assert counts(koyomi("import", "--user", "ada", "again")) == "1 created, 1 changed, 0 unchanged, 0 refused"
    koyomi("export", "--user", "ada", "out")
    out = {name: text for name, text in read(tmp_path / "out/calendar").items() if name.endswith("ics")}
    assert set(out) == {"a.ics", "b.ics", "c.ics"}
    assert b"SUMMARY:New" in out["a.ics"]


def test_of_one_uid_twice_in_an_import_the_newer_wins_always(koyomi: Koyomi, tmp_path: Path) -> None:
    write(tmp_path, {"in/a.ics": calendar(event("a", "SEQUENCE:2")), "in/b.ics": calendar(event("a", "SEQUENCE:10"))})
    write(tmp_path, {"in/c.ics": calendar(event("c")), "in/d.ics": calendar(event("c", "SUMMARY:as new"))})
    first = koyomi("import", "--user", "ada", "in")
    assert counts(first) == "2 created, 0 changed, 0 unchanged, 0 refused"
    assert "2 left out for a newer version with the same UID\n" in first.stdout
    again = koyomi("import", "--user", "ada", "in")
    assert counts(again) == "0 created, 0 changed, 2 unchanged, 0 refused"
    assert "Left out: in/a.ics:1: " in again.stderr
    assert "SEQUENCE:10" in koyomi("export", "--user", "ada", "--collection", "calendar", "-").stdout
    Path("twice.ics").write_text(calendar(event("e", "SEQUENCE:1"), event("e")), newline="")
    assert "Left out: twice.ics:9: The VEVENT in line 4" in koyomi("import", "--user", "ada", "twice.ics").stderr
    cards = [
        card("f", name).replace("FN", f"REV:{rev}\r\nFN") for name, rev in (("New", "20260201"), ("Old", "20260101"))
    ]
    Path("twice.vcf").write_text("".join(cards), newline="")
    assert counts(koyomi("import", "--user", "ada", "twice.vcf")).startswith("1 created")
    assert "FN:New" in koyomi("export", "--user", "ada", "--collection", "addressbook", "-").stdout
    clash = calendar(event("g"), event("g", name="VTODO"))
    Path("clash.ics").write_text(clash, newline="")
    refused = koyomi("import", "--user", "ada", "--collection", "both", "clash.ics", code=1)
    assert counts(refused) == "1 created, 0 changed, 0 unchanged, 1 refused"
    assert "This import has already stored g.ics with this UID" in refused.stderr


def test_a_meeting_of_another_calendar_is_imported_as_a_plain_object(koyomi: Koyomi) -> None:
    meeting = event("a", "ORGANIZER:/principals/users/ada/", "ATTENDEE:mailto:ben@example.org", "SUMMARY:One")
    Path("a.ics").write_text(calendar(meeting), newline="")
    koyomi("import", "--user", "ada", "a.ics")
    for summary, expected in (("One", "1 created, 0 changed"), ("Two", "0 created, 1 changed")):
        Path("again.ics").write_text(calendar(meeting.replace("One", summary), event("b")), newline="")
        words = koyomi("import", "--user", "ada", "--collection", "old", "again.ics")
        assert counts(words).endswith("0 refused")
        assert counts(words).startswith(expected.replace("1 created", "2 created"))
        checked = koyomi("db", "check", "--all").stdout
        assert checked == (
            "ada: old/a.ics is a plain object: the meeting of its UID is calendar/a.ics.\nNothing differs.\n"
        )
    text = koyomi("export", "--user", "ada", "--collection", "old", "-").stdout
    assert "SUMMARY:Two" in text


def test_of_one_uid_in_two_types_the_first_in_the_file_is_taken(koyomi: Koyomi) -> None:
    """Reading the first takes longer: whether the owner has declined is looked up."""
    invited = ("ORGANIZER:mailto:a@example.com", "ATTENDEE;PARTSTAT=DECLINED:mailto:b@example.com")
    pairs = [(event(f"{n}", *invited), event(f"{n}", name="VTODO")) for n in range(20)]
    text = calendar(*(part for pair in pairs for part in pair))
    Path("pairs.ics").write_text(text, newline="")
    result = koyomi("import", "--user", "ada", "--collection", "pairs", "pairs.ics", code=1)
    tasks = [n + 1 for n, line in enumerate(text.splitlines()) if line == "BEGIN:VTODO"]
    refused = [line.split(": ")[1] for line in result.stderr.splitlines() if line.startswith("Refused: ")]
    assert sorted(refused) == sorted(f"pairs.ics:{line}" for line in tasks)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"), ("utf-16-be", "UTF-16"), ("cp1252", "Latin-1 (Windows-1252)")],
)
def test_other_encodings_are_converted_and_told(koyomi: Koyomi, encoding: str, name: str) -> None:
    texts = {"old.ics": calendar(event("a", "SUMMARY:Café – Zoë")), "old.vcf": card("b", "Zoë – Café") + card("c")}
    for file, text in texts.items():
        Path(file).write_bytes(text.encode(encoding))
        result = koyomi("import", "--user", "ada", file)
        assert f"{file}: Read as {name}; it is no UTF-8." in result.stderr
    assert "SUMMARY:Café – Zoë" in koyomi("export", "--user", "ada", "--collection", "calendar", "-").stdout
    assert "FN:Zoë – Café" in koyomi("export", "--user", "ada", "--collection", "addressbook", "-").stdout


def test_one_damaged_line_does_not_make_a_file_latin_1(koyomi: Koyomi) -> None:
    good = calendar(event("a", "SUMMARY:Café"), event("b", "SUMMARY:Zoë")).encode()
    Path("x.ics").write_bytes(good.replace("ë".encode(), b"\xc3"))
    result = koyomi("import", "--user", "ada", "x.ics", code=1)
    assert counts(result) == "1 created, 0 changed, 0 unchanged, 1 refused"
    assert "Refused: x.ics:12: This is not UTF-8: byte 0xc3 in line 12." in result.stderr


def test_streams_come_back_as_the_same_objects(koyomi: Koyomi, tmp_path: Path) -> None:
    write(tmp_path, {"in/a.ics": calendar(event("a"), head="X-A:1\r\n"), "in/b.ics": calendar(event("b"))})
    write(tmp_path, {"in/a.vcf": card("c").rstrip(), "in/b.vcf": "\ufeff" + card("d")})
    koyomi("import", "--user", "ada", "in")
    ics = koyomi("export", "--user", "ada", "--collection", "calendar", "-").stdout_bytes
    assert "2 objects" in koyomi("export", "--user", "ada", "--collection", "calendar", "c.ics").stdout
    assert Path("c.ics").read_bytes() == ics
    koyomi("export", "--user", "ada", "--collection", "addressbook", "c.vcf")
    assert counts(koyomi("import", "--user", "ada", "c.ics", "c.vcf")) == (
        "0 created, 0 changed, 4 unchanged, 0 refused"
    )
    assert counts(koyomi("import", "--user", "eve", "c.ics", "c.vcf")).startswith("4 created")
    koyomi("export", "--user", "eve", "--collection", "addressbook", "e.vcf")
    assert Path("e.vcf").read_bytes() == Path("c.vcf").read_bytes()


def test_a_shared_calendar_is_exported_as_its_person_sees_it(koyomi: Koyomi, database: str, tmp_path: Path) -> None:
    alarm = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-PT10M", "END:VALARM")
    others = [line.replace("10M", "5M") for line in alarm]
    write(tmp_path, {"ada/a.ics": calendar(event("a", *alarm)), "ada/b.ics": calendar(event("b", *alarm))})
    koyomi("import", "--user", "ada", "--collection", "work", "ada")
    koyomi("user", "add", "bob", "--no-password")
    koyomi("share", "ada/work", "--with", "bob", "--rights", "read")

    async def put_own_alarm(storage: PostgresStorage) -> str:
        person = await PostgresDirectory(storage.database).principal("bob")
        assert person is not None
        home = (await storage.resolve(person.id, Target(person.uid, "uid", "calendar"))).home
        assert home is not None
        (name,) = [each.name for each in await storage.collections(home, person.id) if each.home_id != home.id]
        bob = (await storage.resolve(person.id, None)).viewer
        assert bob is not None
        actor, target = Actor(bob, "test"), Target(person.uid, "uid", "calendar", name, "a.ics")
        found = await Lookup(storage).find(actor, target, Privilege.WRITE_CONTENT)
        assert Privilege.WRITE_CONTENT not in found.privileges
        await Objects(storage, Limits()).put(actor, found, calendar(event("a", *others)).encode())
        return name

    name = on(database, put_own_alarm)
    for called in (name, "ada/work"):
        seen = koyomi("export", "--user", "bob", "--collection", called, "-").stdout
        assert (seen.count("-PT5M"), seen.count("-PT10M"), seen.count("BEGIN:VEVENT")) == (1, 0, 2)
    koyomi("export", "--user", "bob", "--collection", "ada/work", "folder")
    assert read(tmp_path / "folder")["a.ics"].decode() == calendar(event("a", *others))
    koyomi("export", "--user", "bob", "own")
    assert not any("a.ics" in path for path in read(tmp_path / "own"))
    for called in ("ada/calendar", "nobody/work", "bob/work"):
        assert (
            "has no calendar or address book named"
            in koyomi("export", "--user", "bob", "--collection", called, "-", code=None).stderr
        )


def test_large_files_of_cards_are_read_in_blocks(koyomi: Koyomi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(octet_lines, "_BLOCK", 100)
    texts = [card(f"u{number}", f"Name {number}") for number in range(50)]
    texts[20] = texts[20].replace("END:VCARD\r\n", "")
    texts[40] = texts[40].replace("VERSION:3.0", "VERSION:9")
    Path("all.vcf").write_text("".join(texts), newline="")
    result = koyomi("import", "--user", "ada", "all.vcf", code=1)
    assert counts(result) == "48 created, 0 changed, 0 unchanged, 2 refused"
    lines = "".join(texts).splitlines()
    broken = lines.index("UID:u20")  # counted from 0; its card should end four lines on
    assert f"all.vcf:{broken + 4}: The vCard does not end" in result.stderr
    assert f"all.vcf:{lines.index('VERSION:9') + 1}: Version '9'" in result.stderr


def test_lines_folded_anywhere_are_imported(koyomi: Koyomi) -> None:
    text = calendar(event("a"), event("b", "SUMMARY:x"), event("", name="VTODO"))
    for old, new in (
        ("BEGIN:VEVENT", "BEGIN\r\n :VEVENT"), ("UID:a", "UID\r\n :a"), ("UID:b", "UI\r\n D:b"),
        ("PRODID:x", "MET\r\n HOD:PUBLISH"), ("BEGIN:VTODO", "BEG\r\n IN:VTODO"),
    ):  # fmt: skip
        text = text.replace(old, new)
    Path("folded.ics").write_text(text, newline="")
    assert counts(koyomi("import", "--user", "ada", "folded.ics")).startswith("3 created")
    assert counts(koyomi("import", "--user", "ada", "folded.ics")).startswith("0 created, 0 changed, 3 unchanged")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("x.ics", "BEGIN:VCALENDAR\r\nBEGN:VEVENT\r\nUID:a\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n", "x.ics:4: "),
        ("x.ics", "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n", "x.ics:1: The VCALENDAR that begins in line 1 has no end."),
        ("x.ics", calendar() + event("a"), "x.ics:5: This is a VEVENT, not a VCALENDAR."),
        ("x.vcf", "BEGN:VCARD\r\nFN:a\r\nEND:VCARD\r\n", "x.vcf:1: "),
        ("x.vcf", "hello", "x.vcf:1: "),
    ],
)
def test_a_file_of_which_nothing_is_understood_is_refused(koyomi: Koyomi, name: str, text: str, reason: str) -> None:
    Path(name).write_text(text, newline="")
    result = koyomi("import", "--user", "ada", name, code=1)
    assert counts(result) == "0 created, 0 changed, 0 unchanged, 1 refused"
    assert f"Refused: {reason}" in result.stderr


def test_a_card_in_a_card_is_refused_with_it(koyomi: Koyomi) -> None:
    """Neither is taken: an address object is a single card (RFC 6352 §5.1)."""
    agent = card("b").replace("3.0", "2.1")
    outer = card("a").replace("3.0", "2.1").replace("END:", f"AGENT:\r\n{agent}END:")
    Path("x.vcf").write_text(card("c") + outer, newline="")
    result = koyomi("import", "--user", "ada", "x.vcf", code=1)
    assert counts(result) == "1 created, 0 changed, 0 unchanged, 1 refused"
    assert "Refused: x.vcf:13: Line 13: the vCard holds another one (AGENT of vCard 2.1)" in result.stderr


def test_address_books_in_utf_16_are_understood(koyomi: Koyomi) -> None:
    Path("old.vcf").write_bytes("\ufeff".encode("utf-16-le") + (card("a", "Zoë") + card("b")).encode("utf-16-le"))
    assert counts(koyomi("import", "--user", "ada", "old.vcf")).startswith("2 created")
    assert "FN:Zoë" in koyomi("export", "--user", "ada", "--collection", "addressbook", "-").stdout


RADICALE: dict[str, str | bytes] = {
    ".Radicale.lock": "",
    "collection-root/.Radicale.cache/x": "x",
    "collection-root/ada@example.org/.Radicale.props": "{}",
    "collection-root/ada@example.org/calendar/.Radicale.props": json.dumps({
        "tag": "VCALENDAR", "D:displayname": "Ada's", "ICAL:calendar-color": "#ff0000ff", "ICAL:calendar-order": "3",
        "C:calendar-description": "a < b", "C:supported-calendar-component-set": "VEVENT,VJOURNAL,VTODO",
        "{urn:x}thing": "1",
    }),
    "collection-root/ada@example.org/calendar/a.ics": calendar(event("a")),
    "collection-root/ada@example.org/calendar/t": calendar(event("t", name="VTODO")),
    "collection-root/ada@example.org/calendar/.Radicale.cache/item/a.ics": "cache",
    "collection-root/ada@example.org/3f0e/.Radicale.props": json.dumps({
        "tag": "VADDRESSBOOK", "D:displayname": "People", "CR:addressbook-description": "All",
        "INF:addressbook-color": "#00ff00ff",
    }),
    "collection-root/ada@example.org/3f0e/c.vcf": card("c"),
    "collection-root/ada@example.org/feed/.Radicale.props": json.dumps({
        "tag": "VSUBSCRIBED", "CS:source": "https://example.org/feed.ics",
    }),
    "collection-root/bob/.Radicale.props": "{}",
}  # fmt: skip


def test_a_radicale_folder_with_its_people(koyomi: Koyomi, database: str, tmp_path: Path) -> None:
    write(tmp_path / "radicale", RADICALE)
    write(tmp_path, {"users": "# people\nada@example.org:$2b$05$x\ncarol:$argon2id$x\nbad/name:x\n"})
    result = koyomi("import", "radicale", "--htpasswd", "users", code=1)
    assert counts(result) == "3 created, 0 changed, 0 unchanged, 1 refused"
    assert "Principals: 3 created\n" in result.stdout
    assert "Collections: 3 created, 0 changed" in result.stdout  # one of them in place of an empty one
    assert "Without a password: ada@example.org, bob, carol." in result.stderr
    assert "Refused: bad/name: " in result.stderr
    again = koyomi("import", "radicale")
    assert again.stdout == "0 created, 0 changed, 3 unchanged, 0 refused\n"
    calendar = on(database, lambda storage: collection_of(storage, "ada@example.org", "calendar"))
    assert calendar.components == ("VEVENT", "VJOURNAL", "VTODO")
    assert calendar.properties[COLOR] == '<calendar-color xmlns="http://apple.com/ns/ical/">#ff0000ff</calendar-color>'
    assert calendar.properties["{urn:x}thing"] == '<thing xmlns="urn:x">1</thing>'
    feed = on(database, lambda storage: collection_of(storage, "ada@example.org", "feed"))
    assert feed.source == "https://example.org/feed.ics"


def test_of_a_radicale_folder_one_collection_can_be_taken(koyomi: Koyomi, tmp_path: Path) -> None:
    write(tmp_path / "radicale", RADICALE)
    result = koyomi("import", "radicale", "--user", "ada@example.org", "--collection", "3f0e")
    assert result.stdout.endswith("1 created, 0 changed, 0 unchanged, 0 refused\n")
    assert "bob" not in koyomi("user", "list").stdout


def test_what_a_radicale_folder_has_wrong_is_told(koyomi: Koyomi, tmp_path: Path) -> None:
    props = json.dumps({"tag": "VCALENDAR", "ICAL:calendar-order": "x", "C:calendar-timezone": "x", "D:getetag": "x"})
    write(tmp_path / "r/collection-root", {
        "ada/one/.Radicale.props": props, "ada/two/.Radicale.props": "{", "ada/two/a.ics": calendar(event("a")),
        "shared/.Radicale.props": json.dumps({"tag": "VCALENDAR"}), "shared/b.ics": calendar(event("b")),
        "ada/loose.ics": calendar(event("c")),
    })  # fmt: skip
    result = koyomi("import", "r", code=1)
    assert counts(result) == "1 created, 0 changed, 0 unchanged, 5 refused"
    for words in ("calendar-order: ", "calendar-timezone: ", "two/.Radicale.props: ", "shared: ", "loose.ics: "):
        assert words in result.stderr


def test_everything_round_trips(koyomi: Koyomi, database: str, tmp_path: Path) -> None:
    write(tmp_path / "radicale", RADICALE)
    people = [
        {"kind": "individual", "name": "bob", "id": "B", "emails": ["b@example.org"], "roles": ["admin"]},
        {
            "kind": "room",
            "name": "hall",
            "id": "R",
            "auto_schedule": {"mode": "automatic"},
            "delegates": {"read": ["B"]},
        },
        {"kind": "group", "name": "all", "id": "G", "members": ["B"]},
    ]
    Path("people.json").write_text(json.dumps({"principals": people}))
    koyomi("principals", "load", "people.json")
    koyomi("import", "radicale")
    Path("hall.ics").write_text(calendar(event("h")))
    koyomi("import", "--user", "hall", "hall.ics")

    async def mark(storage: PostgresStorage) -> None:
        person = await PostgresDirectory(storage.database).principal("bob")
        assert person is not None
        found = await storage.resolve(person.id, Target("B", "uid", "calendar", "calendar"))
        assert found.home is not None and found.collection is not None
        changes = PropertyChanges(
            {TRANSPARENT[0]: TRANSPARENT[1], "{DAV:}displayname": '<displayname xmlns="DAV:">Ü</displayname>'}
        )
        limits = write_limits(Limits())
        await storage.set_collection_properties(found.home, found.collection, changes, person.id, limits, CAUSE)

    on(database, mark)
    koyomi("export", "--all", "first")
    koyomi("user", "delete", "--purge", "bob")
    koyomi("user", "delete", "--purge", "ada@example.org")
    assert counts(koyomi("import", "first")) == "3 created, 0 changed, 1 unchanged, 0 refused"
    assert counts(koyomi("import", "first")) == "0 created, 0 changed, 4 unchanged, 0 refused"
    koyomi("export", "--all", "second")
    assert read(tmp_path / "first") == read(tmp_path / "second")
    assert b"opaque" in read(tmp_path / "first")["collection-root/bob/calendar/.Koyomi.props"]
    assert (tmp_path / "first").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "--user", "nobody", "x"], "There is no principal named nobody."),
        (
            ["export", "--user", "ada", "--collection", "nothing", "x"],
            "ada has no calendar or address book named nothing.",
        ),
        (["import", "one.ics"], "one.ics: name the owner with --user."),
        (["import", "--user", "ada", "notes.txt"], "notes.txt: only .ics, .ical"),
        (["export", "x"], "Say what to export"),
        (["export", "--user", "ada", "x.ics"], "A file holds one collection"),
        (["export", "--user", "ada", "full"], "full is there already, and is no empty folder."),
    ],
)
def test_what_cannot_be_understood_is_told(koyomi: Koyomi, words: list[str], message: str) -> None:
    write(Path(), {"one.ics": calendar(event("a")), "notes.txt": "x", "full/a": "x"})
    koyomi("import", "--user", "ada", "one.ics")
    assert message in koyomi(*words, code=None).stderr


class Rival(PostgresStorage):
    """A storage in which somebody else puts every new object first."""

    body = calendar(event("a", "SUMMARY:theirs"))
    name: str | None = None
    """What they call it; None for the same name."""

    async def apply(self, changes: ChangeSet) -> tuple[Written, ...]:
        (write,) = changes.writes
        assert isinstance(write, Put)
        if write.expected is None and self.body:
            body, self.body = self.body, ""
            found = member_in(write.collection, self.name or write.name)
            await Objects(self, Limits()).put(ACTOR, found, body.encode())
        return await super().apply(changes)


@pytest.mark.parametrize(
    ("body", "name", "outcome", "left"),
    [
        (calendar(event("a", "SUMMARY:theirs")), None, "changed", {"a.ics": "a"}),
        (calendar(event("a", "SUMMARY:theirs")), "x.ics", "changed", {"x.ics": "a"}),
        (calendar(event("a")), "x.ics", "unchanged", {"x.ics": "a"}),
        (calendar(event("b")), "a.ics", "created", {"a.ics": "b"}),
    ],
)
def test_what_others_write_meanwhile_is_met(
    koyomi: Koyomi, database: str, tmp_path: Path, body: str, name: str | None, outcome: str, left: dict[str, str]
) -> None:
    write(tmp_path, {"in/a.ics": calendar(event("a"))})

    async def run() -> None:
        async with Rival(database, notify=False) as storage:
            storage.body, storage.name = body, name
            refused: list[Refused] = []
            directory = PostgresDirectory(storage.database)
            importer = Importer(storage, directory, CountingHasher(), Limits(), ACTOR, refused.append)
            result = await importer.run([tmp_path / "in"], "ada", None)
            assert refused == []
            assert getattr(result, outcome) == 1
            assert result.created + result.changed + result.unchanged == 1
            collection = await collection_of(storage, "ada", "calendar")
            rows = await storage.members(collection, ("name", "uid", "text"), after=None, limit=10)
            found = {row[0]: row for row in rows}
            assert {key: found[key][1] for key in left} == left
            assert [row[2] for row in rows if row[1] == "a"] == [calendar(event("a"))]

    asyncio.run(run())


class LateMember(PostgresStorage):
    """A storage in which somebody puts an object into a calendar right before it is deleted."""

    async def delete_collection(self, home: Home, collection: Collection, *rest: Any, **options: Any) -> int:
        if collection.member_count == 0:
            await Objects(self, Limits()).put(ACTOR, member_in(collection, "a.ics"), calendar(event("a")).encode())
        return await super().delete_collection(home, collection, *rest, **options)


def test_a_calendar_that_is_no_longer_empty_is_not_replaced(koyomi: Koyomi, database: str) -> None:
    koyomi("user", "add", "ada", "--no-password")

    async def run() -> None:
        async with LateMember(database, notify=False) as storage:
            directory = PostgresDirectory(storage.database)
            places = Places(storage, directory, CountingHasher(), Limits(), ACTOR)
            ada = await places.person("ada")
            only_events = Shown(components=("VEVENT",))
            narrow = (await places.place(ada, "calendar", "narrow", only_events, ())).collection
            found = await places.place(ada, "calendar", "narrow", Shown(components=("VEVENT", "VTODO")), ())
            assert found.collection.id == narrow.id
            assert found.names == {"a.ics"}

    asyncio.run(run())


def test_a_full_home_refuses_the_rest(koyomi: Koyomi, tmp_path: Path) -> None:
    koyomi("user", "add", "ada", "--no-password", "--quota", "1000")
    Path("all.ics").write_text(calendar(*(event(f"e{n}", "SUMMARY:" + "x" * 400) for n in range(4))), newline="")
    result = koyomi("import", "--user", "ada", "all.ics", code=1)
    assert counts(result) == "1 created, 0 changed, 0 unchanged, 3 refused"


_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\x00", exclude_categories=("Cs", "Cc")), min_size=1)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        _NAMES.filter(lambda name: name not in (".", "..", "calendar", "tasks", "inbox", "outbox") and len(name) < 200),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    title=st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=40),
)
def test_any_names_and_titles_round_trip(
    database: str, tmp_path_factory: pytest.TempPathFactory, names: list[str], title: str
) -> None:
    folder = tmp_path_factory.mktemp("names")

    async def contents(storage: PostgresStorage, owner: str) -> dict[str, Any]:
        collection = await collection_of(storage, owner, names[0])
        rows = await storage.members(collection, ("name", "uid", "etag"), after=None, limit=10)
        assert collection.properties == {"{DAV:}displayname": text_property("{DAV:}displayname", title)}
        return {uid: (name if _plain(names[int(uid)]) else "", etag) for name, uid, etag in rows}

    def _plain(name: str) -> bool:
        return name[0] != "." and name[-1] != "~" and "\\" not in name and len(name.encode()) < 256

    async def run() -> None:
        async with PostgresStorage(database, notify=False) as storage:
            directory = PostgresDirectory(storage.database)
            owner = f"owner{next(_numbers)}"
            importer = Importer(storage, directory, CountingHasher(), Limits(), ACTOR, lambda refused: None)
            person = await importer._places.person(owner)
            home = (await storage.resolve(person.id, Target(person.uid, "uid", "calendar"))).home
            assert home is not None
            new = NewCollection(names[0], "calendar", ("VEVENT",), None, None, {
                "{DAV:}displayname": text_property("{DAV:}displayname", title)
            })  # fmt: skip
            collection = await storage.create_collection(home, new, write_limits(Limits()), CAUSE)
            for number, name in enumerate(names):
                body = calendar(event(str(number))).encode()
                await Objects(storage, Limits()).put(ACTOR, member_in(collection, name), body)
            before = await contents(storage, owner)
            await Exporter(storage, directory, ACTOR).person(person, folder / "out")
            result = await importer.run([folder / "out"], owner, None)
            assert (result.unchanged, result.created, result.changed, result.refused) == (len(before), 0, 0, 0)
            other = f"other{owner}"
            result = await importer.run([folder / "out"], other, None)
            assert (result.created, result.refused) == (len(before), 0)
            assert await contents(storage, other) == before

    asyncio.run(run())


def meeting(*lines: str) -> str:
    return calendar(event("m", "DTSTAMP:20260101T000000Z", *lines))


def test_meetings_are_sent_only_if_that_is_asked_for(koyomi: Koyomi, tmp_path: Path, database: str) -> None:
    """By an import and by restoring, with the commands of an administrator."""
    for name in ("ada", "bob"):
        koyomi("user", "add", name, "--email", f"{name}@example.com", "--no-password")
    people = ["ORGANIZER:mailto:ada@example.com", "ATTENDEE:mailto:ada@example.com", "ATTENDEE:mailto:bob@example.com"]
    write(tmp_path, {"m.ics": meeting("SEQUENCE:4", *people), "other.ics": meeting("SUMMARY:x", *people)})
    koyomi("import", "--user", "ada", "m.ics")

    def inbox() -> int:
        return int(on(database, lambda storage: collection_of(storage, "bob", "inbox")).member_count)

    async def remove(storage: PostgresStorage) -> None:
        place = await collection_of(storage, "ada", "calendar")
        (row,) = await storage.members(place, ("name",), after=None, limit=2)
        limits = Limits()
        scheduling = Scheduling(storage, Objects(storage, limits), limits)
        owner = await PostgresDirectory(storage.database).principal("ada")
        assert owner is not None
        target = Target(owner.uid, "uid", "calendar", place.name, row[0])
        found = await Lookup(storage).find(ACTOR, target, Privilege.UNBIND)
        await scheduling.delete(ACTOR, found, Sent())

    assert inbox() == 0
    koyomi("import", "--user", "ada", "other.ics", "--invite")
    assert inbox() == 1
    on(database, remove)
    assert inbox() == 2
    listed = koyomi("restore", "--user", "ada", "--list").stdout.split()
    koyomi("restore", "--user", "ada", "--object", listed[listed.index("--object") + 1])
    assert inbox() == 3
    koyomi("restore", "--user", "ada", "--object", "1", "--invite", code=2)

    async def remove_calendar(storage: PostgresStorage) -> int:
        owner = await PostgresDirectory(storage.database).principal("ada")
        assert owner is not None
        found = await Lookup(storage).find(ACTOR, Target(owner.uid, "uid", "calendar", "calendar"), Privilege.UNBIND)
        await Collections(storage, Limits()).delete(ACTOR, found)
        assert found.collection is not None
        assert await Removals(storage, Limits()).send(found.collection.home_id, found.collection.id, CAUSE) == 1
        return found.collection.id

    deleted = on(database, remove_calendar)
    restored = koyomi("restore", "--user", "ada", "--calendar", deleted, "--as", "again", "--invite")
    assert "Meetings: 1 scheduled again, 0 refused" in restored.stdout
