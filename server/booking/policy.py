"""A booking policy: by which rules a room, a piece of equipment or a person answers invitations.

Each parameter is documented where it is defined; `RULES` lists them for commands and `docs/rooms.md`. The modes of
Apple's calendar server are policies, too (`policy_of_mode`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal

from server.booking.policy_values import (
    EVERYONE,
    NOBODY,
    Audience,
    Automation,
    BeyondWindow,
    Capacity,
    CheckInBy,
    Choice,
    Flag,
    Kind,
    Number,
    Sentence,
    Who,
    known_only,
    to_json,
)
from server.domain.errors import InvalidPrincipal

Mode = Literal["none", "accept-always", "decline-always", "accept-if-free", "decline-if-busy", "automatic"]
"""What is answered in a mode of Apple's (`CALENDARSERVER:auto-schedule-mode`):

| mode | free | busy |
| --- | --- | --- |
| none | nothing | nothing |
| accept-always | accepted | accepted |
| decline-always | declined | declined |
| accept-if-free | accepted | nothing |
| decline-if-busy | nothing | declined |
| automatic | accepted | declined |
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """The documentation of one parameter."""

    name: str
    kind: Kind
    default: object
    """As JSON."""
    text: str
    exchange: str
    """Its counterpart in Exchange (`Set-CalendarProcessing`); empty without one."""
    google: str
    """Its counterpart in Google Workspace; empty without one."""


