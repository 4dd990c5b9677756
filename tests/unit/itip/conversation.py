"""Conversations as data files: people, what each does, and what follows.

    A first paragraph says which facts of the standard it is about.
    people: ann bea
    elsewhere: xeno

    20270611T190000Z ann puts
      VEVENT
        ORGANIZER:ann
        ATTENDEE:bea
        DTSTART:20270701T200000Z
    > REQUEST to bea
    = bea
      VEVENT
        TRANSP:TRANSPARENT
        ATTENDEE;RSVP=TRUE;-SCHEDULE-STATUS:bea
    inbox bea: REQUEST

A line at the margin that begins with a time is an act: `puts` (a whole object), `edits` (some lines of the stored one),
`answers PARTSTAT [INSTANCE]`, `deletes`, `loses the object`, `sends METHOD to NAME` (a message written by hand),
`declines the counter`. What it sends is delivered at once. Other lines at the margin say what must hold after it:

* `> METHOD to NAMES`: all messages of the act and of what follows from it, without quiet ones; `>` alone: none.
* `= NAME`: the components of somebody's object, all of them; `= NAME: nothing`.
* `delivery NAME: applied|ignored|refused STATUS`, and `inbox NAME: METHODS`, all items since the begin.

A block names components, by type and by the value of RECURRENCE-ID. A line in it must be there with its parameters;
`-NAME`, `-NAME:VALUE` and `-NAME=VALUE` must not, nor may a parameter `-NAME` or `-NAME=VALUE`. In `edits` a line
replaces those of its name, `+LINE` is added, `-NAME` and `-NAME:VALUE` are removed. Names of people stand for their
addresses. UID and DTSTAMP are added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from server.calendar.contentline import Property, fold, parse_parameters
from server.itip.change import utc_stamp
from server.itip.counters import declined_counter
from server.itip.instances import derived
from server.itip.messages import Message, Method
from server.itip.participants import map_attendee
from server.itip.scheduling_component import SchedulingComponent, Subcomponent
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.itip.post_office import Letter, Person, PostOffice

UID = "conversation@example.com"
_ACT = re.compile(r"(\d{8}T\d{6}Z) (\w+) (.+)")


@dataclass(slots=True)
class Block:
    """A component in a file."""

    name: str
    key: str
    lines: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """A line at the margin with its block."""

    number: int
    text: str
    blocks: list[Block] = field(default_factory=list)


def entries(text: str) -> Iterator[Entry]:
    """The lines at the margin, without the first paragraph."""
    found: list[Entry] = []
    started = False
    for number, line in enumerate(text.splitlines(), 1):
        started = started or line.startswith("people:")
        if not started or not line.strip():
            continue
        if line.startswith("    "):
            found[-1].blocks[-1].lines.append(line.strip())
        elif line.startswith("  "):
            name, _, key = line.strip().partition(" ")
            found[-1].blocks.append(Block(name, key))
        else:
            found.append(Entry(number, line.rstrip()))
    yield from found


class Conversation:
    """One file, played from its begin to its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries = list(entries(path.read_text(encoding="utf-8")))
        names: list[str] = []
        elsewhere: list[str] = []
        for entry in self._entries:
            kind, _, rest = entry.text.partition(":")
            if kind in ("people", "elsewhere"):
                (names if kind == "people" else elsewhere).extend(rest.split())
        self._office = PostOffice(names, elsewhere)
        self._addresses = {
            name: f"mailto:{name}@example.{'com' if name in names else 'org'}" for name in (*names, *elsewhere)
        }
        self._sent: list[Message] = []
        self._outcomes: dict[str, tuple[str, str]] = {}

    def play(self) -> int:
        """Perform all acts and check what must hold; how many checks there were."""
        checks = 0
        expected: list[Entry] = []
        for entry in self._entries:
            where = f"{self._path.name}:{entry.number}: {entry.text}"
            kind = entry.text.split(":")[0].split(" ")[0]
            if kind in ("people", "elsewhere"):
                continue
            if entry.text.startswith(">"):
                expected.append(entry)
                checks += 1
                continue
            self._check_sent(expected)
            expected = []
            act = _ACT.fullmatch(entry.text)
            if act is not None:
                self._act(datetime.strptime(act[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC), act[2], act[3], entry)
            else:
                checks += 1
                self._check(entry, where)
        self._check_sent(expected)
        return checks

    # -- acts ------------------------------------------------------------------------------------------------------

    def _act(self, now: datetime, name: str, act: str, entry: Entry) -> None:
        person = self._office.people[name]
        self._sent, self._outcomes = [], {}
        words = act.split()
        match words:
            case ["puts"]:
                self._change(person, self._written(entry.blocks, now), now)
            case ["edits"]:
                self._change(person, self._edited(person.value, entry.blocks), now)
            case ["answers", partstat, *key]:
                self._change(person, self._answered(person, partstat, "".join(key)), now)
            case ["deletes"]:
                self._change(person, None, now)
            case ["loses", "the", "object"]:
                person.value = None
            case ["sends", method, "to", recipient]:
                value = self._written(entry.blocks, now).with_method(method)
                message = Message(Method(method), person.user, self._office.people[recipient].user, value)
                self._deliver([Letter(message)], now, sent=False)
            case ["declines", "the", "counter"]:
                counter = next(each for each in person.inbox if each.method is Method.COUNTER)
                assert person.value is not None
                answer = declined_counter(counter, person.value, self._office.directory, utc_stamp(now))
                assert answer is not None
                self._deliver([Letter(answer)], now)
            case _:
                raise AssertionError(f"{self._path.name}:{entry.number}: there is no act {act!r}")

    def _change(self, person: Person, new: SchedulingObject | None, now: datetime) -> None:
        _, letters = self._office.change(person, new, now)
        self._deliver(letters, now)

    def _deliver(self, letters: list[Letter], now: datetime, *, sent: bool = True) -> None:
        waiting = list(letters)
        while waiting:
            letter = waiting.pop(0)
            if sent and not letter.message.quiet:
                self._sent.append(letter.message)
            result, more = self._office.deliver(letter, now)
            self._outcomes[self._name(letter.message)] = result.outcome.value, result.status
            waiting += more
            sent = True

    def _name(self, message: Message) -> str:
        return next(name for name, person in self._office.people.items() if person.user.key == message.recipient.key)

    # -- objects -----------------------------------------------------------------------------------------------------

    def _line(self, line: str) -> str:
        """A line with addresses for names."""
        if line.lstrip("+-").startswith(("ATTENDEE", "ORGANIZER")):
            head, _, value = line.rpartition(":")
            line = f"{head}:{self._addresses.get(value, value)}"
            line = re.sub(r'"(\w+)"', lambda found: f'"{self._addresses.get(found[1], found[1])}"', line)
        return line

    def _written(self, blocks: Sequence[Block], now: datetime) -> SchedulingObject:
        parts = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Koyomi//Conversations//EN"]
        for block in blocks:
            parts.append(f"BEGIN:{block.name}")
            if block.name != "VTIMEZONE":
                parts += [f"UID:{UID}", f"DTSTAMP:{utc_stamp(now)}"]
            parts += [*map(self._line, block.lines), f"END:{block.name}"]
        parts.append("END:VCALENDAR")
        return read_object("".join(map(fold, parts)))

    def _edited(self, value: SchedulingObject | None, blocks: Sequence[Block]) -> SchedulingObject:
        assert value is not None
        for block in blocks:
            instance = _instance(value, block)
            component = derived(value, instance)
            assert component is not None, f"{self._path.name}: there is no instance {block.key}"
            lines = _lines(component)
            replaced: set[str] = set()
            for line in map(self._line, block.lines):
                if line.startswith("+"):
                    lines.append(line[1:])
                elif line.startswith("-"):
                    name, colon, rest = line[1:].partition(":")
                    lines = [each for each in lines if _name(each) != name or (colon and not each.endswith(f":{rest}"))]
                else:
                    name = _name(line)
                    if name not in replaced:
                        lines = [each for each in lines if _name(each) != name]
                        replaced.add(name)
                    lines.append(line)
            text = "".join(
                map(
                    fold,
                    ["BEGIN:VCALENDAR", f"BEGIN:{component.name}", *lines, f"END:{component.name}", "END:VCALENDAR"],
                )
            )
            (edited,) = read_object(text).components
            value = value.with_component(edited.with_items(edited.items, instance))
        return read_object(value.text)

    def _answered(self, person: Person, partstat: str, key: str) -> SchedulingObject:
        assert person.value is not None
        value = person.value
        instances = [_instance(value, Block("", key))] if key else list(value.by_instance)
        for instance in instances:
            component = derived(value, instance)
            assert component is not None
            value = value.with_component(
                map_attendee(
                    component,
                    person.user,
                    self._office.directory,
                    lambda line: line.with_parameters({"PARTSTAT": partstat, "RSVP": None}),
                )
            )
        return read_object(value.text)

    # -- checks ------------------------------------------------------------------------------------------------------

    def _check(self, entry: Entry, where: str) -> None:
        kind, _, rest = entry.text.partition(" ")
        name, _, wanted = rest.partition(":")
        name, wanted = name.strip(), wanted.strip()
        person = self._office.people[name]
        match kind:
            case "=":
                if wanted == "nothing":
                    assert person.value is None, f"{where}\n{person.value.text if person.value else ''}"
                else:
                    assert person.value is not None, where
                    self._check_object(person.value, entry.blocks, where)
            case "inbox":
                assert [str(message.method) for message in person.inbox] == wanted.split(), where
            case "delivery":
                outcome, status = self._outcomes[name]
                assert wanted in (outcome, status), f"{where}: {outcome} {status}"
            case _:
                raise AssertionError(f"{where}: nothing that can hold")

    def _check_sent(self, expected: Sequence[Entry]) -> None:
        if not expected:
            return
        wanted: set[tuple[str, str]] = set()
        for entry in expected:
            words = entry.text.split()
            if len(words) == 1:
                continue
            _, method, _, *names = words
            for name in names:
                wanted.add((method, name))
                for message in self._sent:
                    if message.method == method and self._name(message) == name and entry.blocks:
                        where = f"{self._path.name}:{entry.number}: {entry.text} ({name})"
                        self._check_object(message.object, entry.blocks, where)
        sent = {(str(message.method), self._name(message)) for message in self._sent}
        assert sent == wanted, f"{self._path.name}:{expected[0].number}"
        assert len(self._sent) == len(sent), f"{self._path.name}:{expected[0].number}: a message twice"

    def _check_object(self, value: SchedulingObject, blocks: Sequence[Block], where: str) -> None:
        known = {(each.name, each.instance): each for each in value.components}
        named: set[tuple[str, str]] = set()
        for block in blocks:
            if block.name == "VTIMEZONE":
                zones = [line for zone in value.timezones for line in _raw_lines(zone.written)]
                for line in block.lines:
                    assert line in zones, f"{where}: {line}"
                continue
            key = block.name, _instance(value, block)
            named.add(key)
            assert key in known, f"{where}: there is no {block.name} {block.key}\n{value.text}"
            for line in block.lines:
                assert self._holds(known[key], self._line(line)), f"{where}: {line}\n{value.text}"
        assert set(known) == named, f"{where}: there is more\n{value.text}"

    def _holds(self, component: SchedulingComponent, line: str) -> bool:
        if line.startswith("-"):
            name, separator, value = re.fullmatch(r"-([\w-]+)([:=]?)(.*)", line).groups()  # type: ignore[union-attr]
            return not any(
                _name(each) == name and (not separator or each.endswith(f":{value}")) for each in _lines(component)
            )
        if line == "SEQUENCE:0":
            return component.sequence == 0
        name, parameters, value = _split(line)
        wanted = {key: values for key, values in parse_parameters(parameters).items() if not key.startswith("-")}
        unwanted = [part[1:].partition("=") for part in parameters.split(";") if part.startswith("-")]
        for each in _lines(component):
            its_name, its_parameters, its_value = _split(each)
            params = parse_parameters(its_parameters) if its_parameters else {}
            if its_name != name or its_value != value:
                continue
            if any(params.get(key) != values for key, values in wanted.items()):
                continue
            if all(key not in params or (equals and params[key] != [unlike]) for key, equals, unlike in unwanted):
                return True
        return False


def _instance(value: SchedulingObject, block: Block) -> str:
    if not block.key:
        return ""
    parameters, _, written = block.key.rpartition(":")
    return value.instance_of(Property("RECURRENCE-ID", parameters, written))


def _lines(component: SchedulingComponent) -> list[str]:
    """All lines between BEGIN and END, unfolded."""
    found: list[str] = []
    for item in component.items:
        if isinstance(item, Subcomponent):
            found += _raw_lines(item.written)
        else:
            found.append(f"{item.name}{';' if item.parameter_text else ''}{item.parameter_text}:{item.value}")
    return found


def _raw_lines(written: str) -> list[str]:
    return re.sub(r"\r?\n[ \t]", "", written).split()


def _name(line: str) -> str:
    return re.split("[:;]", line)[0]


def _split(line: str) -> tuple[str, str, str]:
    """Name, parameters and value; values that hold quotes or colons in parameters are read from the right."""
    name = _name(line)
    rest = line[len(name) :]
    if not rest.startswith(";"):
        return name, "", rest[1:]
    found = re.fullmatch(r';((?:[^":]|"[^"]*")*):(.*)', rest)
    assert found is not None, line
    return name, found[1], found[2]
