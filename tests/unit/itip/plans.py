"""Plans for tests: who is told what, in a form that can be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from server.itip.calendar_users import CalendarUser, Directory
from server.itip.change import Change
from server.itip.messages import Message, Plan
from server.itip.participants import attendee_line
from server.itip.planning import plan_change
from server.itip.scheduling_object import SchedulingObject
from tests.unit.itip.texts import DIRECTORY, ORGANIZER

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)


def plan(
    old: SchedulingObject | None,
    new: SchedulingObject | None,
    owner: CalendarUser = ORGANIZER,
    directory: Directory = DIRECTORY,
    **options: Any,
) -> Plan:
    """The plan of a change."""
    return plan_change(Change(old, new, owner, directory, NOW, **options))


def stored(made: Plan, directory: Directory = DIRECTORY) -> SchedulingObject:
    """What a plan stores once everything is delivered."""
    value = made.with_statuses(dict.fromkeys(made.recipients, "1.2"), directory)
    assert value is not None
    return value


def sent(made: Plan) -> list[tuple[str, str, tuple[str, ...]]]:
    """Method, recipient and instances of each message; quiet ones have their method in lower case."""
    return [_told(message) for message in made.messages]


def _told(message: Message) -> tuple[str, str, tuple[str, ...]]:
    method = message.method.value.lower() if message.quiet else message.method.value
    assert message.object.method == message.method.value
    name = message.recipient.address.removeprefix("mailto:").removesuffix("@example.com")
    return method, name, tuple(component.instance for component in message.object.components)


def partstats(value: SchedulingObject, user: CalendarUser, directory: Directory = DIRECTORY) -> dict[str, str]:
    """PARTSTAT of somebody in each component, with `!` for RSVP; `-` where they are not invited."""
    found: dict[str, str] = {}
    for component in value.components:
        line = attendee_line(component, user, directory)
        if line is None:
            found[component.instance] = "-"
            continue
        rsvp = "!" if (line.parameter("RSVP") or "").upper() == "TRUE" else ""
        found[component.instance] = (line.parameter("PARTSTAT") or "") + rsvp
    return found