def _rule(default: Any, kind: Kind, text: str, *, exchange: str = "", google: str = "") -> Any:
    return field(default=default, metadata={"kind": kind, "text": text, "exchange": exchange, "google": google})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of a room, a piece of equipment or a person. The defaults are those of a room with an empty policy."""

    automation: Automation = _rule(
        "accept",
        Choice(("none", "update", "accept")),
        "What the server does with invitations: `none` leaves them to people; `update` also takes what is cancelled "
        "out of the room's calendar; `accept` answers by the rules below.",
        exchange="AutomateProcessing: None, AutoUpdate, AutoAccept",
        google="automatic acceptance of what does not conflict",
    )
    book_in_policy: Audience = _rule(
        EVERYONE,
        Who(),
        "Whose requests are accepted at once, if they keep to the rules.",
        exchange="AllBookInPolicy, BookInPolicy",
        google="with whom the calendar is shared",
    )
    request_in_policy: Audience = _rule(
        NOBODY,
        Who(),
        "Whose requests wait for a delegate's approval, if they keep to the rules.",
        exchange="AllRequestInPolicy, RequestInPolicy",
        google="without automatic acceptance",
    )
    request_out_of_policy: Audience = _rule(
        NOBODY,
        Who(),
        "Whose requests wait for approval also if they break a rule. A conflict is declined in any case.",
        exchange="AllRequestOutOfPolicy, RequestOutOfPolicy",
    )
    tentative_while_pending: bool = _rule(
        True,
        Flag(),
        "Answer TENTATIVE while a request waits for approval: it keeps the time. Otherwise the request has no answer, "
        "and others may take the time.",
        exchange="TentativePendingApproval",
    )
    forward_to_delegates: bool = _rule(
        True,
        Flag(),
        "Tell the delegates by mail of what waits for their approval.",
        exchange="ForwardRequestsToDelegates",
    )
    booking_window_days: int | None = _rule(
        180,
        Number(1, 3650),
        "How many days ahead a meeting may begin.",
        exchange="BookingWindowInDays",
        google="in part",
    )
    beyond_window: BeyondWindow = _rule(
        "truncate",
        Choice(("truncate", "decline")),
        "What becomes of a series that reaches beyond the booking window: `truncate` books it as far as the window "
        "reaches; `decline` declines it.",
        exchange="EnforceSchedulingHorizon",
    )
    min_duration_minutes: int | None = _rule(
        None,
        Number(1, 100_000),
        "The shortest meeting.",
        exchange="MinimumDurationInMinutes",
    )
    max_duration_minutes: int | None = _rule(
        1440,
        Number(1, 1_000_000),
        "The longest meeting; of a series, each instance.",
        exchange="MaximumDurationInMinutes",
        google="in part",
    )
    opening_hours_only: bool = _rule(
        False,
        Flag(),
        "Whether meetings must lie within the room's opening hours.",
        exchange="ScheduleOnlyDuringWorkHours",
        google="in part",
    )
    allow_recurring: bool = _rule(
        True,
        Flag(),
        "Whether it takes series.",
        exchange="AllowRecurringMeetings",
        google="always",
    )
    allow_conflicts: bool = _rule(
        False,
        Flag(),
        "Whether it takes any number of meetings at once. For a fixed number, set the room's pieces or overlaps.",
        exchange="AllowConflicts",
    )
    conflict_percentage_allowed: int | None = _rule(
        0,
        Number(0, 100),
        "Up to which share of its instances a series may conflict, in per cent. The conflicting instances are "
        "declined, the others accepted; above it, the whole series is declined.",
        exchange="ConflictPercentageAllowed",
        google="in part",
    )
    max_conflict_instances: int | None = _rule(
        0,
        Number(0, 5000),
        "The same as a number of instances. Both limits count.",
        exchange="MaximumConflictInstances",
    )
    capacity: Capacity = _rule(
        "warn",
        Choice(("off", "warn", "enforce")),
        "What happens if more people are invited than the room seats: nothing, a warning in the answer, or a decline.",
        exchange="EnforceCapacity",
    )
    allow_external: bool = _rule(
        False,
        Flag(),
        "Whether organizers outside of this installation may book, as far as everyone may.",
        exchange="ProcessExternalMeetingMessages",
        google="refused by default, too",
    )
    strip_subject: bool = _rule(
        False,
        Flag(),
        "Keep the title out of the room's copy.",
        exchange="DeleteSubject",
    )
    organizer_in_subject: bool = _rule(
        False,
        Flag(),
        "Put the organizer's name in front of the title in the room's copy, or in its place if it is kept out.",
        exchange="AddOrganizerToSubject",
    )
    strip_body: bool = _rule(
        False,
        Flag(),
        "Keep the description out of the room's copy.",
        exchange="DeleteComments",
    )
    strip_attachments: bool = _rule(
        False,
        Flag(),
        "Keep attachments out of the room's copy.",
        exchange="DeleteAttachments",
    )
    response_details: bool = _rule(
        True,
        Flag(),
        "Say in the answer why the room declines, and when it or a room like it is free.",
        exchange="EnableResponseDetails",
        google="in part",
    )
    additional_response: str = _rule(
        "",
        Sentence(1000),
        "A text that every answer contains.",
        exchange="AddAdditionalResponse, AdditionalResponse",
    )
    check_in: CheckInBy = _rule(
        "off",
        Choice(("off", "link", "panel")),
        "How people say that they use a booking: not at all; by a `link` in a mail to the organizer; or by a `panel` "
        "at the room, which calls the service. `koyomi room check-in` does it, too.",
    )
    release_no_shows: bool = _rule(
        False,
        Flag(),
        "Whether a booking that nobody checks in is released. Needs `check_in`.",
    )
    no_show_spares_from_minutes: int | None = _rule(
        480,
        Number(1, 1_000_000),
        "Meetings that last at least so long are not released, nor are whole days.",
    )
    no_show_notice_minutes: int | None = _rule(
        120,
        Number(0, 100_000),
        "What was booked less than so long before its start counts as checked in; null: nothing does.",
    )
    no_show_exempt: Audience = _rule(
        NOBODY,
        Who(),
        "Whose bookings are not released.",
    )
    no_shows_in_series: int | None = _rule(
        3,
        Number(1, 1000),
        "After so many instances in a row that nobody checked in, the room leaves a series; null: never.",
    )
    conflicts_stay_open: bool = False
    """What conflicts is left to people: no parameter, but what the mode accept-if-free does."""

    @property
    def audiences(self) -> tuple[Audience, ...]:
        """Those whom it distinguishes."""
        return self.book_in_policy, self.request_in_policy, self.request_out_of_policy

    @property
    def asks_for_busy_times(self) -> bool:
        """Whether an answer may depend on what is busy."""
        return (
            self.automation == "accept" and not self.allow_conflicts and any(each != NOBODY for each in self.audiences)
        )

    @property
    def named(self) -> frozenset[str]:
        """The names and ids of people and groups in it."""
        return frozenset(name for each in self.audiences for name in each.names)


RULES: Final[Mapping[str, Rule]] = {
    each.name: Rule(
        each.name,
        each.metadata["kind"],
        to_json(each.default),
        each.metadata["text"],
        each.metadata["exchange"],
        each.metadata["google"],
    )
    for each in fields(Policy)
    if "kind" in each.metadata
}
"""The parameters, in their order."""


@dataclass(frozen=True, slots=True)
class Requester:
    """Who invites."""

    matches: frozenset[str] = frozenset()
    """Those of the names and ids in the policy that are theirs, or of groups that they belong to."""
    external: bool = False
    """Whether they are none of the installation."""

    def belongs_to(self, audience: Audience) -> bool:
        """Whether they are among these people."""
        return audience.everyone or not self.matches.isdisjoint(audience.names)


_RETIRED = frozenset(("strip_private",))
"""Parameters that stored policies may have and that mean nothing: what is private stays so in a room's calendar."""


