"""Groups as attendees: the members that an organizer's object names (RFC 5545 §3.2.11)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.itip.calendar_users import CalendarUser, Directory
from server.itip.change import Change, InvitedGroups
from server.itip.groups import Group, Groups, people_of, with_members
from server.itip.messages import Plan
from server.itip.planning import plan_change
from server.itip.scheduling_object import SchedulingObject
from tests.unit.itip.plans import NOW, sent, stored
from tests.unit.itip.texts import ORGANIZER, attendee, event, organizer, person, read

PEOPLE = [person(number) for number in range(1, 10)]
TEAM, BOARD, CLUB = (person(number, cutype="GROUP", cn=f"Group {number}") for number in (51, 52, 53))
DIRECTORY = Directory([*PEOPLE, TEAM, BOARD, CLUB])
GROUP_LINE = "ATTENDEE:mailto:user51@example.com"
BOARD_LINE = "ATTENDEE:mailto:user52@example.com"


def groups(team: tuple[int, ...] = (2, 3), board: tuple[int, ...] = (), **options: str) -> Groups:
    """TEAM and BOARD with the people of these numbers; 51 and 52 are the groups themselves."""
    users = {**{number: person(number) for number in range(1, 10)}, 51: TEAM, 52: BOARD}
    made = [Group(TEAM, tuple(users[each] for each in team)), Group(BOARD, tuple(users[each] for each in board))]
    return {each.user.key: replace(each, **options) for each in made}  # type: ignore[arg-type]


@dataclass
class Meetings:
    """One meeting, which its organizer writes again and again."""

    groups: Groups = field(default_factory=groups)
    object: SchedulingObject | None = None
    left_out: frozenset[tuple[str, str]] = frozenset()
    known: InvitedGroups = InvitedGroups()
    limit: int = 100

    def write(self, *parts: str, seen: bool = False) -> Plan:
        """Write these components."""
        return self.put(read(*parts), seen=seen)

    def put(self, new: SchedulingObject, *, seen: bool = False) -> Plan:
        """Write an object."""
        new, self.known = with_members(
            self.object, new, ORGANIZER, DIRECTORY, self.groups, self.left_out, NOW, self.limit, has_seen=seen
        )
        plan = plan_change(Change(self.object, new, ORGANIZER, DIRECTORY, NOW, groups=self.known))
        self.object, self.left_out = stored(plan, DIRECTORY), self.known.left_out
        return plan

    def again(self) -> Plan:
        """Write what is stored once more."""
        assert self.object is not None
        return self.put(self.object)

    def without(self, number: int) -> Plan:
        """Write what is stored without an attendee."""
        assert self.object is not None
        address = person(number).address
        return self.put(
            self.object.map_components(
                lambda each: each.map_lines(
                    lambda line: None if line.name == "ATTENDEE" and line.value == address else line
                )
            )
        )

    def members(self, instance: str = "") -> dict[str, str]:
        """The attendees of a component, each with MEMBER: the numbers of the groups."""
        assert self.object is not None
        return {
            number(line.value): " ".join(map(number, line.params.get("MEMBER", ())))
            for line in self.object.by_instance[instance].all("ATTENDEE")
        }


def number(address: str) -> str:
    return address.removeprefix("mailto:user").removesuffix("@example.com").lstrip("0")


def meeting(*lines: str) -> str:
    return event(organizer(), attendee(1, "ACCEPTED"), *lines)


def test_members_are_invited_and_the_group_is_not() -> None:
    made = Meetings()
    plan = made.write(meeting(GROUP_LINE))
    assert sent(plan) == [("REQUEST", "user02", ("",)), ("REQUEST", "user03", ("",))]
    assert made.object is not None
    lines = [line.written.replace("\r\n ", "").strip() for line in made.object.components[0].all("ATTENDEE")]
    assert lines[1:] == [
        "ATTENDEE;CN=Group 51;CUTYPE=GROUP;SCHEDULE-STATUS=2.7:mailto:user51@example.com",
        'ATTENDEE;PARTSTAT=NEEDS-ACTION;MEMBER="mailto:user51@example.com";CN=User 02;'
        "RSVP=TRUE;SCHEDULE-STATUS=1.2:mailto:user02@example.com",
        'ATTENDEE;PARTSTAT=NEEDS-ACTION;MEMBER="mailto:user51@example.com";CN=User 03;'
        "RSVP=TRUE;SCHEDULE-STATUS=1.2:mailto:user03@example.com",
    ]
    assert made.known.ids == (51,)


def test_nothing_is_sent_when_nothing_changes() -> None:
    made = Meetings()
    made.write(meeting(GROUP_LINE))
    before = made.object
    assert sent(made.again()) == []
    assert before is not None and made.object is not None
    assert made.object.text == before.text


def test_a_role_of_the_group_is_one_of_its_members() -> None:
    made = Meetings()
    made.write(meeting("ATTENDEE;ROLE=OPT-PARTICIPANT:mailto:user51@example.com"))
    assert made.object is not None
    assert [line.parameter("ROLE") for line in made.object.components[0].all("ATTENDEE")] == [
        None,
        *["OPT-PARTICIPANT"] * 3,
    ]


def test_the_organizer_and_who_is_invited_by_name_are_not_doubled() -> None:
    made = Meetings(groups((1, 2, 3)))
    made.write(meeting(GROUP_LINE, attendee(2)))
    assert made.members() == {"1": "", "51": "", "2": "", "3": "51"}


def test_groups_in_groups_and_two_groups_of_one_person() -> None:
    made = Meetings(groups((2, 52), (3, 51)))
    made.write(meeting(GROUP_LINE))
    assert made.members() == {"1": "", "51": "", "2": "51", "3": "51"}
    made.write(meeting(GROUP_LINE, BOARD_LINE))
    assert made.members() == {"1": "", "51": "", "52": "", "2": "51 52", "3": "51 52"}


def test_who_leaves_is_removed_unless_another_group_or_their_name_invites_them() -> None:
    made = Meetings(groups((2, 3, 4), (3,)))
    made.write(meeting(GROUP_LINE, BOARD_LINE, attendee(5)))
    made.groups = groups((5,), (3,))
    plan = made.again()
    assert made.members() == {"1": "", "51": "", "52": "", "5": "", "3": "52"}
    assert [each for each in sent(plan) if each[0] == "CANCEL"] == [
        ("CANCEL", "user02", ("",)),
        ("CANCEL", "user04", ("",)),
    ]


def test_who_joins_is_invited() -> None:
    made = Meetings()
    made.write(meeting(GROUP_LINE))
    made.groups = groups((2, 3, 4))
    made.again()
    assert made.members() == {"1": "", "51": "", "2": "51", "3": "51", "4": "51"}


def test_a_removed_member_stays_removed_until_the_organizer_invites_them_again() -> None:
    made = Meetings()
    made.write(meeting(GROUP_LINE))
    assert ("CANCEL", "user02", ("",)) in sent(made.without(2))
    made.again()
    made.groups = groups((3, 2, 4))
    made.again()
    assert made.members() == {"1": "", "51": "", "3": "51", "4": "51"}
    assert made.left_out == {("", "principal:2")}
    made.write(meeting(GROUP_LINE, attendee(2), attendee(3, "", ';MEMBER="mailto:user51@example.com"')))
    made.groups = groups((3, 4))
    made.again()
    assert made.members() == {"1": "", "51": "", "2": "", "3": "51"}
    assert made.left_out == {("", "principal:4")}


def test_the_members_leave_with_their_group() -> None:
    made = Meetings()
    made.write(meeting(GROUP_LINE))
    made.without(51)
    assert made.members() == {"1": ""}
    assert (made.known.ids, made.left_out) == ((), frozenset())


def test_an_app_that_has_not_read_the_members_removes_none() -> None:
    made = Meetings()
    made.write(meeting(GROUP_LINE))
    made.write(meeting(GROUP_LINE, "SUMMARY:Changed"))
    assert made.members() == {"1": "", "51": "", "2": "51", "3": "51"}
    made.write(meeting(GROUP_LINE), seen=True)
    assert made.members() == {"1": "", "51": ""}


def test_an_app_that_drops_member_invites_nobody_by_name() -> None:
    made = Meetings()
    made.write(meeting(GROUP_LINE))
    made.write(meeting(GROUP_LINE, attendee(2), attendee(3)))
    made.groups = groups((2,))
    made.again()
    assert made.members() == {"1": "", "51": "", "2": "51"}


@pytest.mark.parametrize(
    ("expandable_by", "team", "status"),
    [("nobody", (1, 2), "3.8"), ("members", (2,), "3.8"), ("members", (1, 2), "2.7"), ("members", (2, 52), "2.7")],
)
def test_a_setting_of_the_group_says_who_may_expand_it(expandable_by: str, team: tuple[int, ...], status: str) -> None:
    made = Meetings(groups(team, (1,), expandable_by=expandable_by))
    made.write(meeting(GROUP_LINE))
    assert made.known.statuses == ((TEAM.key, status),)
    assert ("2" in made.members()) is (status == "2.7")


def test_a_group_of_too_many_is_not_expanded_and_keeps_those_who_are_invited() -> None:
    made = Meetings(limit=4)
    made.write(meeting(GROUP_LINE))
    made.groups = groups((2, 3, 4, 5))
    made.again()
    assert made.members() == {"1": "", "51": "", "2": "51", "3": "51"}
    assert made.known.statuses == ((TEAM.key, "5.1"),)


def test_the_client_sends_to_a_group_with_another_agent() -> None:
    made = Meetings()
    plan = made.write(meeting("ATTENDEE;SCHEDULE-AGENT=CLIENT:mailto:user51@example.com"))
    assert (made.members(), sent(plan)) == ({"1": "", "51": ""}, [])


def test_a_meeting_that_is_over_keeps_its_people() -> None:
    past = {"start": "DTSTART:20200104T100000Z", "end": "DTEND:20200104T110000Z"}
    made = Meetings()
    made.write(event(organizer(), attendee(1, "ACCEPTED"), GROUP_LINE, **past))
    made.groups = groups((4,))
    made.again()
    assert made.members() == {"1": "", "51": "", "2": "51", "3": "51"}


def test_instances_have_the_group_that_they_name() -> None:
    made = Meetings()
    rid = "RECURRENCE-ID:20270105T100000Z"
    other = {"start": "DTSTART:20270105T120000Z", "end": "DTEND:20270105T130000Z"}
    made.write(
        meeting(attendee(4), "RRULE:FREQ=DAILY;COUNT=3"),
        event(rid, organizer(), attendee(1, "ACCEPTED"), GROUP_LINE, **other),
    )
    assert made.members() == {"1": "", "4": ""}
    assert made.members("20270105T100000Z") == {"1": "", "51": "", "2": "51", "3": "51"}


NUMBERS = st.lists(st.sampled_from([2, 3, 4, 5, 51, 52]), max_size=5, unique=True).map(tuple)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.lists(st.integers(2, 5), max_size=2, unique=True))
def test_the_members_are_those_of_a_naive_model(
    team: tuple[int, ...], board: tuple[int, ...], then: tuple[int, ...], later: tuple[int, ...], named: list[int]
) -> None:
    made = Meetings(groups(team, board))
    made.write(meeting(GROUP_LINE, *map(attendee, named)))
    made.groups = groups(then, later)
    made.again()
    reached, before = set[int](), -1
    while before != len(reached):
        before = len(reached)
        reached |= {*then} | ({*later} if 52 in reached else set())
    wanted = {"1": "", "51": ""} | {str(each): "51" for each in reached - {51, 52}} | {str(each): "" for each in named}
    assert made.members() == wanted


@given(st.dictionaries(st.integers(51, 56), st.lists(st.integers(1, 56), max_size=6)))
def test_expansion_ends_and_names_each_once(members: dict[int, list[int]]) -> None:
    users: dict[int, CalendarUser] = {
        each: person(each, cutype="GROUP" if each > 50 else "INDIVIDUAL") for each in range(1, 57)
    }
    whole = {
        users[each].key: Group(users[each], tuple(users[member] for member in members.get(each, ())))
        for each in range(51, 57)
    }
    found = people_of(users[51].key, whole, ORGANIZER)
    assert found is not None
    assert len({each.key for each in found}) == len(found)
    assert not any(each.is_group for each in found)