def parse_policy(value: object) -> Policy:
    """A policy from JSON: an object with some of `RULES`; others have their default.

    Raises `InvalidPrincipal`, whose message names the parameter and what it takes.
    """
    if not isinstance(value, dict):
        raise InvalidPrincipal("policy must be an object.")
    value = {name: each for name, each in value.items() if name not in _RETIRED}
    known_only(value, RULES, "policy")
    found = Policy(**{name: RULES[name].kind.read(each, f"policy.{name}") for name, each in value.items()})
    low, high = found.min_duration_minutes, found.max_duration_minutes
    if low is not None and high is not None and low > high:
        raise InvalidPrincipal("policy.min_duration_minutes may not exceed policy.max_duration_minutes.")
    if found.release_no_shows and found.check_in == "off":
        raise InvalidPrincipal("policy.release_no_shows needs policy.check_in link or panel: else nobody can check in.")
    return found


def as_json(policy: Policy) -> dict[str, object]:
    """`automation`, and the other parameters that differ from their defaults; `parse_policy` reads it.

    It is never empty, since a room without parameters has no policy.
    """
    values = {name: to_json(getattr(policy, name)) for name in RULES}
    return {name: given for name, given in values.items() if name == "automation" or given != RULES[name].default}


_UNLIMITED = Policy(
    booking_window_days=None,
    max_duration_minutes=None,
    conflict_percentage_allowed=None,
    max_conflict_instances=None,
    capacity="off",
    allow_external=True,
    response_details=False,
    tentative_while_pending=False,
    forward_to_delegates=False,
)
_MODES: Final[Mapping[Mode, Mapping[str, Any]]] = {
    "none": {"automation": "none"},
    "accept-always": {"allow_conflicts": True},
    "decline-always": {"book_in_policy": NOBODY},
    "accept-if-free": {"conflicts_stay_open": True},
    "decline-if-busy": {"book_in_policy": NOBODY, "request_in_policy": EVERYONE},
    "automatic": {},
}
_POLICIES: Final[Mapping[Mode, Policy]] = {mode: replace(_UNLIMITED, **more) for mode, more in _MODES.items()}


def policy_of_mode(mode: Mode) -> Policy:
    """The policy that does what a mode of Apple's does. An auto-accept group has that of `automatic`, in any mode."""
    return _POLICIES[mode]
